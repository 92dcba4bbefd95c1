//! Tests the source against an API server that fails.

use super::server::{NODES, SERVICES, SLICES, Server, WATCHED};
use super::*;

const OVERLOADED: &str = "Too many requests, please try again later.";

fn listings(server: &Server, path: &str) -> usize {
    server.requests().iter().filter(|it| it.starts_with(path) && !it.contains("watch=true")).count()
}

#[tokio::test]
async fn a_server_that_sends_retry_after_is_asked_again_at_that_time() {
    let server = Server::start().await;
    server.retry_after(2);
    server.answer(NODES, 429, OVERLOADED);
    let mut running = Running::start(at(&server.url()), quick());
    assert!(running.lost().await.contains("the API server is overloaded (429"));
    let asked = tokio::time::Instant::now();
    server.list(NODES, "1", &[]);
    running.synced().await;
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_millis(1500) && waited < Duration::from_secs(10), "{waited:?}");
}

#[tokio::test]
async fn server_errors_and_broken_answers_are_reported_as_lost_and_retried() {
    for (status, body, truncated, message) in [
        (500, r#"{"kind":"Status","code":500,"message":"etcdserver: leader changed"}"#, false, "leader changed"),
        (503, "<html>upstream is gone</html>", false, "503"),
        (200, "<html>the login page of a proxy</html>", false, "not a listing of services"),
        (200, r#"{"metadata":{},"items":[]}"#, false, "it has no resourceVersion"),
        (200, r#"{"metadata":{"resourceVersion":"2"},"items":[{"#, true, "broke off the answer"),
    ] {
        let server = Server::start().await;
        server.truncate(SERVICES, truncated);
        server.answer(SERVICES, status, body);
        let mut running = Running::start(at(&server.url()), quick());
        let reason = running.lost().await;
        assert!(reason.contains(message) && reason.contains("services"), "{reason}");
        server.truncate(SERVICES, false);
        server.list(SERVICES, "3", &[]);
        running.synced().await;
    }
}

#[tokio::test]
async fn a_source_that_may_list_but_not_watch_is_lost_until_it_may() {
    let mut server = Server::start().await;
    let watched = format!("{NODES}{WATCHED}");
    server.answer(&watched, 403, r#"{"kind":"Status","code":403,"message":"no"}"#);
    let mut running = Running::start(at(&server.url()), quick());
    assert!(running.lost().await.contains("not allowed to watch nodes: grant verbs list and watch on nodes"));
    let asked = |server: &Server| server.requests().iter().filter(|it| it.starts_with(NODES)).count();
    while asked(&server) < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(listings(&server, NODES), 1, "listing it again would say that all is well");
    server.list(&watched, "1", &[]);
    server.watch(NODES).await;
    running.synced().await;
}

#[tokio::test]
async fn a_server_that_expires_every_listing_at_once_is_not_listed_in_a_loop() {
    let mut server = Server::start().await;
    let timings = Timings { first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(5), ..quick() };
    let _running = Running::start(at(&server.url()), timings);
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        let watch = server.watch(SERVICES).await;
        watch.say("ERROR", r#"{"kind":"Status","code":410,"reason":"Expired"}"#);
    }
    let listings = listings(&server, SERVICES);
    assert!(listings < 10, "{listings} listings in a second");
}

#[tokio::test]
async fn a_watch_that_sends_only_errors_is_lost_with_the_reason() {
    let mut server = Server::start().await;
    let mut running = Running::start(at(&server.url()), quick());
    running.synced().await;
    for _ in 0..2 {
        let watch = server.watch(SLICES).await;
        watch.say("ERROR", r#"{"kind":"Status","code":500,"message":"watch cache is being built"}"#);
    }
    assert!(running.lost().await.contains("watch cache is being built"));
    server.watch(SLICES).await.say("BOOKMARK", r#"{"metadata":{"resourceVersion":"9"}}"#);
    running.synced().await;
}

#[tokio::test]
async fn a_silent_server_is_lost_at_the_first_watch_that_cannot_be_opened() {
    let mut server = Server::start().await;
    let timings = Timings { idle: Duration::from_millis(300), first_pause: Duration::from_secs(60), ..quick() };
    let mut running = Running::start(at(&server.url()), timings);
    running.synced().await;
    let _silent = server.watch(SERVICES).await;
    server.answer(SERVICES, 503, OVERLOADED);
    assert!(running.lost().await.contains("503"));
}
