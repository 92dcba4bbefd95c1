//! Plans what to subscribe to, and simplifies the plan when a server refuses parts of it.
//!
//! A refusal that names a leaf leaves out that leaf. Any other refusal is answered with the next simpler form of the
//! same subscription. Only without a simpler form, the least needed leaf is left out.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use super::path::{neighbor, network_instance, route, route_table, wire};
use crate::model::adaptation::Refused;
use crate::model::inquiry::AddressKey;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::IpFamily;
use crate::path::Path;
use srl_proto::gnmi;

/// The leaves that are subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SubscribedLeaf {
    SessionState,
    LastEstablished,
    DynamicNeighbor,
    ReceivedRoutes,
    /// The last NOTIFICATION in each direction: it vanishes together with a dynamic neighbor.
    LastWords,
    FailedCount,
    ActiveCount,
    LastFailed,
    Pending,
    Suppressed,
    SuccessType,
    SuccessTime,
    /// ARP and ND entries.
    Answering,
    /// The switch's clock: sampled, it shows that the server and its subscription are alive.
    Clock,
}

/// How often the clock is sampled.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);
/// How often counters are sampled: YANG marks them `sample=5`, so that a change alone may not be sent.
const COUNTER_INTERVAL: Duration = Duration::from_secs(5);

/// How often ARP and ND entries are sampled.
const ENTRY_INTERVAL: Duration = Duration::from_secs(10);
/// With more addresses than this, the entries of all addresses are subscribed to.
const MOST_ADDRESSES: usize = 128;

/// Which RPC a leaf belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rpc {
    /// Neighbors and counters, of all network instances.
    State,
    /// FIB programming, of some.
    Fib,
    /// ARP and ND entries, of some addresses.
    Entries,
}

/// A feature of a subscription that a server may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feature {
    /// Counters by SAMPLE with `suppress_redundant`; otherwise ON_CHANGE.
    SampledCounters,
    /// ARP and ND entries by SAMPLE, which shows that they still exist; otherwise ON_CHANGE.
    SampledEntries,
    /// `updates_only`; otherwise the existing entries come first.
    UpdatesOnly,
    /// `*` as the value of keys; otherwise the keys are omitted, which gNMI defines to mean the same.
    Wildcards,
}

impl Feature {
    /// Returns the name of the feature in gNMI.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SampledCounters => "suppress_redundant",
            Self::SampledEntries => "sample",
            Self::UpdatesOnly => "updates_only",
            Self::Wildcards => "wildcards",
        }
    }

    /// Returns whether a refusal names the feature.
    fn is_named(self, refusal: &str) -> bool {
        let refusal = refusal.to_ascii_lowercase().replace(['-', ' '], "_");
        refusal.contains(self.as_str().trim_end_matches('s'))
    }
}

/// Returns the features of each RPC that can be given up. A refusal that does not say what it is about is answered
/// without the first, then without the second alone, then without both, because a feature that is given up is not tried
/// again.
const fn features(rpc: Rpc) -> [Feature; 2] {
    match rpc {
        Rpc::State => [Feature::SampledCounters, Feature::Wildcards],
        Rpc::Fib => [Feature::UpdatesOnly, Feature::Wildcards],
        Rpc::Entries => [Feature::SampledEntries, Feature::Wildcards],
    }
}

/// Optional leaves, the least needed last.
const OPTIONAL: [(SubscribedLeaf, Rpc); 13] = [
    (SubscribedLeaf::LastFailed, Rpc::Fib),
    (SubscribedLeaf::Pending, Rpc::Fib),
    (SubscribedLeaf::SuccessTime, Rpc::Fib),
    (SubscribedLeaf::Suppressed, Rpc::Fib),
    (SubscribedLeaf::SuccessType, Rpc::Fib),
    (SubscribedLeaf::FailedCount, Rpc::State),
    (SubscribedLeaf::LastEstablished, Rpc::State),
    (SubscribedLeaf::ReceivedRoutes, Rpc::State),
    (SubscribedLeaf::ActiveCount, Rpc::State),
    (SubscribedLeaf::DynamicNeighbor, Rpc::State),
    (SubscribedLeaf::Clock, Rpc::State),
    (SubscribedLeaf::LastWords, Rpc::State),
    (SubscribedLeaf::Answering, Rpc::Entries),
];

/// Encodings in the order they are tried. All of them can be read.
const ENCODINGS: [gnmi::Encoding; 3] = [gnmi::Encoding::JsonIetf, gnmi::Encoding::Proto, gnmi::Encoding::Json];

/// What a server is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    encoding: usize,
    without: BTreeSet<(Rpc, Feature)>,
    left_out: BTreeSet<SubscribedLeaf>,
}

/// What was given up after a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// The form of the subscription.
    Feature(Feature),
    /// Leaves, whose values are unknown from now on.
    Leaves(Vec<SubscribedLeaf>),
}

impl SubscribedLeaf {
    /// Returns the leaf's paths: one per address family, if there are two, and all of a group.
    fn paths(self, instance: &str) -> Vec<Path> {
        let neighbor = || neighbor(&instance, &"*");
        let statistics = |leaf: &'static str| {
            IpFamily::ALL.map(|family| route_table(&instance, family).child("statistics").child(leaf)).into()
        };
        let programming = |leaf: &'static str| {
            IpFamily::ALL.map(|family| route(&instance, family, &"*").child("fib-programming").child(leaf)).into()
        };
        match self {
            Self::SessionState => vec![neighbor().child("session-state")],
            Self::LastEstablished => vec![neighbor().child("last-established")],
            Self::DynamicNeighbor => vec![neighbor().child("dynamic-neighbor")],
            Self::ReceivedRoutes => {
                vec![neighbor().entry("afi-safi", &[("afi-safi-name", &"*")]).child("received-routes")]
            }
            Self::LastWords => ["received-messages", "sent-messages"]
                .iter()
                .flat_map(|way| ["time", "error-code", "error-subcode"].map(|leaf| (way, leaf)))
                .map(|(way, leaf)| neighbor().child(*way).child(format!("last-notification-{leaf}")))
                .collect(),
            Self::FailedCount => statistics("fib-failed-routes"),
            Self::ActiveCount => statistics("active-routes"),
            Self::LastFailed => programming("last-failed-operation-type"),
            Self::Pending => programming("pending-operation-type"),
            Self::Suppressed => programming("suppressed"),
            Self::SuccessType => programming("last-successful-operation-type"),
            Self::SuccessTime => programming("last-successful-operation-timestamp"),
            Self::Answering => IpFamily::ALL.map(|family| entry_path(family, &"*")).into(),
            Self::Clock => vec![Path::default().child("system").child("information").child("current-datetime")],
        }
    }

    /// Returns the leaf as an operator would name it.
    pub(super) fn words(self) -> String {
        self.paths("*").swap_remove(0).to_string()
    }
}

impl Plan {
    /// Returns a plan for a server that supports these encodings; if it names none, the first is tried.
    pub(super) fn for_server(encodings: &[gnmi::Encoding]) -> Self {
        let known = ENCODINGS.iter().position(|encoding| encodings.contains(encoding));
        Self { encoding: known.unwrap_or_default(), ..Self::default() }
    }

    /// Returns whether the server is asked for a leaf.
    pub(super) fn wants(&self, leaf: SubscribedLeaf) -> bool {
        !self.left_out.contains(&leaf)
    }

    fn uses(&self, rpc: Rpc, feature: Feature) -> bool {
        !self.without.contains(&(rpc, feature))
    }

    /// Returns the encoding that the server is asked for.
    pub(super) fn encoding(&self) -> gnmi::Encoding {
        ENCODINGS[self.encoding]
    }

    /// Returns the name of the encoding in state.
    pub(super) fn encoding_name(&self) -> &'static str {
        match self.encoding() {
            gnmi::Encoding::Proto => "proto",
            gnmi::Encoding::Json => "json",
            _ => "json-ietf",
        }
    }

    fn wanted(&self, rpc: Rpc) -> impl Iterator<Item = SubscribedLeaf> {
        let of_rpc = OPTIONAL.iter().filter(move |(_, of)| *of == rpc);
        of_rpc.map(|(leaf, _)| *leaf).filter(|leaf| self.wants(*leaf))
    }

    /// Returns the subscription to neighbors and counters of all network instances.
    pub(super) fn state(&self) -> gnmi::SubscribeRequest {
        let leaves = std::iter::once(SubscribedLeaf::SessionState).chain(self.wanted(Rpc::State));
        self.request(
            Rpc::State,
            leaves.flat_map(|leaf| leaf.paths("*").into_iter().map(move |path| (leaf, path))),
            false,
        )
    }

    /// Returns the subscription to FIB programming in these network instances; with `updates_only`, if the server
    /// supports that, only to changes. `None` if there is nothing to ask.
    pub(super) fn fib(
        &self,
        instances: &BTreeSet<NetworkInstanceName>,
        updates_only: bool,
    ) -> Option<gnmi::SubscribeRequest> {
        if instances.is_empty() || !self.wants(SubscribedLeaf::LastFailed) {
            return None;
        }
        let of = |instance: &NetworkInstanceName, leaf: SubscribedLeaf| {
            leaf.paths(instance.as_str()).into_iter().map(move |path| (leaf, path))
        };
        let paths =
            instances.iter().flat_map(|instance| self.wanted(Rpc::Fib).flat_map(move |leaf| of(instance, leaf)));
        Some(self.request(Rpc::Fib, paths, updates_only))
    }

    /// Returns the subscription to the ARP and ND entries of these addresses, and to the members of their network
    /// instances; true if entries are sampled. `None` if there is nothing to ask, or the server refused it.
    pub(super) fn entries(&self, keys: &BTreeSet<AddressKey>) -> Option<(gnmi::SubscribeRequest, bool)> {
        if keys.is_empty() || !self.wants(SubscribedLeaf::Answering) {
            return None;
        }
        let addresses: BTreeSet<_> = keys.iter().map(|key| key.address).collect();
        let entries = match addresses.len() > MOST_ADDRESSES {
            true => SubscribedLeaf::Answering.paths("*"),
            false => addresses.iter().map(|address| entry_of(*address)).collect(),
        };
        let instances: BTreeSet<_> = keys.iter().map(|key| &key.network_instance).collect();
        let members = instances.into_iter().map(members_of);
        let paths = entries.into_iter().chain(members).map(|path| (SubscribedLeaf::Answering, path));
        let sampled = self.uses(Rpc::Entries, Feature::SampledEntries);
        Some((self.request(Rpc::Entries, paths, false), sampled))
    }

    /// Returns whether the server can be asked for changes only.
    pub(super) fn has_updates_only(&self) -> bool {
        self.uses(Rpc::Fib, Feature::UpdatesOnly)
    }

    fn request(
        &self,
        rpc: Rpc,
        paths: impl Iterator<Item = (SubscribedLeaf, Path)>,
        updates_only: bool,
    ) -> gnmi::SubscribeRequest {
        let list = gnmi::SubscriptionList {
            subscription: paths.map(|(leaf, path)| self.subscription(rpc, leaf, &path)).collect(),
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

    fn subscription(&self, rpc: Rpc, leaf: SubscribedLeaf, path: &Path) -> gnmi::Subscription {
        let mut path = wire(path);
        if !self.uses(rpc, Feature::Wildcards) {
            path.elem.iter_mut().for_each(|elem| elem.key.retain(|_, value| value != "*"));
        }
        let sampled = |every: Duration, suppress_redundant| gnmi::Subscription {
            mode: gnmi::SubscriptionMode::Sample.into(),
            sample_interval: u64::try_from(every.as_nanos()).unwrap_or(u64::MAX),
            suppress_redundant,
            ..Default::default()
        };
        let subscription = match leaf {
            SubscribedLeaf::Clock => sampled(CLOCK_INTERVAL, false),
            SubscribedLeaf::FailedCount | SubscribedLeaf::ActiveCount if self.uses(rpc, Feature::SampledCounters) => {
                sampled(COUNTER_INTERVAL, true)
            }
            SubscribedLeaf::Answering if self.uses(rpc, Feature::SampledEntries) => sampled(ENTRY_INTERVAL, false),
            _ => gnmi::Subscription { mode: gnmi::SubscriptionMode::OnChange.into(), ..Default::default() },
        };
        gnmi::Subscription { path: Some(path), ..subscription }
    }

    /// Switches to the next encoding; returns false if there is none.
    pub(super) fn next_encoding(&mut self) -> bool {
        let more = self.encoding + 1 < ENCODINGS.len();
        self.encoding += usize::from(more);
        more
    }

    /// Gives up what a refusal is about: the optional leaves that the server's message names (`unknown element
    /// 'dynamic-neighbor'`), otherwise the next feature, otherwise the least needed leaf. Returns `None` if everything
    /// left is needed.
    pub(super) fn simplify(&mut self, rpc: Rpc, refusal: &str) -> Option<GivenUp> {
        let named = self.named(rpc, refusal);
        if named.is_empty()
            && let Some(feature) = self.next_form(rpc, refusal)
        {
            return Some(GivenUp::Feature(feature));
        }
        let refused = if named.is_empty() { self.wanted(rpc).last().into_iter().collect::<Vec<_>>() } else { named };
        self.left_out.extend(&refused);
        (!refused.is_empty()).then_some(GivenUp::Leaves(refused))
    }

    /// Gives up the feature that a refusal names, otherwise switches to the next form; returns `None` if there is no
    /// simpler one.
    fn next_form(&mut self, rpc: Rpc, refusal: &str) -> Option<Feature> {
        let [first, second] = features(rpc);
        let used = (self.uses(rpc, first), self.uses(rpc, second));
        let named = [first, second].into_iter().find(|feature| self.uses(rpc, *feature) && feature.is_named(refusal));
        let given_up = match (named, used) {
            (Some(named), _) => named,
            (None, (true, true) | (true, false)) => first,
            (None, (false, true)) => {
                self.without.remove(&(rpc, first));
                second
            }
            (None, (false, false)) => return None,
        };
        self.without.insert((rpc, given_up));
        Some(given_up)
    }

    /// Returns what has been given up.
    pub(super) fn refused(&self) -> Refused {
        Refused {
            paths: self.left_out.iter().map(|leaf| leaf.words().into()).collect(),
            features: self.without.iter().map(|(_, feature)| feature.as_str().into()).collect(),
        }
    }

    /// Returns the optional leaves that a refusal names.
    fn named(&self, rpc: Rpc, refusal: &str) -> Vec<SubscribedLeaf> {
        let element = refusal.split(['\'', '"', '`']).nth(1).unwrap_or_default();
        let names = |path: &Path| path.elements().iter().any(|step| step.name == element);
        if element.is_empty() || rpc == Rpc::State && SubscribedLeaf::SessionState.paths("*").iter().any(names) {
            return Vec::new();
        }
        self.wanted(rpc).filter(|leaf| leaf.paths("*").iter().any(names)).collect()
    }
}

fn entry_path(family: IpFamily, address: &dyn Display) -> Path {
    let (version, table, key) = match family {
        IpFamily::Ipv4 => ("ipv4", "arp", "ipv4-address"),
        IpFamily::Ipv6 => ("ipv6", "neighbor-discovery", "ipv6-address"),
    };
    let subinterface = Path::default().entry("interface", &[("name", &"*")]).entry("subinterface", &[("index", &"*")]);
    let table = subinterface.child(version).child(table);
    table.entry("neighbor", &[(key, address)]).child("link-layer-address")
}

/// Returns the path of the ARP or ND entry of an address.
pub(super) fn entry_of(address: IpAddr) -> Path {
    entry_path(IpFamily::of(address), &address)
}

/// Returns the path of the subinterfaces of a network instance.
pub(super) fn members_of(instance: &NetworkInstanceName) -> Path {
    network_instance(instance).entry("interface", &[("name", &"*")]).child("oper-state")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(request: &gnmi::SubscribeRequest) -> &gnmi::SubscriptionList {
        let Some(gnmi::subscribe_request::Request::Subscribe(list)) = &request.request else {
            panic!("a subscription")
        };
        list
    }

    fn paths(request: &gnmi::SubscribeRequest) -> Vec<String> {
        let name = |path: &gnmi::Path| path.elem.iter().map(|elem| format!("/{}", elem.name)).collect();
        list(request).subscription.iter().filter_map(|subscription| subscription.path.as_ref()).map(name).collect()
    }

    fn leaves(leaves: &[SubscribedLeaf]) -> Option<GivenUp> {
        Some(GivenUp::Leaves(leaves.to_vec()))
    }

    #[test]
    fn a_leaf_named_in_the_refusal_is_left_out() {
        let mut plan = Plan::default();
        assert_eq!(paths(&plan.state()).len(), 15);
        let refusal = "Path not valid - unknown element 'dynamic-neighbor'. Options are [peer-address, session-state]";
        assert_eq!(plan.simplify(Rpc::State, refusal), leaves(&[SubscribedLeaf::DynamicNeighbor]));
        let refusal = "Path not valid - unknown element 'statistics'. Options are [route]";
        let counters = [SubscribedLeaf::FailedCount, SubscribedLeaf::ActiveCount];
        assert_eq!(plan.simplify(Rpc::State, refusal), leaves(&counters));
        assert_eq!(paths(&plan.state()).len(), 10);
        let refusal = "unknown element 'last-notification-error-subcode'";
        assert_eq!(plan.simplify(Rpc::State, refusal), leaves(&[SubscribedLeaf::LastWords]));
        let refusal = "unknown element 'current-datetime'";
        assert_eq!(plan.simplify(Rpc::State, refusal), leaves(&[SubscribedLeaf::Clock]));
    }

    #[test]
    fn a_simpler_form_of_subscription_is_tried_before_a_leaf_is_left_out() {
        let mut plan = Plan::default();
        let instances = BTreeSet::from(["default".into()]);
        let wildcards = |request: &gnmi::SubscribeRequest| {
            let paths = list(request).subscription.iter().filter_map(|one| one.path.as_ref());
            paths.flat_map(|path| &path.elem).flat_map(|elem| elem.key.values()).filter(|value| *value == "*").count()
        };
        for (rpc, feature, refused) in [
            (Rpc::State, Feature::SampledCounters, &["suppress_redundant"][..]),
            (Rpc::State, Feature::Wildcards, &["wildcards"]),
            (Rpc::State, Feature::SampledCounters, &["suppress_redundant", "wildcards"]),
            (Rpc::Fib, Feature::UpdatesOnly, &["suppress_redundant", "updates_only", "wildcards"]),
            (Rpc::Fib, Feature::Wildcards, &["suppress_redundant", "wildcards"]),
            (Rpc::Fib, Feature::UpdatesOnly, &["suppress_redundant", "updates_only", "wildcards"]),
        ] {
            assert_eq!(plan.simplify(rpc, "Not supported"), Some(GivenUp::Feature(feature)));
            assert!(plan.refused().features.iter().map(|feature| &**feature).eq(refused.iter().copied()));
        }
        let (state, fib) = (plan.state(), plan.fib(&instances, false).expect("a request"));
        assert_eq!((wildcards(&state), wildcards(&fib)), (0, 0));
        assert_eq!((paths(&state).len(), paths(&fib).len()), (15, 10));
        assert!(!plan.has_updates_only());
        let counters = list(&state).subscription.iter().filter(|one| one.suppress_redundant).count();
        assert_eq!(counters, 0);
        assert_eq!(plan.simplify(Rpc::Fib, "Not supported"), leaves(&[SubscribedLeaf::SuccessType]));
    }

    #[test]
    fn only_the_feature_named_in_the_refusal_is_given_up() {
        let mut plan = Plan::default();
        let refusal = "Wildcards in keys are not supported in subscriptions";
        assert_eq!(plan.simplify(Rpc::State, refusal), Some(GivenUp::Feature(Feature::Wildcards)));
        assert_eq!(plan.simplify(Rpc::Fib, refusal), Some(GivenUp::Feature(Feature::Wildcards)));
        assert_eq!(
            plan.simplify(Rpc::Fib, "updates-only is unsupported"),
            Some(GivenUp::Feature(Feature::UpdatesOnly))
        );
        assert!(list(&plan.state()).subscription.iter().any(|one| one.suppress_redundant));
    }

    #[test]
    fn a_refusal_without_a_name_drops_the_least_needed_leaf_but_never_session_state() {
        let mut plan = Plan::default();
        for _ in 0..3 {
            plan.simplify(Rpc::State, "");
        }
        for leaf in [
            SubscribedLeaf::LastWords,
            SubscribedLeaf::Clock,
            SubscribedLeaf::DynamicNeighbor,
            SubscribedLeaf::ActiveCount,
            SubscribedLeaf::ReceivedRoutes,
            SubscribedLeaf::LastEstablished,
            SubscribedLeaf::FailedCount,
        ] {
            assert_eq!(plan.simplify(Rpc::State, "unknown element 'neighbor'"), leaves(&[leaf]));
        }
        assert_eq!(plan.simplify(Rpc::State, ""), None);
        assert_eq!(paths(&plan.state()), ["/network-instance/protocols/bgp/neighbor/session-state"]);
    }

    #[test]
    fn fib_programming_is_requested_only_for_network_instances_in_use() {
        let mut plan = Plan::default();
        assert!(plan.fib(&BTreeSet::new(), true).is_none());
        let instances = BTreeSet::from(["default".into(), "red]1".into()]);
        let request = plan.fib(&instances, true).expect("a request");
        assert!(list(&request).updates_only);
        let subscriptions = &list(&request).subscription;
        let names: BTreeSet<_> =
            subscriptions.iter().filter_map(|one| Some(one.path.as_ref()?.elem[0].key["name"].clone())).collect();
        assert_eq!(names, BTreeSet::from(["default".to_owned(), "red]1".to_owned()]));
        assert_eq!(subscriptions.len(), 20);
        plan.simplify(Rpc::Fib, "unknown element 'fib-programming'");
        assert!(plan.fib(&instances, true).is_none());
    }

    #[test]
    fn the_best_offered_encoding_is_requested_first_and_others_on_refusal() {
        let mut plan = Plan::default();
        assert_eq!(plan.encoding(), gnmi::Encoding::JsonIetf);
        assert!(plan.next_encoding() && plan.next_encoding() && !plan.next_encoding());
        let plan = Plan::for_server(&[gnmi::Encoding::Ascii, gnmi::Encoding::Proto]);
        assert_eq!(plan.encoding(), gnmi::Encoding::Proto);
        assert_eq!(Plan::for_server(&[]).encoding(), gnmi::Encoding::JsonIetf);
    }
}
