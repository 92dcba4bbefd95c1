//! Tests of the walk with the recorded behaviour of labs and articles.

use std::net::IpAddr;

use super::*;

const VRF: &str = "ip-vrf-1";
const NET: &str = "subnet-a";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn via(addresses: &[&str]) -> Route {
    Route { programmed: true, hops: addresses.iter().map(|address| Hop::Via(ip(address))).collect() }
}

fn tunnels(vteps: &[&str]) -> Route {
    let hops = vteps.iter().map(|vtep| Hop::Tunnel { vtep: ip(vtep), vrf: VRF.to_owned() });
    Route { programmed: true, hops: hops.collect() }
}

fn connected() -> Route {
    Route { programmed: true, hops: vec![Hop::Connected] }
}

/// Returns a network in which node n is host n-1 on leaf n, 192.168.1.1n, with a pod of a service of policy Cluster.
fn anycast() -> Network {
    let mut network = Network::default();
    for number in 1..=4_usize {
        let vtep = format!("10.0.1.{number}");
        let mut leaf = Leaf { vteps: [ip(&vtep)].into(), underlay: true, ..Leaf::default() };
        let vrf = leaf.vrfs.entry(VRF.to_owned()).or_default();
        let others: Vec<String> =
            (1..=3).filter(|other| *other != number).map(|other| format!("10.0.1.{other}")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        if number < 4 {
            let node = ip(&format!("192.168.1.1{number}"));
            vrf.routes.insert(net("192.168.1.0/24"), connected());
            vrf.routes.insert(net("1.1.1.100/32"), via(&[&node.to_string()]));
            vrf.neighbors.insert(node, Neighbor { mac: number as u64, port: Port::Bridge(NET.to_owned()) });
            let bridge = leaf.bridges.entry(NET.to_owned()).or_default();
            bridge.macs.insert(number as u64, Location::Cable(network.cables.len()));
            network.cables.push(Cable { up: true, host: network.hosts.len() });
            let kind = HostKind::Node { cluster: "c1".to_owned() };
            network.hosts.push(Host { name: format!("n{number}"), up: true, kind });
        } else {
            vrf.routes.insert(net("1.1.1.100/32"), tunnels(&others));
        }
        network.leaves.insert(format!("leaf{number}"), leaf);
    }
    let endpoint = |host| Endpoint { host: Some(host), state: EndpointState::Ready };
    let endpoints = (0..3).map(endpoint).collect();
    let name = "nginxhello".to_owned();
    network.services = vec![Service { cluster: "c1".to_owned(), name, local: false, everywhere: false, endpoints }];
    network
}

fn walk(network: &Network, leaf: &str) -> Outcome {
    network.walk(Flow { leaf, vrf: VRF, destination: ip("1.1.1.100"), services: &[0] })
}

/// Returns the end of a flow that has one branch.
fn only_end(network: &Network, leaf: &str) -> End {
    let outcome = walk(network, leaf);
    assert_eq!(outcome.0.len(), 1, "{outcome}");
    outcome.0[0].end.clone()
}

#[test]
fn leaf1_to_leaf3_deliver_to_their_own_nodes() {
    let network = anycast();
    for (at, leaf) in ["leaf1", "leaf2", "leaf3"].into_iter().enumerate() {
        let outcome = walk(&network, leaf);
        assert!(outcome.all_arrive(), "{leaf}: {outcome}");
        assert_eq!(outcome.hosts(), [at].into(), "{leaf}");
    }
}

#[test]
fn leaf4_spreads_over_three_tunnels_to_all_nodes() {
    let outcome = walk(&anycast(), "leaf4");
    assert!(outcome.all_arrive(), "{outcome}");
    assert_eq!(outcome.hosts(), [0, 1, 2].into());
    assert!((outcome.share() - 1.0).abs() < 1e-9);
}

#[test]
fn a_node_without_a_pod_loses_its_share_only_under_policy_local() {
    let mut network = anycast();
    network.services[0].endpoints.remove(1);
    assert!(walk(&network, "leaf4").all_arrive(), "another node's pod serves");
    network.services[0].local = true;
    let outcome = walk(&network, "leaf4");
    assert!(!outcome.all_arrive() && !outcome.none_arrives(), "{outcome}");
    assert!(outcome.0.iter().any(|branch| branch.end == End::NoPod(1)), "{outcome}");
    assert!(walk(&network, "leaf2").none_arrives());
}

/// The ECMP article: on leaf1, EVPN's path has the shorter AS path, so that everything goes to leaf2, which has three
/// sessions.
#[test]
fn the_ecmp_articles_leaf1_sends_everything_to_leaf2_and_everything_arrives() {
    let mut network = anycast();
    let node = |number: usize| format!("192.168.1.1{number}");
    for leaf in ["leaf1", "leaf2"] {
        let leaf = network.leaves.get_mut(leaf).expect("it is there");
        for number in 1..=3 {
            let neighbor = Neighbor { mac: number as u64, port: Port::Bridge(NET.to_owned()) };
            leaf.vrfs.get_mut(VRF).expect("it is there").neighbors.insert(ip(&node(number)), neighbor);
            let bridge = leaf.bridges.get_mut(NET).expect("it is there");
            bridge.macs.entry(number as u64).or_insert(Location::Tunnel(ip(&format!("10.0.1.{number}"))));
        }
    }
    let table = |network: &mut Network, leaf: &str, route| {
        let vrf = network.leaves.get_mut(leaf).and_then(|leaf| leaf.vrfs.get_mut(VRF)).expect("it is there");
        vrf.routes.insert(net("1.1.1.100/32"), route);
    };
    table(&mut network, "leaf1", tunnels(&["10.0.1.2"]));
    table(&mut network, "leaf2", via(&[&node(1), &node(2), &node(3)]));
    let outcome = walk(&network, "leaf1");
    assert!(outcome.all_arrive(), "{outcome}");
    assert_eq!(outcome.hosts(), [0, 1, 2].into());
    table(&mut network, "leaf2", tunnels(&["10.0.1.1"]));
    assert_eq!(only_end(&network, "leaf1"), End::Loop("leaf1".to_owned()));
}

#[test]
fn a_withdrawn_route_leaves_a_default_route_that_does_not_count() {
    let mut network = anycast();
    let vrf = network.leaves.get_mut("leaf4").and_then(|leaf| leaf.vrfs.get_mut(VRF)).expect("it is there");
    vrf.routes.remove(&net("1.1.1.100/32"));
    vrf.routes.insert(net("0.0.0.0/0"), tunnels(&["10.0.1.1"]));
    assert_eq!(only_end(&network, "leaf4"), End::DefaultRoute("leaf4".to_owned()));
}

#[test]
fn a_leaked_route_is_resolved_in_the_vrf_it_comes_from() {
    let mut network = anycast();
    let leaf = network.leaves.get_mut("leaf1").expect("it is there");
    leaf.vrfs.get_mut(VRF).expect("it is there").routes.remove(&net("1.1.1.100/32"));
    let leaked = |vrf: &str| {
        let hop = Hop::ViaIn { vrf: vrf.to_owned(), address: ip("192.168.1.11") };
        Route { programmed: true, hops: vec![hop] }
    };
    leaf.vrfs.insert("other".to_owned(), Vrf { routes: [(net("1.1.1.100/32"), leaked(VRF))].into(), ..Vrf::default() });
    let flow = Flow { leaf: "leaf1", vrf: "other", destination: ip("1.1.1.100"), services: &[0] };
    assert!(network.walk(flow).all_arrive());
    let other = network.leaves.get_mut("leaf1").and_then(|leaf| leaf.vrfs.get_mut("other")).expect("it is there");
    other.routes.insert(net("1.1.1.100/32"), leaked("other"));
    assert_eq!(network.walk(flow).0[0].end, End::Unresolved(ip("192.168.1.11")));
}

#[test]
fn each_dead_component_ends_the_walk_with_its_own_outcome() {
    let mut cut = anycast();
    cut.cables[0].up = false;
    assert_eq!(only_end(&cut, "leaf1"), End::DeadCable(0));
    let mut off = anycast();
    off.hosts[0].up = false;
    assert_eq!(only_end(&off, "leaf1"), End::DeadHost(0));
    let mut alone = anycast();
    alone.leaves.get_mut("leaf4").expect("it is there").underlay = false;
    assert!(walk(&alone, "leaf4").0.iter().all(|branch| matches!(branch.end, End::DeadTunnel(_))));
    let mut failed = anycast();
    let vrf = failed.leaves.get_mut("leaf1").and_then(|leaf| leaf.vrfs.get_mut(VRF)).expect("it is there");
    vrf.routes.get_mut(&net("1.1.1.100/32")).expect("it is there").programmed = false;
    assert_eq!(only_end(&failed, "leaf1"), End::NotProgrammed("leaf1".to_owned()));
    let mut aged = anycast();
    let vrf = aged.leaves.get_mut("leaf1").and_then(|leaf| leaf.vrfs.get_mut(VRF)).expect("it is there");
    vrf.neighbors.clear();
    assert_eq!(only_end(&aged, "leaf1"), End::Unresolved(ip("192.168.1.11")));
}

#[test]
fn terminating_endpoints_serve_only_if_no_other_is_ready() {
    let mut network = anycast();
    network.services[0].local = true;
    network.services[0].endpoints[0].state = EndpointState::Draining;
    assert!(walk(&network, "leaf1").all_arrive());
    network.services[0].endpoints[0].state = EndpointState::Unready;
    assert_eq!(only_end(&network, "leaf1"), End::NoPod(0));
}
