//! FIB programming: which failures are requested, and what is covered.

use super::*;

#[tokio::test]
async fn only_changes_of_fib_programming_are_requested_while_no_failure_is_counted() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &["default"], |_| {});
    let state = server.subscription().await;
    state.update(COUNTER, r#"{"fib-failed-routes":"0"}"#);
    agent.synced(&state).await;
    let changing = server.subscription().await;
    assert!(changing.list.updates_only);
    assert_eq!(changing.instances(), ["default"]);
    changing.sync();
    agent.covers(&["default"]).await;
    changing.update(ROUTE, r#"{"fib-programming":{"last-failed-operation-type":"add"}}"#);
    let Update::Set(key, fault) = agent.fib().await else { panic!("a fault") };
    assert_eq!((&*key.owner, fault.kind), ("bgp_mgr", FibFaultKind::Failed));
    changing.update(&format!("{ROUTE}/fib-programming"), r#"{"last-failed-operation-type":"none"}"#);
    assert!(matches!(agent.fib().await, Update::Gone(_)));
}

#[tokio::test]
async fn a_small_table_is_read_in_full_to_find_faults_that_are_not_counted() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &["default"], |_| {});
    let state = server.subscription().await;
    state.update(COUNTER, r#"{"fib-failed-routes":"0","active-routes":20}"#);
    state.sync();
    let standing = server.subscription().await;
    assert!(!standing.list.updates_only);
    standing.update(ROUTE, r#"{"fib-programming":{"suppressed":true}}"#);
    standing.sync();
    let events = agent.until_synced().await;
    let suppressed =
        |event: &Event| matches!(event, Event::Fib(Update::Set(_, fault)) if fault.kind == FibFaultKind::Suppressed);
    assert!(events.iter().any(suppressed), "{events:?}");
}

#[tokio::test]
async fn counted_failures_are_requested_before_sync() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &["default"], |_| {});
    let state = server.subscription().await;
    state.update(COUNTER, r#"{"fib-failed-routes":"1","active-routes":7}"#);
    state.sync();
    let standing = server.subscription().await;
    assert!(!standing.list.updates_only);
    standing.update(ROUTE, r#"{"fib-programming":{"last-failed-operation-type":"add"}}"#);
    standing.sync();
    agent.condition(SourceEvent::Syncing).await;
    assert_eq!(agent.neighbors().await, Update::All(Vec::new()));
    let Event::ActiveRoutes(Update::All(counts)) = agent.event().await else { panic!("counts of routes") };
    assert!(matches!(&*counts, [(table, 7)] if table.family == IpFamily::Ipv4), "{counts:?}");
    let faults: Vec<_> =
        agent.until_synced().await.into_iter().filter(|event| matches!(event, Event::Fib(Update::Set(..)))).collect();
    assert_eq!(faults.len(), 1);
}

#[tokio::test]
async fn failures_are_requested_when_the_counter_exceeds_those_reported() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &["default"], |options| options.counter_lead = Duration::from_millis(10));
    let state = server.subscription().await;
    state.update(COUNTER, r#"{"fib-failed-routes":"0"}"#);
    agent.synced(&state).await;
    let changing = server.subscription().await;
    assert!(changing.list.updates_only);
    changing.sync();
    agent.covers(&["default"]).await;
    state.update(COUNTER, r#"{"fib-failed-routes":"2"}"#);
    let standing = server.subscription().await;
    assert!(!standing.list.updates_only);
    standing.update(ROUTE, r#"{"fib-programming":{"last-failed-operation-type":"add"}}"#);
    standing.sync();
    assert!(matches!(agent.fib().await, Update::Set(..)));
    // A count of zero acquits what is still in the history.
    state.update(COUNTER, r#"{"fib-failed-routes":"0"}"#);
    assert!(matches!(agent.fib().await, Update::Gone(_)));
}

#[tokio::test]
async fn a_new_network_instance_is_read_without_ending_other_subscriptions() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &["default"], |_| {});
    let state = server.subscription().await;
    state.update(COUNTER, r#"{"fib-failed-routes":"0"}"#);
    agent.synced(&state).await;
    let first = server.subscription().await;
    assert_eq!(first.instances(), ["default"]);
    first.sync();
    agent.covers(&["default"]).await;
    agent.instances.send_replace(BTreeSet::from(["default".into(), "red".into()]));
    let subscriptions = [server.subscription().await, server.subscription().await];
    let mut asked: Vec<_> = subscriptions.iter().map(|one| (one.list.updates_only, one.instances())).collect();
    asked.sort();
    assert_eq!(asked, [(false, vec!["red".to_owned()]), (true, vec!["default".to_owned()])]);
    first.update(ROUTE, r#"{"fib-programming":{"last-failed-operation-type":"add"}}"#);
    assert!(matches!(agent.fib().await, Update::Set(..)), "what is followed stays in force");
    subscriptions.iter().for_each(Subscription::sync);
    agent.covers(&["default", "red"]).await;
}

#[tokio::test]
async fn a_rate_limit_keeps_known_faults_and_leaves_the_rest_unknown() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &["default"], |options| options.limit_pause = Duration::from_millis(50));
    let state = server.subscription().await;
    state.update(COUNTER, r#"{"fib-failed-routes":"1"}"#);
    state.sync();
    let standing = server.subscription().await;
    standing.update(ROUTE, r#"{"fib-programming":{"last-failed-operation-type":"add"}}"#);
    standing.sync();
    agent.until_synced().await;

    // The connection is lost, and the server limits requests when FIB programming is asked for again.
    drop((state, standing));
    agent.lost().await;
    agent.reload.send_modify(|count| *count += 1);
    let state = server.subscription().await;
    server.rules(|rules| rules.exhausted = 1);
    state.update(COUNTER, r#"{"fib-failed-routes":"1"}"#);
    state.sync();
    let events = agent.until_synced().await;
    assert!(!events.iter().any(|event| matches!(event, Event::Fib(_))), "the fault stands: {events:?}");
    let uncovered = |event: &Event| matches!(event, Event::Coverage(coverage) if coverage.fib.is_empty());
    assert!(events.iter().any(uncovered), "nothing else is known: {events:?}");

    // Asked again after the pause, the server reports no fault.
    let standing = server.subscription().await;
    standing.sync();
    let faults = agent.covers(&["default"]).await;
    assert!(matches!(&*faults, [Update::Gone(_)]), "{faults:?}");
}

#[tokio::test]
async fn faults_without_a_sync_from_the_server_cover_nothing() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &["default"], |options| options.sync_timeout = Duration::from_millis(50));
    let state = server.subscription().await;
    state.sync();
    let standing = server.subscription().await;
    standing.update(ROUTE, r#"{"fib-programming":{"last-failed-operation-type":"none"}}"#);
    let events = agent.until_synced().await;
    let covers = |event: &Event| matches!(event, Event::Coverage(coverage) if !coverage.fib.is_empty());
    assert!(!events.iter().any(covers), "{events:?}");
    standing.sync();
    agent.covers(&["default"]).await;
}
