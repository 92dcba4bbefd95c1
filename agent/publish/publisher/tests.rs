//! The publisher against a switch of a few lines that keeps what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::cluster::TrafficPolicy;
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::time::Timestamp;
use crate::model::verdict::{NextHopKind, OperState};
use crate::model::view::{NextHopView, RootView, ServiceView, Verdict, VipView};

/// What stands on the switch, and how it answers.
#[derive(Debug, Default)]
struct Switch {
    state: BTreeMap<String, String>,
    calls: Vec<Vec<String>>,
    refuse: Option<fn(&str) -> bool>,
    lost: bool,
}

#[derive(Clone, Debug)]
struct FakeSink {
    generation: u64,
    switch: Arc<Mutex<Switch>>,
}

impl FakeSink {
    fn call(&self, paths: &[String]) -> Result<(), WriteError> {
        let mut switch = self.switch.lock().unwrap();
        switch.calls.push(paths.to_vec());
        if switch.lost {
            return Err(WriteError::Lost("connection refused".to_owned()));
        }
        match switch.refuse {
            Some(refuse) if paths.iter().any(|path| refuse(path)) => Err(WriteError::Refused("bad path".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Sink for FakeSink {
    fn generation(&self) -> u64 {
        self.generation
    }

    async fn update(&self, states: Vec<(String, String)>) -> Result<(), WriteError> {
        let paths: Vec<String> = states.iter().map(|(path, _)| path.clone()).collect();
        self.call(&paths)?;
        self.switch.lock().unwrap().state.extend(states);
        Ok(())
    }

    async fn delete(&self, paths: Vec<String>) -> Result<(), WriteError> {
        self.call(&paths)?;
        let mut switch = self.switch.lock().unwrap();
        if paths.iter().any(|path| !switch.state.contains_key(path)) {
            return Err(WriteError::Refused("no such path".to_owned()));
        }
        paths.iter().for_each(|path| drop(switch.state.remove(path)));
        Ok(())
    }
}

/// A publisher at work, its switch, and the ends it is fed by.
struct Bench {
    switch: Arc<Mutex<Switch>>,
    sinks: watch::Sender<Option<FakeSink>>,
    inputs: mpsc::Sender<Input>,
}

impl Bench {
    fn new() -> Self {
        let switch = Arc::new(Mutex::new(Switch::default()));
        let first = FakeSink { generation: 1, switch: switch.clone() };
        let (sinks, receiver) = watch::channel(None);
        let (inputs, queue) = mpsc::channel(16);
        tokio::spawn(Publisher::new(queue, receiver, "1.2.3").run());
        sinks.send(Some(first)).unwrap();
        Self { switch, sinks, inputs }
    }

    async fn say(&self, changes: Vec<Change>) {
        self.inputs.send(Input::Changes(changes)).await.unwrap();
        self.idle().await;
    }

    /// Time is paused: it moves only when the publisher has nothing left to do.
    async fn idle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn register_again(&self, generation: u64) {
        self.sinks.send(Some(FakeSink { generation, switch: self.switch.clone() })).unwrap();
    }

    fn state(&self) -> BTreeMap<String, String> {
        self.switch.lock().unwrap().state.clone()
    }

    fn calls(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.switch.lock().unwrap().calls)
    }

    fn set(&self, change: impl FnOnce(&mut Switch)) {
        change(&mut self.switch.lock().unwrap());
    }
}

fn root() -> Change {
    Change::Root(RootView { enabled: true, state: OperState::Up, reason: None, alarm_policy: Default::default() })
}

fn service(name: &str, next_hops: &[&str]) -> Change {
    let up = Verdict { state: OperState::Up, reason: None, detail: None };
    let next_hops = next_hops.iter().map(|address| NextHopView {
        address: address.parse().unwrap(),
        node: None,
        kind: NextHopKind::Local,
        expected: true,
        installed: true,
        session: None,
        usable_endpoints: None,
        state: OperState::Up,
        reason: None,
    });
    let vip = VipView {
        address: "1.1.1.100".parse().unwrap(),
        network_instance: "ip-vrf-1".into(),
        prefix: None,
        vantage: None,
        verdict: up.clone(),
        last_change: Timestamp::UNIX_EPOCH,
        route: None,
        expected: 1,
        installed: 1,
        next_hops: next_hops.collect(),
    };
    let view = ServiceView {
        policy: TrafficPolicy::Cluster,
        usable_endpoints: 1,
        total_endpoints: 1,
        verdict: up,
        last_change: Timestamp::UNIX_EPOCH,
        vips: Box::new([vip]),
    };
    Change::Service(ClusterName::from("c-1"), ServiceKey::new("default", name), Some(Arc::new(view)))
}

fn gone(name: &str) -> Change {
    Change::Service(ClusterName::from("c-1"), ServiceKey::new("default", name), None)
}

const WEB: &str = r#".k8s-services.cluster{.name=="c-1"}.service{.namespace=="default"&&.name=="web"}"#;

#[tokio::test(start_paused = true)]
async fn a_deleted_service_takes_its_children_along_one_by_one() {
    let bench = Bench::new();
    bench.say(vec![root(), service("web", &["10.0.0.1", "10.0.0.2"])]).await;
    assert_eq!(bench.state().len(), 5);
    bench.calls();
    bench.say(vec![gone("web")]).await;
    assert_eq!(bench.state().into_keys().collect::<Vec<_>>(), [".k8s-services"]);
    let deletes = bench.calls().concat();
    assert_eq!(deletes.len(), 4);
    assert_eq!(deletes.last().unwrap(), WEB, "the parent goes last");
}

#[tokio::test(start_paused = true)]
async fn only_entries_that_differ_are_written() {
    let bench = Bench::new();
    bench.say(vec![service("web", &["10.0.0.1", "10.0.0.2"])]).await;
    bench.calls();
    bench.say(vec![service("web", &["10.0.0.1", "10.0.0.2"])]).await;
    assert_eq!(bench.calls(), Vec::<Vec<String>>::new(), "the same again writes nothing");
    bench.say(vec![service("web", &["10.0.0.1", "10.0.0.3"])]).await;
    let hop = |address| format!(r#"{WEB}.vip{{.address=="1.1.1.100"}}.next-hop{{.address=="{address}"}}"#);
    assert_eq!(bench.calls(), [[hop("10.0.0.3")], [hop("10.0.0.2")]]);
}

#[tokio::test(start_paused = true)]
async fn the_spelling_is_found_out_by_the_answer() {
    let bench = Bench::new();
    bench.set(|switch| switch.refuse = Some(|path| path.starts_with(".k8s-")));
    bench.say(vec![root(), service("web", &[])]).await;
    assert!(bench.state().contains_key(".k8s_services"));
    bench.calls();
    bench.say(vec![service("other", &[])]).await;
    assert_eq!(bench.calls().len(), 1, "once found, it is kept");
    assert!(bench.state().keys().all(|path| path.contains(r#"{.name=="c-1"}"#) || path == ".k8s_services"));
}

#[tokio::test(start_paused = true)]
async fn after_a_new_registration_everything_is_written_again() {
    let bench = Bench::new();
    bench.say(vec![root(), service("web", &["10.0.0.1"])]).await;
    let before = bench.state();
    bench.set(|switch| switch.state.clear());
    bench.register_again(2);
    bench.idle().await;
    assert_eq!(bench.state(), before);
}

#[tokio::test(start_paused = true)]
async fn a_refused_entry_does_not_keep_the_others_and_is_tried_again() {
    let bench = Bench::new();
    bench.say(vec![root()]).await;
    bench.set(|switch| switch.refuse = Some(|path| path.contains("bad")));
    bench.say(vec![service("bad", &[]), service("web", &[])]).await;
    assert!(bench.state().contains_key(WEB));
    assert!(!bench.state().keys().any(|path| path.contains("bad")));
    bench.set(|switch| switch.refuse = None);
    tokio::time::sleep(LONGEST_PAUSE).await;
    assert!(bench.state().keys().any(|path| path.contains("bad")));
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_the_ndk_was_lost_is_written_when_it_is_back() {
    let bench = Bench::new();
    bench.say(vec![root(), service("web", &["10.0.0.1"])]).await;
    bench.set(|switch| switch.lost = true);
    bench.say(vec![gone("web"), service("late", &[])]).await;
    bench.say(vec![service("short", &[])]).await;
    bench.say(vec![gone("short")]).await;
    bench.set(|switch| switch.lost = false);
    tokio::time::sleep(LONGEST_PAUSE).await;
    let state = bench.state();
    assert!(!state.contains_key(WEB) && state.keys().any(|path| path.contains("late")), "{state:?}");
    assert!(!state.keys().any(|path| path.contains("short")), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_left_is_deleted_and_the_rest_is_kept() {
    let bench = Bench::new();
    bench.set(|switch| {
        switch.state.insert(WEB.replace("web", "old"), "{}".to_owned());
    });
    bench.say(vec![root(), service("web", &[])]).await;
    let read_back = serde_json::json!({ "cluster": [{ "name": "c-1", "service": [
        { "namespace": "default", "name": "web" }, { "namespace": "default", "name": "old" }] }] });
    bench.inputs.send(Input::Leftover(read_back)).await.unwrap();
    bench.idle().await;
    let state = bench.state();
    assert!(state.contains_key(WEB) && !state.keys().any(|path| path.contains("old")), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn batches_are_bounded() {
    let bench = Bench::new();
    bench.say((0..1000).map(|number| service(&format!("web-{number}"), &["10.0.0.1"])).collect()).await;
    assert_eq!(bench.state().len(), 3000);
    assert!(bench.calls().iter().all(|call| call.len() < 510));
}
