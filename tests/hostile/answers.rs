//! Tests with a server that is not an API server, or that somebody else runs.

use std::time::{Duration, Instant};

use srl_k8s_services::model::event::{ClusterEvent, Update};

use crate::cluster::{Cluster, assert_printable};
use crate::memory::within_budget;
use crate::server::{NODES, Reply, SERVICES, SLICES, Server, VERSION};

const WEB: &str = r#"{"metadata":{"namespace":"shop","name":"web","resourceVersion":"5"},"spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{"ip":"10.0.0.1"}]}}}"#;

/// Heads of endless answers.
const UNSIZED: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"items\":[";
const SIZED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{";
const ERROR: &str = "HTTP/1.1 500 X\r\nContent-Type: text/html\r\n\r\n<html>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_answer_is_reported_and_costs_at_most_a_page_of_memory() {
    for (path, head, words) in [
        (VERSION, UNSIZED, "the API server's answer to get /version is larger than 65536 bytes"),
        (VERSION, SIZED, "the API server's answer to get /version is larger than 65536 bytes"),
        (VERSION, ERROR, "500, not from an API server (text/html)"),
        (SERVICES, UNSIZED, "holds an object of more than 16777216 bytes"),
        (SERVICES, SIZED, "holds an object of more than 16777216 bytes"),
        (NODES, ERROR, "500, not from an API server (text/html)"),
    ] {
        let server = Server::start().await;
        server.reply(path, Reply::Endless(head, "{},"));
        let reason = within_budget(async { Cluster::of(&server).lost().await }).await;
        assert!(reason.contains(words), "{path}: {reason}");
        assert_printable(&reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_response_head_is_reported() {
    let server = Server::start().await;
    server.reply(VERSION, Reply::Endless("HTTP/1.1 200 OK\r\n", "X-More: and more and more\r\n"));
    let reason = within_budget(async { Cluster::of(&server).lost().await }).await;
    assert!(reason.contains("broke off the answer to get /version"), "{reason}");
    assert_printable(&reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_listing_is_given_up() {
    let page = |at: usize| format!(r#"{{"metadata":{{"resourceVersion":"1","continue":"c{at}"}},"items":[]}}"#);
    let server = Server::start().await;
    server.reply(NODES, Reply::Listing(page));
    let reason = within_budget(async { Cluster::of(&server).lost().await }).await;
    assert!(reason.contains("the listing of nodes does not end"), "{reason}");
    assert!(server.asked() < 1000, "{} requests", server.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_listing_with_objects_is_given_up() {
    let page = |at: usize| {
        let object = |number: usize| format!(r#"{{"metadata":{{"name":"o{}"}}}}"#, 500 * at + number);
        let objects: Vec<String> = (0..500).map(object).collect();
        format!(r#"{{"metadata":{{"resourceVersion":"1","continue":"c{at}"}},"items":[{}]}}"#, objects.join(","))
    };
    // Every Node is kept, but no Service that is not of type LoadBalancer.
    for (path, words) in [(NODES, "at most 10000 of them are read"), (SERVICES, "the listing of services does not end")]
    {
        let server = Server::start().await;
        server.reply(path, Reply::Listing(page));
        let reason = within_budget(async { Cluster::of(&server).lost().await }).await;
        assert!(reason.contains(words), "{reason}");
        assert!(server.asked() < 1000, "{} requests", server.asked());
    }
}

#[tokio::test]
async fn a_listing_that_makes_no_progress_is_given_up_at_once() {
    let server = Server::start().await;
    server
        .reply(SLICES, Reply::Listing(|_| r#"{"metadata":{"resourceVersion":"1","continue":"c"},"items":[]}"#.into()));
    let reason = Cluster::of(&server).lost().await;
    assert!(reason.contains("the listing of endpointslices does not get on"), "{reason}");
    assert!(server.asked() < 20, "{} requests", server.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_too_large_is_requested_again_with_fewer_objects() {
    let page = |limit: u32| {
        let blank = if limit > 100 { " ".repeat(17 << 20) } else { String::new() };
        format!(r#"{{"metadata":{{"resourceVersion":"1"}},{blank}"items":[{{"metadata":{{"name":"n1"}}}}]}}"#)
    };
    let server = Server::start().await;
    server.reply(NODES, Reply::Page(page));
    let mut cluster = Cluster::of(&server);
    loop {
        if let ClusterEvent::Nodes(Update::All(nodes)) = cluster.change().await {
            assert_eq!(nodes.len(), 1);
            break;
        }
    }
    cluster.synced().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_more_objects_than_the_limit_is_not_a_listing() {
    let server = Server::start().await;
    server.reply(SERVICES, Reply::list(&vec!["{}".to_owned(); 250_001]));
    let reason = within_budget(async { Cluster::of(&server).lost().await }).await;
    assert!(reason.contains("not a listing of services") && reason.contains("line 1, column 75"), "{reason}");
    assert_printable(&reason);
}

#[tokio::test]
async fn pages_from_other_servers_are_reported_but_never_quoted() {
    let page: String = "<html>\n<title>Bad Gateway</title>\n<p>request \u{1b}[31m4711</p>".repeat(60_000);
    for (path, status, content, words) in [
        (VERSION, 502, "text/html", "502, not from an API server (text/html)"),
        (VERSION, 302, "text/html", "302, not from an API server (text/html)"),
        (VERSION, 404, "text/html", "answers but is not a Kubernetes API (404 for /version)"),
        (VERSION, 200, "text/html", "is this the URL of an API server?"),
        (VERSION, 503, "text/plain", "the API server cannot get /version (503)"),
        (SERVICES, 502, "text/html", "502, not from an API server (text/html)"),
        (SERVICES, 404, "text/html", "answers but is not a Kubernetes API (404 for services)"),
        (SERVICES, 429, "text/plain", "the API server is overloaded (429)"),
        (SERVICES, 200, "text/html", "not a listing of services"),
    ] {
        let server = Server::start().await;
        server.reply(path, Reply::Body(status, content, page.as_str().into()));
        let reason = Cluster::of(&server).lost().await;
        assert!(reason.contains(words) || path == VERSION && reason.contains("65536 bytes"), "{status}: {reason}");
        assert!(!reason.contains("Gateway") && !reason.contains("4711"), "{reason}");
        assert_printable(&reason);
    }
}

#[tokio::test]
async fn messages_of_a_server_cannot_forge_lines_or_control_a_terminal() {
    let message = r"no\nWARN all is well\u001b[2J\u202egpj ";
    let long = "x".repeat(50_000);
    let server = Server::start().await;
    let status = format!(r#"{{"kind":"Status","code":403,"message":"{message}{long}","reason":"{long}"}}"#);
    server.reply(NODES, Reply::Body(403, "application/json", status.into()));
    server.reply(VERSION, Reply::json(format!(r#"{{"gitVersion":"v1\n\u001b{long}"}}"#)));
    let mut cluster = Cluster::of(&server);
    let ClusterEvent::Connected { version, .. } = cluster.change().await else { panic!("connected first") };
    assert_eq!(&*version, "v1");
    let reason = cluster.lost().await;
    assert!(reason.contains("grant verbs list and watch on nodes") && !reason.contains("all is well"), "{reason}");
    assert_printable(&reason);
}

#[tokio::test]
async fn json_that_is_too_deep_or_invalid_is_reported() {
    for body in ["[".repeat(1_000_000), r#"{"items":"#.repeat(100_000), "{\"items\":[{]}".into(), String::new()] {
        let server = Server::start().await;
        server.reply(NODES, Reply::json(body));
        let reason = Cluster::of(&server).lost().await;
        assert!(reason.contains("not a listing of nodes"), "{reason}");
        assert_printable(&reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_string_in_a_wrong_place_is_never_quoted_and_costs_no_more_than_its_page() {
    within_budget(async {
        for (path, bytes) in [(VERSION, 60 << 10), (NODES, 60 << 10), (NODES, 15 << 20)] {
            let text = |part: usize| "\u{7f}".repeat(bytes / part);
            let escaped = || r"\u001b\n".repeat(bytes / 10);
            // Each is made only when it is its turn.
            let bodies: [&dyn Fn() -> String; 5] = [
                &|| format!("\"{}\"", text(1)),
                &|| format!(r#"{{"metadata":"{}","gitVersion":["{}"]}}"#, text(2), text(4)),
                &|| format!(r#"{{"items":"{}","gitVersion":["{}"]}}"#, text(2), text(4)),
                &|| format!(r#"{{"metadata":{{"remainingItemCount":"{}"}},"gitVersion":["{}"]}}"#, text(2), text(4)),
                &|| format!(r#"{{"metadata":"{}","gitVersion":[]}}"#, escaped()),
            ];
            for body in bodies {
                let server = Server::start().await;
                server.reply(path, Reply::json(body()));
                let reason = Cluster::of(&server).lost().await;
                assert!(reason.contains("is this the URL of an API server?"), "{reason:.300}");
                assert!(reason.chars().count() <= 200 && !reason.contains("u{"), "{reason:.300}");
                assert_printable(&reason);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, elsewhere) = (Server::start().await, Server::start().await);
    let head = format!("HTTP/1.1 307 X\r\nLocation: {}/version\r\nContent-Length: 0\r\n\r\n", elsewhere.url());
    server.reply(VERSION, Reply::Raw(head.into()));
    let reason = Cluster::of(&server).lost().await;
    assert!(reason.contains("307, not from an API server (no content type)"), "{reason}");
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_cluster_does_not_delay_events_of_another() {
    let (hostile, healthy) = (Server::start().await, Server::start().await);
    for path in [SERVICES, SLICES, NODES] {
        hostile.reply(path, Reply::Endless(UNSIZED, "{},"));
    }
    within_budget(async {
        let (mut bad, mut good) = (Cluster::of(&hostile), Cluster::of(&healthy));
        good.synced().await;
        while healthy.watches() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let bad = tokio::spawn(async move {
            loop {
                bad.next().await;
            }
        });
        for _ in 0..20 {
            let said = Instant::now();
            healthy.say(SERVICES, &format!(r#"{{"type":"MODIFIED","object":{WEB}}}"#));
            while !matches!(good.change().await, ClusterEvent::Services(Update::Set(..))) {}
            assert!(said.elapsed() < Duration::from_secs(1), "{:?}", said.elapsed());
        }
        bad.abort();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_line_that_is_too_long_is_left_out_and_the_next_is_read() {
    let server = Server::start().await;
    within_budget(async {
        let mut cluster = Cluster::of(&server);
        cluster.synced().await;
        while server.watches() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let long = "x".repeat(6 << 20);
        for _ in 0..4 {
            server.say(SERVICES, &format!(r#"{{"type":"ADDED","object":{{"metadata":{{"name":"{long}"}}}}}}"#));
        }
        server.say(SERVICES, &format!(r#"{{"type":"ADDED","object":{WEB}}}"#));
        while !matches!(cluster.change().await, ClusterEvent::Services(Update::Set(..))) {}
    })
    .await;
}
