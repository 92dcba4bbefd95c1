//! Injects faults of API servers.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::error::ApiError;
use super::store::Key;
use super::{Cluster, known};

/// The faults in force. Listeners, connections and watches follow them.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// Whether listeners accept connections. Existing connections are cut if not.
    pub(crate) answering: bool,
    /// Whether requests are accepted but never answered, and watches stay silent.
    pub(crate) half_open: bool,
    /// Delay before every answer.
    pub(crate) delay: Duration,
    /// Incremented to end all watches.
    pub(crate) watches_dropped: u64,
    /// Incremented to end all watches with 410.
    pub(crate) watches_expired: u64,
    /// Token required of every client.
    pub(crate) token: Option<String>,
    /// Denied resources, such as `services` or `endpointslices.discovery.k8s.io`.
    pub(crate) denied: BTreeSet<String>,
    /// Status code, and the number of requests that will receive it.
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
    /// Stops answering: closes listeners and cuts connections. Returns when both has happened. The addresses stay
    /// bound.
    pub async fn stop(&self) {
        self.inner.faults.send_modify(|faults| faults.answering = false);
        // The sender lives in the cluster itself, so the wait cannot fail.
        let _ = self.inner.listening.subscribe().wait_for(|listening| *listening == 0).await;
    }

    /// Answers again at the same addresses. Returns when connections are accepted; waits until there is a
    /// [`Server`](super::Server).
    pub async fn start(&self) {
        self.inner.faults.send_modify(|faults| faults.answering = true);
        // The sender lives in the cluster itself, so the wait cannot fail.
        let _ = self.inner.listening.subscribe().wait_for(|listening| *listening > 0).await;
    }

    /// Ends every watch, as an overloaded server does.
    pub fn drop_watches(&self) {
        self.inner.faults.send_modify(|faults| faults.watches_dropped += 1);
    }

    /// Ends every watch with `410 Gone`.
    pub fn expire_watches(&self) {
        self.inner.faults.send_modify(|faults| faults.watches_expired += 1);
    }

    /// Forgets all older versions: watches and lists that continue from one get 410.
    pub fn compact(&self) {
        self.inner.write(|state| {
            // The compaction has its own version, so that no client is up to date by coincidence.
            state.version += 1;
            let version = state.version;
            let ids: Vec<_> = state.registry.iter().map(|(id, _)| id).collect();
            ids.into_iter().for_each(|id| state.collection_mut(id).compact(version));
        });
    }

    /// Delays every answer.
    pub fn set_delay(&self, delay: Duration) {
        self.inner.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Accepts requests without answering them, and keeps watches silent. When set to false, answers all of them.
    pub fn set_half_open(&self, half_open: bool) {
        self.inner.faults.send_modify(|faults| faults.half_open = half_open);
    }

    /// Requires this bearer token from now on; `None` lets everyone in. Existing watches continue.
    pub fn set_token(&self, token: Option<&str>) {
        self.inner.faults.send_modify(|faults| faults.token = token.map(str::to_owned));
    }

    /// Refuses every request for a resource with 403: `services`, `endpointslices.discovery.k8s.io`.
    pub fn deny(&self, resource: &str) {
        self.inner.faults.send_modify(|faults| {
            faults.denied.insert(resource.to_owned());
        });
    }

    /// Allows requests for a resource again.
    pub fn allow(&self, resource: &str) {
        self.inner.faults.send_modify(|faults| {
            faults.denied.remove(resource);
        });
    }

    /// Stops serving an API group (`metallb.io`), as if its definitions were not installed. Its objects are kept.
    pub fn withdraw(&self, group: &str) {
        self.inner.write(|state| state.withdrawn.insert(group.to_owned()));
        // This ends watches of the group. Clients reopen the others.
        self.drop_watches();
    }

    /// Serves an API group again.
    pub fn install(&self, group: &str) {
        self.inner.write(|state| state.withdrawn.remove(group));
    }

    /// Answers the next requests with this status code (429, 500, 503).
    pub fn refuse(&self, code: u16, requests: usize) {
        self.inner.faults.send_modify(|faults| faults.refuse = Some((code, requests)));
    }

    /// Sends `members` in place of an object's members (all except kind and apiVersion, with the closing brace) until
    /// the object is written again. Used to send text that is not JSON, or far too much of it.
    ///
    /// # Errors
    /// Returns an error if the object does not exist.
    pub fn send_instead(&self, kind: &str, namespace: &str, name: &str, members: &str) -> Result<(), ApiError> {
        self.inner.write(|state| {
            let id = known(state, kind)?;
            state.replace_body(id, &Key::new(namespace, name), Bytes::copy_from_slice(members.as_bytes()))
        })
    }
}
