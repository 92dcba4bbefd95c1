//! Tests of reports on interfaces, links and BGP, and of the help for what may be typed.

use super::*;

fn links(store: &Datastore) {
    let neighbor = |address: &str, mac: &str, origin: &str| json!({ "ipv4-address": address, "link-layer-address": mac, "origin": origin });
    let irb = json!({ "admin-state": "enable", "oper-state": "up", "subinterface": [{
        "index": 1, "name": "irb1.1", "type": "routed", "admin-state": "enable", "oper-state": "up",
        "ipv4": { "admin-state": "enable",
            "address": [{ "ip-prefix": "192.168.1.1/24", "origin": "static", "anycast-gw": true }],
            "arp": { "neighbor": [
                neighbor("192.168.1.11", "02:00:00:00:00:0b", "dynamic"),
                neighbor("192.168.1.12", "02:00:00:00:00:0c", "evpn"),
            ] } } }] });
    put(store, "/interface[name=irb1]", irb);
    let port = json!({ "admin-state": "enable", "oper-state": "down", "oper-down-reason": "port-admin-disabled" });
    put(store, "/interface[name=ethernet-1/1]", port);
    let heard = json!({ "admin-state": "enable", "oper-state": "up", "neighbor": [{ "id": "1",
        "chassis-id": "02:AA", "chassis-id-type": "MAC_ADDRESS", "system-name": "cluster1",
        "port-id": "eth1", "port-id-type": "INTERFACE_NAME" }] });
    put(store, "/system/lldp/interface[name=ethernet-1/1]", heard);
    let instance = json!({ "type": "ip-vrf", "admin-state": "enable", "oper-state": "up", "router-id": "192.168.1.1",
        "interface": [{ "name": "irb1.1", "oper-state": "up" }] });
    put(store, "/network-instance[name=ip-vrf-1]", instance);
}

fn has_row(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| words.iter().all(|word| line.split(['|', ' ']).any(|cell| cell == *word)))
}

#[tokio::test]
async fn interfaces_are_shown_with_their_subinterfaces_and_addresses() {
    let (store, mut session) = leaf1("25.10.1");
    links(&store);
    let up = run(&mut session, "show interface").await;
    assert!(up.contains("irb1.1 is up\n    Network-instance: ip-vrf-1\n"), "{up}");
    assert!(up.contains("IPv4 addr       : 192.168.1.1/24 (static, anycast)"), "{up}");
    assert!(!up.contains("ethernet-1/1"), "{up}");
    let all = run(&mut session, "show interface all").await;
    assert!(all.contains("ethernet-1/1 is down, reason port-admin-disabled"), "{all}");
    let brief = run(&mut session, "show interface brief").await;
    assert!(has_row(&brief, &["ethernet-1/1", "enable", "down", "port-admin-disabled"]), "{brief}");
    let one: Value = serde_json::from_str(&run(&mut session, "show interface irb1 | as json").await).expect("JSON");
    assert_eq!(one["interface"][0]["Port"], "irb1");
    let wrong = fails(&mut session, "show interface irb9").await;
    assert!(wrong.contains("Unknown token 'irb9'") && wrong.contains("'irb1'"), "{wrong}");
}

#[tokio::test]
async fn instances_neighbors_and_lldp_are_shown() {
    let (store, mut session) = leaf1("25.10.1");
    links(&store);
    let summary = run(&mut session, "show network-instance summary").await;
    assert!(has_row(&summary, &["ip-vrf-1", "ip-vrf", "up", "192.168.1.1"]), "{summary}");
    let interfaces = run(&mut session, "show network-instance ip-vrf-1 interfaces").await;
    assert!(has_row(&interfaces, &["ip-vrf-1", "irb1.1", "up"]), "{interfaces}");
    let arp = run(&mut session, "show arpnd arp-entries").await;
    assert!(has_row(&arp, &["irb1", "1", "192.168.1.11", "dynamic", "02:00:00:00:00:0b"]), "{arp}");
    assert!(arp.contains("Total entries : 2 (0 static, 1 dynamic)"), "{arp}");
    let none = run(&mut session, "show arpnd arp-entries interface irb1 subinterface 2").await;
    assert!(none.contains("Total entries : 0"), "{none}");
    let lldp = run(&mut session, "show system lldp neighbor").await;
    assert!(has_row(&lldp, &["ethernet-1/1", "02:AA", "cluster1", "eth1"]), "{lldp}");
}

/// Adds a node that announces two prefixes, one of which is rejected, and a route of the leaf's own.
fn bgp(store: &Datastore) {
    put(store, "/network-instance[name=ip-vrf-1]", json!({ "type": "ip-vrf" }));
    let neighbor = json!({ "admin-state": "enable", "peer-as": 65535, "peer-group": "metal", "session-state": "established",
        "local-as": { "as-number": 65535 }, "last-established": ago(3), "dynamic-neighbor": true,
        "sent-messages": { "last-notification-error-code": "cease", "last-notification-time": ago(9) },
        "afi-safi": [{ "afi-safi-name": "ipv4-unicast", "received-routes": 2, "rejected-routes": 1,
            "active-routes": 1, "sent-routes": 1 }] });
    let path = "/network-instance[name=ip-vrf-1]/protocols/bgp/neighbor[peer-address=192.168.1.11]";
    put(store, path, neighbor);
    let path = |prefix: &str, used: bool| {
        json!({ "prefix": prefix, "neighbor": "192.168.1.11", "path-id": 0, "attr-id": "305", "neighbor-as": 65535,
            "used-route": used, "valid-route": used, "best-route": used })
    };
    let rows = [path("1.1.1.100/32", true), path("10.0.0.0/8", false)];
    let local: Vec<Value> = rows[..1]
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row["origin-protocol"] = "bgp".into();
            row
        })
        .collect();
    let family = json!({ "local-rib": { "route": local }, "rib-in-out": { "rib-in-post": { "route": rows } } });
    put(store, "/network-instance[name=ip-vrf-1]/bgp-rib/afi-safi[afi-safi-name=ipv4-unicast]/ipv4-unicast", family);
    let set =
        json!({ "attr-set": [{ "index": "305", "origin": "igp", "next-hop": "192.168.1.11", "local-pref": 100 }] });
    put(store, "/network-instance[name=ip-vrf-1]/bgp-rib/attr-sets", set);
    let value = |active: bool| json!({ "active": active, "metric": 0, "preference": 0 });
    route(store, "ip-vrf-1", "1.1.1.100/32", "bgp", "bgp_mgr", value(true));
    route(store, "ip-vrf-1", "192.168.1.0/24", "local", "net_inst_mgr", value(true));
    route(store, "ip-vrf-1", "192.168.1.11/32", "srl_nokia-common:host", "arp_nd_mgr", value(true));
}

#[tokio::test]
async fn received_and_advertised_routes_of_a_neighbor_are_shown() {
    let (store, mut session) = leaf1("25.10.1");
    bgp(&store);
    let neighbor = "show network-instance ip-vrf-1 protocols bgp neighbor 192.168.1.11";
    let received = run(&mut session, &format!("{neighbor} received-routes ipv4")).await;
    assert!(has_row(&received, &["u*>", "1.1.1.100/32", "192.168.1.11", "100", "i"]), "{received}");
    assert!(has_row(&received, &["10.0.0.0/8", "192.168.1.11"]), "{received}");
    assert!(received.contains("2 received BGP routes : 1 used 1 valid"), "{received}");
    let advertised = run(&mut session, &format!("{neighbor} advertised-routes ipv4")).await;
    assert!(has_row(&advertised, &["192.168.1.0/24", "local"]) && advertised.contains("1 advertised"), "{advertised}");
    let detail = run(&mut session, &format!("{neighbor} detail")).await;
    assert!(detail.contains("Type        : dynamic") && detail.contains("Last NOTIFICATION sent  : cease"), "{detail}");
    let rib = run(&mut session, "show network-instance ip-vrf-1 protocols bgp routes ipv4 summary").await;
    assert!(has_row(&rib, &["u*>", "192.168.1.11", "1.1.1.100/32"]), "{rib}");
    let wrong = fails(&mut session, &format!("{neighbor} received-routes ipv5")).await;
    assert_eq!(wrong, "Parsing error: Unknown token 'ipv5'. Options are ['ipv4', 'ipv6']\n");
}

#[tokio::test]
async fn a_question_mark_lists_the_possible_next_words() {
    let (store, mut session) = leaf1("25.10.1");
    links(&store);
    let commands = run(&mut session, "?").await;
    assert!(commands.contains("  show  ") && commands.contains("Print a report"), "{commands}");
    let show = run(&mut session, "show ?").await;
    assert!(show.lines().any(|line| line.trim() == "version           Show the release"), "{show}");
    assert_eq!(run(&mut session, "show network-instance ?").await.lines().next(), Some("  *         all of them"));
    let keys = run(&mut session, "show network-instance ip?").await;
    assert_eq!(keys, "  ip-vrf-1\n");
    let schema = run(&mut session, "info from state k8s-services cluster c1 ?").await;
    assert!(schema.contains("  oper-state"), "{schema}");
    assert!(run(&mut session, "show version ?").await.contains("Nothing more"));
}
