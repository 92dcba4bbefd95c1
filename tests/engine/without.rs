//! Tests of what a VIP would be without a session, node or port, and of what depends on a single node.

use srl_k8s_services::model::cluster::Node;
use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::event::Event;
use srl_k8s_services::model::inquiry::{AddressKey, Answer, Finding, Place, Question};
use srl_k8s_services::model::switch::SessionState::Active;
use srl_k8s_services::model::time::Timestamp;
use srl_k8s_services::model::verdict::OperState::{self, Degraded, Down, Up};
use srl_k8s_services::model::view::Without;

use crate::scenario::{C1, Family, Scenario, VRF};

const V4: Family = Family::V4;

/// A VIP that is announced in sessions by three nodes.
fn by_three() -> Scenario {
    let mut leaf = Scenario::new();
    for (number, node) in [(1, "n1"), (2, "n2"), (3, "n3")] {
        leaf.attached(node, V4.node(number));
    }
    leaf.service("web", Cluster, &[V4.vip(100)]).ready("web", &["n1", "n2", "n3"]);
    leaf.bgp(V4.vip(100), &[V4.node(1), V4.node(2), V4.node(3)]);
    leaf
}

fn without(leaf: &Scenario, node: u8) -> Without {
    leaf.next_hop("web", V4.vip(100), V4.node(node)).without
}

fn sole(leaf: &Scenario, node: &str) -> u32 {
    leaf.node_view(node).sole_path_vips
}

fn session(state: OperState) -> Without {
    Without { session: Some(state), ..Without::default() }
}

/// Sends the finding that a node is connected to a port of the switch.
fn plug(leaf: &mut Scenario, node: u8, port: &str) {
    let key = AddressKey { network_instance: VRF.into(), address: V4.node(node) };
    let place = Place { answers: true, is_known: true, port: Some(port.into()), ..Place::default() };
    let finding = Finding { at: Timestamp::UNIX_EPOCH, answer: Answer::Place(place) };
    leaf.tell(Event::Finding(Question::Place(key), finding));
}

#[test]
fn a_vip_is_degraded_without_one_of_several_nodes_and_down_without_the_last() {
    let vip = V4.vip(100);
    let mut leaf = by_three();
    assert_eq!(without(&leaf, 1), session(Degraded));
    assert_eq!(sole(&leaf, "n1"), 0);
    leaf.session(V4.node(2), Active).session(V4.node(3), Active).bgp(vip, &[V4.node(1)]);
    assert_eq!(without(&leaf, 1), session(Down));
    assert_eq!((sole(&leaf, "n1"), sole(&leaf, "n2")), (1, 0));
    leaf.withdraw(vip);
    assert_eq!(sole(&leaf, "n1"), 0);
}

#[test]
fn nodes_at_one_port_are_lost_together() {
    let mut leaf = by_three();
    plug(&mut leaf, 1, "ethernet-1/1");
    plug(&mut leaf, 2, "ethernet-1/1");
    plug(&mut leaf, 3, "ethernet-1/3");
    assert_eq!(without(&leaf, 1), Without { port: Some(Degraded), ..session(Degraded) });
    assert_eq!(without(&leaf, 3), session(Degraded));
    plug(&mut leaf, 3, "ethernet-1/1");
    for node in [1, 2, 3] {
        assert_eq!(without(&leaf, node), Without { port: Some(Down), ..session(Degraded) });
    }
    plug(&mut leaf, 1, "ethernet-1/1");
    plug(&mut leaf, 3, "ethernet-1/3");
    assert_eq!(without(&leaf, 3), session(Degraded), "nobody else is there any more");
}

#[test]
fn two_addresses_of_a_node_count_as_one_path() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.node("n1", &[V4.node(1), V4.node(2)]).up(V4.node(1)).up(V4.node(2));
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[V4.node(1), V4.node(2)]);
    assert_eq!(sole(&leaf, "n1"), 1);
    assert_eq!(without(&leaf, 1).node.or(without(&leaf, 1).session), Some(Down));
}

#[test]
fn leaves_with_other_announcers_take_over() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[V4.node(1)]);
    assert_eq!(without(&leaf, 1), session(Down));
    leaf.remote("n2", V4.node(2), 2).ready("web", &["n1", "n2"]);
    assert_eq!(without(&leaf, 1), session(Degraded), "the leaf of n2 advertises it");
    assert_eq!(sole(&leaf, "n1"), 1, "no other next-hop serves here");
    leaf.service("web", Local, &[vip]).ready("web", &["n1"]);
    assert_eq!(without(&leaf, 1), session(Down), "n2 has no pod");
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.withdraw(V4.node(2)).up(V4.node(2));
    assert_eq!(without(&leaf, 1), session(Down), "n2 is here, and its session brings nothing");
}

#[test]
fn losing_an_unexpected_next_hop_changes_nothing() {
    let vip = V4.vip(100);
    let mut leaf = by_three();
    let excluded = Node {
        internal: [V4.node(3)].into(),
        exclude_label: Some("node.kubernetes.io/exclude-from-external-load-balancers".into()),
        ..Node::default()
    };
    leaf.node_in(C1, "n3", excluded).expect(vip, Up, None, &[]);
    assert_eq!(without(&leaf, 3), session(Up));
}
