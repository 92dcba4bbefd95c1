//! Passes the client of the API server from the task that maintains it to those that use it.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;

use super::http::{Client, RequestLimits};
use super::reporter::Closed;
use super::timings::jittered;

/// A client of the API server.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// The client that sends requests.
    pub(super) client: Client,
    /// Grows when there is a reason to use this client at once: other credentials, or the server is back.
    pub(super) epoch: u64,
}

/// Receives the current link.
#[derive(Clone)]
pub(super) struct LinkReceiver {
    links: watch::Receiver<Option<Link>>,
    limits: RequestLimits,
}

impl LinkReceiver {
    /// Receives from `links`; `limits` say when the server may be asked again.
    pub(super) fn new(links: watch::Receiver<Option<Link>>, limits: RequestLimits) -> Self {
        Self { links, limits }
    }

    /// Returns the link, as soon as there is one.
    pub(super) async fn get(&mut self) -> Result<Link, Closed> {
        let link = self.links.wait_for(Option::is_some).await.map_err(|_| Closed)?;
        link.clone().ok_or(Closed)
    }

    /// Returns when there is a link of a later epoch.
    pub(super) async fn newer(&mut self, epoch: u64) {
        let newer = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.epoch > epoch);
        if self.links.wait_for(newer).await.is_err() {
            std::future::pending::<Infallible>().await;
        }
    }

    /// Returns the time left until requests may be sent again.
    pub(super) fn retry_in(&self) -> Duration {
        self.limits.remaining()
    }

    /// Waits for `pause`, or longer if no requests may be sent yet, or until there is a link of a later epoch.
    pub(super) async fn pause(&mut self, epoch: u64, pause: Duration) {
        let pause = jittered(pause).max(self.retry_in());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.newer(epoch) => {}
        }
    }
}
