//! Tests the publisher against a small fake of a switch that keeps what is written.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::super::batch::{CALL_BYTES, ENTRY_BYTES};
use super::super::deletes::TRIES;
use super::super::sink::WriteError;
use super::*;
use crate::model::cluster::TrafficPolicy;
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::time::Timestamp;
use crate::model::verdict::{NextHopKind, OperState, Reason};
use crate::model::view::{NextHopView, RootView, ServiceView, Verdict, VipView, Without};

/// The state on the switch, and how it answers.
#[derive(Debug, Default)]
struct Switch {
    /// The registration it knows; calls under an earlier one have no effect.
    generation: u64,
    state: BTreeMap<String, String>,
    calls: Vec<Vec<String>>,
    refuse: Option<fn(&str) -> bool>,
    lost: bool,
    /// Whether calls have an effect although they are not answered.
    mute: bool,
    latency: Duration,
    /// Most bytes of a message that it accepts; 0 for any.
    limit: usize,
    /// Whether it refuses an entry with this text.
    refuse_json: Option<fn(&str) -> bool>,
    /// The largest message that it received.
    largest: usize,
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
        if switch.lost && !switch.mute || self.generation != switch.generation {
            return Err(WriteError::Lost("connection refused".to_owned()));
        }
        match switch.refuse {
            Some(refuse) if paths.iter().any(|path| refuse(path)) => Err(WriteError::Refused("bad path".to_owned())),
            _ => Ok(()),
        }
    }

    fn weigh(&self, bytes: usize) -> Result<(), WriteError> {
        let mut switch = self.switch.lock().unwrap();
        switch.largest = switch.largest.max(bytes);
        match switch.limit {
            0 => Ok(()),
            limit if bytes <= limit => Ok(()),
            limit => Err(WriteError::TooLarge(format!("message larger than max ({bytes} vs. {limit})"))),
        }
    }

    fn answer(&self) -> Result<(), WriteError> {
        match self.switch.lock().unwrap().lost {
            true => Err(WriteError::Lost("deadline exceeded".to_owned())),
            false => Ok(()),
        }
    }

    async fn travel(&self) {
        let latency = self.switch.lock().unwrap().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }
}

impl Sink for FakeSink {
    fn generation(&self) -> u64 {
        self.generation
    }

    async fn update(&self, states: Vec<(String, String)>) -> Result<(), WriteError> {
        self.travel().await;
        let paths: Vec<String> = states.iter().map(|(path, _)| path.clone()).collect();
        self.call(&paths)?;
        self.weigh(states.iter().map(|(path, json)| path.len() + json.len()).sum())?;
        let refuse_json = self.switch.lock().unwrap().refuse_json;
        if states.iter().any(|(_, json)| refuse_json.is_some_and(|refuse| refuse(json))) {
            return Err(WriteError::Refused("bad value".to_owned()));
        }
        self.switch.lock().unwrap().state.extend(states);
        self.answer()
    }

    async fn delete(&self, paths: Vec<String>) -> Result<(), WriteError> {
        self.travel().await;
        self.call(&paths)?;
        self.weigh(paths.iter().map(String::len).sum())?;
        let mut switch = self.switch.lock().unwrap();
        if paths.iter().any(|path| !switch.state.contains_key(path)) {
            return Err(WriteError::Refused("no such path".to_owned()));
        }
        paths.iter().for_each(|path| drop(switch.state.remove(path)));
        drop(switch);
        self.answer()
    }
}

/// A running publisher, its switch, and the ends of its channels.
struct Bench {
    switch: Arc<Mutex<Switch>>,
    sinks: watch::Sender<Option<FakeSink>>,
    inputs: mpsc::Sender<Input>,
    accepted: watch::Receiver<u64>,
}

impl Bench {
    fn new() -> Self {
        let switch = Arc::new(Mutex::new(Switch { generation: 1, ..Switch::default() }));
        let first = FakeSink { generation: 1, switch: switch.clone() };
        let (sinks, receiver) = watch::channel(None);
        let (inputs, queue) = mpsc::channel(16);
        let publisher = Publisher::new(queue, receiver, "1.2.3");
        let accepted = publisher.accepted();
        tokio::spawn(publisher.run());
        sinks.send(Some(first)).unwrap();
        Self { switch, sinks, inputs, accepted }
    }

    async fn say(&self, changes: Vec<Change>) {
        self.tell(changes).await;
        self.idle().await;
    }

    /// Sends changes without waiting until they are written.
    async fn tell(&self, changes: Vec<Change>) {
        self.inputs.send(Input::Changes(changes)).await.unwrap();
    }

    /// Waits until the publisher has nothing left to do: time is paused, and moves only then.
    async fn idle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn register_again(&self, generation: u64) {
        self.set(|switch| switch.generation = generation);
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
    service_with(name, next_hops, Verdict { state: OperState::Up, reason: None, detail: None })
}

fn syncing(name: &str) -> Change {
    service_with(name, &[], Verdict { state: OperState::Unknown, reason: Some(Reason::Syncing), detail: None })
}

fn service_with(name: &str, next_hops: &[&str], verdict: Verdict) -> Change {
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
        cause: None,
        without: Without::default(),
    });
    let vip = VipView {
        by_design: false,
        address: "1.1.1.100".parse().unwrap(),
        network_instance: "ip-vrf-1".into(),
        prefix: None,
        vantage: None,
        verdict: verdict.clone(),
        last_change: Timestamp::UNIX_EPOCH,
        announcement: None,
        cause: None,
        route: None,
        expected: 1,
        installed: 1,
        next_hops: next_hops.collect(),
    };
    let view = ServiceView {
        policy: TrafficPolicy::Cluster,
        usable_endpoints: 1,
        total_endpoints: 1,
        verdict,
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
async fn a_deleted_service_is_deleted_with_its_children_one_by_one() {
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
async fn the_path_spelling_is_found_from_refusals_and_kept() {
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
async fn everything_is_written_again_after_a_new_registration() {
    let bench = Bench::new();
    bench.say(vec![root(), service("web", &["10.0.0.1"])]).await;
    let before = bench.state();
    bench.set(|switch| switch.state.clear());
    bench.register_again(2);
    bench.idle().await;
    assert_eq!(bench.state(), before);
}

#[tokio::test(start_paused = true)]
async fn a_refused_entry_is_retried_and_does_not_block_the_others() {
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
async fn changes_elsewhere_are_written_at_once_while_an_entry_is_refused() {
    let bench = Bench::new();
    bench.say(vec![root()]).await;
    bench.set(|switch| switch.refuse = Some(|path| path.contains("bad")));
    bench.say(vec![service("bad", &[]), service("web", &[])]).await;
    tokio::time::sleep(LONGEST_PAUSE * 5).await;
    bench.calls();
    bench.say(vec![service("late", &[])]).await;
    assert!(bench.state().keys().any(|path| path.contains("late")));
    assert_eq!(bench.calls().len(), 1, "what is refused is not tried along with it");
}

#[tokio::test(start_paused = true)]
async fn an_entry_refused_in_the_first_batch_does_not_block_the_others() {
    for spelling in [|path: &str| path.contains("bad"), |path: &str| path.contains("bad") || path.starts_with(".k8s-")]
    {
        let bench = Bench::new();
        bench.set(|switch| switch.refuse = Some(spelling));
        bench.say(vec![root(), service("bad", &[]), service("web", &[])]).await;
        assert!(bench.state().keys().any(|path| path.contains("web")), "{:?}", bench.state());
        assert!(!bench.state().keys().any(|path| path.contains("bad")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_refused_along_with_everything_else_is_retried() {
    let bench = Bench::new();
    // With the second refusal, the updates of a batch succeed and its deletes do not.
    for refuse in [|_: &str| true, |path: &str| path.contains("web\"")] {
        bench.say(vec![root(), service("web", &["10.0.0.1"])]).await;
        bench.set(|switch| switch.refuse = Some(refuse));
        bench.say(vec![gone("web"), service("beside", &["10.0.0.1"])]).await;
        bench.set(|switch| switch.refuse = None);
        bench.say(vec![service("other", &[])]).await;
        tokio::time::sleep(LONGEST_PAUSE).await;
        bench.say(vec![service("last", &[])]).await;
        assert!(!bench.state().contains_key(WEB), "{:?}", bench.state());
        bench.say(vec![gone("beside"), gone("last")]).await;
    }
    bench.set(|switch| drop(switch.state.remove(&WEB.replace("web", "other"))));
    bench.say(vec![gone("other")]).await;
    bench.calls();
    for number in 0..9 {
        bench.say(vec![service(&format!("later-{number}"), &[])]).await;
    }
    let deletes = bench.calls().concat().into_iter().filter(|path| path.contains("other")).count();
    assert_eq!(deletes, usize::from(TRIES) - 1, "what is not there is not deleted for ever");
}

#[tokio::test(start_paused = true)]
async fn an_ndk_that_refuses_everything_is_not_tried_with_each_entry() {
    let bench = Bench::new();
    bench.say(vec![root()]).await;
    bench.set(|switch| switch.refuse = Some(|_| true));
    bench.calls();
    bench.say((0..100).map(|number| service(&format!("web-{number}"), &[])).collect()).await;
    let calls = bench.calls().len();
    // Halving finds the first refused entry, then each of the others until it is clear that everything is refused.
    assert!(calls <= 10 + 2 * REFUSES_ALL, "{calls} calls");
    tokio::time::sleep(LONGEST_PAUSE * 5).await;
    bench.set(|switch| switch.refuse = None);
    tokio::time::sleep(LONGEST_PAUSE).await;
    assert_eq!(bench.state().keys().filter(|path| path.contains(".vip")).count(), 100);
}

#[tokio::test(start_paused = true)]
async fn changes_made_while_the_ndk_was_lost_are_written_when_it_returns() {
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
async fn leftovers_of_an_earlier_process_are_deleted_and_current_entries_kept() {
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

/// How long a call takes in tests that need one to be under way.
const LATENCY: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn an_entry_that_changes_after_its_batch_was_prepared_is_written_again() {
    let bench = Bench::new();
    bench.set(|switch| switch.latency = LATENCY);
    let names: Vec<String> = (0..1000).map(|number| format!("web-{number:03}")).collect();
    bench.tell(names.iter().map(|name| service(name, &["10.0.0.1"])).collect()).await;
    tokio::time::sleep(LATENCY / 2).await;
    // The first call is under way and the second batch is prepared: these are in one or the other.
    bench.tell(vec![gone(&names[0]), service(&names[1], &["10.0.0.2"]), gone(&names[200])]).await;
    tokio::time::sleep(LATENCY * 20).await;
    let state = bench.state();
    let entries_of = |name: &str| state.keys().filter(|path| path.contains(&format!("{name:?}"))).count();
    assert_eq!((state.len(), entries_of(&names[0]), entries_of(&names[200])), (998 * 3, 0, 0));
    assert!(state.keys().any(|path| path.contains(&names[1]) && path.contains("10.0.0.2")));
    assert!(!state.keys().any(|path| path.contains(&names[1]) && path.contains("10.0.0.1")));
}

#[tokio::test(start_paused = true)]
async fn services_are_written_once_when_the_first_sync_is_over() {
    let bench = Bench::new();
    bench.say(vec![root(), syncing("web"), syncing("old")]).await;
    assert_eq!(bench.state().into_keys().collect::<Vec<_>>(), [".k8s-services"]);
    bench.say(vec![gone("old"), service("web", &[])]).await;
    assert_eq!(bench.calls().concat().iter().filter(|path| *path == WEB).count(), 1);
    assert_eq!(bench.state().len(), 3, "the root, the service and its VIP");
}

#[tokio::test(start_paused = true)]
async fn services_are_written_as_syncing_if_the_first_sync_takes_long() {
    let bench = Bench::new();
    bench.say(vec![root(), syncing("web")]).await;
    bench.register_again(2);
    tokio::time::sleep(FIRST_SYNC / 2).await;
    bench.say(vec![syncing("other")]).await;
    assert!(!bench.state().contains_key(WEB));
    tokio::time::sleep(FIRST_SYNC / 2).await;
    assert!(bench.state()[WEB].contains("syncing"));
    assert_eq!(bench.state().len(), 5, "what came late does not wait longer");
    bench.say(vec![syncing("late")]).await;
    assert_eq!(bench.state().len(), 7, "after that nothing waits");
}

#[tokio::test(start_paused = true)]
async fn services_of_a_synced_cluster_are_not_held_back() {
    let bench = Bench::new();
    bench.say(vec![service("web", &[])]).await;
    bench.say(vec![syncing("new")]).await;
    assert!(bench.state().contains_key(&WEB.replace("web", "new")));
    bench.say(vec![syncing("web")]).await;
    assert!(bench.state()[WEB].contains("syncing"));
}

/// Returns a service with a detail and a number of VIPs of the given sizes.
fn large(name: &str, detail: usize, vips: u32) -> Change {
    let verdict = Verdict { state: OperState::Up, reason: None, detail: Some("x".repeat(detail).into()) };
    let Change::Service(cluster, key, Some(view)) = service_with(name, &["10.0.0.1"], verdict) else { unreachable!() };
    let mut view = ServiceView::clone(&view);
    let plain = Verdict { state: OperState::Up, reason: None, detail: None };
    let vip = |n: u32| VipView { address: Ipv4Addr::from(n).into(), verdict: plain.clone(), ..view.vips[0].clone() };
    view.vips = (0..vips).map(vip).collect();
    Change::Service(cluster, key, Some(Arc::new(view)))
}

proptest! {
    #![proptest_config(crate::cases::cases(24, "agent/publish/publisher/tests.regressions"))]

    #[test]
    fn one_oversized_or_refused_item_never_blocks_the_others(
        detail in prop_oneof![0..200_usize, 60_000..65_000_usize, 66_000..70_000_usize, Just(5_000_000)],
        vips in prop_oneof![0..4_u32, 900..3000_u32],
        limit in prop_oneof![Just(0_usize), Just(4 << 20), Just(20_000)],
        refuse in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            bench.set(|switch| {
                switch.limit = limit;
                switch.refuse = refuse.then_some(|path| path.contains("odd") && !path.contains(".vip"));
            });
            bench.say(vec![root(), service("before", &["10.0.0.1"]), large("odd", detail, vips), service("web", &["10.0.0.1"])]).await;
            tokio::time::sleep(LONGEST_PAUSE).await;
            bench.idle().await;
            let (state, largest) = (bench.state(), bench.switch.lock().unwrap().largest);
            assert!(state.contains_key(WEB) && state.contains_key(&WEB.replace("web", "before")));
            assert!(largest <= CALL_BYTES, "a message of {largest} bytes");
            let of_odd = |below: &str| state.keys().filter(|path| path.contains("odd") && path.ends_with(below)).count();
            assert_eq!(state.keys().filter(|path| path.contains("odd") && path.contains("next-hop")).count(), vips as usize);
            let large = detail > ENTRY_BYTES || limit > 0 && detail > limit;
            assert_eq!(of_odd(r#"=="odd"}"#), usize::from(!large && !refuse), "its own entry");
            let named = state[".k8s-services"].contains("refused-entry");
            assert_eq!(named, large || refuse, "what is not written is named");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_becomes_too_large_is_deleted_rather_than_left_outdated() {
    let bench = Bench::new();
    bench.say(vec![root(), large("web", 10, 1)]).await;
    assert!(bench.state().contains_key(WEB));
    bench.say(vec![large("web", ENTRY_BYTES, 1)]).await;
    let state = bench.state();
    assert!(!state.contains_key(WEB), "old text would be a lie");
    assert!(state[".k8s-services"].contains("/k8s-services/cluster[name=c-1]/service[namespace=default][name=web]"));
    tokio::time::sleep(LONGEST_PAUSE * 3).await;
    bench.calls();
    tokio::time::sleep(LONGEST_PAUSE * 3).await;
    assert_eq!(bench.calls(), Vec::<Vec<String>>::new(), "it is not tried for ever");
    bench.say(vec![large("web", 10, 1)]).await;
    let state = bench.state();
    assert!(state.contains_key(WEB) && !state[".k8s-services"].contains("refused-entry"));
}

#[tokio::test(start_paused = true)]
async fn enumeration_words_get_underscores_if_hyphens_are_refused() {
    let bench = Bench::new();
    let refuses = |json: &str| json.contains(r#""up""#) || json.contains("OPER_REASON_no-route");
    bench.set(|switch| switch.refuse_json = Some(refuses));
    bench.say(vec![root(), service("web", &[])]).await;
    let form =
        |bench: &Bench, form: &str| bench.state()[".k8s-services"].contains(&format!(r#""enumeration-form":"{form}""#));
    assert!(form(&bench, "prefixed"), "no word has told the two apart");

    let down = Verdict { state: OperState::Down, reason: Some(Reason::NoRoute), detail: None };
    bench.say(vec![service_with("web", &[], down), service("other", &[])]).await;
    let state = bench.state();
    assert!(state[WEB].contains(r#""oper-reason":"OPER_REASON_no_route""#), "{}", state[WEB]);
    assert_eq!(state.keys().filter(|path| path.contains(r#""other""#)).count(), 2, "{state:#?}");
    assert!(form(&bench, "prefixed-underscores") && !state[".k8s-services"].contains("refused-entry"));
    bench.calls();
    bench.say(vec![service("third", &[])]).await;
    assert_eq!(bench.calls().len(), 1, "once found, it is kept");
}

#[tokio::test(start_paused = true)]
async fn enumerations_are_prefixed_if_plain_ones_are_refused() {
    let bench = Bench::new();
    bench.set(|switch| switch.refuse_json = Some(|json| json.contains(r#""up""#)));
    bench.say(vec![root(), service("web", &[])]).await;
    let state = bench.state();
    assert!(state[WEB].contains(r#""oper-state":"OPER_STATE_up""#), "{}", state[WEB]);
    assert!(state[".k8s-services"].contains(r#""enumeration-form":"prefixed""#));
    bench.set(|switch| switch.state.clear());
    bench.register_again(2);
    bench.calls();
    bench.idle().await;
    assert_eq!(bench.state(), state);
    assert_eq!(bench.calls().iter().filter(|call| call.len() == 1 && call[0] == ".k8s-services").count(), 1, "kept");
}

#[tokio::test(start_paused = true)]
async fn state_that_is_accepted_but_not_shown_is_written_in_another_dialect() {
    let bench = Bench::new();
    bench.say(vec![root(), service("web", &[])]).await;
    let acceptance = *bench.accepted.borrow();
    bench.inputs.send(Input::ReadBack { acceptance, shows: false }).await.unwrap();
    bench.idle().await;
    let state = bench.state();
    assert!(state.keys().all(|path| path.starts_with(".k8s_services")), "the other spelling is gone: {state:?}");
    assert_eq!(state.len(), 3);
    let acceptance = *bench.accepted.borrow();
    bench.inputs.send(Input::ReadBack { acceptance, shows: true }).await.unwrap();
    bench.calls();
    bench.idle().await;
    assert_eq!(bench.calls(), Vec::<Vec<String>>::new(), "it shows, and stays");
}

#[tokio::test(start_paused = true)]
async fn a_refused_dialect_is_never_used_again() {
    let bench = Bench::new();
    bench.set(|switch| {
        switch.refuse = Some(|path| path.starts_with(".k8s-"));
        switch.refuse_json = Some(|json| json.contains("OPER_STATE"));
    });
    bench.say(vec![root(), service("web", &[])]).await;
    for _ in 0..2 {
        let acceptance = *bench.accepted.borrow();
        bench.inputs.send(Input::ReadBack { acceptance, shows: false }).await.unwrap();
        bench.idle().await;
        tokio::time::sleep(LONGEST_PAUSE).await;
        assert!(bench.state().contains_key(&WEB.replace("k8s-", "k8s_")), "accepted is more than refused");
    }
}

#[tokio::test(start_paused = true)]
async fn all_other_entries_are_written_if_only_the_root_is_refused() {
    let bench = Bench::new();
    bench.set(|switch| switch.refuse = Some(|path| path.ends_with("services")));
    bench.say(vec![root(), service("web", &[])]).await;
    assert!(bench.state().contains_key(WEB));
    bench.set(|switch| switch.refuse = None);
    tokio::time::sleep(LONGEST_PAUSE * 2).await;
    assert!(bench.state().contains_key(".k8s-services"));
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Sends a random change, or changes how the switch answers.
async fn stir(bench: &Bench, dice: &mut Dice, generation: &mut u64) {
    match dice.throw(12) {
        0 => bench.set(|switch| switch.refuse = Some(|path| path.contains("web-7"))),
        1 => bench.set(|switch| (switch.lost, switch.mute) = (true, false)),
        2 => bench.set(|switch| (switch.lost, switch.mute) = (true, true)),
        3 => {
            *generation += 1;
            bench.set(|switch| switch.state.clear());
            bench.register_again(*generation);
        }
        4..=6 => bench.set(|switch| (switch.lost, switch.refuse) = (false, None)),
        _ => {
            let hops = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
            let mut change = |number: u64| match dice.throw(4) {
                0 => gone(&format!("web-{number}")),
                1 => syncing(&format!("web-{number}")),
                _ => {
                    let (from, to) = (dice.throw(2) as usize, 1 + dice.throw(3) as usize);
                    service(&format!("web-{number}"), &hops[from.min(to)..to])
                }
            };
            bench.tell((0..400).map(&mut change).collect()).await;
        }
    }
    tokio::time::sleep(LATENCY * dice.throw(8) as u32 / 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_switch_ends_with_the_last_published_state_whatever_fails_meanwhile() {
    for seed in 0..8 {
        let (bench, mut dice, mut generation) = (Bench::new(), Dice(seed), 1);
        bench.set(|switch| switch.latency = LATENCY);
        for _ in 0..60 {
            stir(&bench, &mut dice, &mut generation).await;
        }
        let last: Vec<Change> =
            (0..400).map(|number| service(&format!("web-{number}"), &["10.0.0.9"][..number % 2])).collect();
        bench.set(|switch| (switch.lost, switch.refuse) = (false, None));
        bench.tell(last.clone()).await;
        tokio::time::sleep(LONGEST_PAUSE * 9).await;
        let fresh = Bench::new();
        fresh.say(last).await;
        // A temporary refusal may lead to the other spelling, which to this switch is another path.
        let one_spelling = |state: BTreeMap<String, String>| -> BTreeMap<String, String> {
            state.into_iter().map(|(path, json)| (path.replace('_', "-"), json)).collect()
        };
        let (state, due) = (one_spelling(bench.state()), one_spelling(fresh.state()));
        let differs: Vec<&String> =
            state.keys().chain(due.keys()).filter(|path| state.get(*path) != due.get(*path)).collect();
        assert!(differs.is_empty(), "seed {seed}: {differs:#?}");
        bench.calls();
        bench.say(vec![service("web-1", &["10.0.0.9"])]).await;
        assert!(bench.calls().is_empty(), "it knows what stands");
    }
}
