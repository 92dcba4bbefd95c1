//! Tests of NDK rows and state computed from tables, without sockets.

use std::collections::BTreeMap;

use super::changes::Changes;
use super::plane::{Plane, merge};
use super::*;
use crate::datastore::Source;
use crate::ndk::{AnnounceFirst, ProgrammedRoute, RouteRow, Switches};
use crate::tables::{BfdSession, Fib, NetworkInstance, NetworkInstanceKind, NextHop, Route, RouteKey};

const VIP: &str = "1.1.1.100/32";

fn key(prefix: &str, route_type: &str, owner: &str) -> RouteKey {
    let prefix = prefix.parse().expect("a prefix");
    RouteKey { prefix, route_type: route_type.to_owned(), owner: owner.to_owned(), id: 0 }
}

fn via(addresses: &[&str]) -> Vec<NextHop> {
    let resolving = Some(("192.168.1.0/24".parse().expect("a prefix"), "local".to_owned(), "net_inst_mgr".to_owned()));
    let hop = |it: &&str| NextHop::Indirect { address: it.parse().expect("an address"), resolving: resolving.clone() };
    addresses.iter().map(hop).collect()
}

fn route(preference: u8, active: bool, next_hops: Vec<NextHop>) -> Route {
    Route { preference, metric: 0, active, next_hops, fib: Fib::Programmed }
}

fn instance(routes: impl IntoIterator<Item = (RouteKey, Route)>) -> NetworkInstance {
    NetworkInstance {
        id: 3,
        kind: NetworkInstanceKind::IpVrf,
        router_id: Some("192.168.1.1".parse().expect("an address")),
        oper_up: true,
        routes: routes.into_iter().collect(),
        neighbors: BTreeMap::new(),
        farewells: BTreeMap::new(),
        bfd: BTreeMap::new(),
        segment: Default::default(),
        rib: Default::default(),
        bgp_preference: None,
    }
}

pub(super) fn tables(routes: impl IntoIterator<Item = (RouteKey, Route)>) -> Tables {
    Tables { network_instances: BTreeMap::from([("ip-vrf-1".to_owned(), instance(routes))]), ..Tables::default() }
}

/// A local route with preference 169 and an EVPN route with 170, as on leaf1 of the anycast lab.
pub(super) fn local_over_evpn() -> [(RouteKey, Route); 2] {
    [
        (key(VIP, "bgp", "bgp_mgr"), route(169, true, via(&["192.168.1.11"]))),
        (
            key(VIP, "bgp-evpn", "bgp_evpn_mgr"),
            route(170, false, vec![NextHop::Vxlan { vtep: "10.0.1.2".parse().expect("an address") }]),
        ),
    ]
}

fn show(plane: &mut Plane, tables: Tables) -> Changes {
    plane.show(tables, AnnounceFirst::Routes, &mut |owner| if owner == "bgp_mgr" { 14 } else { 13 })
}

fn routes(changes: &Changes) -> Vec<Option<RouteRow>> {
    let of_routes = changes.rows.iter().filter(|(key, _)| matches!(key, Key::Route { .. }));
    of_routes
        .map(|(_, row)| match row {
            Some(Row::Route(row)) => Some(*row),
            _ => None,
        })
        .collect()
}

fn groups(changes: &Changes) -> Vec<(u64, bool)> {
    let of_groups = changes.rows.iter().filter_map(|(key, row)| match key {
        Key::Group(id) => Some((*id, row.is_some())),
        _ => None,
    });
    of_groups.collect()
}

#[test]
fn only_the_active_route_of_a_prefix_is_announced() {
    let mut plane = Plane::default();
    let changes = show(&mut plane, tables(local_over_evpn()));
    let routes = routes(&changes);
    assert_eq!(routes.len(), 1);
    let row = routes[0].expect("a route");
    assert_eq!((row.preference, row.owner), (169, 14));
    assert!(groups(&changes).contains(&(row.group, true)));
}

#[test]
fn repeated_tables_change_nothing() {
    let mut plane = Plane::default();
    show(&mut plane, tables(local_over_evpn()));
    let changes = show(&mut plane, tables(local_over_evpn()));
    assert!(changes.rows.is_empty());
    assert!(changes.ops.is_empty());
}

#[test]
fn routes_with_equal_next_hops_share_a_group_with_a_large_odd_id() {
    let mut plane = Plane::default();
    let changes = show(
        &mut plane,
        tables([
            (key("1.1.1.100/32", "bgp", "bgp_mgr"), route(169, true, via(&["192.168.1.11"]))),
            (key("1.1.1.101/32", "bgp", "bgp_mgr"), route(169, true, via(&["192.168.1.11"]))),
        ]),
    );
    let (routes, groups) = (routes(&changes), groups(&changes));
    assert_eq!(groups.len(), 1);
    assert!(groups[0].0 > 1 << 32 && groups[0].0 % 2 == 1, "{groups:?}");
    assert!(routes.iter().all(|row| row.is_some_and(|row| row.group == groups[0].0)));
}

#[test]
fn different_next_hops_make_a_new_group_and_an_unused_group_is_deleted() {
    let mut plane = Plane::default();
    let before =
        groups(&show(&mut plane, tables([(key(VIP, "bgp", "bgp_mgr"), route(169, true, via(&["192.168.1.11"])))])));
    let two = via(&["192.168.1.11", "192.168.1.12"]);
    let changes = show(&mut plane, tables([(key(VIP, "bgp", "bgp_mgr"), route(169, true, two))]));
    let after = groups(&changes);
    assert_eq!(after.len(), 2);
    assert!(after[0].1 && after[0].0 != before[0].0);
    assert_eq!(after[1], (before[0].0, false));
    assert_eq!(routes(&changes)[0].map(|row| row.group), Some(after[0].0));
}

#[test]
fn groups_can_be_announced_before_the_routes_that_use_them() {
    let mut plane = Plane::default();
    let changes = plane.show(tables(local_over_evpn()), AnnounceFirst::Groups, &mut |_| 1);
    let position = |wanted: fn(&Key) -> bool| changes.rows.iter().position(|(key, _)| wanted(key));
    assert!(position(|key| matches!(key, Key::Group(_))) < position(|key| matches!(key, Key::Route { .. })));
}

#[test]
fn a_withdrawn_local_route_activates_the_evpn_one() {
    let mut plane = Plane::default();
    show(&mut plane, tables(local_over_evpn()));
    let [_, (evpn, mut other)] = local_over_evpn();
    other.active = true;
    let changes = show(&mut plane, tables([(evpn, other)]));
    assert_eq!(routes(&changes)[0].map(|row| (row.preference, row.owner)), Some((170, 13)));
}

#[test]
fn a_removed_network_instance_removes_everything_in_it() {
    let mut plane = Plane::default();
    let mut with_bfd = tables(local_over_evpn());
    let session = BfdSession { local: "192.168.1.1".parse().expect("an address"), up: true, discriminator: 16385 };
    if let Some(instance) = with_bfd.network_instances.get_mut("ip-vrf-1") {
        instance.bfd.insert("192.168.1.11".parse().expect("an address"), session);
    }
    let first = show(&mut plane, with_bfd);
    assert!(first.rows.iter().any(|(key, row)| matches!(key, Key::Bfd { instance: 3, .. }) && row.is_some()));
    let changes = show(&mut plane, Tables::default());
    assert!(changes.rows.iter().all(|(_, row)| row.is_none()));
    assert!(changes.ops.iter().all(|op| matches!(op, StateOp::Delete(_))));
    assert_eq!(routes(&changes), [None]);
    assert_eq!(groups(&changes).len(), 2);
    assert!(changes.rows.iter().any(|(key, _)| matches!(key, Key::NetworkInstance(name) if name == "ip-vrf-1")));
    assert!(changes.rows.iter().any(|(key, _)| matches!(key, Key::Bfd { .. })));
}

#[test]
fn a_mac_vrf_is_in_state_but_not_in_the_ndk() {
    let mut plane = Plane::default();
    let mut mac = instance([]);
    mac.kind = NetworkInstanceKind::MacVrf;
    let changes = show(
        &mut plane,
        Tables { network_instances: BTreeMap::from([("subnet".to_owned(), mac)]), ..Tables::default() },
    );
    assert!(changes.rows.iter().all(|(_, row)| row.is_none()));
    assert!(!changes.ops.is_empty());
}

#[test]
fn renumbering_gives_every_group_a_new_id_without_withdrawing_routes() {
    let mut plane = Plane::default();
    let before = groups(&show(&mut plane, tables(local_over_evpn())));
    let changes = plane.renumber(AnnounceFirst::Routes, &mut |_| 14);
    assert!(routes(&changes).iter().all(Option::is_some));
    let after = groups(&changes);
    assert_eq!(after.iter().filter(|(_, there)| *there).count(), before.len());
    assert!(before.iter().all(|(id, _)| after.contains(&(*id, false))));
}

#[test]
fn a_route_programmed_by_an_application_wins_by_preference_and_is_resolved() {
    let subnet = (
        key("192.168.1.0/24", "local", "net_inst_mgr"),
        route(
            0,
            true,
            vec![NextHop::Direct {
                address: "192.168.1.1".parse().expect("an address"),
                subinterface: "irb1.1".to_owned(),
            }],
        ),
    );
    let [local, evpn] = local_over_evpn();
    let programmed = |preference, address: &str| ProgrammedRoute {
        network_instance: "ip-vrf-1".to_owned(),
        prefix: VIP.parse().expect("a prefix"),
        owner: "rift".to_owned(),
        preference,
        metric: 7,
        next_hops: vec![NextHop::Indirect { address: address.parse().expect("an address"), resolving: None }],
    };
    let all = [subnet, local, evpn];
    let ndk = |tables: &Tables| {
        let routes = &tables.network_instances["ip-vrf-1"].routes;
        routes
            .iter()
            .filter(|(key, _)| key.prefix == VIP.parse().expect("a prefix"))
            .map(|(key, it)| (key.route_type.clone(), it.active))
            .collect::<Vec<_>>()
    };
    let expect = |bgp, ndk1| [("bgp".to_owned(), bgp), ("bgp-evpn".to_owned(), false), ("ndk1".to_owned(), ndk1)];
    assert_eq!(ndk(&merge(tables(all.clone()), vec![programmed(100, "192.168.1.12")])), expect(false, true));
    assert_eq!(ndk(&merge(tables(all.clone()), vec![programmed(200, "192.168.1.12")])), expect(true, false));
    assert_eq!(ndk(&merge(tables(all), vec![programmed(100, "172.16.0.1")])), expect(true, false));
}

/// Returns tables with one of everything.
fn everything() -> Tables {
    let address = |text: &str| text.parse::<std::net::IpAddr>().expect("an address");
    let hops = [
        via(&["192.168.1.11", "192.168.1.12"]),
        vec![NextHop::Direct { address: address("192.168.1.1"), subinterface: "irb1.1".to_owned() }],
        vec![NextHop::Vxlan { vtep: address("10.0.1.2") }],
        vec![NextHop::Indirect { address: address("192.168.9.9"), resolving: None }],
        vec![NextHop::Extract],
        vec![NextHop::Broadcast],
        vec![NextHop::Discard],
    ];
    let types = [
        ("bgp", "bgp_mgr"),
        ("local", "net_inst_mgr"),
        ("bgp-evpn", "bgp_evpn_mgr"),
        ("static", "static_route_mgr"),
        ("host", "net_inst_mgr"),
        ("arp-nd", "arp_nd_mgr"),
        ("ndk1", "rift"),
    ];
    let mut tables = tables(hops.into_iter().zip(types).enumerate().map(|(position, (hops, (route_type, owner)))| {
        let prefix =
            if position % 2 == 0 { format!("10.9.{position}.0/24") } else { format!("2001:db8:{position}::/64") };
        let fib = [Fib::Programmed, Fib::Pending, Fib::Failed][position % 3];
        (key(&prefix, route_type, owner), Route { fib, ..route(170, position != 4, hops) })
    }));
    let counters = crate::tables::AfiSafi { received: 3, active: 2, rejected: 0, sent: 1 };
    let neighbor = crate::tables::Neighbor {
        session_state: "established".to_owned(),
        last_established: Some("2026-06-12T16:29:35.500Z".to_owned()),
        established_transitions: 3,
        peer_as: 65001,
        local_as: 64601,
        peer_group: "metal".to_owned(),
        dynamic: true,
        local_address: Some(address("192.168.1.1")),
        afi_safis: ["ipv4-unicast", "ipv6-unicast", "evpn"].map(|name| (name.to_owned(), counters)).into(),
        record: Default::default(),
    };
    let instance = tables.network_instances.get_mut("ip-vrf-1").expect("the network instance");
    instance.neighbors.insert("fe80::88:9ff:feff:1%ethernet-1/1.0".to_owned(), neighbor.clone());
    let idle = crate::tables::Neighbor {
        session_state: "idle".to_owned(),
        last_established: None,
        established_transitions: 0,
        dynamic: false,
        ..neighbor
    };
    instance.neighbors.insert("192.168.1.11".to_owned(), idle);
    let session = BfdSession { local: address("192.168.1.1"), up: false, discriminator: 16385 };
    instance.bfd.insert(address("192.168.1.11"), session);
    for kind in [NetworkInstanceKind::Default, NetworkInstanceKind::MacVrf] {
        let it = NetworkInstance { kind, router_id: None, oper_up: false, ..super::tests::instance([]) };
        tables.network_instances.insert(format!("{kind:?}"), it);
    }
    tables
}

/// Returns the state at a path, as plain JSON.
fn state(store: &Datastore, path: &str) -> Option<serde_json::Value> {
    store.json(Source::State, &path.parse().expect("a path")).expect("the path is known")
}

#[test]
fn all_native_state_fits_the_yang_and_is_removed_completely() {
    let store = Datastore::new(crate::ndk::tests::schema());
    let mut plane = Plane::default();
    for op in show(&mut plane, everything()).ops {
        store.apply_state("native", vec![op.clone()]).unwrap_or_else(|refusal| panic!("{refusal}: {op:?}"));
    }
    let table = "/network-instance[name=ip-vrf-1]/route-table";
    let statistics = state(&store, &format!("{table}/ipv4-unicast/statistics")).expect("statistics");
    assert_eq!(statistics["fib-failed-routes"], 1);
    assert_eq!(statistics["total-routes"], "4");
    let statistics = state(&store, &format!("{table}/ipv6-unicast/statistics")).expect("statistics");
    assert_eq!(statistics["fib-failed-routes"], 1);
    let neighbor = "/network-instance[name=ip-vrf-1]/protocols/bgp/neighbor[peer-address=192.168.1.11]";
    assert_eq!(state(&store, &format!("{neighbor}/session-state")), Some("idle".into()));
    assert_eq!(state(&store, &format!("{neighbor}/dynamic-neighbor")), None);
    for op in show(&mut plane, Tables::default()).ops {
        store.apply_state("native", vec![op.clone()]).unwrap_or_else(|refusal| panic!("{refusal}: {op:?}"));
    }
    assert_eq!(state(&store, "/"), Some(serde_json::json!({})));
}

#[tokio::test]
async fn a_leaf_shows_its_system_its_applications_and_its_interfaces() {
    let (leaf, _folder) = leaf().await;
    let store = leaf.datastore();
    assert_eq!(state(store, "/system/information/version"), Some("v25.3.1".into()));
    assert_eq!(state(store, "/system/app-management/application[name=bgp_mgr]/state"), Some("running".into()));
    assert_eq!(state(store, "/interface[name=ethernet-1/1]/oper-state"), Some("up".into()));
    leaf.set_interface("ethernet-1/1", false);
    assert_eq!(state(store, "/interface[name=ethernet-1/1]/oper-state"), Some("down".into()));
}

#[tokio::test]
async fn an_added_application_appears_in_state_with_its_file() {
    let (leaf, folder) = leaf().await;
    let file = folder.path().join("app.yml");
    let text = "app:\n  path: /bin\n  launch-command: ./sleep 60\n  restricted-operations: [quit]\n  \
                yang-modules:\n    names: [app]\n    source-directories: [/opt/app/yang]\n";
    std::fs::write(&file, text).expect("the file is written");
    leaf.add_app(AppSpec::read(&file).expect("the file is well-formed").remove(0), Overrides::default());
    let mut status = leaf.apps().status("app").expect("the application is known");
    status.wait_for(|it| it.state == crate::appmgr::AppState::Running).await.expect("it is supervised");
    let entry = "/system/app-management/application[name=app]";
    let shown = async {
        while state(leaf.datastore(), &format!("{entry}/pid")).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), shown).await.expect("it is shown in time");
    let shown = state(leaf.datastore(), entry).expect("an entry");
    assert_eq!(shown["failure-action"], "reboot");
    assert_eq!(shown["restricted-operations"], serde_json::json!(["quit"]));
    assert_eq!(shown["yang"]["modules"], serde_json::json!(["app"]));
}

pub(super) async fn leaf() -> (Leaf, tempfile::TempDir) {
    leaf_with(Switches::default()).await
}

pub(super) async fn leaf_with(switches: Switches) -> (Leaf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = LeafOptions {
        profile: switches.into(),
        ..LeafOptions::new("leaf1", folder.path(), crate::ndk::tests::schema())
    };
    (Leaf::start(options).await.expect("the leaf starts"), folder)
}

#[tokio::test]
async fn an_application_can_join_routes_groups_and_owners_of_a_leaf() {
    use crate::ndk::tests::client::{Client, all_groups, all_routes};
    use pb::notification::SubscriptionTypes as Told;
    let (leaf, _folder) = leaf().await;
    leaf.set_tables(tables(local_over_evpn()));
    leaf.ndk().add_app(crate::ndk::AppInfo { name: "app".to_owned(), ..Default::default() });
    let mut client = Client::connect(leaf.ndk().socket(), "app").await;
    client.register(pb::AgentRegistrationRequest::default()).await;
    let mut reader = client.follow([all_routes(), all_groups()]).await;
    let told = reader.take(3).await;
    let Some(Told::Route(route)) = &told[0].subscription_types else { panic!("{told:?}") };
    let route = route.data.clone().expect("data");
    assert_eq!(route.owner_id, client.app_id("bgp_mgr").await.id);
    let group = told[1..].iter().find_map(|notification| match &notification.subscription_types {
        Some(Told::NexthopGroup(group)) if group.key == route.nexthop_group_id => group.data.clone(),
        _ => None,
    });
    let hop = &group.expect("the route's group").nexthops[0];
    let Some(pb::next_hop::Nexthop::IpNexthop(address)) = &hop.nexthop else { panic!("{hop:?}") };
    assert_eq!(&address.ip_address[..], &[192, 168, 1, 11]);
}

#[tokio::test]
async fn a_route_programmed_by_an_application_is_announced_as_its_own() {
    use crate::ndk::tests::client::{Client, all_routes};
    use pb::notification::SubscriptionTypes as Told;
    let (leaf, _folder) = leaf().await;
    let subnet = vec![NextHop::Direct {
        address: "192.168.1.1".parse().expect("an address"),
        subinterface: "irb1.1".to_owned(),
    }];
    leaf.set_tables(tables([(key("192.168.1.0/24", "local", "net_inst_mgr"), route(0, true, subnet))]));
    let id = leaf.ndk().add_app(crate::ndk::AppInfo { name: "rift".to_owned(), ..Default::default() });
    let mut client = Client::connect(leaf.ndk().socket(), "rift").await;
    client.register(pb::AgentRegistrationRequest::default()).await;
    let mut reader = client.follow([all_routes()]).await;
    reader.take(1).await;
    let hop = pb::NextHop {
        resolve_to: pb::next_hop::ResolveToType::Indirect as i32,
        r#type: pb::next_hop::ResolutionType::Regular as i32,
        nexthop: Some(pb::next_hop::Nexthop::IpNexthop(pb::IpAddressPb {
            ip_address: bytes::Bytes::from_static(&[192, 168, 1, 12]),
        })),
    };
    let prefix = pb::IpAddrPrefLenPb {
        ip_addr: Some(pb::IpAddressPb { ip_address: bytes::Bytes::from_static(&[9, 9, 9, 9]) }),
        prefix_length: 32,
    };
    let info = pb::RouteInfo {
        key: Some(pb::RouteKey { network_instance_name: "ip-vrf-1".to_owned(), ip_prefix: Some(prefix) }),
        data: Some(pb::Route { preference: 250, nexthops: vec![hop], ..pb::Route::default() }),
    };
    let request = client.call(pb::RouteAddRequest { routes: vec![info] });
    client.routes().route_add_or_update(request).await.expect("an answer");
    let told = reader.take(1).await;
    let Some(Told::Route(route)) = &told[0].subscription_types else { panic!("{told:?}") };
    let data = route.data.clone().expect("data");
    assert_eq!((data.owner_id, data.preference), (id, 250));
    let added = leaf.tables().network_instances["ip-vrf-1"].routes.len();
    assert_eq!(added, 2);
    client.unregister().await;
}

#[tokio::test]
async fn a_source_replaces_the_tables_of_a_network_instance_until_dropped() {
    let (leaf, _folder) = leaf().await;
    leaf.set_tables(tables(local_over_evpn()));
    let source = leaf.source("ip-vrf-1");
    assert_eq!(leaf.tables(), tables(local_over_evpn()), "nothing shown yet");
    let real = [(key(VIP, "bgp", "bgp_mgr"), route(170, true, via(&["192.168.1.12"])))];
    source.show(Some(instance(real.clone())));
    leaf.set_tables(tables(local_over_evpn()));
    assert_eq!(leaf.tables(), tables(real));
    drop(source);
    assert_eq!(leaf.tables(), tables(local_over_evpn()));
}

#[tokio::test]
async fn a_leaf_serves_gnmi_and_cli_in_its_folder_until_its_last_handle_drops() {
    let (leaf, folder) = leaf().await;
    assert!(leaf.gnmi_socket().exists());
    assert_eq!(std::fs::read_to_string(leaf.password_file()).expect("readable"), leaf.options().password);
    let socket = cli_socket(folder.path());
    assert!(tokio::net::UnixStream::connect(&socket).await.is_ok());
    let shown = leaf.cli("info from state / system ndk-server").await.expect("accepted");
    assert!(shown.contains("admin-state enable") && shown.contains("oper-state up"), "{shown}");
    let refused = leaf.commit("set / system ndk-server admin-state perhaps").await.expect_err("refused");
    assert!(refused.to_string().contains("Parsing error"), "{refused}");
    let (ndk, gnmi) = (leaf.ndk().socket().to_owned(), leaf.gnmi_socket());
    drop(leaf);
    // Tasks drop their clones when the runtime gets to them.
    let gone = async {
        while ndk.exists() || gnmi.exists() || tokio::net::UnixStream::connect(&socket).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.expect("everything is gone");
}

/// Starts a leaf with this profile.
async fn leaf_of(profile: crate::profile::Profile) -> (Leaf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = LeafOptions { profile, ..LeafOptions::new("leaf1", folder.path(), crate::ndk::tests::schema()) };
    (Leaf::start(options).await.expect("the leaf starts"), folder)
}

async fn until(leaf: &Leaf, holds: impl Fn(&Leaf) -> bool) {
    let arrived = async {
        while !holds(leaf) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), arrived).await.expect("in time");
}

#[tokio::test]
async fn a_reload_interrupts_management_and_may_lose_unsaved_configuration() {
    let away = std::time::Duration::from_millis(300);
    for loses_unsaved in [false, true] {
        let reload = crate::profile::Reload { away, loses_unsaved };
        let (leaf, _folder) = leaf_of(crate::profile::Profile { reload, ..Default::default() }).await;
        leaf.cli("enter candidate\nset / system name host-name saved\ncommit save\n").await.expect("saved");
        leaf.commit("set / interface ethernet-1/1 description unsaved").await.expect("committed");
        leaf.cli("tools system app-management application app_mgr reload").await.expect("reloads");
        let refused = leaf.cli("info from running / system name").await.expect_err("away").0;
        assert!(refused.contains("yang reload"), "{refused}");
        assert!(!leaf.gnmi_socket().exists());
        until(&leaf, |leaf| leaf.gnmi_socket().exists()).await;
        tokio::task::yield_now().await;
        let all = loop {
            match leaf.cli("info flat from running /").await {
                Ok(text) => break text,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert!(all.contains("host-name saved"), "{all}");
        assert_eq!(all.contains("unsaved"), !loses_unsaved, "{all}");
    }
}

#[tokio::test]
async fn an_ndk_that_is_off_by_default_starts_when_it_is_configured() {
    let profile = crate::profile::Profile { ndk_always_on: false, ..Default::default() };
    let (leaf, _folder) = leaf_of(profile).await;
    assert!(!leaf.ndk().socket().exists());
    leaf.commit("set / system ndk-server admin-state enable").await.expect("committed");
    until(&leaf, |leaf| leaf.ndk().socket().exists()).await;
}

#[tokio::test]
async fn every_profile_starts() {
    for name in crate::profile::Profile::NAMES {
        let (leaf, _folder) = leaf_of(name.parse().expect("a profile")).await;
        leaf.stop().await;
    }
}
