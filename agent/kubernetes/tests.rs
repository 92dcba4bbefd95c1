mod access;
mod cluster;
mod faults;
mod notices;
mod server;
mod speaker;
mod tls;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use super::timings::Timings;
use super::{ClusterSource, ConnectOptions, Dialers, Notices};
use crate::model::alarm::AlarmNotification;
use crate::model::config::{Connection, Source, Speaker};
use crate::model::event::{ClusterEvent, Event, SourceEvent};

/// Awaits a future that must complete within 20 s.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("within 20 s")
}

/// Returns timings that are short enough for tests; `idle` remains long, unless a test is about it.
fn quick() -> Timings {
    Timings {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(100),
        look: Duration::from_millis(20),
        events: Duration::from_millis(20),
        spread: Duration::ZERO,
        ..Timings::default()
    }
}

fn config(connection: Connection) -> Source {
    Source {
        connection,
        network_namespace: None,
        speaker: Speaker::Metallb,
        namespaces: BTreeSet::new(),
        label_selector: None,
        include_external_ips: false,
        node_address_annotation: None,
        node_labels: true,
    }
}

fn at(url: &str) -> Source {
    config(with_token(url, None))
}

fn with_token(url: &str, token: Option<PathBuf>) -> Connection {
    Connection::ApiServer {
        url: url.into(),
        certificate_authority: None,
        token,
        client_certificate: None,
        insecure_skip_verify: false,
    }
}

/// A running source and its events.
struct Running {
    events: mpsc::Receiver<Event>,
    refresh: watch::Sender<u64>,
    notices: broadcast::Sender<Arc<AlarmNotification>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn start(config: Source, timings: Timings) -> Self {
        let (sender, events) = mpsc::channel(64);
        let (refresh, refreshed) = watch::channel(0);
        let (notices, _) = broadcast::channel(8);
        let owners = Notices { notices: notices.clone(), enabled: watch::channel(true).1, leaf: "leaf3".into() };
        let dialers = Dialers::start().expect("a thread");
        let options = ConnectOptions { credentials: Arc::from(Path::new("/")), dialers };
        let source = ClusterSource::new("c1".into(), config, sender, refreshed, owners, options).with_timings(timings);
        Self { events, refresh, notices, task: tokio::spawn(source.run()) }
    }

    async fn next(&mut self) -> Event {
        soon(self.events.recv()).await.expect("the source runs")
    }

    /// Returns the next event about the source itself, other than signs of life.
    async fn condition(&mut self) -> SourceEvent {
        loop {
            if let Event::Source(_, event) = self.next().await
                && event != SourceEvent::Alive
            {
                return event;
            }
        }
    }

    async fn lost(&mut self) -> String {
        loop {
            if let SourceEvent::Lost(reason) = self.condition().await {
                return reason.to_string();
            }
        }
    }

    async fn until(&mut self, expected: SourceEvent) {
        while self.condition().await != expected {}
    }

    async fn synced(&mut self) {
        self.until(SourceEvent::Synced).await;
    }

    /// Returns the caveat of the next event about the connection.
    async fn caveat(&mut self) -> Option<Arc<str>> {
        loop {
            if let ClusterEvent::Connected { caveat, .. } = self.change().await {
                return caveat;
            }
        }
    }

    /// Returns the next event of the cluster.
    async fn change(&mut self) -> ClusterEvent {
        loop {
            if let Event::Cluster(_, event) = self.next().await {
                return event;
            }
        }
    }
}
