//! Faults on demand: what API servers do on bad days.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::error::ApiError;
use super::store::Key;
use super::{Cluster, known};

/// The faults in force; watched by listeners, connections and watches.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// Listeners accept and connections live.
    pub(crate) answering: bool,
    /// Requests are taken and never answered; watches stay silent.
    pub(crate) half_open: bool,
    /// Before every answer.
    pub(crate) delay: Duration,
    /// Grows when all watches are to end.
    pub(crate) watches_dropped: u64,
    /// Grows when all watches are to end with 410.
    pub(crate) watches_expired: u64,
    /// Required of every client.
    pub(crate) token: Option<String>,
    /// `services`, `endpointslices.discovery.k8s.io`
    pub(crate) denied: BTreeSet<String>,
    /// Status code and number of requests to come that get it.
    pub(crate) refuse: Option<(u16, usize)>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            answering: true,
            half_open: false,
            delay: Duration::ZERO,
            watches_dropped: 0,
            watches_expired: 0,
            token: None,
            denied: BTreeSet::new(),
            refuse: None,
        }
    }
}

impl Cluster {
    /// Stops answering: listeners close, connections are cut. Returns when both has happened. The addresses stay theirs.
    pub async fn stop(&self) {
        self.inner.faults.send_modify(|faults| faults.answering = false);
        // The sender lives in the cluster itself, so the wait cannot fail.
        let _ = self.inner.listening.subscribe().wait_for(|listening| *listening == 0).await;
    }

    /// Answers again, at the same addresses. Returns when connections are accepted; waits as long as there is no
    /// [`Server`](super::Server).
    pub async fn start(&self) {
        self.inner.faults.send_modify(|faults| faults.answering = true);
        // The sender lives in the cluster itself, so the wait cannot fail.
        let _ = self.inner.listening.subscribe().wait_for(|listening| *listening > 0).await;
    }

    /// Ends every watch, as a server under pressure does.
    pub fn drop_watches(&self) {
        self.inner.faults.send_modify(|faults| faults.watches_dropped += 1);
    }

    /// Ends every watch with `410 Gone`.
    pub fn expire_watches(&self) {
        self.inner.faults.send_modify(|faults| faults.watches_expired += 1);
    }

    /// Forgets every older version: watches from one and lists that continue from one get 410.
    pub fn compact(&self) {
        self.inner.write(|state| {
            // A version of its own: clients that are up to date now must not be so by accident of counting.
            state.version += 1;
            let version = state.version;
            let ids: Vec<_> = state.registry.iter().map(|(id, _)| id).collect();
            ids.into_iter().for_each(|id| state.collection_mut(id).compact(version));
        });
    }

    /// Waits before every answer.
    pub fn set_delay(&self, delay: Duration) {
        self.inner.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Takes requests and answers none; watches that run say nothing. Ends, answering all, when set to false.
    pub fn set_half_open(&self, half_open: bool) {
        self.inner.faults.send_modify(|faults| faults.half_open = half_open);
    }

    /// Requires this bearer token from now on; `None` lets everyone in. Watches that run go on.
    pub fn set_token(&self, token: Option<&str>) {
        self.inner.faults.send_modify(|faults| faults.token = token.map(str::to_owned));
    }

    /// Refuses every request for a resource with 403: `services`, `endpointslices.discovery.k8s.io`.
    pub fn deny(&self, resource: &str) {
        self.inner.faults.send_modify(|faults| {
            faults.denied.insert(resource.to_owned());
        });
    }

    /// Allows it again.
    pub fn allow(&self, resource: &str) {
        self.inner.faults.send_modify(|faults| {
            faults.denied.remove(resource);
        });
    }

    /// No longer serves an API group (`metallb.io`), as if its definitions were not installed; its objects stay.
    pub fn withdraw(&self, group: &str) {
        self.inner.write(|state| state.withdrawn.insert(group.to_owned()));
        // Watches of it end with it; the others are made again.
        self.drop_watches();
    }

    /// Serves it again.
    pub fn install(&self, group: &str) {
        self.inner.write(|state| state.withdrawn.remove(group));
    }

    /// Answers the next requests with this status code (429, 500, 503).
    pub fn refuse(&self, code: u16, requests: usize) {
        self.inner.faults.send_modify(|faults| faults.refuse = Some((code, requests)));
    }

    /// Sends `members` in place of the members of an object (all but kind and apiVersion, with the closing brace) until
    /// it is written again: text that is no JSON, or far too much of it.
    ///
    /// # Errors
    /// No such object.
    pub fn send_instead(&self, kind: &str, namespace: &str, name: &str, members: &str) -> Result<(), ApiError> {
        self.inner.write(|state| {
            let id = known(state, kind)?;
            state.replace_body(id, &Key::new(namespace, name), Bytes::copy_from_slice(members.as_bytes()))
        })
    }
}
