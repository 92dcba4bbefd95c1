//! Computes once per evaluation what services that share a VIP or a prefix have in common, so that n services cost n,
//! not n squared.
//!
//! Facts must not change during the evaluation, except by what the evaluation itself publishes and counts.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::ids::ClusterId;
use crate::engine::facts::nodes::Expectation;
use crate::engine::facts::tally::Counted;

type Announcers = (Counted, Arc<Expectation>);

/// Results for VIPs that several services of a cluster share, and for prefixes.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    announcers: RefCell<FxHashMap<(ClusterId, IpAddr), Announcers>>,
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
