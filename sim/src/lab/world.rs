//! The fabric between clusters and leaves: applies changes on one side to the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast;

use crate::cluster::{Cluster, Notice};
use crate::fabric::{Fabric, FabricError, Lever, Objects};
use crate::leaf::Leaf;

/// Kinds that speakers read.
const KINDS: [&str; 15] = [
    "Service",
    "EndpointSlice",
    "Node",
    "IPAddressPool",
    "BGPAdvertisement",
    "BGPPeer",
    "CiliumNode",
    "CiliumBGPPeeringPolicy",
    "CiliumBGPClusterConfig",
    "CiliumBGPPeerConfig",
    "CiliumBGPAdvertisement",
    "BGPConfiguration",
    "L2Advertisement",
    "CiliumL2AnnouncementPolicy",
    "Lease",
];

/// Time until the other of two nodes answers. It is not a multiple of common sample intervals.
const TURN: Duration = Duration::from_secs(7);

/// The fabric model and the leaves that show it.
pub(super) struct World {
    fabric: Mutex<Fabric>,
    pub(super) leaves: BTreeMap<String, Leaf>,
    /// Switches without applications.
    pub(super) spines: BTreeMap<String, Leaf>,
}

impl World {
    pub(super) fn new(fabric: Fabric, leaves: BTreeMap<String, Leaf>, spines: BTreeMap<String, Leaf>) -> Self {
        for (name, tables) in fabric.spine_tables() {
            if let Some(spine) = spines.get(&name) {
                spine.set_tables(tables);
            }
        }
        Self { fabric: Mutex::new(fabric), leaves, spines }
    }

    /// Reads the objects of a cluster, and shows the fabric again if they make a difference.
    pub(super) fn refresh(&self, name: &str, cluster: &Cluster) {
        let listed: Vec<_> = KINDS.iter().flat_map(|kind| cluster.list(kind)).collect();
        let objects = Objects::read(listed.iter().map(Arc::as_ref));
        let mut fabric = self.fabric();
        if fabric.set_objects(name, objects) {
            self.show(&mut fabric);
        }
    }

    /// Writes the statuses that a cluster's speakers report for the VIPs they answer for, if they changed.
    fn write_statuses(&self, name: &str, cluster: &Cluster) {
        let wanted = self.fabric().statuses(name);
        let text = |value: &Value, pointer: &str| {
            value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let identity = |value: &Value| ["/kind", "/metadata/namespace", "/metadata/name"].map(|it| text(value, it));
        let said = |value: &Value| ["/status/node", "/spec/holderIdentity"].map(|it| text(value, it));
        let present: Vec<_> = ["ServiceL2Status", "Lease"].iter().flat_map(|kind| cluster.list(kind)).collect();
        for value in &wanted {
            let known = present.iter().find(|it| identity(it) == identity(value));
            if known.is_some_and(|known| said(known) == said(value)) {
                continue;
            }
            if let Err(error) = cluster.load(&value.to_string()) {
                tracing::warn!(cluster = name, %error, "the status of a VIP cannot be written");
            }
        }
        let ours = |value: &Value| text(value, "/kind") == "ServiceL2Status";
        for gone in present.iter().filter(|it| ours(it) && !wanted.iter().any(|value| identity(value) == identity(it)))
        {
            let [kind, namespace, object] = identity(gone);
            if let Err(error) = cluster.delete(&kind, &namespace, &object) {
                tracing::warn!(cluster = name, %error, "the status of a VIP cannot be deleted");
            }
        }
    }

    pub(super) fn pull(&self, lever: Lever) -> Result<(), FabricError> {
        let mut fabric = self.fabric();
        fabric.pull(lever)?;
        self.show(&mut fabric);
        Ok(())
    }

    /// Releases one lever and pulls another at the same time.
    pub(super) fn replace(&self, old: &Lever, new: Lever) -> Result<(), FabricError> {
        let mut fabric = self.fabric();
        fabric.release(old);
        fabric.pull(new)?;
        self.show(&mut fabric);
        Ok(())
    }

    /// Returns whether pulling the lever now would change anything on any leaf.
    pub(super) fn would_change(&self, lever: &Lever) -> Result<bool, FabricError> {
        self.fabric().would_change(lever)
    }

    /// Returns whether the lever had been pulled.
    pub(super) fn release(&self, lever: &Lever) -> bool {
        let mut fabric = self.fabric();
        let released = fabric.release(lever);
        self.show(&mut fabric);
        released
    }

    pub(super) fn release_all(&self) {
        let mut fabric = self.fabric();
        fabric.release_all();
        self.show(&mut fabric);
    }

    /// Returns the levers that are pulled.
    pub(super) fn levers(&self) -> Vec<Lever> {
        self.fabric().levers().cloned().collect()
    }

    /// Updates the tables of every leaf. The fabric stays locked meanwhile, so that tables arrive in the order in which
    /// they were computed.
    fn show(&self, fabric: &mut Fabric) {
        fabric.settle(&now());
        for (name, tables) in fabric.all_tables() {
            if let Some(leaf) = self.leaves.get(&name) {
                leaf.set_tables(tables);
            }
        }
    }

    fn fabric(&self) -> MutexGuard<'_, Fabric> {
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cluster and its notices from a time on.
pub(super) struct Followed {
    name: String,
    cluster: Cluster,
    notices: broadcast::Receiver<Notice>,
}

impl Followed {
    /// Subscribes to the cluster's notices.
    pub(super) fn new(name: &str, cluster: &Cluster) -> Self {
        Self { name: name.to_owned(), cluster: cluster.clone(), notices: cluster.subscribe() }
    }
}

/// Applies the current objects of the clusters, and then their changes until the clusters are gone.
pub(super) fn follow(world: &Arc<World>, followed: Vec<Followed>) -> impl Future<Output = ()> + use<> {
    for it in &followed {
        world.refresh(&it.name, &it.cluster);
        world.write_statuses(&it.name, &it.cluster);
    }
    let world = world.clone();
    async move {
        let following = followed.into_iter().map(|it| keep_up(&world, it));
        futures::future::join_all(following).await;
    }
}

/// Lets two nodes that answer for one address answer in turn.
pub(super) async fn take_turns(world: Arc<World>) {
    loop {
        tokio::time::sleep(TURN).await;
        let mut fabric = world.fabric();
        if fabric.take_turns() {
            world.show(&mut fabric);
        }
    }
}

/// Follows a cluster. The objects are read once per burst of notices.
async fn keep_up(world: &World, mut followed: Followed) {
    use broadcast::error::{RecvError, TryRecvError};
    loop {
        if matches!(followed.notices.recv().await, Err(RecvError::Closed)) {
            return;
        }
        while !matches!(followed.notices.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
        world.refresh(&followed.name, &followed.cluster);
        world.write_statuses(&followed.name, &followed.cluster);
    }
}

/// Returns the current time as SR Linux writes it.
fn now() -> String {
    let now = jiff::Timestamp::now();
    format!("{now:.3}")
}
