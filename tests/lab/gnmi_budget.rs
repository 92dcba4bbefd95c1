//! Tests how much the agent asks of a gNMI server that also serves others.

use std::time::Duration;

use srl_proto::gnmi as pb;
use srl_proto::gnmi::g_nmi_client::GNmiClient;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::bench::Says::{Anything, Is};
use crate::bench::{Bench, GNMI_SOURCE};

const NODE: &str = "/k8s-services/cluster[name=c1]/node[name=cluster1]";
/// Longer than anything that the agent delays while all is up.
const QUIET: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_everything_is_up_no_gnmi_request_is_made() {
    let bench = Bench::healthy().await;
    let leaves = ["leaf1", "leaf2", "leaf3", "leaf4"];
    // Where nodes are connected is asked when their sessions come up, and known from then on.
    for (leaf, node, address) in [
        ("leaf1", "cluster1", "192.168.1.11"),
        ("leaf2", "cluster1-m02", "192.168.1.12"),
        ("leaf3", "cluster1-m03", "192.168.1.13"),
    ] {
        let port = format!("/k8s-services/cluster[name=c1]/node[name={node}]/peer[address={address}]/port");
        bench.until(leaf, &[(&port, Anything)]).await;
    }
    let requests = || leaves.map(|leaf| bench.leaf(leaf).gnmi().local_requests());
    let before = requests();
    sleep_until(Instant::now() + QUIET).await;
    assert_eq!(requests(), before);
    bench.down().await;
}

/// The VIP of the lab with kube-vip.
const BY_ARP: &str = "/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=10.20.0.100]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_answers_arp_for_a_vip_is_followed_without_requests() {
    let at = |name: &str| format!("{BY_ARP}/{name}");
    let holder = at("next-hop[address=10.20.0.100]/node");
    let bench = Bench::of("arp-kube-vip").await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up")), (&holder, Is("n1"))]).await;
    bench.until("leaf2", &[(&at("oper-state"), Is("up")), (&at("vantage"), Is("remote"))]).await;
    let requests = || ["leaf1", "leaf2"].map(|leaf| bench.leaf(leaf).gnmi().local_requests());
    // The questions at the start are over when none has been asked for as long as the agent delays anything.
    let settled = async || loop {
        let before = requests();
        sleep_until(Instant::now() + QUIET / 2).await;
        if requests() == before {
            break;
        }
    };
    settled().await;
    let before = requests();
    sleep_until(Instant::now() + QUIET).await;
    assert_eq!(requests(), before);
    // Another node of this leaf answers. It is known, so the agent only has to ask where that node is connected.
    bench
        .act(&["patch: { cluster: c1, kind: Service, name: web, \
                patch: { metadata: { annotations: { kube-vip.io/vipHost: n2 } } } }"])
        .await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up")), (&holder, Is("n2"))]).await;
    settled().await;
    let asked = requests()[0] - before[0];
    // While it moves it is not up: the entry, the MAC tables and the port of the VIP, and of the nodes that had and have it.
    assert!(asked <= 9, "{asked} requests for one change");
    bench.expect("leaf1", &[(&at("oper-state"), Is("up")), (&holder, Is("n2"))]);
    bench.down().await;
}

/// Returns a client on the same socket as the agent.
async fn beside(bench: &Bench, leaf: &str) -> GNmiClient<Channel> {
    let socket = bench.leaf(leaf).gnmi_socket();
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).expect("a URL");
    GNmiClient::new(endpoint.connect().await.expect("the socket is there"))
}

fn get() -> Request<pb::GetRequest> {
    let elem = ["system", "name", "host-name"].map(|name| pb::PathElem { name: name.to_owned(), ..Default::default() });
    let path = pb::Path { elem: elem.into(), ..Default::default() };
    let mut request = Request::new(pb::GetRequest {
        path: vec![path],
        encoding: pb::Encoding::JsonIetf.into(),
        ..Default::default()
    });
    request.metadata_mut().insert("username", "admin".parse().expect("ASCII"));
    request.metadata_mut().insert("password", "NokiaSrl1!".parse().expect("ASCII"));
    request
}

/// A node that flaps: each time, the agent asks why, and where the node is plugged in when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two minutes of a server's limit: make chaos"]
async fn an_agent_with_more_questions_than_its_budget_leaves_the_collector_its_share() {
    let bench = Bench::healthy().await;
    let port = format!("{NODE}/peer[address=192.168.1.11]/port");
    bench.until("leaf1", &[(&port, Anything)]).await;
    let mut collector = beside(&bench, "leaf1").await;
    // What the agent asked to start counts for a minute.
    sleep_until(Instant::now() + Duration::from_secs(45)).await;
    let before = bench.leaf("leaf1").gnmi().local_requests();
    let mut pace = interval(Duration::from_millis(1200));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = Vec::new();
    for request in 0..50 {
        pace.tick().await;
        match request % 6 {
            1 => bench.act(&["pull: { peer-shutdown: { node: cluster1 } }"]).await,
            4 => bench.act(&["release-all"]).await,
            _ => {}
        }
        refused.extend(collector.get(get()).await.err());
    }
    assert!(refused.is_empty(), "{refused:?}");
    let asked = bench.leaf("leaf1").gnmi().local_requests() - before - 50;
    assert!((8..=10).contains(&asked), "the agent had much to ask, and asked {asked} times");
    // The last question is answered when the budget allows it.
    bench.act(&["pull: { peer-shutdown: { node: cluster1 } }"]).await;
    let (cause, minute) = (format!("{NODE}/probable-cause"), Duration::from_secs(70));
    bench.until_within(minute, "leaf1", &[(&cause, Is("peer-shutdown")), (GNMI_SOURCE, Is("synced"))]).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two minutes of a server's limit: make chaos"]
async fn agent_and_collector_share_the_rate_limit_without_refusals() {
    let bench = Bench::healthy().await;
    let port = format!("{NODE}/peer[address=192.168.1.11]/port");
    bench.until("leaf1", &[(&port, Anything)]).await;
    let mut collector = beside(&bench, "leaf1").await;
    // What the agent asked to start counts for a minute.
    sleep_until(Instant::now() + Duration::from_secs(45)).await;
    let mut pace = interval(Duration::from_millis(1200));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = Vec::new();
    for request in 0..50 {
        pace.tick().await;
        if request == 10 {
            bench.act(&["pull: { peer-shutdown: { node: cluster1 } }"]).await;
        }
        if request == 30 {
            bench.expect("leaf1", &[(&format!("{NODE}/probable-cause"), Is("peer-shutdown"))]);
            bench.act(&["release-all"]).await;
        }
        refused.extend(collector.get(get()).await.err());
    }
    assert!(refused.is_empty(), "{refused:?}");
    bench
        .until(
            "leaf1",
            &[("oper-state", Is("up")), ("/k8s-services/summary/source[name=gnmi]/oper-state", Is("synced"))],
        )
        .await;
    bench.down().await;
}
