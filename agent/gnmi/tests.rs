//! Tests the source against a scripted gNMI server.

mod server;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::server::{Rules, Server, Subscription};
use super::{Credentials, GetError, Options, PasswordFile, Source, get};
use crate::adapted::Adapted;
use crate::endpoint::Endpoint;
use crate::model::adaptation::Adaptation;
use crate::model::event::{Event, SourceEvent, SourceId, Update};
use crate::model::inquiry::{AddressKey, Answer, Asking, Inquiry, Place, Question};
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{
    FibFault, FibFaultKind, FibKey, IpFamily, Neighbor, NeighborKey, PeerAddress, SessionState,
};
use srl_proto::gnmi::{Encoding, SubscriptionMode};

const NEIGHBOR: &str = "/srl_nokia-network-instance:network-instance[name=default]/protocols/srl_nokia-bgp:bgp\
                        /neighbor[peer-address=192.168.1.11]";
const COUNTER: &str = "/srl_nokia-network-instance:network-instance[name=default]/route-table\
                       /srl_nokia-ip-route-tables:ipv4-unicast/statistics";
const ROUTE: &str = "/srl_nokia-network-instance:network-instance[name=default]/route-table\
                     /srl_nokia-ip-route-tables:ipv4-unicast/route[ipv4-prefix=10.0.0.1/32]\
                     [route-type=srl_nokia-common:bgp][route-owner=bgp_mgr][id=0][origin-network-instance=default]";

/// Awaits what must happen soon.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// A source under test, and the ends of its channels.
struct Agent {
    events: mpsc::Receiver<Event>,
    instances: watch::Sender<BTreeSet<NetworkInstanceName>>,
    inquiry: watch::Sender<Inquiry>,
    reload: watch::Sender<u64>,
    adaptation: watch::Receiver<Adaptation>,
    task: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    fn start(folder: &TempDir, instances: &[&str], adjust: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(endpoint(folder), credentials(folder));
        adjust(&mut options);
        let (sender, events) = mpsc::channel(64);
        let (instances, watched) = watch::channel(instances.iter().map(|name| (*name).into()).collect());
        let (reload, reloads) = watch::channel(0);
        let (inquiry, asked) = watch::channel(Inquiry::default());
        let (adapted, adaptation) = Adapted::new();
        let source = Source::new(options, sender, watched, asked, reloads).reporting(adapted);
        Self { events, instances, inquiry, reload, adaptation, task: tokio::spawn(source.run()) }
    }

    /// Returns the encoding, and the paths and features that are reported as refused.
    fn adapted(&self) -> (Option<&'static str>, Vec<String>) {
        let found = self.adaptation.borrow();
        let refused = found.refused_paths().into_iter().chain(found.refused_features()).map(str::to_owned).collect();
        (found.gnmi_encoding, refused)
    }

    async fn event(&mut self) -> Event {
        in_time(self.events.recv()).await.expect("the source lives")
    }

    async fn condition(&mut self, expected: SourceEvent) {
        match self.event().await {
            Event::Source(SourceId::Gnmi, event) => assert_eq!(event, expected),
            other => panic!("{other:?} in place of {expected:?}"),
        }
    }

    async fn lost(&mut self) -> String {
        loop {
            if let Event::Source(SourceId::Gnmi, SourceEvent::Lost(reason)) = self.event().await {
                return reason.to_string();
            }
        }
    }

    async fn neighbors(&mut self) -> Update<NeighborKey, Neighbor> {
        match self.event().await {
            Event::Neighbors(update) => update,
            other => panic!("{other:?} in place of neighbors"),
        }
    }

    /// Returns the next FIB fault; skips signs of life, counts and coverage.
    async fn fib(&mut self) -> Update<FibKey, FibFault> {
        loop {
            match self.event().await {
                Event::Fib(update) => return update,
                Event::Coverage(_) | Event::ActiveRoutes(_) | Event::Source(_, SourceEvent::Alive) => {}
                other => panic!("{other:?} in place of a FIB fault"),
            }
        }
    }

    /// Waits until the faults of exactly these network instances are known; returns the faults reported until then.
    async fn covers(&mut self, instances: &[&str]) -> Vec<Update<FibKey, FibFault>> {
        let mut faults = Vec::new();
        loop {
            match self.event().await {
                Event::Fib(update) => faults.push(update),
                Event::Coverage(coverage) => {
                    let names: BTreeSet<_> = coverage.fib.iter().map(|table| table.network_instance.as_str()).collect();
                    if names == instances.iter().copied().collect() {
                        return faults;
                    }
                }
                _ => {}
            }
        }
    }

    /// Receives events until in sync; returns what was reported until then.
    async fn until_synced(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.event().await {
                Event::Source(_, SourceEvent::Synced) => return events,
                event => events.push(event),
            }
        }
    }

    /// Completes the first sync with this state subscription.
    async fn synced(&mut self, state: &Subscription) {
        state.sync();
        self.until_synced().await;
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let password = folder.path().join("password");
    std::fs::write(&password, "right\n").expect("written");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("changed");
    folder
}

fn socket(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("sr_grpc_server_insecure-mgmt")
}

fn endpoint(folder: &TempDir) -> Endpoint {
    format!("unix://{}", socket(folder).display()).parse().expect("an address")
}

fn credentials(folder: &TempDir) -> Credentials {
    Credentials { username: "admin".to_owned(), password_file: PasswordFile::Required(folder.path().join("password")) }
}

#[tokio::test]
async fn all_neighbors_are_reported_at_the_first_sync_and_later_updates_merged() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules { password: Some("right".into()), ..Default::default() });
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    assert!(!state.list.updates_only && state.list.encoding == Encoding::JsonIetf as i32);
    state.update(NEIGHBOR, r#"{"session-state":"established"}"#);
    state.update(NEIGHBOR, r#"{"last-established":"2026-06-12T16:29:35.500Z"}"#);
    state.update(NEIGHBOR, r#"{"afi-safi":[{"afi-safi-name":"srl_nokia-common:ipv4-unicast","received-routes":4}]}"#);
    state.sync();
    agent.condition(SourceEvent::Syncing).await;
    let Update::All(all) = agent.neighbors().await else { panic!("the whole table first") };
    let [(key, neighbor)] = &*all else { panic!("one neighbor: {all:?}") };
    assert_eq!((key.network_instance.as_str(), key.peer.to_string()), ("default", "192.168.1.11".to_owned()));
    assert_eq!(neighbor.session, Some(SessionState::Established));
    assert_eq!(neighbor.received_routes, Some(4));
    assert!(neighbor.last_established.is_some() && !neighbor.dynamic);
    agent.until_synced().await;

    state.update(NEIGHBOR, r#"{"session-state":"idle"}"#);
    let Update::Set(_, changed) = agent.neighbors().await else { panic!("a change") };
    assert_eq!(changed, Neighbor { session: Some(SessionState::Idle), ..neighbor.clone() });
    state.delete(&format!("{NEIGHBOR}/session-state"));
    assert!(matches!(agent.neighbors().await, Update::Gone(gone) if gone == *key));
}

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

#[tokio::test]
async fn a_refused_subscription_is_simplified_before_a_leaf_is_left_out() {
    let folder = folder();
    let rules = Rules { no_updates_only: true, no_wildcards: true, ..Default::default() };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &["default"], |_| {});
    let state = server.subscription().await;
    assert_eq!(state.leaves().len(), 15, "every leaf is still asked for");
    state.update(COUNTER, r#"{"fib-failed-routes":"0"}"#);
    state.sync();
    let standing = server.subscription().await;
    assert!(!standing.list.updates_only);
    assert_eq!(standing.leaves().len(), 10);
    standing.sync();
    agent.until_synced().await;
    let refused = ["updates_only", "wildcards"];
    assert_eq!(agent.adapted(), (Some("json-ietf"), refused.map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_refused_leaf_is_left_out_and_the_others_are_kept() {
    let folder = folder();
    let rules = Rules { unknown_element: Some("statistics"), ..Default::default() };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &["default"], |_| {});
    let state = server.subscription().await;
    let leaves = ["session-state", "last-established", "received-routes", "dynamic-neighbor", "current-datetime"];
    assert_eq!(state.leaves()[..leaves.len()], leaves);
    state.sync();
    let standing = server.subscription().await;
    assert!(!standing.list.updates_only, "without the counter, what stands must be asked for");
    agent.synced(&standing).await;
    let tables = "/network-instance[name=*]/route-table/ipv4-unicast/statistics";
    let refused = ["active-routes", "fib-failed-routes"].map(|leaf| format!("{tables}/{leaf}"));
    let (_, mut reported) = agent.adapted();
    reported.sort_unstable();
    assert_eq!(reported, refused);
}

#[tokio::test]
async fn a_server_without_fib_programming_gives_neighbors_but_no_coverage() {
    let folder = folder();
    let rules = Rules { unknown_element: Some("fib-programming"), ..Default::default() };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &["default"], |_| {});
    let state = server.subscription().await;
    state.sync();
    let events = agent.until_synced().await;
    let covers = |event: &Event| matches!(event, Event::Coverage(coverage) if !coverage.fib.is_empty());
    assert!(!events.iter().any(covers), "{events:?}");
    state.update(NEIGHBOR, r#"{"session-state":"active"}"#);
    assert!(matches!(agent.neighbors().await, Update::Set(..)));
}

#[tokio::test]
async fn a_server_that_refuses_json_ietf_is_asked_in_plain_json() {
    let folder = folder();
    let rules = Rules { encoding: Some(Encoding::Json), ..Default::default() };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
}

#[tokio::test]
async fn the_best_encoding_among_the_servers_capabilities_is_used() {
    let folder = folder();
    let encodings = vec![Encoding::Ascii, Encoding::Proto];
    let mut server = Server::start(&socket(&folder), Rules { encodings, ..Default::default() });
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    assert_eq!(state.list.encoding, Encoding::Proto as i32);
    agent.synced(&state).await;
    assert_eq!(agent.adapted(), (Some("proto"), Vec::new()));
}

#[tokio::test]
async fn wrong_credentials_are_reported_without_the_password_and_new_ones_tried_at_once() {
    let folder = folder();
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong").expect("written");
    let mut server = Server::start(&socket(&folder), Rules { password: Some("right".into()), ..Default::default() });
    let mut agent = Agent::start(&folder, &[], |options| options.password_poll = Duration::from_secs(3600));
    let reason = agent.lost().await;
    assert!(reason.contains("user 'admin'") && reason.contains(&password.display().to_string()), "{reason}");
    assert!(!reason.contains("password in wrong"), "{reason}");
    std::fs::write(&password, "right\n").expect("written");
    agent.reload.send_modify(|count| *count += 1);
    let state = server.subscription().await;
    agent.synced(&state).await;
}

#[tokio::test]
async fn a_changed_password_file_is_noticed() {
    let folder = folder();
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong").expect("written");
    let mut server = Server::start(&socket(&folder), Rules { password: Some("right".into()), ..Default::default() });
    let mut agent = Agent::start(&folder, &[], |options| options.password_poll = Duration::from_millis(10));
    agent.lost().await;
    std::fs::write(&password, "right").expect("written");
    server.subscription().await;
}

#[tokio::test]
async fn a_missing_password_file_is_named_in_the_reason() {
    let folder = folder();
    std::fs::remove_file(folder.path().join("password")).expect("removed");
    let mut agent = Agent::start(&folder, &[], |_| {});
    let reason = agent.lost().await;
    assert!(reason.contains("the gNMI password file") && reason.contains("does not exist"), "{reason}");
}

#[tokio::test]
async fn credentials_are_sent_once_the_optional_password_file_exists() {
    let folder = folder();
    let password = folder.path().join("later");
    let mut server = Server::start(&socket(&folder), Rules { password: Some("right".into()), ..Default::default() });
    let mut agent = Agent::start(&folder, &[], |options| {
        options.credentials.password_file = PasswordFile::Optional(password.clone());
        options.password_poll = Duration::from_millis(10);
    });
    let reason = agent.lost().await;
    assert!(
        reason.contains("calls without credentials") && reason.contains(&password.display().to_string()),
        "{reason}"
    );
    std::fs::rename(folder.path().join("password"), &password).expect("moved");
    let state = server.subscription().await;
    agent.synced(&state).await;
}

#[tokio::test]
async fn an_ended_subscription_is_reopened_and_everything_reported_again() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    drop(state);
    assert!(agent.lost().await.contains("ended the subscription"));
    agent.reload.send_modify(|count| *count += 1);
    let state = server.subscription().await;
    state.update(NEIGHBOR, r#"{"session-state":"established"}"#);
    state.sync();
    agent.condition(SourceEvent::Syncing).await;
    assert!(matches!(agent.neighbors().await, Update::All(all) if all.len() == 1));
}

#[tokio::test]
async fn a_server_that_limits_requests_is_left_alone_for_the_pause() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules { exhausted: 1, ..Default::default() });
    let mut agent = Agent::start(&folder, &["default"], |options| options.limit_pause = Duration::from_millis(20));
    assert!(agent.lost().await.contains("limits requests"));
    let state = server.subscription().await;
    server.rules(|rules| rules.exhausted = 1);
    agent.synced(&state).await;
    // Only FIB programming waits, while neighbors are followed.
    assert!(server.subscription().await.leaves().contains(&"last-failed-operation-type".to_owned()));
}

#[tokio::test]
async fn a_server_that_never_syncs_is_given_up_after_a_timeout() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |options| options.sync_timeout = Duration::from_millis(30));
    let _silent = server.subscription().await;
    assert!(agent.lost().await.contains("did not tell its neighbors"));
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_its_return_reported_only_once_it_speaks() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |options| options.silence = Duration::from_millis(30));
    let state = server.subscription().await;
    agent.synced(&state).await;
    assert!(agent.lost().await.contains("has said nothing"));
    agent.reload.send_modify(|count| *count += 1);
    let state = server.subscription().await;
    let mut event = std::pin::pin!(agent.event());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut event).await.is_err(), "a socket is no server");
    state.sync();
    assert!(matches!(event.await, Event::Source(_, SourceEvent::Syncing)));
}

#[tokio::test]
async fn a_server_without_a_clock_leaf_may_be_silent() {
    let folder = folder();
    let rules = Rules { unknown_element: Some("current-datetime"), ..Default::default() };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &[], |options| options.silence = Duration::from_millis(10));
    let state = server.subscription().await;
    agent.synced(&state).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), agent.event()).await.is_err());
}

#[tokio::test]
async fn unreadable_updates_are_counted_and_the_subscription_continues() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    state.update(NEIGHBOR, "{");
    agent.condition(SourceEvent::Malformed).await;
    state.update(NEIGHBOR, r#"{"session-state":"melting"}"#);
    agent.condition(SourceEvent::Malformed).await;
    state.update(NEIGHBOR, r#"{"session-state":"active"}"#);
    assert!(matches!(agent.neighbors().await, Update::Set(..)));
}

#[tokio::test]
async fn get_returns_the_state_below_a_path() {
    let folder = folder();
    let state = Some(r#"{"k8s-services:admin-state":"enable"}"#.to_owned());
    let rules = Rules { password: Some("right".into()), state, ..Default::default() };
    let server = Server::start(&socket(&folder), rules);
    let ask = async || in_time(get(&endpoint(&folder), &credentials(&folder), "/k8s-services")).await;
    assert_eq!(ask().await.expect("an answer"), json!({"admin-state": "enable"}));
    server.rules(|rules| rules.encoding = Some(Encoding::Json));
    assert_eq!(ask().await.expect("an answer"), json!({"admin-state": "enable"}));
    server.rules(|rules| rules.state = None);
    assert_eq!(ask().await.expect("an answer"), json!(null));
    server.rules(|rules| rules.password = Some("other".into()));
    assert!(matches!(ask().await, Err(GetError::Status { .. })));
}

fn neighbor_question() -> (NeighborKey, Inquiry) {
    let peer = PeerAddress { ip: [192, 168, 1, 11].into(), interface: None };
    let key = NeighborKey { network_instance: "default".into(), peer };
    let inquiry = Inquiry::from([(Question::Neighbor(key.clone()), Asking::Repeatedly)]);
    (key, inquiry)
}

#[tokio::test]
async fn a_question_of_the_engine_is_answered_with_one_get() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let words = json!({"last-event": "recvNotify", "received-messages": {"last-notification-error-code": "Cease"}});
    server.rules(|rules| rules.answers = vec![(NEIGHBOR, words.to_string())]);
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    assert_eq!(server.rules(|rules| rules.gets.len()), 0, "nothing is asked while all is up");
    let (key, inquiry) = neighbor_question();
    agent.inquiry.send_replace(inquiry);
    let (question, finding) = loop {
        if let Event::Finding(question, finding) = agent.event().await {
            break (question, finding);
        }
    };
    assert_eq!(question, Question::Neighbor(key));
    let Answer::Neighbor(words) = finding.answer else { panic!("words of a neighbor: {finding:?}") };
    assert_eq!(words.received.map(|one| one.code.to_string()).as_deref(), Some("Cease"));
    assert_eq!(server.rules(|rules| rules.gets.clone()), [1]);
}

#[tokio::test]
async fn a_withdrawn_question_is_not_asked() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(neighbor_question().1);
    agent.inquiry.send_replace(Inquiry::default());
    assert!(tokio::time::timeout(Duration::from_millis(1300), agent.event()).await.is_err());
    assert_eq!(server.rules(|rules| rules.gets.len()), 0);
}

const ENTRY: &str = "/srl_nokia-interfaces:interface[name=irb1]/subinterface[index=1]/ipv4/srl_nokia-interfaces-nbr:arp\
                     /neighbor[ipv4-address=10.20.0.100]";
const MEMBER: &str = "/srl_nokia-network-instance:network-instance[name=default]/interface[name=irb1.1]";

/// Asks to follow who answers for 10.20.0.100.
fn followed() -> Inquiry {
    let key = AddressKey { network_instance: "default".into(), address: [10, 20, 0, 100].into() };
    Inquiry::from([(Question::Place(key), Asking::Followed)])
}

/// Returns the next finding about who answers.
async fn place(agent: &mut Agent) -> Place {
    loop {
        if let Event::Finding(Question::Place(_), finding) = agent.event().await {
            let Answer::Place(place) = finding.answer else { panic!("a place: {finding:?}") };
            return place;
        }
    }
}

/// Returns the finding once this MAC has answered.
async fn until_mac(agent: &mut Agent, mac: &str) -> Place {
    loop {
        let place = place(agent).await;
        if place.answers && place.link_layer_address.as_deref() == Some(mac) {
            return place;
        }
    }
}

fn answers(subscription: &Subscription, mac: &str) {
    subscription.update(ENTRY, &json!({ "link-layer-address": mac }).to_string());
}

fn modes(subscription: &Subscription) -> BTreeSet<i32> {
    subscription.list.subscription.iter().map(|one| one.mode).collect()
}

#[tokio::test]
async fn arp_entries_are_followed_by_samples_and_their_place_asked_once() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(followed());
    let entries = server.subscription().await;
    assert_eq!(entries.leaves(), ["link-layer-address", "oper-state"]);
    assert_eq!(modes(&entries), [SubscriptionMode::Sample.into()].into());
    entries.update(MEMBER, r#"{"oper-state":"up"}"#);
    answers(&entries, "AA:C1:AB:00:00:11");
    entries.sync();
    assert_eq!(until_mac(&mut agent, "AA:C1:AB:00:00:11").await.subinterface.as_deref(), Some("irb1.1"));
    answers(&entries, "AA:C1:AB:00:00:12");
    until_mac(&mut agent, "AA:C1:AB:00:00:12").await;
    entries.delete(ENTRY);
    while place(&mut agent).await.answers {}
    // The address is still followed, so that a Get has less to report about it.
    server.rules(|rules| rules.answers = vec![(ENTRY, json!({ "link-layer-address": "old" }).to_string())]);
    answers(&entries, "AA:C1:AB:00:00:13");
    let place = until_mac(&mut agent, "AA:C1:AB:00:00:13").await;
    assert_eq!(place.port, None);
}

#[tokio::test]
async fn arp_entries_are_followed_on_change_if_the_server_refuses_samples() {
    let folder = folder();
    let rules = Rules { no_samples_of: Some("arp"), ..Rules::default() };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(followed());
    let entries = server.subscription().await;
    assert_eq!(modes(&entries), [SubscriptionMode::OnChange.into()].into());
    answers(&entries, "AA:C1:AB:00:00:11");
    entries.sync();
    until_mac(&mut agent, "AA:C1:AB:00:00:11").await;
    assert_eq!(agent.adapted().1, ["sample"]);
}

#[tokio::test]
async fn arp_entries_are_polled_by_get_if_they_cannot_be_subscribed_to() {
    let folder = folder();
    let rules = Rules {
        unknown_element: Some("arp"),
        answers: vec![(ENTRY, json!({ "link-layer-address": "AA:C1:AB:00:00:11" }).to_string())],
        ..Rules::default()
    };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(followed());
    until_mac(&mut agent, "AA:C1:AB:00:00:11").await;
    server.rules(|rules| rules.answers[0].1 = json!({ "link-layer-address": "AA:C1:AB:00:00:12" }).to_string());
    until_mac(&mut agent, "AA:C1:AB:00:00:12").await;
    let entries = "/interface[name=*]/subinterface[index=*]/ipv4/arp/neighbor[ipv4-address=*]/link-layer-address";
    assert_eq!(agent.adapted().1, [entries]);
}

#[tokio::test]
async fn arp_entries_are_polled_while_a_rate_limit_delays_their_subscription() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |options| options.limit_pause = Duration::from_secs(1));
    let state = server.subscription().await;
    agent.synced(&state).await;
    server.rules(|rules| {
        rules.exhausted = 1;
        rules.answers = vec![(ENTRY, json!({ "link-layer-address": "AA:C1:AB:00:00:11" }).to_string())];
    });
    agent.inquiry.send_replace(followed());
    until_mac(&mut agent, "AA:C1:AB:00:00:11").await;
    let entries = server.subscription().await;
    answers(&entries, "AA:C1:AB:00:00:12");
    entries.sync();
    until_mac(&mut agent, "AA:C1:AB:00:00:12").await;
}
