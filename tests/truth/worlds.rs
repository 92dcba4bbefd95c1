//! Fabrics with a name: the smallest ones that once had a false word, and the labs whose outcomes are recorded.

use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::verdict::{OperState, Reason};

use crate::fault::{Fault, StaticTo};
use crate::hold::{self, Truth};
use crate::plan::{
    ClusterPlan, Kind, Known, LeafPlan, NodePlan, Plan, PodState, Router, ServicePlan, Summary, VipPlan,
};

fn node(leaves: &[usize]) -> NodePlan {
    NodePlan {
        leaves: leaves.to_vec(),
        peers: leaves.to_vec(),
        v4: true,
        v6: false,
        loopback: false,
        other_hop: false,
        known: Known::Internal,
        excluded: None,
        network_unavailable: false,
        labeled: true,
    }
}

fn service(local: bool, nodes: &[usize]) -> ServicePlan {
    let vips = vec![VipPlan { pool: 0, number: 0, v6: false, l2: false }];
    let endpoints = nodes.iter().map(|node| (Some(*node), PodState::Ready)).collect();
    ServicePlan { local, vips, endpoints, foreign_class: false, external: false, kind: Kind::Plain }
}

fn cluster(speaker: Speaker, nodes: Vec<NodePlan>, service: ServicePlan) -> ClusterPlan {
    ClusterPlan {
        speaker,
        readable: false,
        statuses: false,
        narrowed: false,
        aggregate: None,
        vrf: 0,
        configured_vrf: 0,
        v4: true,
        v6: false,
        extended: false,
        dynamic: false,
        pool: false,
        shared: false,
        l2: false,
        unnumbered: false,
        only_to: None,
        router: None,
        nodes,
        services: vec![service],
    }
}

/// Returns a fabric in which host routes are everywhere and a node's own leaf is preferred.
fn fabric(leaves: usize, cluster: ClusterPlan, faults: &[Fault]) -> Plan {
    Plan {
        leaves: vec![LeafPlan::default(); leaves],
        stretched: true,
        host_routes: true,
        prefer_local: true,
        multipath: 64,
        clusters: vec![cluster],
        steps: vec![faults.to_vec()],
        ..Plan::default()
    }
}

/// Checks that no word about a fabric is false, in whatever order its facts arrive.
fn holds(plan: &Plan) {
    for seed in 0..8 {
        let (_, wrong) = hold::hold(plan, seed);
        assert!(wrong.is_empty(), "{:?}\n{}", wrong[0], hold::describe(plan));
    }
}

/// Checks that a fabric publishes this word for this truth at least once.
fn says(plan: &Plan, word: (OperState, Option<Reason>), truth: Truth) {
    holds(plan);
    let (matrix, _) = hold::hold(plan, 1);
    assert!(matrix.words.contains_key(&(word, truth)), "{matrix}\n{}", hold::describe(plan));
}

#[test]
fn the_anycast_lab_is_up_on_all_four_leaves() {
    let nodes = (0..3).map(|leaf| node(&[leaf])).collect();
    let plan = fabric(4, cluster(Speaker::Metallb, nodes, service(false, &[0, 1, 2])), &[]);
    says(&plan, (OperState::Up, None), Truth::All);
    let (matrix, _) = hold::hold(&plan, 1);
    assert_eq!(matrix.words.len(), 1, "{matrix}");
}

#[test]
fn the_ecmp_articles_leaf_sends_everything_to_the_other_one() {
    let nodes = (0..4).map(|number| node(&[number / 2])).collect();
    let mut plan = fabric(2, cluster(Speaker::Metallb, nodes, service(true, &[0, 1, 2, 3])), &[]);
    plan.prefer_local = false;
    says(&plan, (OperState::Degraded, Some(Reason::LocalPathUnused)), Truth::All);
}

#[test]
fn a_leaf_of_a_pair_that_rejects_the_route_uses_that_of_the_other() {
    for local in [false, true] {
        let cluster = cluster(Speaker::Generic, vec![node(&[0, 1])], service(local, &[0]));
        holds(&fabric(2, cluster, &[Fault::Reject(1, (0, 0))]));
    }
}

#[test]
fn a_range_announced_by_unlocated_nodes_is_not_a_missing_route() {
    let mut plan = fabric(2, cluster(Speaker::Calico, vec![node(&[0])], service(false, &[0])), &[]);
    plan.host_routes = false;
    holds(&plan);
}

#[test]
fn next_hops_may_differ_from_session_addresses() {
    let nodes = vec![NodePlan { loopback: true, other_hop: true, ..node(&[0]) }, node(&[1])];
    holds(&fabric(3, cluster(Speaker::Metallb, nodes, service(true, &[0, 1])), &[Fault::Session((0, 1), 1)]));
}

#[test]
fn draining_pods_still_serve() {
    for speaker in Speaker::ALL {
        for local in [false, true] {
            let cluster = cluster(speaker, vec![node(&[0])], service(local, &[0]));
            holds(&fabric(2, cluster, &[Fault::PodsDraining((0, 0), 0)]));
        }
    }
}

#[test]
fn a_summary_route_from_a_leaf_with_nodes_carries_no_vip() {
    for summary in [Summary::Discard, Summary::World] {
        let mut cluster = cluster(Speaker::Metallb, vec![node(&[0])], service(true, &[0]));
        cluster.readable = true;
        let mut plan = fabric(2, cluster, &[Fault::Silent((0, 0))]);
        plan.summary = Some((0, summary));
        holds(&plan);
    }
}

#[test]
fn a_default_route_carries_no_vip() {
    let mut plan =
        fabric(2, cluster(Speaker::Metallb, vec![node(&[0])], service(true, &[0])), &[Fault::Silent((0, 0))]);
    plan.default_from = Some(1);
    says(&plan, (OperState::Down, Some(Reason::NoRoute)), Truth::None);
}

#[test]
fn a_route_kept_for_a_dead_node_is_not_up() {
    let faults = [Fault::Stale((0, 0), 0), Fault::NodeDown((0, 0))];
    holds(&fabric(2, cluster(Speaker::Metallb, vec![node(&[0]), node(&[1])], service(false, &[1])), &faults));
}

#[test]
fn a_moved_node_is_only_behind_its_new_leaf() {
    let cluster = cluster(Speaker::Cilium, vec![node(&[1]), node(&[0])], service(true, &[1]));
    holds(&fabric(2, cluster, &[Fault::Moved((0, 1), 1)]));
}

#[test]
fn a_covering_route_from_a_node_of_unknown_address_may_serve() {
    let nodes = vec![node(&[0]), NodePlan { known: Known::Hidden, ..node(&[0]) }];
    holds(&fabric(1, cluster(Speaker::Calico, nodes, service(false, &[0])), &[Fault::NodeDown((0, 0))]));
}

#[test]
fn an_unlocated_node_may_be_behind_a_leaf_with_an_idle_node() {
    let nodes = vec![node(&[2]), node(&[1]), NodePlan { known: Known::Hidden, ..node(&[2]) }];
    holds(&fabric(3, cluster(Speaker::Generic, nodes, service(true, &[1, 2])), &[]));
}

#[test]
fn a_router_configured_as_transit_leads_to_the_cluster() {
    for next_hop_self in [false, true] {
        let nodes = [1, 2].map(|leaf| NodePlan { peers: Vec::new(), ..node(&[leaf]) }).to_vec();
        let mut cluster = cluster(Speaker::Metallb, nodes, service(false, &[0, 1]));
        cluster.router = Some(Router { leaf: 0, next_hop_self });
        let mut plan = fabric(4, cluster, &[Fault::Cable((0, 0), 1)]);
        plan.host_routes = next_hop_self;
        holds(&plan);
    }
}

#[test]
fn a_route_missing_in_hardware_is_never_reported_as_programmed() {
    for unheard in [Fault::GnmiLost(0), Fault::FibRefused(0)] {
        let cluster = cluster(Speaker::Metallb, vec![node(&[0])], service(true, &[0]));
        let mut plan = fabric(1, cluster, &[Fault::Fib(0, (0, 0))]);
        plan.steps.push(vec![Fault::Fib(0, (0, 0)), unheard]);
        plan.steps.push(vec![Fault::Fib(0, (0, 0))]);
        says(&plan, (OperState::Down, Some(Reason::RouteNotProgrammed)), Truth::None);
    }
}

#[test]
fn a_removed_network_instance_removes_its_routes() {
    let cluster = cluster(Speaker::Metallb, vec![node(&[0])], service(true, &[0]));
    let mut plan = fabric(2, cluster, &[Fault::NoInstance(0, 0)]);
    plan.steps.push(vec![Fault::Silent((0, 0))]);
    holds(&plan);
}

#[test]
fn a_static_route_to_nowhere_is_a_black_hole() {
    for to in [StaticTo::Discard, StaticTo::Nobody] {
        let cluster = cluster(Speaker::Metallb, vec![node(&[0])], service(true, &[0]));
        holds(&fabric(2, cluster, &[Fault::Static(0, (0, 0), to)]));
    }
}

#[test]
fn a_node_that_announces_without_a_pod_loses_its_share_under_policy_local() {
    let faults = [Fault::Stuck((0, 1)), Fault::PodsUnready((0, 0), 1)];
    let cluster = cluster(Speaker::Metallb, vec![node(&[0]), node(&[0])], service(true, &[0, 1]));
    says(&fabric(1, cluster, &faults), (OperState::Degraded, Some(Reason::NextHopUnexpected)), Truth::Some);
}

#[test]
fn an_unlocated_node_on_two_leaves_may_be_behind_both() {
    let cluster = cluster(Speaker::KubeRouter, vec![node(&[0, 1])], service(true, &[0]));
    let mut plan = fabric(3, cluster, &[]);
    plan.host_routes = false;
    says(&plan, (OperState::Unknown, Some(Reason::NextHopUnmapped)), Truth::All);
}

#[test]
fn a_router_may_be_behind_a_leaf_that_also_has_nodes() {
    for local in [false, true] {
        let nodes = [0, 1, 2].map(|leaf| NodePlan { peers: Vec::new(), ..node(&[leaf]) }).to_vec();
        let mut cluster = cluster(Speaker::Cilium, nodes, service(local, &[1]));
        cluster.router = Some(Router { leaf: 0, next_hop_self: true });
        holds(&fabric(4, cluster, &[Fault::PodsUnready((0, 0), 1)]));
    }
}

#[test]
fn an_announced_range_may_come_from_a_node_of_unknown_address() {
    let nodes = vec![node(&[0]), NodePlan { known: Known::Hidden, ..node(&[1, 2]) }];
    let mut cluster = cluster(Speaker::Calico, nodes, service(false, &[0]));
    cluster.readable = true;
    says(&fabric(4, cluster, &[]), (OperState::Up, Some(Reason::NextHopUnmapped)), Truth::All);
}

#[test]
fn a_range_reaches_draining_pods() {
    for readable in [false, true] {
        let mut cluster = cluster(Speaker::Calico, vec![node(&[0]), node(&[1])], service(true, &[0]));
        cluster.readable = readable;
        holds(&fabric(3, cluster, &[Fault::PodsDraining((0, 0), 0)]));
    }
}

#[test]
fn a_route_kept_for_an_unplugged_node_is_not_up() {
    for local in [false, true] {
        let cluster = cluster(Speaker::Calico, vec![node(&[0]), node(&[0])], service(local, &[0, 1]));
        holds(&fabric(2, cluster, &[Fault::Stale((0, 0), 0), Fault::Cable((0, 0), 0)]));
    }
}

#[test]
fn returning_pods_are_not_a_missing_route_until_announced() {
    for host_routes in [false, true] {
        let cluster = cluster(Speaker::Cilium, vec![node(&[1])], service(true, &[0]));
        let mut plan = fabric(2, cluster, &[Fault::PodsGone((0, 0))]);
        plan.host_routes = host_routes;
        plan.steps.push(vec![Fault::NdkLost(0)]);
        holds(&plan);
    }
}

#[test]
fn a_static_route_over_an_interface_leads_to_the_node_behind_it() {
    let nodes = vec![NodePlan { loopback: true, ..node(&[0]) }];
    let cluster = cluster(Speaker::Metallb, nodes, service(true, &[0]));
    holds(&fabric(2, cluster, &[Fault::Static(0, (0, 0), StaticTo::Node((0, 0)))]));
}

#[test]
fn a_static_route_to_nobody_is_not_up_despite_an_unlocated_node() {
    let cluster = cluster(Speaker::KubeRouter, vec![node(&[2])], service(false, &[0]));
    let mut plan = fabric(3, cluster, &[Fault::Static(1, (0, 0), StaticTo::Nobody)]);
    plan.host_routes = false;
    plan.leaves[1].gateways = true;
    holds(&plan);
}

#[test]
fn a_vip_without_endpoints_is_served_by_the_cluster_that_shares_it() {
    for local in [false, true] {
        let mut one = cluster(Speaker::Generic, vec![node(&[0])], service(local, &[]));
        let mut other = cluster(Speaker::Metallb, vec![node(&[1])], service(local, &[0]));
        (one.shared, other.shared) = (true, true);
        let mut plan = fabric(3, one, &[]);
        plan.clusters.push(other);
        says(&plan, (OperState::Up, Some(Reason::NoReadyEndpoint)), Truth::All);
    }
}

#[test]
fn a_router_of_one_cluster_leads_to_the_cluster_that_shares_its_address() {
    let nodes = vec![NodePlan { peers: Vec::new(), ..node(&[0]) }];
    let mut one = cluster(Speaker::Generic, nodes, service(false, &[0]));
    one.router = Some(Router { leaf: 0, next_hop_self: true });
    let mut other = cluster(Speaker::Cilium, vec![node(&[0])], service(false, &[0]));
    (one.shared, other.shared) = (true, true);
    let mut plan = fabric(2, one, &[]);
    plan.clusters.push(other);
    holds(&plan);
}

#[test]
fn a_node_that_moves_while_gnmi_is_lost_is_not_missed_at_its_old_leaf() {
    let nodes = vec![node(&[0, 1]), node(&[0])];
    let mut plan = fabric(2, cluster(Speaker::Calico, nodes, service(false, &[0])), &[Fault::Moved((0, 1), 1)]);
    plan.host_routes = false;
    plan.steps.push(vec![Fault::GnmiLost(1)]);
    holds(&plan);
}

#[test]
fn a_static_route_may_lead_to_an_unlocated_node_that_should_not_announce() {
    let hidden = NodePlan { known: Known::Hidden, labeled: false, ..node(&[2]) };
    let mut cluster = cluster(Speaker::Generic, vec![node(&[0]), hidden], service(false, &[0]));
    cluster.narrowed = true;
    holds(&fabric(3, cluster, &[Fault::Static(2, (0, 0), StaticTo::Node((0, 1)))]));
}

#[test]
fn a_node_that_dies_while_gnmi_is_lost_is_not_up() {
    let faults = [Fault::GnmiLost(0), Fault::NodeDown((0, 1)), Fault::Stale((0, 1), 0)];
    let cluster = cluster(Speaker::Cilium, vec![node(&[1]), node(&[0])], service(false, &[0]));
    says(&fabric(2, cluster, &faults), (OperState::Unknown, Some(Reason::SessionDown)), Truth::None);
}

#[test]
fn a_range_announced_by_two_clusters_may_lead_to_either() {
    let nodes = vec![NodePlan { loopback: true, ..node(&[0]) }];
    let mut one = cluster(Speaker::Calico, nodes, service(true, &[0]));
    one.services[0].vips[0].number = 1;
    let mut other = cluster(Speaker::Calico, vec![node(&[1]), node(&[0])], service(true, &[]));
    (one.readable, other.readable) = (true, true);
    let mut plan = fabric(2, one, &[Fault::Cable((0, 0), 0)]);
    plan.host_routes = false;
    plan.clusters.push(other);
    holds(&plan);
}

#[test]
fn a_leaf_without_the_network_instance_still_bridges_to_its_nodes() {
    let nodes = [0, 1].map(|leaf| NodePlan { peers: Vec::new(), ..node(&[leaf]) }).to_vec();
    let mut cluster = cluster(Speaker::Metallb, nodes, service(false, &[0, 1]));
    cluster.router = Some(Router { leaf: 0, next_hop_self: false });
    let mut plan = fabric(2, cluster, &[Fault::NoInstance(1, 0)]);
    plan.host_routes = false;
    says(&plan, (OperState::Up, None), Truth::All);
}

#[test]
fn a_node_that_peers_from_a_link_local_address_is_not_a_black_hole() {
    for (local, state) in [(false, OperState::Up), (true, OperState::Unknown)] {
        let mut cluster = cluster(Speaker::Metallb, vec![node(&[0]), node(&[0])], service(local, &[0, 1]));
        cluster.unnumbered = true;
        says(&fabric(1, cluster, &[]), (state, Some(Reason::NextHopUnmapped)), Truth::All);
    }
}

#[test]
fn a_link_local_next_hop_may_be_a_node_that_should_not_announce() {
    let mut cluster = cluster(Speaker::Cilium, vec![node(&[0]), node(&[0])], service(true, &[0]));
    cluster.unnumbered = true;
    let plan = fabric(1, cluster, &[Fault::Stuck((0, 0)), Fault::PodsDraining((0, 0), 0)]);
    says(&plan, (OperState::Unknown, Some(Reason::NextHopUnmapped)), Truth::All);
}

#[test]
fn a_static_route_may_lead_to_a_sharing_clusters_node_that_should_not_announce() {
    let hidden = NodePlan { known: Known::Hidden, excluded: Some(""), ..node(&[0]) };
    let mut one = cluster(Speaker::Metallb, vec![hidden], service(false, &[0]));
    let mut other = cluster(Speaker::Calico, vec![node(&[0])], service(false, &[]));
    (one.shared, other.shared) = (true, true);
    let mut plan = fabric(2, one, &[Fault::Static(0, (1, 0), StaticTo::Node((0, 0)))]);
    plan.host_routes = false;
    plan.clusters.push(other);
    says(&plan, (OperState::Unknown, Some(Reason::NextHopUnmapped)), Truth::All);
}

/// Returns a fabric with two clusters that share a VIP; the second announces its range and has no pod.
fn with_an_idle_range(leaves: usize, mut one: ClusterPlan, idle: Vec<NodePlan>) -> Plan {
    let mut other = cluster(Speaker::Calico, idle, service(true, &[]));
    (one.shared, other.shared) = (true, true);
    one.pool = true;
    let mut plan = fabric(leaves, one, &[]);
    plan.clusters.push(other);
    plan
}

#[test]
fn a_router_beside_that_of_a_cluster_without_a_pod_may_not_serve() {
    let alone = |leaf| NodePlan { peers: Vec::new(), ..node(&[leaf]) };
    let router = Some(Router { leaf: 3, next_hop_self: true });
    for pods in [vec![], vec![(None, PodState::Ready)]] {
        let mut one = cluster(Speaker::Calico, vec![alone(2), alone(0)], service(false, &[1]));
        one.router = router;
        let mut plan = with_an_idle_range(4, one, vec![alone(3)]);
        plan.clusters[1].router = router;
        plan.clusters[1].services[0].endpoints = pods;
        says(&plan, (OperState::Unknown, Some(Reason::NextHopUnmapped)), Truth::Some);
    }
}

#[test]
fn an_idle_node_on_a_pair_of_leaves_may_be_behind_the_leaf_in_use() {
    let one = cluster(Speaker::KubeVip, vec![node(&[2])], service(false, &[0]));
    let mut plan = with_an_idle_range(3, one, vec![node(&[0, 1])]);
    plan.prefer_local = false;
    plan.steps = vec![vec![Fault::Evpn(2)]];
    says(&plan, (OperState::Unknown, Some(Reason::NextHopUnmapped)), Truth::None);
}

#[test]
fn an_alarm_raised_before_the_ndk_was_lost_may_stay_under_another_type() {
    let mut cluster = cluster(Speaker::Cilium, vec![node(&[2]), node(&[0])], service(true, &[0, 1]));
    (cluster.readable, cluster.v6) = (true, true);
    cluster.nodes.iter_mut().for_each(|node| node.v6 = true);
    let vip = cluster.services[0].vips[0];
    cluster.services[0].vips.push(VipPlan { v6: true, ..vip });
    let mut plan = fabric(3, cluster, &[Fault::Session((0, 1), 0), Fault::PodsUnready((0, 0), 0)]);
    plan.steps.push(vec![Fault::NdkLost(1)]);
    holds(&plan);
}

#[test]
fn a_gateway_may_be_announced_by_an_unlocated_node() {
    let nodes = vec![node(&[0]), NodePlan { known: Known::Hidden, ..node(&[1]) }];
    let mut cluster = cluster(Speaker::Cilium, nodes, service(true, &[]));
    cluster.services[0].kind = Kind::Gateway;
    cluster.services[0].endpoints = vec![(None, PodState::Ready)];
    holds(&fabric(3, cluster, &[]));
}

#[test]
fn a_global_service_is_served_by_the_rest_of_the_mesh() {
    let mut cluster = cluster(Speaker::Cilium, vec![node(&[0])], service(false, &[]));
    cluster.services[0].kind = Kind::Global;
    says(&fabric(2, cluster, &[]), (OperState::Unknown, Some(Reason::NoReadyEndpoint)), Truth::All);
}

#[test]
fn an_external_ip_is_expected_only_of_speakers_that_announce_them() {
    for (speaker, word) in
        [(Speaker::Generic, (OperState::Up, None)), (Speaker::Metallb, (OperState::Down, Some(Reason::NoAnnouncer)))]
    {
        let mut cluster = cluster(speaker, vec![node(&[0])], service(false, &[0]));
        cluster.services[0].external = true;
        let truth = if word.0 == OperState::Up { Truth::All } else { Truth::None };
        says(&fabric(1, cluster, &[]), word, truth);
    }
}

#[test]
fn a_vip_that_is_advertised_to_one_leaf_of_a_pair_is_not_missing_on_the_other() {
    for (local, word) in [
        (false, (OperState::Up, Some(Reason::NextHopUnmapped))),
        (true, (OperState::Unknown, Some(Reason::NextHopUnmapped))),
    ] {
        let mut cluster = cluster(Speaker::Metallb, vec![node(&[0, 1])], service(local, &[0]));
        (cluster.readable, cluster.only_to) = (true, Some(1));
        says(&fabric(3, cluster.clone(), &[]), word, Truth::All);
        says(&fabric(2, cluster, &[Fault::Evpn(0)]), (OperState::Down, Some(Reason::NoAnnouncer)), Truth::None);
    }
}

#[test]
fn a_cluster_that_is_configured_twice_does_not_conflict_with_itself() {
    for local in [false, true] {
        let mut plan = fabric(2, cluster(Speaker::Generic, vec![node(&[0]), node(&[1])], service(local, &[0, 1])), &[]);
        plan.twice = true;
        says(&plan, (OperState::Up, None), Truth::All);
        let (matrix, _) = hold::hold(&plan, 1);
        assert_eq!(matrix.words.len(), 1, "{matrix}");
    }
}

/// Returns a fabric with a VIP by ARP that the first of two nodes holds.
fn by_arp(speaker: Speaker, local: bool, fault: Fault) -> Plan {
    let nodes = [0, 0].map(|leaf| NodePlan { peers: Vec::new(), ..node(&[leaf]) }).to_vec();
    let mut cluster = cluster(speaker, nodes, service(local, &[0, 1]));
    cluster.l2 = true;
    cluster.services[0].vips[0].l2 = true;
    fabric(2, cluster, &[fault])
}

#[test]
fn the_mac_tells_which_host_answers_arp() {
    use OperState::{Degraded, Down, Unknown};
    let service = (0, 0);
    let said = [
        (Fault::Stranger(0, service), (Down, Some(Reason::NextHopUnexpected)), Truth::None),
        (Fault::Duplicate(0, service), (Degraded, Some(Reason::AddressConflict)), Truth::None),
        (Fault::Unasked(0, service), (Unknown, Some(Reason::ArpUnresolved)), Truth::All),
    ];
    for (fault, word, truth) in said {
        for local in [false, true] {
            says(&by_arp(Speaker::Metallb, local, fault), word, truth);
        }
    }
}

#[test]
fn an_arp_entry_of_the_former_holder_is_stale() {
    let mut plan = by_arp(Speaker::KubeVip, false, Fault::StaleArp(0, (0, 0)));
    plan.steps[0].push(Fault::Silent((0, 0)));
    says(&plan, (OperState::Degraded, Some(Reason::NextHopUnexpected)), Truth::All);
    // The same holds with what MetalLB's speakers report about themselves, and with what they are configured with.
    let mut plan = by_arp(Speaker::Metallb, false, Fault::StaleArp(0, (0, 0)));
    (plan.clusters[0].readable, plan.clusters[0].statuses) = (true, true);
    plan.steps[0].push(Fault::Silent((0, 0)));
    says(&plan, (OperState::Degraded, Some(Reason::NextHopUnexpected)), Truth::All);
    let mut dead = by_arp(Speaker::Metallb, false, Fault::StaleArp(0, (0, 0)));
    dead.steps[0].push(Fault::NodeDown((0, 0)));
    says(&dead, (OperState::Unknown, Some(Reason::NextHopUnmapped)), Truth::None);
}
