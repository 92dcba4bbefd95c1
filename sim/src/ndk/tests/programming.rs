//! Tests of applications that program routes.

use super::*;
use crate::tables::NextHop;
use pb::SdkMgrStatus::{Failed, Success};

fn group_info(name: &str, address: &str) -> pb::NextHopGroupInfo {
    let address: IpAddr = address.parse().expect("an address");
    let next_hop = pb::NextHop {
        resolve_to: pb::next_hop::ResolveToType::Indirect as i32,
        r#type: pb::next_hop::ResolutionType::Regular as i32,
        nexthop: Some(pb::next_hop::Nexthop::IpNexthop(address_message(address))),
    };
    pb::NextHopGroupInfo {
        key: Some(pb::NextHopGroupKey { name: name.to_owned(), network_instance_name: "default".to_owned() }),
        data: Some(pb::NextHopGroup { nexthops: vec![next_hop] }),
    }
}

fn route_info(prefix: &str, group: &str) -> pb::RouteInfo {
    let prefix = prefix.parse().expect("a prefix");
    let data = pb::Route { nexthop_group_name: group.to_owned(), preference: 250, metric: 12, ..pb::Route::default() };
    pb::RouteInfo { key: Some(rows::route_key_message("default", prefix)), data: Some(data) }
}

async fn add_groups(client: &Client, groups: Vec<pb::NextHopGroupInfo>) -> pb::NextHopGroupResponse {
    let request = client.call(pb::NextHopGroupRequest { group_infos: groups });
    client.groups().next_hop_group_add_or_update(request).await.expect("an answer").into_inner()
}

async fn add_routes(client: &Client, routes: Vec<pb::RouteInfo>) -> pb::RouteAddResponse {
    let request = client.call(pb::RouteAddRequest { routes });
    client.routes().route_add_or_update(request).await.expect("an answer").into_inner()
}

fn prefixes(bench: &Bench) -> Vec<String> {
    bench.ndk.programmed().iter().map(|route| route.prefix.to_string()).collect()
}

#[tokio::test]
async fn a_route_appears_once_its_group_exists_and_as_it_was_sent() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    assert_eq!(add_routes(&client, vec![route_info("1.1.1.1/32", "up_sdk")]).await.status(), Success);
    assert!(prefixes(&bench).is_empty());
    assert_eq!(add_groups(&client, vec![group_info("up_sdk", "10.0.0.1")]).await.status(), Success);
    let expected = ProgrammedRoute {
        network_instance: "default".to_owned(),
        prefix: "1.1.1.1/32".parse().expect("a prefix"),
        owner: "greeter".to_owned(),
        preference: 250,
        metric: 12,
        next_hops: vec![NextHop::Indirect { address: "10.0.0.1".parse().expect("an address"), resolving: None }],
    };
    assert_eq!(bench.ndk.programmed(), [expected]);
}

#[tokio::test]
async fn a_group_whose_name_does_not_end_in_sdk_is_refused() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let response = add_groups(&client, vec![group_info("up", "10.0.0.1")]).await;
    assert_eq!(response.status(), Failed);
    assert!(response.error_str.contains("_sdk"), "{}", response.error_str);
}

#[tokio::test]
async fn a_synchronization_deletes_routes_that_were_not_added_again() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    add_groups(&client, vec![group_info("up_sdk", "10.0.0.1")]).await;
    add_routes(&client, vec![route_info("1.1.1.1/32", "up_sdk"), route_info("2.2.2.2/32", "up_sdk")]).await;
    client.routes().sync_start(client.call(pb::SyncRequest {})).await.expect("an answer");
    add_routes(&client, vec![route_info("2.2.2.2/32", "up_sdk")]).await;
    assert_eq!(prefixes(&bench), ["1.1.1.1/32", "2.2.2.2/32"]);
    client.routes().sync_end(client.call(pb::SyncRequest {})).await.expect("an answer");
    assert_eq!(prefixes(&bench), ["2.2.2.2/32"]);
    let response = client.routes().sync_end(client.call(pb::SyncRequest {})).await.expect("an answer").into_inner();
    assert_eq!(response.status(), Failed);
}

#[tokio::test]
async fn routes_are_deleted_individually_and_all_of_them_with_the_registration() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    add_groups(&client, vec![group_info("up_sdk", "10.0.0.1")]).await;
    add_routes(&client, vec![route_info("1.1.1.1/32", "up_sdk"), route_info("2.2.2.2/32", "up_sdk")]).await;
    let key = route_info("1.1.1.1/32", "").key.expect("a key");
    let delete = |key: pb::RouteKey| client.call(pb::RouteDeleteRequest { routes: vec![key] });
    let response = client.routes().route_delete(delete(key.clone())).await.expect("an answer").into_inner();
    assert_eq!(response.status(), Success);
    let response = client.routes().route_delete(delete(key)).await.expect("an answer").into_inner();
    assert_eq!(response.status(), Failed);
    assert_eq!(prefixes(&bench), ["2.2.2.2/32"]);
    client.unregister().await;
    assert!(prefixes(&bench).is_empty());
}
