//! Tests the session against a scripted NDK.

mod server;

use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::server::{Call, Server};
use super::{Commit, Options, Registration, Session, TelemetryError};
use crate::model::commit::{ConfigChange, Operation, Problem, Verdict};
use crate::model::event::{DumpPace, Event, SourceEvent, SwitchEvent};
use crate::model::source::SourceId;
use ndk::notification::SubscriptionTypes;
use srl_proto::ndk;

/// A quiet period that is longer than any break in a test's dump, even on a busy machine.
const UNHURRIED: Duration = Duration::from_secs(1);

/// Awaits what must happen soon.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// A session under test, and the ends of its channels.
struct Agent {
    events: mpsc::Receiver<Event>,
    commits: mpsc::Receiver<Commit>,
    registration: watch::Receiver<Option<Registration>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Agent {
    fn start(folder: &TempDir, adjust: impl FnOnce(&mut Options)) -> Self {
        let endpoint = format!("unix://{}", socket(folder).display()).parse().expect("an address");
        let mut options = Options { quiet: Duration::from_millis(30), ..Options::new(endpoint) };
        adjust(&mut options);
        let (sender, events) = mpsc::channel(64);
        let (commit_sender, commits) = mpsc::channel(4);
        let (stop, stopped) = watch::channel(false);
        let (session, registration) = Session::new(options, sender, commit_sender, stopped);
        Self { events, commits, registration, stop, task: tokio::spawn(session.run()) }
    }

    async fn event(&mut self) -> Event {
        in_time(self.events.recv()).await.expect("the session lives")
    }

    /// Returns the next condition of the source; skips other events.
    async fn condition(&mut self) -> SourceEvent {
        loop {
            if let Event::Source(SourceId::Ndk, event) = self.event().await {
                return event;
            }
        }
    }

    async fn until(&mut self, expected: SourceEvent) {
        while self.condition().await != expected {}
    }

    /// Waits until the dump rests.
    async fn rested(&mut self) {
        while !matches!(self.event().await, Event::Switch(SwitchEvent::Pace(DumpPace::Rested))) {}
    }

    /// Returns the next change of a table.
    async fn change(&mut self) -> SwitchEvent {
        loop {
            match self.event().await {
                Event::Switch(SwitchEvent::Pace(_)) => {}
                Event::Switch(event) => return event,
                _ => {}
            }
        }
    }

    async fn lost(&mut self) -> String {
        loop {
            if let SourceEvent::Lost(reason) = self.condition().await {
                return reason.to_string();
            }
        }
    }

    /// Waits for the registration of this generation.
    async fn registered(&mut self, generation: u64) -> Registration {
        let there = |one: &Option<Registration>| one.as_ref().is_some_and(|one| one.generation == generation);
        in_time(self.registration.wait_for(there)).await.expect("the session lives").clone().expect("it is there")
    }
}

fn socket(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("sr_sdk_service_manager:50053")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn route(last_octet: u8) -> SubscriptionTypes {
    let key = ndk::RouteKey {
        network_instance_name: "default".to_owned(),
        ip_prefix: Some(ndk::IpAddrPrefLenPb {
            ip_addr: Some(ndk::IpAddressPb { ip_address: vec![10, 0, 0, last_octet].into() }),
            prefix_length: 32,
        }),
    };
    SubscriptionTypes::Route(ndk::IpRouteNotification { op: 3, key: Some(key), data: Some(ndk::Route::default()) })
}

fn config(path: &str, json: &str) -> SubscriptionTypes {
    let data = ndk::ConfigData { data_type: Some(ndk::config_data::DataType::Json(json.to_owned())) };
    SubscriptionTypes::Config(ndk::ConfigNotification {
        op: 1,
        key: Some(ndk::ConfigKey { js_path_with_keys: path.to_owned(), ..Default::default() }),
        data: Some(data),
    })
}

/// Waits until the stream is open; returns its id.
async fn stream(server: &mut Server) -> u64 {
    loop {
        if let Call::Stream(stream) = server.call().await {
            return stream;
        }
    }
}

fn instance(name: &str, data: ndk::NetworkInstanceData) -> SubscriptionTypes {
    SubscriptionTypes::NetworkInstance(ndk::NetworkInstanceNotification {
        op: 1,
        key: Some(ndk::NetworkInstanceKey { instance_name: name.to_owned() }),
        data: Some(data),
    })
}

#[tokio::test]
async fn the_agent_registers_with_acknowledgement_and_reports_the_pace_of_the_dump() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    server.rules(|rules| rules.dump = vec![route(1), route(2)]);
    let mut agent = Agent::start(&folder, |options| {
        options.enable_cache = true;
        options.quiet = UNHURRIED;
    });
    let Call::Register(request) = server.call().await else { panic!("first of all it registers") };
    assert!(request.wait_config_ack && request.enable_cache && !request.auto_telemetry_state);
    assert_eq!(request.agent_liveliness, 30);
    agent.registered(1).await;

    stream(&mut server).await;
    assert!(matches!(agent.event().await, Event::Source(SourceId::Ndk, SourceEvent::Syncing)));
    assert!(matches!(agent.event().await, Event::Switch(SwitchEvent::Routes(_, routes)) if routes.len() == 2));
    for expected in [DumpPace::Paused, DumpPace::Rested] {
        assert!(matches!(agent.event().await, Event::Switch(SwitchEvent::Pace(pace)) if pace == expected));
    }
    server.tell(vec![route(3)]);
    assert!(matches!(agent.event().await, Event::Switch(SwitchEvent::Routes(_, routes)) if routes.len() == 1));
}

#[tokio::test]
async fn an_empty_switch_rests_too() {
    let folder = folder();
    let server = Server::start(&socket(&folder));
    server.rules(|rules| rules.refuse_bfd = true);
    let mut agent = Agent::start(&folder, |_| {});
    assert_eq!(agent.condition().await, SourceEvent::Syncing);
    agent.rested().await;
}

#[tokio::test]
async fn all_subscriptions_are_added_before_the_single_stream_is_opened() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    server.rules(|rules| rules.one_stream = true);
    let mut agent = Agent::start(&folder, |_| {});
    assert_eq!(stream(&mut server).await, 1);
    server.tell(vec![route(1), config(".commit.end", "{\"commit_seq\":0}"), route(2)]);
    assert!(matches!(agent.change().await, SwitchEvent::Routes(_, routes) if routes.len() == 2));
    assert_eq!(in_time(agent.commits.recv()).await.expect("a commit").sequence, 0);
}

#[tokio::test]
async fn a_refused_stream_is_reported_with_both_possible_reasons() {
    let folder = folder();
    let server = Server::start(&socket(&folder));
    server.rules(|rules| rules.refuse_streams = true);
    let mut agent = Agent::start(&folder, |_| {});
    let reason = agent.lost().await;
    assert!(reason.contains("does not know the agent") && reason.contains("no further stream"), "{reason}");
}

#[tokio::test]
async fn a_network_instance_without_data_is_held_back_until_the_dump_rests() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    let nothing = ndk::NetworkInstanceData::default();
    let data = ndk::NetworkInstanceData { network_instance_id: 5, oper_is_up: true, ..nothing.clone() };
    let mut agent = Agent::start(&folder, |_| {});
    stream(&mut server).await;
    server.tell(vec![instance("red", nothing.clone()), instance("blue", nothing.clone())]);
    server.tell(vec![instance("red", data)]);
    let SwitchEvent::NetworkInstance(name, Some(received)) = agent.change().await else { panic!("a network instance") };
    assert_eq!((name.as_str(), received.oper_up), ("red", true));
    agent.rested().await;
    let SwitchEvent::NetworkInstance(name, Some(received)) = agent.change().await else { panic!("a network instance") };
    assert_eq!((name.as_str(), received.oper_up), ("blue", false), "as told, when nothing better came");
    server.tell(vec![instance("red", nothing)]);
    assert!(matches!(agent.change().await, SwitchEvent::NetworkInstance(_, Some(received)) if !received.oper_up));
}

#[tokio::test]
async fn a_route_that_carries_its_next_hops_gets_an_inline_group() {
    let folder = folder();
    let server = Server::start(&socket(&folder));
    let SubscriptionTypes::Route(mut carrying) = route(1) else { panic!("a route") };
    let address = ndk::IpAddressPb { ip_address: vec![10, 1, 1, 11].into() };
    let next_hop = ndk::NextHop { nexthop: Some(ndk::next_hop::Nexthop::IpNexthop(address)), ..Default::default() };
    carrying.data = Some(ndk::Route { nexthops: vec![next_hop], ..Default::default() });
    server.rules(|rules| rules.dump = vec![SubscriptionTypes::Route(carrying)]);
    let mut agent = Agent::start(&folder, |_| {});
    let SwitchEvent::NextHopGroups(groups) = agent.change().await else { panic!("a group first") };
    let [(id, Some(group))] = &*groups else { panic!("one group: {groups:?}") };
    assert_eq!(group.next_hops.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.1.11"]);
    let SwitchEvent::Routes(_, routes) = agent.change().await else { panic!("then the route") };
    assert_eq!(routes[0].1.map(|route| route.next_hop_group), Some(*id));
}

#[tokio::test]
async fn ended_streams_are_opened_again_under_the_same_registration() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    server.rules(|rules| rules.dump = vec![route(1)]);
    let mut agent = Agent::start(&folder, |options| options.quiet = UNHURRIED);
    stream(&mut server).await;
    agent.rested().await;
    server.end_streams();
    assert!(agent.lost().await.contains("stream of the switch's tables ended"));
    assert_eq!(agent.condition().await, SourceEvent::Syncing);
    assert_eq!(stream(&mut server).await, 2);
    assert!(matches!(agent.event().await, Event::Switch(SwitchEvent::Routes(..))));
    agent.rested().await;
    assert_eq!(agent.registered(1).await.generation, 1);
}

#[tokio::test]
async fn the_agent_registers_again_after_a_restart_of_the_ndk() {
    let folder = folder();
    let server = Server::start(&socket(&folder));
    let mut agent = Agent::start(&folder, |_| {});
    agent.rested().await;
    let former = agent.registered(1).await;
    drop(server);
    agent.lost().await;
    let mut server = Server::start(&socket(&folder));
    agent.registered(2).await;
    agent.rested().await;
    assert!(matches!(server.call().await, Call::Register(_)));
    let outcome = former.telemetry.update(vec![(".k8s_services".into(), "{}".into())]).await;
    assert!(matches!(outcome, Err(TelemetryError::Lost(_))), "a former registration writes no more: {outcome:?}");
}

#[tokio::test]
async fn a_refused_keepalive_ends_the_registration() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    let mut agent = Agent::start(&folder, |options| options.keepalive = Duration::from_millis(20));
    agent.registered(1).await;
    while server.call().await != Call::KeepAlive {}
    agent.until(SourceEvent::Alive).await;
    server.rules(|rules| rules.refuse_keepalive = true);
    assert!(agent.lost().await.contains("KeepAlive"));
    agent.registered(2).await;
}

#[tokio::test]
async fn the_agent_registers_again_if_the_ndk_keeps_forgetting_its_streams() {
    let folder = folder();
    let server = Server::start(&socket(&folder));
    server.rules(|rules| rules.forget_streams = true);
    let mut agent = Agent::start(&folder, |_| {});
    while !agent.lost().await.contains("in a row") {}
    server.rules(|rules| rules.forget_streams = false);
    agent.rested().await;
    let generation = agent.registration.borrow().as_ref().map(|one| one.generation);
    assert!(generation > Some(1), "{generation:?}");
}

#[tokio::test]
async fn a_missing_socket_is_waited_for_and_reported_once_with_the_remedy() {
    let folder = folder();
    let mut agent = Agent::start(&folder, |_| {});
    assert!(agent.lost().await.contains("ndk-server admin-state enable"));
    let _server = Server::start(&socket(&folder));
    assert_eq!(agent.condition().await, SourceEvent::Syncing, "no second word of the loss");
    agent.registered(1).await;
}

#[tokio::test]
async fn a_refused_registration_is_explained_and_tried_again() {
    let folder = folder();
    let server = Server::start(&socket(&folder));
    server.rules(|rules| rules.refuse_registration = true);
    let mut agent = Agent::start(&folder, |_| {});
    assert!(agent.lost().await.contains("is app_mgr running it as k8s-services?"));
    server.rules(|rules| rules.refuse_registration = false);
    agent.registered(1).await;
}

#[tokio::test]
async fn commits_are_gathered_and_each_answered_once_with_all_its_problems() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    let mut agent = Agent::start(&folder, |_| {});
    stream(&mut server).await;
    server.tell(vec![config(".k8s_services", "{}"), config(".commit.end", "{\"commit_seq\":0}")]);
    let commit = in_time(agent.commits.recv()).await.expect("a commit");
    assert_eq!(commit.sequence, 0);
    let expected = ConfigChange { op: Operation::Set, path: ".k8s_services".into(), json: "{}".into() };
    assert_eq!(commit.notifications, [expected]);
    commit.answer.send(Verdict::Accepted(Vec::new())).expect("the session waits");
    assert_eq!(server.call().await, Call::Acknowledge(Vec::new()));

    server.tell(vec![config(r#".k8s_services.cluster{.name=="c1"}"#, "")]);
    server.tell(vec![config(".commit.end", " {\"commit_seq\" : 33}\n")]);
    let commit = in_time(agent.commits.recv()).await.expect("a commit");
    assert_eq!((commit.sequence, commit.notifications.len()), (33, 1));
    let path = |leaf| format!("/k8s-services/cluster[name=c1]/{leaf}").parse().expect("a path");
    let problems = ["kubeconfig", "speaker"].map(|leaf| Problem { path: path(leaf), message: format!("no {leaf}") });
    commit.answer.send(Verdict::Rejected(problems.into())).expect("the session waits");
    let Call::Acknowledge(infos) = server.call().await else { panic!("it acknowledges") };
    let answer = |info: &ndk::AcknowledgeConfigRequestInfo| (info.js_path_with_keys.clone(), info.result.clone());
    let error = |text: &str| Some(ndk::acknowledge_config_request_info::Result::Error(text.to_owned()));
    assert_eq!(
        infos.iter().map(answer).collect::<Vec<_>>(),
        [
            (r#".k8s_services.cluster{.name=="c1"}.kubeconfig"#.to_owned(), error("no kubeconfig")),
            (r#".k8s_services.cluster{.name=="c1"}.speaker"#.to_owned(), error("no speaker"))
        ]
    );
}

#[tokio::test]
async fn a_refused_telemetry_call_returns_the_message_of_the_ndk() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    let mut agent = Agent::start(&folder, |_| {});
    let telemetry = agent.registered(1).await.telemetry;
    stream(&mut server).await;
    let state = || vec![(".k8s_services".to_owned(), "{}".to_owned())];
    in_time(telemetry.update(state())).await.expect("written");
    assert_eq!(server.call().await, Call::Update(vec![".k8s_services".to_owned()]));
    in_time(telemetry.delete(vec![".k8s_services".to_owned()])).await.expect("deleted");
    assert_eq!(server.call().await, Call::Delete(vec![".k8s_services".to_owned()]));
    server.rules(|rules| rules.refuse_telemetry = Some("no such node".to_owned()));
    let refused = in_time(telemetry.update(state())).await;
    assert!(matches!(&refused, Err(TelemetryError::Refused(reason)) if reason == "no such node"), "{refused:?}");
}

#[tokio::test]
async fn unreadable_notifications_are_counted_and_the_stream_continues() {
    let folder = folder();
    let server = Server::start(&socket(&folder));
    let unreadable = ndk::IpRouteNotification { op: 9, key: None, data: None };
    server.rules(|rules| rules.dump = vec![SubscriptionTypes::Route(unreadable), route(1)]);
    let mut agent = Agent::start(&folder, |options| options.quiet = UNHURRIED);
    assert!(matches!(agent.event().await, Event::Source(_, SourceEvent::Syncing)));
    assert!(matches!(agent.event().await, Event::Switch(SwitchEvent::Routes(..))));
    assert!(matches!(agent.event().await, Event::Source(_, SourceEvent::Malformed)));
}

#[tokio::test]
async fn stopping_unregisters_the_agent() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder));
    let mut agent = Agent::start(&folder, |_| {});
    agent.registered(1).await;
    agent.stop.send_replace(true);
    in_time(agent.task).await.expect("it ends in peace");
    assert!(agent.registration.borrow().is_none());
    while server.call().await != Call::Unregister {}
}

#[tokio::test]
async fn stopping_does_not_wait_for_an_unreachable_ndk() {
    let folder = folder();
    let agent = Agent::start(&folder, |_| {});
    agent.stop.send_replace(true);
    in_time(agent.task).await.expect("it ends in peace");
}
