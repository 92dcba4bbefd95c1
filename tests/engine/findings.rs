//! Differences found by the oracle, each reduced to a minimum.

use std::time::Duration;

use srl_k8s_services::engine::Engine;
use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::cluster::{AddressFamily, Node, Service};
use srl_k8s_services::model::config::{Config, Speaker};
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::names::ClusterName;
use srl_k8s_services::model::persistent::{Attachment, PersistentState};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{Neighbor, NextHopGroup, NextHopGroupId, Route, SessionState};
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use srl_k8s_services::model::verdict::{AttachmentState, NextHopKind, Reason, Vantage};
use srl_k8s_services::model::view::Change;

use crate::scenario::{
    BGP, BGP_EVPN, C1, Family, Scenario, VRF, at, cluster_config, endpoint, ip, key, load_balancer, vtep,
};

const V4: Family = Family::V4;

#[test]
fn attachments_of_an_unconfigured_cluster_do_not_survive_a_restart() {
    let attachment = Attachment { cluster: "gone".into(), node: "n1".into(), address: V4.node(1) };
    let mut engine = Engine::new();
    engine.apply(
        at(Duration::ZERO),
        Event::Restored(PersistentState { attachments: [attachment].into(), ..PersistentState::default() }),
    );
    let changes = engine.apply(at(Duration::ZERO), Event::Configured(Config::default().into()));
    assert!(changes.contains(&Change::PersistentState(PersistentState::default())), "{changes:#?}");
}

#[test]
fn a_cluster_that_changes_its_network_instance_loses_its_attachments() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1));
    leaf.cluster(C1, |cluster| cluster.rules.network_instance = "ip-vrf-2".into());
    assert_eq!(leaf.node_view("n1").attachment, AttachmentState::Unknown);
}

#[test]
fn a_service_that_is_no_load_balancer_is_not_left_out_for_lack_of_a_class() {
    let mut leaf = Scenario::new();
    let external = ip("203.0.113.7");
    leaf.cluster(C1, |cluster| {
        cluster.source.speaker = Speaker::Generic;
        cluster.source.include_external_ips = true;
        cluster.rules.load_balancer_class = Some("example.com/bgp".into());
    });
    leaf.attached("n1", V4.node(1));
    leaf.service_in(C1, "web", Service { external_ips: [external].into(), ..Service::default() }).ready("web", &["n1"]);
    leaf.expect(external, Down, Some(Reason::NoRoute), &[]);
}

#[test]
fn an_unlocated_announcer_explained_by_a_next_hop_is_not_behind_another() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.node("n1", &[V4.node(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.bgp(vip, &[V4.node(1), ip("10.99.99.99")]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&"10.99.99.99"]);
}

#[test]
fn a_pod_reported_on_two_nodes_makes_both_announce() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).attached("n2", V4.node(2)).service("web", Local, &[vip]);
    leaf.slice(
        C1,
        "web",
        AddressFamily::Ipv4,
        &[endpoint("db-0", "n1", false, true), endpoint("db-0", "n2", true, true)],
    );
    leaf.bgp(vip, &[V4.node(1), V4.node(2)]).expect(vip, Up, None, &[]);
}

#[test]
fn a_route_that_waits_for_its_group_is_judged_once_the_group_arrives() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    let route = |group| Route { owner: BGP, preference: 169, metric: 0, next_hop_group: NextHopGroupId(group) };
    let routes = |vrf: &str, group| SwitchEvent::Routes(vrf.into(), vec![(vip.into(), Some(route(group)))]);
    leaf.event(Event::Switch(routes(VRF, 77))).expect(vip, Unknown, Some(Reason::Syncing), &[]);
    leaf.event(Event::Switch(routes("ip-vrf-2", 77)));
    let group = NextHopGroup { next_hops: [V4.node(1)].into() };
    leaf.event(Event::Switch(SwitchEvent::NextHopGroups(vec![(NextHopGroupId(77), Some(group))])));
    leaf.expect(vip, Up, None, &[]);
}

#[test]
fn a_verdict_stays_for_fifteen_seconds_while_a_group_is_awaited() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[V4.node(1)]);
    let route = Route { owner: BGP, preference: 169, metric: 0, next_hop_group: NextHopGroupId(77) };
    leaf.event(Event::Switch(SwitchEvent::Routes(VRF.into(), vec![(vip.into(), Some(route))])));
    leaf.expect(vip, Up, None, &[]);
    leaf.pass(Duration::from_millis(14_999)).expect(vip, Up, None, &[]);
    leaf.pass(Duration::from_millis(2)).expect(vip, Unknown, Some(Reason::Syncing), &[&"77"]);
}

#[test]
fn a_node_repeated_within_a_burst_changes_nothing() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1));
    let now = at(leaf.elapsed);
    let node = Node { internal: [V4.node(1)].into(), ..Node::default() };
    for update in [Update::Gone("n1".into()), Update::Set("n1".into(), node)] {
        leaf.engine.ingest(now, Event::Cluster(C1.into(), ClusterEvent::Nodes(update)));
    }
    assert_eq!(leaf.engine.evaluate(now), []);
}

/// A second cluster with a node and a service `web` that share nothing yet.
fn beside(leaf: &mut Scenario, network_instance: &str) {
    leaf.cluster("c2", |cluster| cluster.rules.network_instance = network_instance.into());
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
}

#[test]
fn a_new_node_of_another_cluster_explains_a_next_hop_at_once() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.node("n1", &[V4.elsewhere(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[V4.node(7)]);
    leaf.up(V4.node(7)).expect(vip, Up, Some(Reason::NextHopUnmapped), &[]);
    beside(&mut leaf, VRF);
    leaf.node_in("c2", "m1", Node { internal: [V4.node(7)].into(), ..Node::default() });
    assert_eq!(leaf.next_hop("web", vip, V4.node(7)).kind, NextHopKind::Local);
    leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[&V4.node(7), &"m1"]);
}

#[test]
fn endpoints_of_a_sharing_cluster_change_next_hop_verdicts_here_at_once() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    beside(&mut leaf, VRF);
    leaf.cluster("c2", |cluster| _ = cluster.rules.shared_with.insert(C1.into()));
    leaf.node_in("c2", "m1", Node { internal: [V4.node(7)].into(), ..Node::default() });
    leaf.service_in("c2", "web", load_balancer(Cluster, &[vip]));
    leaf.bgp(vip, &[V4.node(1), V4.node(7)]).expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&V4.node(7)]);
    leaf.slice("c2", "web", AddressFamily::Ipv4, &[endpoint("q1", "m1", true, true)]).expect(vip, Up, None, &[]);
    leaf.kubernetes("c2", ClusterEvent::Services(Update::Gone(key("web"))));
    leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&V4.node(7)]);
}

#[test]
fn a_tunnel_endpoint_of_another_network_instance_does_not_serve_here() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::with(cluster_config(Speaker::Metallb));
    leaf.remote("n1", V4.node(1), 1).service("web", Cluster, &[vip]).ready("web", &["n1"]).evpn(vip, &[vtep(1)]);
    beside(&mut leaf, "ip-vrf-2");
    leaf.cluster("c2", |cluster| _ = cluster.rules.shared_with.insert(C1.into()));
    leaf.service_in("c2", "web", load_balancer(Local, &[vip]));
    leaf.slice("c2", "web", AddressFamily::Ipv4, &[endpoint("q1", "", true, true)]);
    leaf.route_of("ip-vrf-2", vip.into(), BGP_EVPN, &[vtep(1)]);
    let verdict = &leaf.service_view_in("c2", "web").verdict;
    assert_eq!((verdict.state, verdict.reason), (Down, Some(Reason::NextHopUnexpected)), "{verdict:?}");
}

#[test]
fn without_gnmi_a_node_that_is_the_next_hop_is_attached_and_no_vtep_is_missing() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = Scenario::new();
        leaf.node("n1", &[family.node(1)]).remote("n2", family.node(2), 2).remote("n3", family.node(3), 3);
        leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2", "n3"]).bgp(vip, &[family.node(1)]);
        leaf.lost(SourceId::Gnmi);
        // Host routes show n2 and n3, but not that n1 is alive.
        leaf.expect(vip, Unknown, Some(Reason::SessionDown), &[&"n1", &"gNMI"]);
        let view = leaf.vip_view("web", vip);
        assert_eq!((view.vantage, view.expected, view.installed), (Some(Vantage::Local), 1, 1));
    }
}

#[test]
fn a_route_that_may_be_an_unlocated_node_names_it_and_misses_no_vtep() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for (policy, state) in [(Local, Unknown), (Cluster, Up)] {
            let mut leaf = Scenario::new();
            leaf.node("n1", &[family.elsewhere(1)]).up(family.node(1)).remote("n2", family.node(2), 2);
            leaf.service("web", policy, &[vip]).ready("web", &["n1", "n2"]).bgp(vip, &[family.node(1)]);
            leaf.expect(vip, state, Some(Reason::NextHopUnmapped), &[&family.node(1), &"n1", &"fabric-address"]);
        }
    }
}

#[test]
fn the_next_hop_of_a_renamed_node_is_named_after_its_former_name() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.cluster(C1, |cluster| {
        cluster.rules.fabric_addresses.insert("n1".into(), [V4.node(1)].into());
    });
    leaf.node("worker-1", &[V4.elsewhere(1)]).up(V4.node(1)).remote("n2", V4.node(2), 2);
    leaf.service("web", Local, &[vip]).ready("web", &["worker-1"]).bgp(vip, &[V4.node(1)]);
    let former = &"192.168.1.11 (fabric-address of n1, which the cluster does not have)";
    let advice = &"worker-1 (fabric-address is set for n1, which the cluster does not have";
    leaf.expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[former, advice]);
    // All nodes are located, so the next-hop is none of them.
    leaf.remote("worker-1", V4.elsewhere(1), 3);
    leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[former, &"set its fabric-address for the new name"]);
    leaf.attached("n1", V4.elsewhere(3)).expect(vip, Down, Some(Reason::NextHopUnexpected), &[&"n1"]);
    let detail = leaf.vip_view("web", vip).verdict.detail.clone().expect("a sentence");
    assert!(!detail.contains("does not have"), "{detail}");
}

#[test]
fn once_a_vtep_is_installed_the_others_are_expected_despite_an_unlocated_node() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.node("n1", &[V4.elsewhere(1)]).remote("n2", V4.node(2), 2).remote("n3", V4.node(3), 3);
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2", "n3"]);
    leaf.route_of(VRF, vip.into(), BGP_EVPN, &[vtep(2), vtep(9)]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&vtep(3)]);
}

#[test]
fn the_session_that_is_up_counts_for_a_node_with_two() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.node("n1", &[V4.node(1), V4.node(2)]);
    leaf.session(V4.node(1), SessionState::Active).up(V4.node(2));
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[V4.node(2)]);
    leaf.expect(vip, Up, None, &[]);
    leaf.session(V4.node(2), SessionState::Active).up(V4.node(1)).bgp(vip, &[V4.node(1)]);
    leaf.expect(vip, Up, None, &[]);
}

#[test]
fn the_sentence_of_a_service_with_several_vips_names_the_worst() {
    let (good, bad) = (V4.vip(100), V4.vip(101));
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[good, bad]).ready("web", &["n1"]);
    leaf.bgp(good, &[V4.node(1)]);
    let detail = |leaf: &Scenario| leaf.service_view("web").verdict.detail.clone().unwrap_or_default();
    assert!(detail(&leaf).starts_with("VIP 1.1.1.101: no route in ip-vrf-1"), "{}", detail(&leaf));
    leaf.withdraw(good);
    assert!(detail(&leaf).starts_with("no route in ip-vrf-1"), "said of both alike: {}", detail(&leaf));
}

#[test]
fn a_covering_prefix_that_serves_no_service_is_not_an_installed_vip() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::with(cluster_config(Speaker::Cilium));
    leaf.attached("n1", V4.node(1)).attached("n2", V4.node(2)).service("web", Cluster, &[vip]);
    leaf.route_of(VRF, V4.aggregate(), BGP, &[V4.node(2)]);
    assert_eq!((leaf.node_view("n2").expected_vips, leaf.node_view("n2").installed_vips), (1, 0));
    // It counts as soon as it serves one of the services with this VIP, and only as long.
    leaf.service("other", Cluster, &[vip]).ready("other", &["n1"]);
    assert_eq!(leaf.node_view("n2").installed_vips, 1);
    leaf.ready("other", &[]);
    assert_eq!(leaf.node_view("n2").installed_vips, 0);
}

#[test]
fn a_cluster_whose_api_answers_before_its_first_listing_is_not_down() {
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    let source = SourceId::Kubernetes(C1.into());
    leaf.lost(source.clone());
    let state = |leaf: &Scenario| leaf.said.clusters[&ClusterName::from(C1)].state;
    assert_eq!(state(&leaf), Down, "its API was never reached");
    leaf.kubernetes(C1, ClusterEvent::Connected { version: "v1.31.0".into(), caveat: None });
    assert_eq!(state(&leaf), Degraded, "it answers, and nothing of it was read");
    leaf.lost(source.clone());
    assert_eq!(state(&leaf), Down, "it answers, and cannot be read");
    leaf.source(source, SourceEvent::Synced);
    assert_eq!(state(&leaf), Up);
}

#[test]
fn a_session_whose_state_becomes_unknown_keeps_its_alarm() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).attached("n2", V4.node(2));
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2"]).bgp(vip, &[V4.node(2)]);
    leaf.vanish(V4.node(1)).pass(Duration::from_secs(15));
    let alarms = |leaf: &Scenario| leaf.said.alarms.active.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(alarms(&leaf), ["neighbor-session-down/c1/n1"], "it stands for the VIP");
    leaf.neighbor(V4.node(1), None, None).pass(Duration::from_secs(15));
    leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&V4.node(1)]);
    assert_eq!(alarms(&leaf), ["neighbor-session-down/c1/n1"]);
}

#[test]
fn a_session_alarm_for_a_lesser_fault_does_not_absorb_a_missing_route() {
    let (vip, address) = (ip("2001:db8:1::100"), ip("2001:db8:0:1::11"));
    let mut leaf = Scenario::new();
    leaf.configure(|config| (config.alarm_policy.raise_hold, config.alarm_policy.clear_hold) = Default::default());
    leaf.node("n1", &[]).node("n2", &[address]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    let neighbor = |session, dynamic| Neighbor { session, dynamic, ..Neighbor::default() };
    leaf.set_neighbor(address, neighbor(None, false)).bgp(vip, &[ip("192.168.1.10")]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[]);
    // While the network instance is away, nothing is known about the VIP. When it is back, the route and the session
    // are gone.
    leaf.network_instance(VRF, None);
    leaf.set_neighbor(address, neighbor(Some(SessionState::Established), true)).vanish(address);
    leaf.network_instance(VRF, Some(1)).expect(vip, Down, Some(Reason::SessionDown), &[]);
    let active: Vec<String> = leaf.said.alarms.active.keys().map(ToString::to_string).collect();
    assert_eq!(active, ["vip-route-missing/c1/default/web/2001:db8:1::100", "neighbor-session-down/c1/n2"]);
}
