//! Counts the endpoints of one service: how many are usable, on which nodes, and which nodes they make announcers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::engine::speakers::Profile;
use crate::model::cluster::{AddressFamily, COUNTED_ENDPOINTS, Endpoint, EndpointSlice};
use crate::model::names::NodeName;

/// Number of slices up to which they are a list: inserting into a longer one would cost too much.
const FEW_SLICES: usize = 16;

/// The slices of one service, by name.
#[derive(Debug)]
pub(crate) struct Slices {
    all: ByName,
    /// Number of endpoints in all slices; one that is in several slices counts several times.
    endpoints: usize,
}

#[derive(Debug)]
enum ByName {
    /// Most services have one slice, so that a sorted list needs the least memory.
    Few(Vec<(Arc<str>, EndpointSlice)>),
    Many(BTreeMap<Arc<str>, EndpointSlice>),
}

impl Default for Slices {
    fn default() -> Self {
        Self { all: ByName::Few(Vec::new()), endpoints: 0 }
    }
}

impl Slices {
    /// Sets a slice. Returns whether it changed.
    pub(crate) fn set(&mut self, name: &Arc<str>, slice: EndpointSlice) -> bool {
        let added = slice.endpoints.len();
        let before = match &mut self.all {
            ByName::Few(few) => match few.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(at) if few[at].1 == slice => return false,
                Ok(at) => Some(std::mem::replace(&mut few[at].1, slice)),
                Err(at) if few.len() < FEW_SLICES => {
                    few.reserve_exact(1);
                    few.insert(at, (Arc::clone(name), slice));
                    None
                }
                Err(_) => {
                    let mut many: BTreeMap<_, _> = few.drain(..).collect();
                    many.insert(Arc::clone(name), slice);
                    self.all = ByName::Many(many);
                    None
                }
            },
            ByName::Many(many) if many.get(name) == Some(&slice) => return false,
            ByName::Many(many) => many.insert(Arc::clone(name), slice),
        };
        self.endpoints = self.endpoints + added - before.map_or(0, |before| before.endpoints.len());
        true
    }

    /// Removes a slice.
    pub(crate) fn remove(&mut self, name: &str) {
        let removed = match &mut self.all {
            ByName::Few(few) => {
                let at = few.binary_search_by(|(known, _)| (**known).cmp(name)).ok();
                at.map(|at| few.remove(at).1)
            }
            ByName::Many(many) => many.remove(name),
        };
        self.endpoints -= removed.map_or(0, |removed| removed.endpoints.len());
    }

    /// Returns whether the service has no slice.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.all {
            ByName::Few(few) => few.is_empty(),
            ByName::Many(many) => many.is_empty(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &EndpointSlice> {
        let (few, many) = match &self.all {
            ByName::Few(few) => (Some(few), None),
            ByName::Many(many) => (None, Some(many)),
        };
        few.into_iter().flatten().map(|(_, slice)| slice).chain(many.into_iter().flat_map(BTreeMap::values))
    }
}

/// The endpoints of a service, counted once for all uses.
#[derive(Debug, Default)]
pub(crate) struct ServiceEndpoints {
    all: Arc<Endpoints>,
    v4: Arc<Endpoints>,
    v6: Arc<Endpoints>,
    /// Whether there are too many to count, so that only their number is known.
    pub(crate) uncounted: bool,
}

impl ServiceEndpoints {
    /// Counts the slices of a service.
    pub(crate) fn of(slices: Option<&Slices>, profile: &Profile, nodes: &FxHashMap<NodeName, u32>) -> Self {
        if let Some(slices) = slices.filter(|slices| slices.endpoints > COUNTED_ENDPOINTS) {
            let total = u32::try_from(slices.endpoints).unwrap_or(u32::MAX);
            let all = Arc::new(Endpoints { total, ..Endpoints::default() });
            return Self { v4: Arc::clone(&all), v6: Arc::clone(&all), all, uncounted: true };
        }
        let families = || slices.into_iter().flat_map(Slices::iter).map(|slice| slice.family);
        let all = Arc::new(Endpoints::count(profile, nodes, slices, |_| true));
        // Slices of a VIP's own family serve it if the service has any; otherwise all slices do.
        let of_family =
            |family| match families().any(|other| other == family) && families().any(|other| other != family) {
                true => Arc::new(Endpoints::count(profile, nodes, slices, |slice| slice.family == family)),
                false => Arc::clone(&all),
            };
        let (v4, v6) = (of_family(AddressFamily::Ipv4), of_family(AddressFamily::Ipv6));
        Self { all, v4, v6, uncounted: false }
    }

    /// Returns all endpoints of the service.
    pub(crate) fn all(&self) -> &Arc<Endpoints> {
        &self.all
    }

    /// Returns the endpoints that serve a VIP.
    pub(crate) fn of_vip(&self, vip: IpAddr) -> &Arc<Endpoints> {
        if vip.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

/// Distinct endpoints of one service.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    /// Endpoints that flows may be sent to: ready, or terminating and still serving (KEP-1669).
    pub(crate) usable: u32,
    /// Endpoints that the speaker announces for.
    pub(crate) announced_for: u32,
    pub(crate) total: u32,
    /// Usable endpoints that name no node.
    pub(crate) nameless: u32,
    /// Usable endpoints by node, sorted.
    by_node: Box<[(u32, u32)]>,
    /// Nodes that announce under policy Local, by slot, sorted.
    pub(crate) local_announcers: Box<[u32]>,
}

impl Endpoints {
    /// Returns the number of usable endpoints on a node.
    pub(crate) fn on(&self, node: u32) -> u32 {
        let found = self.by_node.binary_search_by_key(&node, |(node, _)| *node);
        found.map_or(0, |index| self.by_node[index].1)
    }

    /// Returns the nodes with a usable endpoint, by slot.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> {
        self.by_node.iter().map(|(node, _)| *node)
    }

    /// Returns the number of usable endpoints on several nodes.
    pub(crate) fn behind(&self, nodes: &[u32]) -> u32 {
        nodes.iter().map(|node| self.on(*node)).sum()
    }

    fn count(
        profile: &Profile,
        nodes: &FxHashMap<NodeName, u32>,
        slices: Option<&Slices>,
        counts: impl Fn(&EndpointSlice) -> bool,
    ) -> Self {
        let slices = slices.into_iter().flat_map(Slices::iter).filter(|slice| counts(slice));
        let mut endpoints: Vec<(&Endpoint, bool)> = slices
            .flat_map(|slice| slice.endpoints.iter().map(|endpoint| (endpoint, slice.family != AddressFamily::Fqdn)))
            .collect();
        endpoints.sort_unstable_by_key(|(endpoint, _)| endpoint.identity);
        let mut counted = Self::default();
        let (mut usable_on, mut local_announcers) = (Vec::new(), Vec::new());
        // An endpoint in several slices is usable if it is in any of them, on every node that any of them names.
        for same in endpoints.chunk_by(|(one, _), (other, _)| one.identity == other.identity) {
            counted.total += 1;
            let reachable = || same.iter().filter(|(_, reachable)| *reachable).map(|(endpoint, _)| *endpoint);
            let slot = |endpoint: &Endpoint| endpoint.node.as_ref().and_then(|name| nodes.get(name)).copied();
            local_announcers.extend(reachable().filter(|one| profile.makes_local_announcer(one)).filter_map(slot));
            counted.announced_for += u32::from(reachable().any(|one| profile.announces_for(one)));
            let usable = || reachable().filter(|one| one.ready || one.serving);
            if usable().next().is_some() {
                counted.usable += 1;
                counted.nameless += u32::from(usable().all(|one| one.node.is_none()));
                usable_on.extend(usable().filter_map(slot).map(|node| (node, same[0].0.identity)));
            }
        }
        usable_on.sort_unstable();
        usable_on.dedup();
        let by_node = usable_on.chunk_by(|(one, _), (other, _)| one == other);
        counted.by_node = by_node.map(|same| (same[0].0, same.len() as u32)).collect();
        local_announcers.sort_unstable();
        local_announcers.dedup();
        counted.local_announcers = local_announcers.into();
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::EndpointIdentity;
    use crate::model::names::ServiceKey;

    fn slice(at: usize, endpoints: usize) -> (Arc<str>, EndpointSlice) {
        let endpoint =
            |n: usize| Endpoint { identity: EndpointIdentity::of((at, n)), node: None, ready: true, serving: true };
        let endpoints = (0..endpoints).map(endpoint).collect();
        let slice = EndpointSlice { service: ServiceKey::new("d", "s"), family: AddressFamily::Ipv4, endpoints };
        (format!("s{at:03}").into(), slice)
    }

    #[test]
    fn a_list_of_slices_becomes_a_tree_and_stays_in_order() {
        let mut slices = Slices::default();
        for at in (0..3 * FEW_SLICES).rev() {
            let (name, slice) = slice(at, at);
            assert!(slices.set(&name, slice.clone()) && !slices.set(&name, slice), "{at}");
            let sizes: Vec<usize> = slices.iter().map(|slice| slice.endpoints.len()).collect();
            assert_eq!(sizes, (at..3 * FEW_SLICES).collect::<Vec<_>>());
            assert_eq!(slices.endpoints, sizes.iter().sum::<usize>());
        }
        let (name, smaller) = slice(40, 1);
        assert!(slices.set(&name, smaller));
        for at in 0..3 * FEW_SLICES {
            assert!(!slices.is_empty());
            slices.remove(&slice(at, 0).0);
        }
        assert!(slices.is_empty());
        assert_eq!(slices.endpoints, 0);
    }

    #[test]
    fn services_with_too_many_endpoints_are_not_counted() {
        let mut slices = Slices::default();
        let profile = crate::engine::speakers::profile(crate::model::config::Speaker::Generic);
        let (name, all) = slice(1, COUNTED_ENDPOINTS);
        slices.set(&name, all);
        let counted = ServiceEndpoints::of(Some(&slices), profile, &FxHashMap::default());
        assert_eq!((counted.uncounted, counted.all().usable), (false, COUNTED_ENDPOINTS as u32));
        let (name, one) = slice(2, 1);
        slices.set(&name, one);
        let counted = ServiceEndpoints::of(Some(&slices), profile, &FxHashMap::default());
        assert_eq!((counted.uncounted, counted.all().total), (true, COUNTED_ENDPOINTS as u32 + 1));
    }
}
