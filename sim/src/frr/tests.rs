//! Tests with the output of FRR 8.4.4: how it is shown on the leaf.

use serde_json::{Value, json};

use super::below::{Kernel, interfaces, mac_vrf};
use super::map::{History, instance};
use super::read::{BgpPath, Reading, use_global};
use super::*;
use crate::tables::{Fib, MacDestination, NetworkInstance, NextHop, PathFate, Route, RouteKey};

fn options() -> FrrOptions {
    FrrOptions {
        sockets: PathBuf::new(),
        network_instance: "ip-vrf-1".to_owned(),
        id: 5,
        kind: NetworkInstanceKind::IpVrf,
        subinterfaces: BTreeMap::from([("irb1".to_owned(), Subinterface { name: "irb1.1".to_owned(), index: 8 })]),
        below: None,
    }
}

/// Returns a subnet, a static route over it, and more routes.
fn reading(routes: &Value, neighbors: &Value, bfd: &Value) -> Reading {
    let mut all = json!({
        "192.168.1.0/24": [{
            "prefix": "192.168.1.0/24", "protocol": "connected", "selected": true, "distance": 0, "installed": true,
            "nexthops": [{ "fib": true, "directlyConnected": true, "interfaceName": "irb1", "active": true }],
        }],
        "6.4.5.1/32": [{
            "prefix": "6.4.5.1/32", "protocol": "static", "selected": true, "distance": 5, "metric": 0,
            "installed": true, "nexthops": [hop("192.168.1.11")],
        }],
        "fe80::/64": [{
            "prefix": "fe80::/64", "protocol": "connected", "selected": true, "installed": true,
            "nexthops": [{ "directlyConnected": true, "interfaceName": "irb1", "active": true }],
        }],
    });
    let members = routes.as_object().expect("routes by prefix").clone();
    all.as_object_mut().expect("an object").extend(members);
    Reading {
        routes: from(&all),
        interfaces: from(&json!({ "irb1": { "status": "up", "addresses": ["192.168.1.1/24"] }, "lo": {} })),
        neighbors: from(neighbors),
        bfd: from(bfd),
        paths: BTreeMap::new(),
    }
}

fn from<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("as FRR says it")
}

fn hop(address: &str) -> Value {
    json!({ "flags": 3, "fib": true, "ip": address, "afi": "ipv4", "interfaceName": "irb1", "active": true, "weight": 1 })
}

fn bgp(next_hops: &Value) -> Value {
    json!([{
        "prefix": "1.1.1.100/32", "protocol": "bgp", "selected": true, "distance": 169, "metric": 0,
        "installed": true, "nexthopGroupId": 23, "nexthops": next_hops,
    }])
}

fn shown(routes: &Value) -> NetworkInstance {
    instance(&options(), &reading(routes, &json!({}), &json!([])), &mut History::default(), now())
}

fn now() -> jiff::Timestamp {
    "2026-06-12T16:29:35.5Z".parse().expect("a time")
}

fn route<'a>(instance: &'a NetworkInstance, prefix: &str, route_type: &str) -> (&'a RouteKey, &'a Route) {
    let mut routes = instance.routes.iter();
    let found = routes.find(|(key, _)| key.prefix.to_string() == prefix && key.route_type == route_type);
    found.unwrap_or_else(|| panic!("no {route_type} route {prefix} in {:?}", instance.routes.keys()))
}

fn indirect(address: &str, prefix: &str, route_type: &str, owner: &str) -> NextHop {
    let resolving = Some((prefix.parse().expect("a prefix"), route_type.to_owned(), owner.to_owned()));
    NextHop::Indirect { address: address.parse().expect("an address"), resolving }
}

#[test]
fn a_connected_subnet_gives_the_routes_of_an_sr_linux_subinterface() {
    let instance = shown(&json!({}));
    assert_eq!((instance.id, instance.kind), (5, NetworkInstanceKind::IpVrf));
    let (key, local) = route(&instance, "192.168.1.0/24", "local");
    assert_eq!((key.owner.as_str(), key.id, local.preference, local.active), ("net_inst_mgr", 8, 0, true));
    let own =
        NextHop::Direct { address: "192.168.1.1".parse().expect("an address"), subinterface: "irb1.1".to_owned() };
    assert_eq!(local.next_hops, [own]);
    assert_eq!(route(&instance, "192.168.1.1/32", "host").1.next_hops, [NextHop::Extract]);
    assert_eq!(route(&instance, "192.168.1.255/32", "host").1.next_hops, [NextHop::Broadcast]);
    assert!(instance.routes.keys().all(|key| key.prefix.addr().is_ipv4()), "no link-local subnet");
}

#[test]
fn next_hops_are_those_of_bgp_with_their_resolving_routes() {
    let recursive = json!({ "flags": 5, "ip": "6.4.5.1", "afi": "ipv4", "active": true, "recursive": true });
    let mut resolver = hop("192.168.1.11");
    resolver["resolver"] = true.into();
    let instance = shown(&json!({ "1.1.1.100/32": bgp(&json!([recursive, resolver, hop("192.168.1.12")])) }));
    let (key, vip) = route(&instance, "1.1.1.100/32", "bgp");
    assert_eq!((key.owner.as_str(), key.id, vip.preference, vip.active), ("bgp_mgr", 0, 169, true));
    let through_static = indirect("6.4.5.1", "6.4.5.1/32", "static", "static_route_mgr");
    let on_subnet = indirect("192.168.1.12", "192.168.1.0/24", "local", "net_inst_mgr");
    assert_eq!(vip.next_hops, [through_static, on_subnet]);
    let (_, via) = route(&instance, "6.4.5.1/32", "static");
    assert_eq!((via.preference, via.metric), (5, 1));
    assert_eq!(via.next_hops, [indirect("192.168.1.11", "192.168.1.0/24", "local", "net_inst_mgr")]);
}

#[test]
fn inactive_routes_are_shown_but_inactive_next_hops_are_not() {
    let mut dead = hop("192.168.1.13");
    dead["active"] = false.into();
    let mut routes = bgp(&json!([hop("192.168.1.11"), dead]));
    let rejected = json!({
        "prefix": "1.1.1.100/32", "protocol": "static", "distance": 200, "metric": 0,
        "nexthops": [{ "unreachable": true, "blackhole": true, "active": true }],
    });
    routes.as_array_mut().expect("routes").push(rejected);
    let instance = shown(&json!({ "1.1.1.100/32": routes }));
    let (_, vip) = route(&instance, "1.1.1.100/32", "bgp");
    assert_eq!(vip.next_hops.len(), 1, "{vip:?}");
    let (_, lost) = route(&instance, "1.1.1.100/32", "static");
    assert!(!lost.active);
    assert_eq!(lost.next_hops, [NextHop::Discard]);
}

#[test]
fn an_unresolved_route_is_inactive_and_has_no_resolving_route() {
    let lost = json!([{
        "prefix": "1.1.1.100/32", "protocol": "bgp", "distance": 169, "metric": 0,
        "nexthops": [{ "ip": "6.4.5.9", "afi": "ipv4", "recursive": true }],
    }]);
    let instance = shown(&json!({ "1.1.1.100/32": lost }));
    let (_, vip) = route(&instance, "1.1.1.100/32", "bgp");
    assert!(!vip.active);
    assert!(matches!(vip.next_hops[..], [NextHop::Indirect { resolving: None, .. }]), "{vip:?}");
}

#[test]
fn the_kernels_answer_becomes_the_fib_state() {
    for (member, fib) in [("installed", Fib::Programmed), ("queued", Fib::Pending), ("failed", Fib::Failed)] {
        let mut vip = bgp(&json!([hop("192.168.1.11")]));
        vip[0].as_object_mut().expect("a route").remove("installed");
        vip[0][member] = true.into();
        let instance = shown(&json!({ "1.1.1.100/32": vip }));
        assert_eq!(route(&instance, "1.1.1.100/32", "bgp").1.fib, fib, "{member}");
    }
}

fn peer(state: &str, established: u64) -> Value {
    json!({
        "remoteAs": 65535, "localAs": 65535, "nbrInternalLink": true, "peerGroup": "nodes",
        "peerSubnetRangeGroup": "192.168.1.0/24", "localRouterId": "192.168.1.1", "bgpState": state,
        "bgpTimerUpEstablishedEpoch": 1_795_269_732, "connectionsEstablished": established,
        "hostLocal": "192.168.1.1", "hostForeign": "192.168.1.11",
        "addressFamilyInfo": { "ipv4Unicast": {
            "inboundSoftConfigPermit": true, "acceptedPrefixCounter": 2, "sentPrefixCounter": 1,
        } },
    })
}

#[test]
fn a_neighbor_is_dynamic_by_its_range_and_keeps_the_times_of_changes() {
    let mut history = History::default();
    let routes = json!({ "1.1.1.100/32": bgp(&json!([hop("192.168.1.11")])) });
    let mut look = |state: &str, established, seconds| {
        let neighbors = json!({ "192.168.1.11": peer(state, established) });
        let mut reading = reading(&routes, &neighbors, &json!([]));
        let families = &mut reading.neighbors.get_mut("192.168.1.11").expect("there").address_family_info;
        families.get_mut("ipv4Unicast").expect("there").adj_in = Some(5);
        let later = now() + jiff::SignedDuration::from_secs(seconds);
        let instance = instance(&options(), &reading, &mut history, later);
        assert_eq!(instance.router_id, Some("192.168.1.1".parse().expect("an address")));
        instance.neighbors.get("192.168.1.11").cloned()
    };
    let up = look("Established", 1, 0).expect("there");
    assert!(up.dynamic);
    assert_eq!((up.session_state.as_str(), up.peer_group.as_str()), ("established", "nodes"));
    assert_eq!(up.last_established.as_deref(), Some("2026-06-12T16:29:35.500Z"));
    let counters = up.afi_safis["ipv4-unicast"];
    assert_eq!((counters.received, counters.rejected, counters.active, counters.sent), (5, 3, 1, 1));
    assert_eq!(look("Established", 1, 7).as_ref(), Some(&up), "time alone changes nothing");
    let down = look("Clearing", 1, 9).expect("there");
    assert_eq!((down.session_state.as_str(), down.afi_safis.len()), ("idle", 0));
    assert_eq!(down.last_established.as_deref(), Some("2026-06-12T16:29:44.500Z"));
    let again = look("Established", 2, 11).expect("there");
    assert_eq!(again.established_transitions, 2);
    assert_eq!(look("Deleted", 2, 12), None);
    let anew = look("OpenSent", 0, 13).expect("there");
    assert_eq!((anew.session_state.as_str(), anew.last_established), ("opensent", None), "its history went with it");
}

#[test]
fn a_bfd_session_is_up_or_down() {
    let bfd = json!([
        { "multihop": false, "peer": "192.168.1.11", "local": "192.168.1.1", "vrf": "default", "interface": "irb1",
          "id": 2_002_350_277, "status": "up" },
        { "peer": "192.168.1.12", "local": "192.168.1.1", "id": 7, "status": "init" },
        { "peer": "192.168.1.13", "id": 8, "status": "down" },
    ]);
    let instance = instance(&options(), &reading(&json!({}), &json!({}), &bfd), &mut History::default(), now());
    let sessions: Vec<_> = instance.bfd.values().map(|session| (session.discriminator, session.up)).collect();
    assert_eq!(sessions, [(2_002_350_277, true), (7, false)], "one without a local address has not begun");
}

#[test]
fn a_global_next_hop_is_preferred_over_the_link_local_one_beside_it() {
    let hop = |address: &str| json!({ "ip": address, "afi": "ipv6", "interfaceName": "irb1", "active": true });
    let vip = json!([{
        "protocol": "bgp", "selected": true, "distance": 170, "installed": true,
        "nexthops": [hop("fe80::d05f:9aff:feee:cf98"), hop("fe80::1")],
    }]);
    let subnet = json!([{
        "protocol": "connected", "selected": true, "installed": true,
        "nexthops": [{ "directlyConnected": true, "interfaceName": "irb1", "active": true }],
    }]);
    let routes = json!({ "2001:db8:1::100/128": vip, "2001:db8:192::/64": subnet });
    let mut reading = reading(&routes, &json!({}), &json!([]));
    reading.interfaces.get_mut("irb1").expect("there").addresses.push("2001:db8:192::1/64".parse().expect("a prefix"));
    let paths: BTreeMap<_, Vec<BgpPath>> = from(&json!({ "2001:db8:1::100/128": [
        { "valid": true, "nexthops": [
            { "ip": "2001:db8:192::12", "afi": "ipv6", "scope": "global" },
            { "ip": "fe80::d05f:9aff:feee:cf98", "afi": "ipv6", "scope": "link-local", "used": true },
        ] },
        { "valid": true, "nexthops": [{ "ip": "fe80::1", "afi": "ipv6", "scope": "link-local", "used": true }] },
    ] }));
    use_global(&mut reading.routes, &paths);
    let instance = instance(&options(), &reading, &mut History::default(), now());
    let unnumbered =
        NextHop::Direct { address: "fe80::1".parse().expect("an address"), subinterface: "irb1".to_owned() };
    let global = indirect("2001:db8:192::12", "2001:db8:192::/64", "local", "net_inst_mgr");
    assert_eq!(route(&instance, "2001:db8:1::100/128", "bgp").1.next_hops, [unnumbered, global]);
    assert_eq!(route(&instance, "2001:db8:192::1/128", "host").0.id, 8);
}

#[test]
fn an_address_unknown_to_frr_is_none() {
    let mut idle = peer("Active", 1);
    idle["hostLocal"] = "Unknown".into();
    idle["hostForeign"] = "Unknown".into();
    let neighbors = json!({ "192.168.1.11": idle });
    let instance = instance(&options(), &reading(&json!({}), &neighbors, &json!([])), &mut History::default(), now());
    let neighbor = &instance.neighbors["192.168.1.11"];
    assert_eq!((neighbor.session_state.as_str(), neighbor.local_address), ("active", None));
}

#[test]
fn the_end_of_a_session_is_described_as_sr_linux_does() {
    let mut history = History::default();
    let mut look = |members: Value, seconds| {
        let mut said = peer("Active", 1);
        said.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        let neighbors = json!({ "192.168.1.11": said });
        let later = now() + jiff::SignedDuration::from_secs(seconds);
        let instance = instance(&options(), &reading(&json!({}), &neighbors, &json!([])), &mut history, later);
        instance.neighbors["192.168.1.11"].record.clone()
    };
    let refused = json!({
        "lastErrorCodeSubcode": "0202", "lastResetCode": 14, "messageStats": { "notificationsSent": 2 },
    });
    let record = look(refused.clone(), 0);
    let sent = record.sent.clone().expect("a NOTIFICATION");
    assert_eq!((sent.code.as_str(), sent.subcode.as_deref()), ("Open Message Error", Some("Bad Peer As")));
    assert_eq!((sent.at.as_str(), record.last_event.as_deref()), ("2026-06-12T16:29:35.500Z", Some("error")));
    assert_eq!(look(refused, 7), record, "the same one is no later for being seen again");
    let record = look(json!({ "lastResetCode": 32, "messageStats": { "notificationsSent": 2 } }), 8);
    assert_eq!(record.sent, Some(sent), "what FRR has forgotten is kept");
    assert_eq!(record.last_event.as_deref(), Some("connectRetry"));
    let shutdown = json!({
        "lastErrorCodeSubcode": "0602", "lastResetCode": 13, "messageStats": { "notificationsRecv": 1 },
    });
    let received = look(shutdown, 9).received.expect("a NOTIFICATION");
    assert_eq!((received.code.as_str(), received.subcode.as_deref()), ("Cease", Some("Administrative Shutdown")));
    let record = look(json!({ "adminShutDown": true, "bgpState": "Idle", "lastResetCode": 11 }), 10);
    assert!(record.admin_disabled);
    assert_eq!(record.last_event.as_deref(), Some("adminShutdown"));
}

/// Returns the fate of node 11's path to the VIP, next to the others' paths.
fn fate(paths: &Value, received: &Value, routes: &Value) -> Option<(PathFate, bool)> {
    let mut eleven = peer("Established", 1);
    eleven["localAs"] = 65001.into();
    let neighbors = json!({ "192.168.1.11": eleven, "192.168.1.12": peer("Established", 1) });
    let mut reading = reading(routes, &neighbors, &json!([]));
    reading.paths = from(&json!({ "1.1.1.100/32": paths }));
    reading.neighbors.get_mut("192.168.1.11").expect("there").received = from(received);
    let rib = instance(&options(), &reading, &mut History::default(), now()).rib;
    let key = ("1.1.1.100/32".parse().expect("a prefix"), "192.168.1.11".to_owned());
    rib.get(&key).map(|path| (path.fate, path.stale))
}

#[test]
fn the_fate_of_a_path_is_derived_from_the_answers_of_frr() {
    let path = |members: Value| {
        let mut path =
            json!({ "valid": true, "peerId": "192.168.1.11", "path": "", "nexthops": [{ "ip": "192.168.1.11" }] });
        path.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        path
    };
    let routes = json!({ "1.1.1.100/32": bgp(&json!([hop("192.168.1.11")])) });
    let fate_of = |paths: Value| fate(&paths, &json!({}), &routes).expect("a row");
    assert_eq!(fate_of(json!([path(json!({ "bestpath": true }))])), (PathFate::Best, false));
    assert_eq!(fate_of(json!([path(json!({ "multipath": true }))])), (PathFate::Multipath, false));
    assert_eq!(fate_of(json!([path(json!({ "bestpath": true, "stale": true }))])), (PathFate::Best, true));
    assert_eq!(fate_of(json!([path(json!({ "damped": true }))])), (PathFate::Damped, false));
    let withdrawn = json!([path(json!({ "valid": false, "history": true }))]);
    assert_eq!(fate(&withdrawn, &json!({}), &routes), None, "only its history is left");
    let unresolved = PathFate::Invalid("next-hop-unresolved");
    assert_eq!(fate_of(json!([path(json!({ "valid": false }))])), (unresolved, false));
    let best =
        path(json!({ "peerId": "192.168.1.12", "bestpath": true, "selectionReason": "Router ID", "locPrf": 100 }));
    for (members, reason) in [
        (json!({ "locPrf": 90 }), "local-pref"),
        (json!({ "locPrf": 100, "path": "65000 65000" }), "as-path-length"),
        (json!({ "locPrf": 100, "origin": "incomplete" }), "origin"),
        (json!({ "locPrf": 100 }), "peer-router-id"),
    ] {
        assert_eq!(fate_of(json!([best.clone(), path(members)])), (PathFate::Lost(reason), false));
    }
    let unused = fate(&json!([path(json!({ "bestpath": true }))]), &json!({}), &json!({}));
    assert_eq!(unused, Some((PathFate::Unused, false)), "zebra has another route");

    let sent = |as_path: &str| json!({ "1.1.1.100/32": { "nextHop": "192.168.1.11", "path": as_path } });
    let left_out = |received: Value| fate(&json!([]), &received, &routes);
    assert_eq!(left_out(sent("65535")), Some((PathFate::Invalid("rejected-route"), false)));
    assert_eq!(left_out(sent("65535 65001")), Some((PathFate::Invalid("as-loop"), false)));
    assert_eq!(left_out(json!({})), None);
}

#[test]
fn the_kernels_bridge_becomes_a_mac_vrf_with_its_ports() {
    let below = Below {
        namespace: String::new(),
        bridge: "irb1".to_owned(),
        mac_vrf: "subnetA".to_owned(),
        ports: BTreeMap::from([1, 2, 3].map(|port| (format!("port{port}"), format!("ethernet-1/{port}")))),
    };
    let kernel = Kernel {
        neighbors: from(&json!([
            { "dst": "192.168.1.11", "lladdr": "42:7f:fa:50:39:9f", "state": ["STALE"] },
            { "dst": "192.168.1.12", "state": ["INCOMPLETE"] },
            { "dst": "192.168.1.13", "lladdr": "42:7f:fa:50:39:9d", "state": ["FAILED"] },
        ])),
        macs: from(&json!([
            { "mac": "42:7f:fa:50:39:9f", "ifname": "port1", "flags": [], "master": "irb1", "state": "" },
            { "mac": "1a:38:bf:3e:f1:9d", "ifname": "port1", "flags": [], "master": "irb1", "state": "permanent" },
            { "mac": "33:33:00:00:00:01", "ifname": "irb1", "flags": ["self"], "state": "permanent" },
        ])),
        links: from(&json!([
            { "ifname": "lo", "operstate": "UNKNOWN", "flags": ["LOOPBACK", "UP"] },
            { "ifname": "port1", "operstate": "UP", "flags": ["BROADCAST", "UP"], "address": "1a:38:bf:3e:f1:9d" },
            { "ifname": "port2", "operstate": "LOWERLAYERDOWN", "flags": ["NO-CARRIER", "UP"] },
            { "ifname": "port3", "operstate": "DOWN", "flags": ["BROADCAST"] },
        ])),
    };
    let shown = interfaces(&below, "irb1.1", &kernel);
    let down: Vec<_> =
        ["ethernet-1/1", "ethernet-1/2", "ethernet-1/3"].map(|port| shown[port].down.as_deref()).to_vec();
    assert_eq!(down, [None, Some("lower-layer-down"), Some("port-admin-disabled")]);
    let answering = &shown["irb1"].subinterfaces[&1].neighbors;
    let node: std::net::IpAddr = "192.168.1.11".parse().expect("an address");
    assert_eq!(
        answering.iter().map(|(at, it)| (*at, it.mac.as_str())).collect::<Vec<_>>(),
        [(node, "42:7F:FA:50:39:9F")]
    );
    let bridge = mac_vrf(&below, "irb1.1", &kernel).segment;
    let learned: Vec<_> = bridge.macs.iter().map(|(mac, it)| (mac.as_str(), &it.destination)).collect();
    let port = MacDestination::Subinterface("ethernet-1/1.0".to_owned());
    assert_eq!(learned, [("42:7F:FA:50:39:9F", &port)]);
    assert!(bridge.subinterfaces.contains_key("irb1.1"));
}
