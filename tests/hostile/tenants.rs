//! Tests what somebody with write access to one namespace can do to all others.

use std::fmt::Write;
use std::time::Duration;

use srl_k8s_services::model::cluster::Service;
use srl_k8s_services::model::event::{ClusterEvent, Crowded, Event, SourceEvent, Update};
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
    let pending =
        |at| format!(r#"{{"metadata":{{"namespace":"aaa","name":"s{at}"}},"spec":{{"type":"LoadBalancer"}}}}"#);
    let mut all: Vec<String> = (0..20_000).map(pending).collect();
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

#[tokio::test]
async fn one_node_beyond_the_limit_is_reported_when_it_is_added() {
    let server = Server::start().await;
    let node = |at: usize| format!(r#"{{"metadata":{{"name":"n{at}"}}}}"#);
    server.reply(NODES, Reply::list(&(0..10_000).map(node).collect::<Vec<_>>()));
    let mut cluster = Cluster::of(&server);
    cluster.synced().await;
    while server.watches() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.say(NODES, &format!(r#"{{"type":"ADDED","object":{}}}"#, node(10_000)));
    let reason = cluster.lost().await;
    assert!(reason.contains("there are more than 10000 nodes, and at most 10000 of them are read"), "{reason}");
}

#[tokio::test]
async fn a_number_of_remaining_objects_that_cannot_be_is_no_small_number() {
    let server = Server::start().await;
    let metadata = r#"{"resourceVersion":"1","continue":"c","remainingItemCount":18446744073709551615}"#;
    server.reply(NODES, Reply::json(format!(r#"{{"metadata":{metadata},"items":[{{"metadata":{{"name":"n1"}}}}]}}"#)));
    let reason = Cluster::of(&server).lost().await;
    assert!(reason.contains("there are 18446744073709551615 nodes"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_beyond_the_limit_are_reported() {
    let pending = |at: usize| {
        let namespace = at / 10_000;
        format!(r#"{{"metadata":{{"namespace":"n{namespace}","name":"s{at}"}},"spec":{{"type":"LoadBalancer"}}}}"#)
    };
    let server = Server::start().await;
    server.reply(SERVICES, Reply::list(&(0..50_001).map(pending).collect::<Vec<_>>()));
    let reason = Cluster::of(&server).lost().await;
    assert!(reason.contains("there are more than 50000 services, and at most 50000 of them are read"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_full_of_slices_leaves_room_for_others_and_is_reported() {
    let slice = |namespace: &str, at: usize| {
        let labels = r#""labels":{"kubernetes.io/service-name":"w"}"#;
        format!(r#"{{"metadata":{{"namespace":"{namespace}","name":"s{at}",{labels}}},"addressType":"IPv4"}}"#)
    };
    let mut all: Vec<String> = (0..25_001).map(|at| slice("aaa", at)).collect();
    all.push(slice("shop", 0));
    let server = Server::start().await;
    server.reply(SLICES, Reply::list(&all));
    let mut cluster = Cluster::of(&server);
    let crowded = loop {
        if let ClusterEvent::Crowded(Crowded::EndpointSlices, namespaces) = cluster.change().await {
            break namespaces;
        }
    };
    assert_eq!(crowded, ["aaa".into()].into(), "which verdicts depend on");
    let note = cluster.note("namespace aaa has more than 25000 endpointslices").await;
    assert!(note.contains("those beyond are not read"), "{note}");
    loop {
        if let ClusterEvent::EndpointSlices(Update::All(all)) = cluster.change().await {
            assert_eq!(all.len(), 25_001);
            assert!(all.iter().any(|(key, _)| &*key.namespace == "shop"));
            break;
        }
    }
}

#[tokio::test]
async fn a_slice_that_outgrows_the_memory_of_its_namespace_is_forgotten() {
    // Names of nodes count by their length.
    let slice = |name: &str, length: usize| {
        let endpoint = format!(r#"{{"addresses":["10.0.0.1"],"nodeName":"{}"}}"#, "n".repeat(length));
        format!(
            r#"{{"metadata":{{"namespace":"aaa","name":"{name}","labels":{{"kubernetes.io/service-name":"web"}}}},"addressType":"IPv4","endpoints":[{}]}}"#,
            vec![endpoint; 5000].join(",")
        )
    };
    let server = Server::start().await;
    let mut all: Vec<String> = (0..26).map(|at| slice(&format!("s{at}"), 245)).collect();
    all.push(slice("small", 1));
    server.reply(SLICES, Reply::Pages(all.into()));
    let mut cluster = Cluster::of(&server);
    cluster.synced().await;
    while server.watches() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.say(SLICES, &format!(r#"{{"type":"MODIFIED","object":{}}}"#, slice("small", 245)));
    let mut crowded = false;
    loop {
        match cluster.change().await {
            ClusterEvent::Crowded(Crowded::EndpointSlices, namespaces) => crowded = !namespaces.is_empty(),
            ClusterEvent::EndpointSlices(Update::Gone(key)) if &*key.name == "small" => break,
            ClusterEvent::EndpointSlices(Update::Set(..)) => panic!("there is no room for it"),
            _ => {}
        }
    }
    assert!(crowded, "verdicts of the namespace are unknown before its endpoints are gone");
}

#[tokio::test]
async fn an_object_full_of_unreadable_parts_counts_as_a_few_errors() {
    let server = Server::start().await;
    let addresses = vec![r#""no address""#; 4000].join(",");
    let service = format!(
        r#"{{"metadata":{{"namespace":"shop","name":"odd"}},"spec":{{"type":"LoadBalancer","externalIPs":[{addresses}]}}}}"#
    );
    server.reply(SERVICES, Reply::list(&[service]));
    let mut cluster = Cluster::of(&server);
    let mut errors = 0;
    loop {
        match cluster.next().await {
            Event::Source(_, SourceEvent::Malformed) => errors += 1,
            Event::Cluster(_, ClusterEvent::Services(Update::All(all))) => {
                assert_eq!((errors, all.len()), (16, 1));
                break;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_beyond_the_limit_are_reported() {
    let slice = |at: usize| {
        let (namespace, labels) = (at / 20_000, r#""labels":{"kubernetes.io/service-name":"w"}"#);
        format!(r#"{{"metadata":{{"namespace":"n{namespace}","name":"s{at}",{labels}}},"addressType":"IPv4"}}"#)
    };
    let server = Server::start().await;
    server.reply(SLICES, Reply::list(&(0..100_001).map(slice).collect::<Vec<_>>()));
    let reason = Cluster::of(&server).lost().await;
    assert!(reason.contains("more than 100000 endpointslices"), "{reason}");
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
