//! Tests what somebody with write access to one namespace can do to all others.

use std::fmt::Write;
use std::time::Duration;

use srl_k8s_services::model::cluster::Service;
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, Update};
use srl_k8s_services::model::names::ServiceKey;

use crate::cluster::Cluster;
use crate::memory::{resident, within_budget};
use crate::server::{NODES, Reply, SERVICES, SLICES, Server};

fn service(namespace: &str, name: &str, more: &str) -> String {
    format!(
        r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}"{more}}},"spec":{{"type":"LoadBalancer"}},"status":{{"loadBalancer":{{"ingress":[{{"ip":"10.0.0.1"}}]}}}}}}"#
    )
}

/// Returns the services of the first listing.
async fn listed(cluster: &mut Cluster) -> Vec<(ServiceKey, Service)> {
    loop {
        if let ClusterEvent::Services(Update::All(all)) = cluster.change().await {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_full_of_services_leaves_room_for_others_and_is_reported() {
    let server = Server::start().await;
    let mut all: Vec<String> = (0..20_000).map(|at| service("aaa", &format!("s{at}"), "")).collect();
    all.push(service("shop", "web", ""));
    server.reply(SERVICES, Reply::list(&all));
    drop(all);
    within_budget(async {
        let mut cluster = Cluster::of(&server);
        let note = cluster.note("namespace aaa has more than 12500 services").await;
        assert!(note.contains("those beyond are not read"), "{note}");
        let services = listed(&mut cluster).await;
        assert_eq!(services.len(), 12_501);
        assert!(services.iter().any(|(key, _)| *key == ServiceKey::new("shop", "web")));
        cluster.synced().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_beyond_the_limit_are_reported() {
    let server = Server::start().await;
    let nodes: Vec<String> = (0..10_001).map(|at| format!(r#"{{"metadata":{{"name":"n{at}"}}}}"#)).collect();
    server.reply(NODES, Reply::list(&nodes));
    let reason = Cluster::of(&server).lost().await;
    assert!(reason.contains("there are more than 10000 nodes, and at most 10000 of them are read"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_beyond_the_limit_are_reported() {
    let slice = |at: usize| {
        let (namespace, labels) = (at / 40_000, r#""labels":{"kubernetes.io/service-name":"w"}"#);
        format!(r#"{{"metadata":{{"namespace":"n{namespace}","name":"s{at}",{labels}}},"addressType":"IPv4"}}"#)
    };
    let server = Server::start().await;
    server.reply(SLICES, Reply::list(&(0..200_001).map(slice).collect::<Vec<_>>()));
    let reason = Cluster::of(&server).lost().await;
    assert!(reason.contains("more than 200000 endpointslices"), "{reason}");
}

#[tokio::test]
async fn a_service_with_thousands_of_addresses_has_64_vips_and_is_reported() {
    let server = Server::start().await;
    let ips: Vec<String> = (0..4000).map(|at| format!(r#""10.1.{}.{}""#, at / 250, at % 250)).collect();
    let ingress: Vec<String> = (0..40).map(|at| format!(r#"{{"ip":"10.2.0.{at}"}}"#)).collect();
    let greedy = format!(
        r#"{{"metadata":{{"namespace":"shop","name":"greedy"}},"spec":{{"externalIPs":[{}]}},"status":{{"loadBalancer":{{"ingress":[{}]}}}}}}"#,
        ips.join(","),
        ingress.join(",")
    );
    server.reply(SERVICES, Reply::list(&[greedy.clone(), service("shop", "web", "")]));
    let mut cluster = Cluster::of(&server);
    cluster.note("service shop/greedy has 4040 addresses, of which 64 are read").await;
    let services = listed(&mut cluster).await;
    let counts: Vec<_> = services.iter().map(|(_, it)| (it.ingress.len(), it.external_ips.len())).collect();
    assert_eq!(counts, [(40, 24), (1, 0)]);
    cluster.synced().await;
    while server.watches() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.say(SERVICES, &format!(r#"{{"type":"DELETED","object":{greedy}}}"#));
    loop {
        if let ClusterEvent::Connected { caveat, .. } = cluster.change().await
            && !caveat.as_deref().unwrap_or_default().contains("greedy")
        {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_with_a_million_labels_is_left_out_but_all_others_are_read() {
    let mut more = r#","labels":{"first":"""#.to_owned();
    for at in 0..1_000_000 {
        write!(more, r#","l{at}":"""#).expect("memory");
    }
    more.push('}');
    let server = Server::start().await;
    server.reply(SERVICES, Reply::list(&[service("shop", "hoarder", &more), service("shop", "web", "")]));
    drop(more);
    within_budget(async {
        let mut cluster = Cluster::of(&server);
        while !matches!(cluster.next().await, Event::Source(_, SourceEvent::Malformed)) {}
        let services = listed(&mut cluster).await;
        assert_eq!(services.len(), 1);
        assert_eq!(services[0].0, ServiceKey::new("shop", "web"));
    })
    .await;
}

#[tokio::test]
async fn objects_with_impossible_names_are_left_out() {
    let server = Server::start().await;
    let odd: Vec<String> =
        [r"a\nb", r"\u001b[2J", "a b", "a/b", "née", ""].map(|name| service("shop", name, "")).into();
    let spaces: Vec<String> = [r"a\nb", r"\u202e"].map(|name| service(name, "web", "")).into();
    server.reply(SERVICES, Reply::list(&[odd, spaces, vec![service("shop", "web", "")]].concat()));
    let mut cluster = Cluster::of(&server);
    let services = listed(&mut cluster).await;
    assert_eq!(services.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), ["shop/web"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_names_in_every_update_of_a_slice_do_not_grow_the_process() {
    let server = Server::start().await;
    let slice = |round: usize| {
        let endpoints: Vec<String> = (0..1000)
            .map(|at| format!(r#"{{"addresses":["10.0.{}.{}"],"nodeName":"fresh-{round}-{at}"}}"#, at / 250, at % 250))
            .collect();
        format!(
            r#"{{"type":"MODIFIED","object":{{"metadata":{{"namespace":"shop","name":"web-1","labels":{{"kubernetes.io/service-name":"web"}}}},"addressType":"IPv4","endpoints":[{}]}}}}"#,
            endpoints.join(",")
        )
    };
    within_budget(async {
        let mut cluster = Cluster::of(&server);
        cluster.synced().await;
        while server.watches() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut settled = 0;
        for round in 0..300 {
            server.say(SLICES, &slice(round));
            while !matches!(cluster.change().await, ClusterEvent::EndpointSlices(Update::Set(..))) {}
            if round == 50 {
                settled = resident();
            }
        }
        let grown = resident().saturating_sub(settled);
        // 250 000 remembered names would take more than 20 MiB.
        assert!(grown < 12 << 20, "{} KiB more after 250 updates", grown >> 10);
    })
    .await;
}
