//! The work that is left for the controllers.

use std::sync::Arc;

use super::store::Key;

/// Something to reconcile. Work is done in the order of the variants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A namespace is gone; its objects are deleted.
    Namespace(Arc<str>),
    /// An owner is gone; the objects it owned are deleted.
    Orphans { namespace: Arc<str>, uid: Arc<str> },
    /// A node was added, changed or removed.
    Node(Arc<str>),
    /// A Deployment's ReplicaSets.
    Deployment(Key),
    /// A ReplicaSet's pods.
    ReplicaSet(Key),
    /// A DaemonSet's pods.
    DaemonSet(Key),
    /// A pod to place and start.
    Pod(Key),
    /// A service's EndpointSlices and Endpoints.
    Endpoints(Key),
    /// A service's VIPs.
    Address(Key),
    /// An event of events.k8s.io, shown in the core group too.
    Event(Key),
}
