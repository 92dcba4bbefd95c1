//! Tests with invalid input: the agent must report it and continue with the rest.

use std::sync::Arc;

use serde_json::json;
use srl_proto::ndk as pb;
use srl_sim::ndk::{Key, RouteRow, Row};

use crate::bench::Says::{Anything, Counted, Has, Is, Nothing};
use crate::bench::{Bench, CLUSTER, GNMI_SOURCE, HEALTHY_LOCAL, shows_without_gnmi};

const SESSION_DOWN: &str = "pull: { session-down: { leaf: leaf1, node: cluster1 } }";

/// A route whose next-hops have addresses of zero length and of an invalid length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_rows_of_the_switch_are_counted_and_the_others_used() {
    let bench = Bench::healthy().await;
    let odd = |bytes: &[u8]| {
        let address = pb::IpAddressPb { ip_address: bytes.to_vec().into() };
        pb::NextHop { nexthop: Some(pb::next_hop::Nexthop::IpNexthop(address)), ..Default::default() }
    };
    let group: Arc<[pb::NextHop]> = [odd(&[192, 168, 1]), odd(&[])].into();
    let route = RouteRow { preference: 1, metric: 0, owner: 14, group: 999 };
    let key = Key::Route { network_instance: Arc::from("ip-vrf-1"), prefix: "1.1.1.100/32".parse().expect("a prefix") };
    bench.leaf("leaf2").ndk().apply([(Key::Group(999), Some(Row::Group(group))), (key, Some(Row::Route(route)))]);
    // Counters are written every 10 s. Unreadable next-hops are awaited for 15 s, like those not received.
    bench.until("leaf2", &[("/k8s-services/statistics/source[name=ndk]/errors", Counted)]).await;
    bench.until("leaf2", &[("oper-state", Is("unknown")), ("oper-reason", Is("syncing"))]).await;
    bench.expect("leaf2", &[("/k8s-services/summary/source[name=ndk]/oper-state", Is("synced"))]);
    bench.leaf("leaf2").renumber_groups();
    bench.until("leaf2", HEALTHY_LOCAL).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_kubernetes_objects_affect_only_themselves() {
    let bench = Bench::healthy().await;
    let service = |name: &str, spec: serde_json::Value, status: serde_json::Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "default" },
            "spec": spec, "status": status,
        })
    };
    let address = |ip: &str| json!({ "loadBalancer": { "ingress": [{ "ip": ip }] } });
    let objects = [
        service("no-address", json!({ "type": "LoadBalancer" }), address("not-an-address")),
        service(
            "only-a-name",
            json!({ "type": "LoadBalancer" }),
            json!({ "loadBalancer": { "ingress": [{ "hostname": "lb.example" }] } }),
        ),
        service(
            "odd-policy",
            json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Nowhere" }),
            address("1.1.1.190"),
        ),
        service("healthy-one", json!({ "type": "LoadBalancer" }), address("1.1.1.191")),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "odd", "namespace": "default", "labels": { "kubernetes.io/service-name": "healthy-one" } },
            "endpoints": [{ "addresses": ["500.1.1.1"] }, { "addresses": [] }],
        }),
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "bare" } }),
    ];
    bench.cluster().bulk_load(objects).expect("the cluster takes them");
    bench.cluster().send_instead("Service", "default", "odd-policy", r#""spec":{"ports":"#).expect("it is there");
    let of = |name: &str, leaf: &str| format!("{CLUSTER}/service[namespace=default][name={name}]/{leaf}");
    bench
        .until(
            "leaf1",
            &[
                (&of("no-address", "oper-reason"), Is("address-pending")),
                (&of("no-address", "oper-detail"), Has("not-an-address")),
                (&of("only-a-name", "oper-reason"), Is("address-pending")),
                (&of("healthy-one", "oper-state"), Anything),
                (&format!("{CLUSTER}/node[name=bare]/oper-state"), Anything),
            ],
        )
        .await;
    bench.until("leaf1", &[("/k8s-services/statistics/source[name=kubernetes/c1]/errors", Counted)]).await;
    bench.act(&[SESSION_DOWN]).await;
    bench.until("leaf1", &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))]).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_kubeconfig_is_reported_until_it_appears() {
    let bench = Bench::with(|lab| lab.config = lab.config.replace("${kubeconfig:c1}", "${kubeconfig:c1}.later")).await;
    let (state, reason) = (format!("{CLUSTER}/oper-state"), format!("{CLUSTER}/oper-reason"));
    bench
        .until(
            "leaf1",
            &[
                (&state, Is("down")),
                (&reason, Has("c1.kubeconfig.later")),
                ("/k8s-services/summary/source[name=ndk]/oper-state", Is("synced")),
                (GNMI_SOURCE, Is("synced")),
            ],
        )
        .await;
    let (_, file) = bench.lab.access("leaf1", "c1").expect("the lab has it");
    std::fs::copy(file, file.with_extension("kubeconfig.later")).expect("copied");
    bench.until("leaf1", &[(&state, Is("up"))]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_password_file_is_reported_until_it_appears() {
    let bench = Bench::with(|lab| {
        let arguments = lab.apps.iter_mut().flat_map(|app| &mut app.arguments);
        arguments.for_each(|it| *it = it.replace("${password-file}", "${folder}/later"));
    })
    .await;
    let reported = [
        ("oper-reason", Is("syncing")),
        ("oper-state", Is("unknown")),
        ("/k8s-services/oper-state", Is("degraded")),
        ("/k8s-services/oper-reason", Has("later")),
    ];
    if shows_without_gnmi() {
        bench.until("leaf1", &reported).await;
    }
    let folder = bench.leaf("leaf1").folder();
    std::fs::copy(folder.join("gnmi-password"), folder.join("later")).expect("copied");
    bench.until("leaf1", &[(GNMI_SOURCE, Is("synced")), ("/k8s-services/oper-reason", Nothing)]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}
