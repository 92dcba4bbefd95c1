//! What is subscribed to, and what is left of it once a server has refused some.

use std::collections::BTreeSet;
use std::time::Duration;

use super::path::{escaped, parse};
use crate::model::names::NetworkInstanceName;
use srl_proto::gnmi;

/// The leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaf {
    SessionState,
    LastEstablished,
    DynamicNeighbor,
    ReceivedRoutes,
    FailedCount,
    LastFailed,
    Pending,
    /// The switch's clock: sampled, it shows that the server and its subscription live.
    Clock,
}

/// How often the clock is sampled.
const SAMPLE: Duration = Duration::from_secs(10);

/// Which RPC a leaf belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rpc {
    /// Neighbors and counters, of all network instances.
    State,
    /// FIB programming, of some.
    Fib,
}

/// Leaves that can be done without, the least needed last.
const OPTIONAL: [(Leaf, Rpc); 7] = [
    (Leaf::LastFailed, Rpc::Fib),
    (Leaf::Pending, Rpc::Fib),
    (Leaf::FailedCount, Rpc::State),
    (Leaf::LastEstablished, Rpc::State),
    (Leaf::ReceivedRoutes, Rpc::State),
    (Leaf::DynamicNeighbor, Rpc::State),
    (Leaf::Clock, Rpc::State),
];

/// Encodings in the order they are tried. All are read.
const ENCODINGS: [gnmi::Encoding; 3] = [gnmi::Encoding::JsonIetf, gnmi::Encoding::Json, gnmi::Encoding::Proto];

/// What this server is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    encoding: usize,
    left_out: BTreeSet<Leaf>,
}

impl Leaf {
    /// The leaf's paths: one per address family where there are two.
    fn paths(self, instance: &str) -> Vec<String> {
        let instance = format!("/network-instance[name={}]", escaped(instance));
        let neighbor = format!("{instance}/protocols/bgp/neighbor[peer-address=*]");
        let routes = |below: &dyn Fn(&str) -> String| {
            ["ipv4", "ipv6"].map(|family| format!("{instance}/route-table/{family}-unicast{}", below(family))).into()
        };
        let programming = |leaf: &str| {
            routes(&|family| {
                format!(
                    "/route[{family}-prefix=*][route-type=*][route-owner=*][id=*][origin-network-instance=*]\
                     /fib-programming/{leaf}"
                )
            })
        };
        match self {
            Self::SessionState => vec![format!("{neighbor}/session-state")],
            Self::LastEstablished => vec![format!("{neighbor}/last-established")],
            Self::DynamicNeighbor => vec![format!("{neighbor}/dynamic-neighbor")],
            Self::ReceivedRoutes => vec![format!("{neighbor}/afi-safi[afi-safi-name=*]/received-routes")],
            Self::FailedCount => routes(&|_| "/statistics/fib-failed-routes".to_owned()),
            Self::LastFailed => programming("last-failed-operation-type"),
            Self::Pending => programming("pending-operation-type"),
            Self::Clock => vec!["/system/information/current-datetime".to_owned()],
        }
    }

    /// The leaf as an operator would name it.
    pub(super) fn words(self) -> String {
        self.paths("*").swap_remove(0)
    }
}

impl Plan {
    /// Whether the server is asked for a leaf.
    pub(super) fn wants(&self, leaf: Leaf) -> bool {
        !self.left_out.contains(&leaf)
    }

    /// The encoding the server is asked for.
    pub(super) fn encoding(&self) -> gnmi::Encoding {
        ENCODINGS[self.encoding]
    }

    /// Neighbors and counters, of all network instances.
    pub(super) fn state(&self) -> gnmi::SubscribeRequest {
        let leaves = OPTIONAL.iter().filter(|(_, rpc)| *rpc == Rpc::State).map(|(leaf, _)| *leaf);
        let leaves: Vec<_> =
            std::iter::once(Leaf::SessionState).chain(leaves).filter(|leaf| self.wants(*leaf)).collect();
        self.request(leaves.iter().flat_map(|leaf| leaf.paths("*").into_iter().map(|path| (*leaf, path))), false)
    }

    /// FIB programming in these network instances: what changes, or also what stands. None if there is nothing to ask.
    pub(super) fn fib(
        &self,
        instances: &BTreeSet<NetworkInstanceName>,
        updates_only: bool,
    ) -> Option<gnmi::SubscribeRequest> {
        let leaves: Vec<_> = [Leaf::LastFailed, Leaf::Pending].into_iter().filter(|leaf| self.wants(*leaf)).collect();
        if instances.is_empty() || leaves.is_empty() {
            return None;
        }
        let of = |instance: &NetworkInstanceName, leaf: Leaf| {
            leaf.paths(instance.as_str()).into_iter().map(move |path| (leaf, path))
        };
        let paths = instances.iter().flat_map(|instance| leaves.iter().flat_map(move |leaf| of(instance, *leaf)));
        Some(self.request(paths, updates_only))
    }

    fn request(&self, paths: impl Iterator<Item = (Leaf, String)>, updates_only: bool) -> gnmi::SubscribeRequest {
        let subscription = paths
            .map(|(leaf, path)| {
                let path = Some(parse(&path).expect("paths made here are paths"));
                match leaf {
                    Leaf::Clock => gnmi::Subscription {
                        path,
                        mode: gnmi::SubscriptionMode::Sample.into(),
                        sample_interval: u64::try_from(SAMPLE.as_nanos()).unwrap_or(u64::MAX),
                        ..Default::default()
                    },
                    _ => {
                        gnmi::Subscription { path, mode: gnmi::SubscriptionMode::OnChange.into(), ..Default::default() }
                    }
                }
            })
            .collect();
        let list = gnmi::SubscriptionList {
            subscription,
            mode: gnmi::subscription_list::Mode::Stream.into(),
            encoding: self.encoding().into(),
            updates_only,
            ..Default::default()
        };
        gnmi::SubscribeRequest {
            request: Some(gnmi::subscribe_request::Request::Subscribe(list)),
            extension: Vec::new(),
        }
    }

    /// Goes to the next encoding; false if there is none.
    pub(super) fn next_encoding(&mut self) -> bool {
        let more = self.encoding + 1 < ENCODINGS.len();
        self.encoding += usize::from(more);
        more
    }

    /// Leaves out what a refused path is about: the optional leaves the server's words name
    /// (`unknown element 'dynamic-neighbor'`), else the one that is needed least. Nothing if all left is needed.
    pub(super) fn leave_out(&mut self, rpc: Rpc, said: &str) -> Vec<Leaf> {
        let candidates: Vec<Leaf> =
            OPTIONAL.iter().filter(|(leaf, of)| *of == rpc && self.wants(*leaf)).map(|(leaf, _)| *leaf).collect();
        let needed = Leaf::SessionState.words();
        let element = said.split(['\'', '"', '`']).nth(1).unwrap_or_default();
        let telling = !element.is_empty() && (rpc == Rpc::Fib || !steps(&needed).any(|step| step == element));
        let named: Vec<Leaf> = candidates
            .iter()
            .copied()
            .filter(|leaf| telling && steps(&leaf.words()).any(|step| step == element))
            .collect();
        let refused = if named.is_empty() { candidates.last().copied().into_iter().collect() } else { named };
        self.left_out.extend(&refused);
        refused
    }
}

/// The names in a path that has no slash in its keys.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|step| step.split('[').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(request: &gnmi::SubscribeRequest) -> Vec<String> {
        let Some(gnmi::subscribe_request::Request::Subscribe(list)) = &request.request else {
            panic!("a subscription")
        };
        let name = |path: &gnmi::Path| path.elem.iter().map(|elem| format!("/{}", elem.name)).collect();
        list.subscription.iter().filter_map(|subscription| subscription.path.as_ref()).map(name).collect()
    }

    #[test]
    fn the_leaf_a_server_names_is_left_out() {
        let mut plan = Plan::default();
        assert_eq!(paths(&plan.state()).len(), 7);
        let said = "Path not valid - unknown element 'dynamic-neighbor'. Options are [peer-address, session-state]";
        assert_eq!(plan.leave_out(Rpc::State, said), [Leaf::DynamicNeighbor]);
        let said = "Path not valid - unknown element 'statistics'. Options are [route]";
        assert_eq!(plan.leave_out(Rpc::State, said), [Leaf::FailedCount]);
        assert_eq!(paths(&plan.state()).len(), 4);
        assert_eq!(plan.leave_out(Rpc::State, "unknown element 'current-datetime'"), [Leaf::Clock]);
    }

    #[test]
    fn without_a_name_the_least_needed_leaf_goes_first_and_the_session_state_never() {
        let mut plan = Plan::default();
        assert_eq!(plan.leave_out(Rpc::State, "Path not valid"), [Leaf::Clock]);
        assert_eq!(plan.leave_out(Rpc::State, "Path not valid"), [Leaf::DynamicNeighbor]);
        assert_eq!(plan.leave_out(Rpc::State, "unknown element 'neighbor'"), [Leaf::ReceivedRoutes]);
        assert_eq!(plan.leave_out(Rpc::State, ""), [Leaf::LastEstablished]);
        assert_eq!(plan.leave_out(Rpc::State, ""), [Leaf::FailedCount]);
        assert_eq!(plan.leave_out(Rpc::State, ""), []);
        assert_eq!(paths(&plan.state()), ["/network-instance/protocols/bgp/neighbor/session-state"]);
    }

    #[test]
    fn fib_programming_is_asked_for_the_network_instances_in_use_alone() {
        let mut plan = Plan::default();
        assert!(plan.fib(&BTreeSet::new(), true).is_none());
        let instances = BTreeSet::from(["default".into(), "red]1".into()]);
        let request = plan.fib(&instances, true).expect("a request");
        let Some(gnmi::subscribe_request::Request::Subscribe(list)) = &request.request else {
            panic!("a subscription")
        };
        assert!(list.updates_only);
        let names: BTreeSet<_> =
            list.subscription.iter().filter_map(|one| Some(one.path.as_ref()?.elem[0].key["name"].clone())).collect();
        assert_eq!(names, BTreeSet::from(["default".to_owned(), "red]1".to_owned()]));
        assert_eq!(list.subscription.len(), 8);
        plan.leave_out(Rpc::Fib, "unknown element 'fib-programming'");
        assert!(plan.fib(&instances, true).is_none());
    }

    #[test]
    fn encodings_are_tried_in_turn() {
        let mut plan = Plan::default();
        assert_eq!(plan.encoding(), gnmi::Encoding::JsonIetf);
        assert!(plan.next_encoding() && plan.next_encoding() && !plan.next_encoding());
        assert_eq!(plan.encoding(), gnmi::Encoding::Proto);
    }
}
