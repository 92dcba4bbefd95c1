//! Computes once per evaluation what services that share a VIP or a prefix have in common, so that n services cost n,
//! not n squared.
//!
//! Facts must not change during the evaluation, except by what the evaluation itself publishes and counts.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};

use super::carriers::{Carriers, serving_nodes};
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::ids::ClusterId;
use crate::engine::facts::nodes::Expectation;
use crate::engine::facts::tally::Counted;

type Announcers = (Counted, Arc<Expectation>);

/// Results by cluster and VIP.
type ByVip<T> = RefCell<FxHashMap<(ClusterId, IpAddr), T>>;

/// Results for VIPs that several services of a cluster share, and for prefixes.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    announcers: ByVip<Announcers>,
    carriers: ByVip<Carriers>,
    serving: ByVip<Rc<BTreeSet<u32>>>,
    counted: RefCell<FxHashSet<(ClusterId, IpAddr)>>,
    inside: RefCell<FxHashMap<(ClusterId, IpNet), bool>>,
}

impl Shared {
    /// Returns the announcers of a VIP, computed with `work_out` unless they are known.
    pub(crate) fn announcers(
        &self,
        cluster: &Cluster,
        vip: IpAddr,
        work_out: impl FnOnce() -> Announcers,
    ) -> Announcers {
        if !is_shared(cluster, vip) {
            return work_out();
        }
        let key = (cluster.id, vip);
        let known = self.announcers.borrow().get(&key).cloned();
        known.unwrap_or_else(|| {
            let announcers = work_out();
            self.announcers.borrow_mut().insert(key, announcers.clone());
            announcers
        })
    }

    /// Returns what the services that carry a VIP have in common.
    pub(crate) fn carriers(&self, cluster: &Cluster, vip: IpAddr) -> Carriers {
        if !is_shared(cluster, vip) {
            return Carriers::of(cluster, vip);
        }
        self.carriers.borrow_mut().entry((cluster.id, vip)).or_insert_with(|| Carriers::of(cluster, vip)).clone()
    }

    /// Returns the nodes with a usable endpoint of one of the services that carry a VIP.
    pub(crate) fn serving_nodes(&self, cluster: &Cluster, vip: IpAddr) -> Rc<BTreeSet<u32>> {
        let mut serving = self.serving.borrow_mut();
        let nodes = serving.entry((cluster.id, vip)).or_insert_with(|| Rc::new(serving_nodes(cluster, vip)));
        Rc::clone(nodes)
    }

    /// Returns whether a service adds a VIP to the counts of nodes. Only the first of its services does.
    pub(crate) fn counts(&self, cluster: &Cluster, vip: IpAddr) -> bool {
        !is_shared(cluster, vip) || self.counted.borrow_mut().insert((cluster.id, vip))
    }

    /// Returns whether a cluster claims a VIP inside a prefix, computed with `look_up` unless it is known.
    pub(crate) fn claims_inside(&self, cluster: &Cluster, prefix: IpNet, look_up: impl FnOnce() -> bool) -> bool {
        *self.inside.borrow_mut().entry((cluster.id, prefix)).or_insert_with(look_up)
    }
}

fn is_shared(cluster: &Cluster, vip: IpAddr) -> bool {
    cluster.vips.get(&vip).is_some_and(|entry| entry.services.len() > 1)
}
