//! Tests of what streams send.

use ipnet::IpNet;
use pb::SdkMgrOperation::{Create, CreateOrUpdate, Delete, Update};
use pb::notification::SubscriptionTypes as Told;
use pb::notification_register_request::SubscriptionTypes as Wanted;

use super::client::{all_groups, all_routes};
use super::*;

fn told_route(notification: &pb::Notification) -> (pb::SdkMgrOperation, String, Option<u64>) {
    let Some(Told::Route(route)) = &notification.subscription_types else { panic!("a route: {notification:?}") };
    let prefix = route.key.as_ref().and_then(|key| key.ip_prefix.as_ref()).and_then(rows::prefix_of);
    let prefix = prefix.map(|prefix: IpNet| prefix.to_string()).unwrap_or_default();
    (route.op(), prefix, route.data.as_ref().map(|data| data.nexthop_group_id))
}

fn told_interface(notification: &pb::Notification) -> (String, u32) {
    let Some(Told::Interface(it)) = &notification.subscription_types else { panic!("{notification:?}") };
    (it.key.clone().unwrap_or_default().interface_name, it.data.clone().unwrap_or_default().mtu)
}

#[tokio::test]
async fn several_subscriptions_share_a_stream_and_are_distinguished_by_id() {
    let bench = Bench::start().await;
    bench.ndk.apply([route("1.1.1.1/32", 7), group(7, "10.0.0.1")]);
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes(), all_groups()]).await;
    let told = reader.take(2).await;
    assert_eq!(told.iter().map(|it| it.subscription_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(told_route(&told[0]), (CreateOrUpdate, "1.1.1.1/32".to_owned(), Some(7)));
    let Some(Told::NexthopGroup(group)) = &told[1].subscription_types else { panic!("{told:?}") };
    assert_eq!(group.key, 7);
    let hops = &group.data.as_ref().expect("data").nexthops;
    let Some(pb::next_hop::Nexthop::IpNexthop(address)) = &hops[0].nexthop else { panic!("{hops:?}") };
    assert_eq!(&address.ip_address[..], &[10, 0, 0, 1]);
}

#[tokio::test]
async fn a_subscription_added_to_an_open_stream_gets_the_whole_table() {
    let bench = Bench::start().await;
    bench.ndk.apply([route("1.1.1.1/32", 7)]);
    let client = bench.registered().await;
    let stream = client.create().await;
    let mut reader = client.try_open(stream).await.expect("the stream opens");
    client.add(stream, all_routes()).await;
    assert_eq!(told_route(&reader.take(1).await[0]).1, "1.1.1.1/32");
}

#[tokio::test]
async fn uncached_changes_are_create_or_update_and_deletes_come_without_data() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes()]).await;
    bench.ndk.apply([route("1.1.1.1/32", 7)]);
    assert_eq!(told_route(&reader.take(1).await[0]), (CreateOrUpdate, "1.1.1.1/32".to_owned(), Some(7)));
    bench.ndk.apply([route("1.1.1.1/32", 9)]);
    assert_eq!(told_route(&reader.take(1).await[0]), (CreateOrUpdate, "1.1.1.1/32".to_owned(), Some(9)));
    bench.ndk.apply([(route_key("1.1.1.1/32"), None)]);
    assert_eq!(told_route(&reader.take(1).await[0]), (Delete, "1.1.1.1/32".to_owned(), None));
    bench.ndk.apply([(route_key("1.1.1.1/32"), None)]);
    assert!(reader.is_quiet().await);
}

#[tokio::test]
async fn cached_changes_distinguish_create_from_update_and_deletes_carry_the_last_data() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    client.register(pb::AgentRegistrationRequest { enable_cache: true, ..Default::default() }).await;
    let mut reader = client.follow([all_routes()]).await;
    bench.ndk.apply([route("1.1.1.1/32", 7)]);
    assert_eq!(told_route(&reader.take(1).await[0]).0, Create);
    bench.ndk.apply([route("1.1.1.1/32", 9)]);
    assert_eq!(told_route(&reader.take(1).await[0]).0, Update);
    bench.ndk.apply([(route_key("1.1.1.1/32"), None)]);
    assert_eq!(told_route(&reader.take(1).await[0]), (Delete, "1.1.1.1/32".to_owned(), Some(9)));
}

#[tokio::test]
async fn network_instances_and_app_ids_are_cached_in_either_mode() {
    let bench = Bench::start().await;
    let instance = |up| {
        let data = pb::NetworkInstanceData { oper_is_up: up, ..Default::default() };
        (Key::NetworkInstance("default".to_owned()), Some(Row::NetworkInstance(Box::new(data))))
    };
    bench.ndk.apply([instance(false)]);
    let client = bench.registered().await;
    let mut reader = client
        .follow([
            Wanted::NetworkInstance(pb::NetworkInstanceSubscriptionRequest::default()),
            Wanted::AppId(pb::AppIdentSubscriptionRequest::default()),
        ])
        .await;
    let told = reader.take(2).await;
    let Some(Told::NetworkInstance(it)) = &told[0].subscription_types else { panic!("{told:?}") };
    assert_eq!(it.op(), Create);
    let Some(Told::AppId(it)) = &told[1].subscription_types else { panic!("{told:?}") };
    assert_eq!(it.op(), Create);
    let data = it.data.clone().expect("data");
    assert_eq!((data.name.as_str(), data.is_connected), ("greeter", true));
    bench.ndk.apply([instance(true), (Key::NetworkInstance("default".to_owned()), None)]);
    let told = reader.take(1).await;
    let Some(Told::NetworkInstance(it)) = &told[0].subscription_types else { panic!("{told:?}") };
    assert_eq!((it.op(), it.data.is_some()), (Delete, true));
}

#[tokio::test]
async fn filters_apply_to_the_table_and_to_changes() {
    let bench = Bench::start().await;
    bench.ndk.apply([route("1.1.1.1/32", 7), route("2.2.2.2/32", 7)]);
    let client = bench.registered().await;
    let wanted = |instance: &str, prefix: Option<&str>| {
        let ip_prefix = prefix.map(|prefix| {
            let prefix: IpNet = prefix.parse().expect("a prefix");
            rows::route_key_message("", prefix).ip_prefix.expect("a prefix")
        });
        let key = pb::RouteKey { network_instance_name: instance.to_owned(), ip_prefix };
        Wanted::Route(pb::IpRouteSubscriptionRequest { key: Some(key) })
    };
    let mut one = client.follow([wanted("default", Some("2.2.2.2/32"))]).await;
    assert_eq!(told_route(&one.take(1).await[0]).1, "2.2.2.2/32");
    let mut elsewhere = client.follow([wanted("mgmt", None)]).await;
    bench.ndk.apply([route("1.1.1.1/32", 8), route("2.2.2.2/32", 8)]);
    assert_eq!(told_route(&one.take(1).await[0]).1, "2.2.2.2/32");
    assert!(one.is_quiet().await);
    assert!(elsewhere.is_quiet().await);
}

#[tokio::test]
async fn interfaces_are_sent_with_all_zeros_before_their_real_data() {
    let bench = Bench::start().await;
    bench.ndk.apply([interface("ethernet-1/1", 9232), interface("ethernet-1/2", 1500)]);
    let client = bench.registered().await;
    let mut reader = client.follow([Wanted::Interface(pb::InterfaceSubscriptionRequest::default())]).await;
    let told: Vec<_> = reader.take(4).await.iter().map(told_interface).collect();
    let expected = [("ethernet-1/1", 0), ("ethernet-1/2", 0), ("ethernet-1/1", 9232), ("ethernet-1/2", 1500)];
    assert_eq!(told, expected.map(|(name, mtu)| (name.to_owned(), mtu)));
}

#[tokio::test]
async fn a_large_table_is_sent_in_responses_of_the_configured_size() {
    let bench = Bench::with(Switches { batch: 100, ..Switches::default() }, ConfigFormat::Json).await;
    bench.ndk.apply((0..1050u32).map(|n| route(&format!("10.0.{}.{}/32", n / 256, n % 256), 7)));
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes()]).await;
    let told = reader.take(1050).await;
    assert_eq!(told.len(), 1050);
    assert!(reader.batches.iter().all(|batch| *batch <= 100), "{:?}", reader.batches);
    assert!(reader.is_quiet().await);
}

#[tokio::test]
async fn a_slow_consumer_gets_the_latest_value_of_each_key_once() {
    let mut core = core::Core::default();
    core.add_app(AppInfo { name: "slow".to_owned(), ..AppInfo::default() });
    core.register("slow", &pb::AgentRegistrationRequest { enable_cache: true, ..Default::default() });
    let stream = core.create_stream("slow");
    core.subscribe("slow", stream, rows::Filter::of(&all_routes()));
    let (generation, _) = core.open("slow", stream).expect("the stream exists");
    let manner = streams::Manner { batch: 1000, zero_interfaces_first: false, zero_network_instances_first: false };
    assert!(matches!(core.take(stream, generation, manner), streams::Taken::Nothing));
    for group in 0..10_000 {
        let (key, row) = route("1.1.1.1/32", group);
        core.change(key, row);
        let (key, row) = route("2.2.2.2/32", group);
        core.change(key, row);
        core.change(route_key("2.2.2.2/32"), None);
    }
    let streams::Taken::Batch(told) = core.take(stream, generation, manner) else { panic!("there is news") };
    // 2.2.2.2/32 was added and removed before the batch was taken.
    assert_eq!(told.iter().map(told_route).collect::<Vec<_>>(), [(Create, "1.1.1.1/32".to_owned(), Some(9999))]);
}

#[tokio::test]
async fn changes_during_the_dump_are_sent_once_in_their_latest_form() {
    let mut core = core::Core::default();
    core.add_app(AppInfo { name: "app".to_owned(), ..AppInfo::default() });
    core.register("app", &pb::AgentRegistrationRequest::default());
    let stream = core.create_stream("app");
    core.subscribe("app", stream, rows::Filter::of(&all_routes()));
    for prefix in ["1.0.0.0/32", "2.0.0.0/32", "3.0.0.0/32"] {
        let (key, row) = route(prefix, 1);
        core.change(key, row);
    }
    let (generation, _) = core.open("app", stream).expect("the stream exists");
    let manner = streams::Manner { batch: 2, zero_interfaces_first: false, zero_network_instances_first: false };
    let take = |core: &mut core::Core| match core.take(stream, generation, manner) {
        streams::Taken::Batch(told) => told.iter().map(told_route).map(|it| (it.1, it.2)).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    assert_eq!(take(&mut core), [("1.0.0.0/32".to_owned(), Some(1)), ("2.0.0.0/32".to_owned(), Some(1))]);
    for (prefix, group) in [("1.0.0.0/32", 2), ("3.0.0.0/32", 2)] {
        let (key, row) = route(prefix, group);
        core.change(key, row);
    }
    assert_eq!(take(&mut core), [("3.0.0.0/32".to_owned(), Some(2)), ("1.0.0.0/32".to_owned(), Some(2))]);
    assert_eq!(take(&mut core), []);
}

struct Generated;

impl RouteFeed for Generated {
    fn groups(&self) -> Box<dyn Iterator<Item = (u64, Vec<pb::NextHop>)> + Send> {
        Box::new((1..=3).map(|id| (id, Vec::new())))
    }

    fn routes(&self) -> Box<dyn Iterator<Item = (Arc<str>, IpNet, RouteRow)> + Send> {
        let instance: Arc<str> = Arc::from("default");
        Box::new((0..2000u32).map(move |n| {
            let prefix = IpNet::from(IpAddr::from(std::net::Ipv4Addr::from(n << 8)));
            (instance.clone(), prefix, RouteRow { preference: 170, metric: 0, owner: 14, group: u64::from(n % 3 + 1) })
        }))
    }
}

#[tokio::test]
async fn a_generated_table_is_streamed_after_the_rows_and_before_changes() {
    let bench = Bench::start().await;
    bench.ndk.apply([route("200.0.0.0/32", 7)]);
    bench.ndk.set_feed(Some(Arc::new(Generated)));
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes(), all_groups()]).await;
    let told = reader.take(2004).await;
    assert_eq!(told.len(), 2004);
    assert_eq!(told_route(&told[0]).1, "200.0.0.0/32");
    bench.ndk.apply([route("200.0.0.0/32", 8)]);
    assert_eq!(told_route(&reader.take(1).await[0]).2, Some(8));
}

#[tokio::test]
async fn opening_a_stream_again_ends_the_former_reader_and_repeats_the_table() {
    let bench = Bench::start().await;
    bench.ndk.apply([route("1.1.1.1/32", 7)]);
    let client = bench.registered().await;
    let stream = client.create().await;
    client.add(stream, all_routes()).await;
    let mut first = client.try_open(stream).await.expect("the stream opens");
    first.take(1).await;
    let mut second = client.try_open(stream).await.expect("the stream opens");
    assert_eq!(second.take(1).await.len(), 1);
    assert!(first.next().await.is_err());
}
