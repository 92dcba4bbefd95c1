//! Tests the source against a scripted gNMI server.

mod fib;
mod questions;
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
use crate::model::adaptation::Adaptation;
use crate::model::event::{Event, SourceEvent, Update};
use crate::model::inquiry::{AddressKey, Answer, Asking, Inquiry, Place, Question};
use crate::model::names::NetworkInstanceName;
use crate::model::source::SourceId;
use crate::model::switch::{
    FibFault, FibFaultKind, FibKey, IpFamily, Neighbor, NeighborKey, PeerAddress, SessionState,
};
use crate::server_addr::ServerAddr;
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

fn endpoint(folder: &TempDir) -> ServerAddr {
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
    assert!(agent.lost().await.contains("sent no neighbors within"));
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_its_return_reported_only_once_it_speaks() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |options| options.silence = Duration::from_millis(30));
    let state = server.subscription().await;
    agent.synced(&state).await;
    assert!(agent.lost().await.contains("has sent nothing"));
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
