//! Tests of the causes in a leaf's tables: session errors, the use of paths, and where nodes are connected.

use crate::tables::{MacDestination, PathFate};

use super::tests::{LATER, anycast, ecmp_article, lever, net, tables, vrf};
use super::*;

const VIP: &str = "1.1.1.100/32";
const NODE: &str = "192.168.1.11";

/// Returns the anycast lab with a lever that was pulled a minute ago.
fn with(text: &str) -> Fabric {
    let mut fabric = anycast();
    fabric.pull(lever(text)).expect("names are known");
    fabric.settle(LATER);
    fabric
}

#[test]
fn each_session_fault_leaves_its_own_state_and_notifications() {
    for (text, state, event, sent, received) in [
        ("session-down: { node: cluster1 }", "active", "holdTime", Some("Hold Timer Error"), None),
        ("cable: { node: cluster1 }", "connect", "holdTime", Some("Hold Timer Error"), None),
        ("as-mismatch: { node: cluster1 }", "active", "error", Some("Bad Peer As"), None),
        ("speaker-silent: { node: cluster1 }", "active", "connectRetry", None, None),
        ("speaker-dead: { node: cluster1 }", "active", "connectRetry", None, None),
        ("peer-shutdown: { node: cluster1 }", "active", "recvNotify", None, Some("Administrative Shutdown")),
        (
            "prefix-limit: { node: cluster1, leaf: leaf1 }",
            "idle",
            "maxPrefixExceed",
            Some("Maximum Number of Prefixes Reached"),
            None,
        ),
        (
            "collision: { node: cluster1 }",
            "active",
            "collisionResolution",
            Some("Connection Collision Resolution"),
            None,
        ),
        (
            "notification: { node: cluster1, code: Cease, subcode: Connection Rejected }",
            "active",
            "recvNotify",
            None,
            Some("Connection Rejected"),
        ),
        ("graceful-restart: { node: cluster1 }", "active", "close", None, None),
    ] {
        let fabric = with(text);
        let neighbor = vrf(&fabric, "leaf1").neighbors.remove(NODE).expect("configured");
        let said = |notification: &Option<crate::tables::BgpNotification>| {
            let notification = notification.as_ref()?;
            assert_eq!(notification.at, LATER, "{text}");
            Some(notification.subcode.clone().unwrap_or_else(|| notification.code.clone()))
        };
        assert_eq!(neighbor.session_state, state, "{text}");
        assert_eq!(neighbor.record.last_event.as_deref(), Some(event), "{text}");
        assert_eq!(said(&neighbor.record.sent).as_deref(), sent, "{text}");
        assert_eq!(said(&neighbor.record.received).as_deref(), received, "{text}");
        assert!(!neighbor.record.admin_disabled, "{text}");
    }
}

#[test]
fn a_disabled_neighbor_is_shown_as_disabled_whatever_else_is_wrong() {
    let mut fabric = with("admin-disabled: { leaf: leaf1, node: cluster1 }");
    for more in ["session-down: { node: cluster1 }", "link-down: { node: cluster1 }"] {
        fabric.pull(lever(more)).expect("known");
        fabric.settle(LATER);
        let neighbor = vrf(&fabric, "leaf1").neighbors.remove(NODE).expect("configured");
        assert!(neighbor.record.admin_disabled, "{more}");
        assert_eq!(neighbor.session_state, "idle", "{more}");
    }
}

#[test]
fn the_last_notification_is_kept_when_the_session_returns() {
    let shutdown = lever("peer-shutdown: { node: cluster1 }");
    let mut fabric = with("peer-shutdown: { node: cluster1 }");
    assert!(fabric.release(&shutdown));
    fabric.settle("2026-01-01T00:02:00.000Z");
    let neighbor = vrf(&fabric, "leaf1").neighbors.remove(NODE).expect("configured");
    assert_eq!(neighbor.session_state, "established");
    assert_eq!(neighbor.record.received.expect("kept").at, LATER);
    assert_eq!(neighbor.record.last_event, None);
}

/// Returns the fate of the node's path to the VIP on leaf1.
fn fate(fabric: &Fabric) -> Option<PathFate> {
    vrf(fabric, "leaf1").rib.get(&(net(VIP), NODE.to_owned())).map(|path| path.fate)
}

#[test]
fn each_lever_on_a_path_leads_to_its_own_fate() {
    assert_eq!(fate(&anycast()), Some(PathFate::Best));
    for (text, expected) in [
        ("withheld: { node: cluster1, prefix: 1.1.1.100/32 }", None),
        ("session-down: { node: cluster1 }", None),
        ("policy-reject: { leaf: leaf1, prefix: 1.1.1.100/32 }", Some(PathFate::Invalid("rejected-route"))),
        ("as-loop: { node: cluster1 }", Some(PathFate::Invalid("as-loop"))),
        ("next-hop-unresolved: { node: cluster1 }", Some(PathFate::Invalid("next-hop-unresolved"))),
        ("damped: { node: cluster1 }", Some(PathFate::Damped)),
        ("fib-disabled: { node: cluster1 }", Some(PathFate::FibDisabled)),
        (
            "static-route: { leaf: leaf1, network-instance: ip-vrf-1, prefix: 1.1.1.100/32, next-hop: 192.168.1.12 }",
            Some(PathFate::Unused),
        ),
    ] {
        assert_eq!(fate(&with(text)), expected, "{text}");
    }
}

#[test]
fn a_restarting_speakers_routes_are_kept_as_stale() {
    let fabric = with("graceful-restart: { node: cluster1 }");
    let leaf1 = vrf(&fabric, "leaf1");
    assert!(leaf1.rib[&(net(VIP), NODE.to_owned())].stale);
    let used =
        leaf1.routes.iter().any(|(key, route)| key.prefix == net(VIP) && key.route_type == "bgp" && route.active);
    assert!(used);
    assert_ne!(leaf1.neighbors[NODE].session_state, "established");
}

/// Returns the fates of MetalLB's paths to the VIP of the article about ECMP.
fn fates(fabric: &Fabric, leaf: &str) -> Vec<PathFate> {
    let instance = tables(fabric, leaf).network_instances.remove("ip-vrf1").expect("there");
    let paths = instance.rib.iter().filter(|((prefix, _), path)| *prefix == net("10.254.254.241/32") && !path.by_evpn);
    paths.map(|(_, path)| path.fate).collect()
}

#[test]
fn the_ecmp_articles_paths_are_valid_but_lose_by_as_path_length() {
    use PathFate::{Best, Lost, Multipath};
    let mut fabric = ecmp_article();
    let lost = [Lost("as-path-length"), Lost("peer-router-id"), Lost("peer-router-id")];
    assert_eq!(fates(&fabric, "leaf1"), lost);
    assert_eq!(fates(&fabric, "leaf2"), [Best, Multipath, Multipath]);
    let limit = lever("multipath: { leaf: leaf2, limit: 2 }");
    fabric.pull(limit.clone()).expect("known");
    assert_eq!(fates(&fabric, "leaf2"), [Best, Multipath, Lost("multi-path")]);
    fabric.release(&limit);
    fabric.pull(lever("as-path-longer: { node: node30 }")).expect("known");
    assert_eq!(fates(&fabric, "leaf2"), [Best, Lost("as-path-length"), Multipath]);
}

#[test]
fn a_node_is_local_by_arp_mac_and_port_on_its_leaf_and_behind_a_vtep_elsewhere() {
    let fabric = anycast();
    let (leaf1, leaf2) = (tables(&fabric, "leaf1"), tables(&fabric, "leaf2"));
    let entry = |tables: &Tables| {
        tables.interfaces["irb1"].subinterfaces[&1].neighbors[&NODE.parse().expect("an address")].clone()
    };
    let (here, there) = (entry(&leaf1), entry(&leaf2));
    assert_eq!(here.mac, there.mac);
    assert_eq!((here.by_evpn, there.by_evpn), (false, true));
    let destination = |tables: &Tables| tables.network_instances["subnetA"].segment.macs[&here.mac].destination.clone();
    assert_eq!(destination(&leaf1), MacDestination::Subinterface("ethernet-1/1.0".to_owned()));
    assert_eq!(destination(&leaf2), MacDestination::Vtep("10.0.1.1".parse().expect("an address")));
    assert_eq!(leaf1.interfaces["ethernet-1/49"].lldp.as_ref().map(|it| it.system_name.as_str()), Some("spine1"));
    assert!(!tables(&fabric, "leaf4").network_instances.contains_key("subnetA"));
}

#[test]
fn a_cut_cable_removes_the_mac_at_once_and_the_arp_entry_later() {
    for (text, arp) in [("cable: { node: cluster1 }", true), ("link-down: { node: cluster1 }", false)] {
        let fabric = with(text);
        let leaf1 = tables(&fabric, "leaf1");
        let port = &leaf1.interfaces["ethernet-1/1"];
        assert_eq!(port.down.as_deref(), Some("no-active-links"), "{text}");
        assert_eq!(port.subinterfaces[&0].down.as_deref(), Some("port-down"), "{text}");
        let neighbors = &leaf1.interfaces["irb1"].subinterfaces[&1].neighbors;
        assert_eq!(neighbors.contains_key(&NODE.parse().expect("an address")), arp, "{text}");
        let learned = leaf1.network_instances["subnetA"].segment.macs.values();
        let ports = learned.filter(|it| it.destination == MacDestination::Subinterface("ethernet-1/1.0".to_owned()));
        assert_eq!(ports.count(), 0, "{text}");
        assert_eq!(
            vrf(&fabric, "leaf1")
                .routes
                .keys()
                .any(|key| key.prefix == net("192.168.1.11/32") && key.route_type == "arp-nd"),
            arp,
            "{text}"
        );
    }
}

#[test]
fn levers_on_absent_sessions_or_cables_are_refused() {
    let mut fabric = anycast();
    let refused = |fabric: &mut Fabric, text: &str| fabric.pull(lever(text)).expect_err("refused").to_string();
    assert_eq!(
        refused(&mut fabric, "session-down: { leaf: leaf4, node: cluster1 }"),
        "'leaf4' has no BGP session with node 'cluster1' (it has sessions with leaf1)"
    );
    assert_eq!(
        refused(&mut fabric, "cable: { leaf: leaf2, node: cluster1 }"),
        "node 'cluster1' is not plugged into 'leaf2' (but into leaf1)"
    );
}
