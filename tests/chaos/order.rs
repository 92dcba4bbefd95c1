//! Agent, NDK, gNMI server and API server stop and start in every order, and the configuration changes: the agent must
//! report nothing that did not happen, and lose nothing.

use std::time::Duration;

use serde_json::Value;
use srl_sim::fabric::Lever;
use srl_sim::lab::{Action, ApiServerFault, ServiceFault};
use tokio::time::sleep;

use crate::bench::{Bench, QUIET, RECOVERY, alarms};
use crate::fault::{AgentFault, Fault};

/// A part of a leaf that stops.
#[derive(Clone, Copy, Debug)]
enum Part {
    Agent,
    Ndk,
    Gnmi,
}

use Part::{Agent, Gnmi, Ndk};

const ORDERS: [[Part; 3]; 6] = [
    [Agent, Ndk, Gnmi],
    [Agent, Gnmi, Ndk],
    [Ndk, Agent, Gnmi],
    [Ndk, Gnmi, Agent],
    [Gnmi, Agent, Ndk],
    [Gnmi, Ndk, Agent],
];
/// Time between two parts: enough for the agent to notice the first, too short for it to finish reacting.
const APART: Duration = Duration::from_millis(150);

impl Part {
    fn gone(self, leaf: &'static str, round: usize) -> Fault {
        match self {
            // A killed agent restarts by itself while the others are down; a stopped one is started later.
            Agent if round.is_multiple_of(2) => Fault::Agent(leaf, AgentFault::Killed),
            Agent => Fault::Agent(leaf, AgentFault::Stopped),
            Ndk => Fault::Ndk(leaf, ServiceFault::Stop),
            Gnmi => Fault::Gnmi(leaf, ServiceFault::Stop),
        }
    }
}

/// Returns the faults of one round in steps. Each step has the next fault of every leaf; the API server has its own
/// step.
fn round(number: usize, leaves: &[&'static str]) -> Vec<Vec<Fault>> {
    let (api_at, first) = (number / 2, number % 2 * leaves.len());
    let of_leaves = |step: usize| {
        let ordered = leaves.iter().zip(ORDERS.iter().skip(first));
        ordered.map(|(leaf, order)| order[step].gone(leaf, number)).collect::<Vec<_>>()
    };
    let mut steps: Vec<_> = (0..3).map(of_leaves).collect();
    steps.insert(api_at, vec![Fault::Api(ApiServerFault::Stop)]);
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_peers_in_any_order_raises_only_source_alarms_and_heals_completely() {
    let bench = Bench::healthy().await;
    let before = bench.settled(QUIET).await;
    for number in 0..8 {
        away_and_back(&bench, number).await;
        bench.until_healthy().await;
    }
    bench.commit("*", "set / k8s-services cluster c1 admin-state disable").await;
    bench.commit("*", "delete / k8s-services cluster c1 admin-state").await;
    bench.until_healthy().await;
    for leaf in bench.leaves() {
        bench.until(leaf, RECOVERY, |state| alarms(state).first().map(|alarm| format!("alarm {alarm}"))).await;
    }
    assert_eq!(bench.settled(QUIET).await, before);
    for leaf in bench.leaves() {
        let history = bench.state(leaf)["alarm-history"].clone();
        let history = history.as_array().map(Vec::as_slice).unwrap_or_default();
        let other = history.iter().find(|record| record["type"] != "source-stale");
        assert!(other.is_none(), "{}", bench.failure(leaf, "an alarm was raised without a cause"));
    }
    bench.expect_no_exit();
    bench.down().await;
}

async fn away_and_back(bench: &Bench, number: usize) {
    let steps = round(number, &["leaf1", "leaf2", "leaf3", "leaf4"]);
    for step in &steps {
        futures::future::join_all(step.iter().map(|fault| fault.strike(bench))).await;
        sleep(APART).await;
    }
    for step in &steps {
        futures::future::join_all(step.iter().map(|fault| fault.heal(bench))).await;
        sleep(APART).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_keeps_its_time_across_every_restart_and_clears_once() {
    let bench = Bench::healthy().await;
    let lever = Lever::SessionDown { leaf: Some("leaf1".to_owned()), node: "cluster1".to_owned() };
    bench.act(&Action::Pull(lever.clone())).await;
    bench.until("leaf1", RECOVERY, |state| alarms(state).is_empty().then(|| "no alarm".to_owned())).await;
    bench.settled(QUIET).await;
    let standing = raised(&bench.state("leaf1"));
    assert!(standing.iter().any(|(id, ..)| id == "neighbor-session-down/c1/cluster1"), "{standing:?}");

    let restarts = [
        Fault::Agent("leaf1", AgentFault::Killed),
        Fault::Agent("leaf1", AgentFault::Stopped),
        Fault::Ndk("leaf1", ServiceFault::Stop),
        Fault::Ndk("leaf1", ServiceFault::DropStreams),
        Fault::Gnmi("leaf1", ServiceFault::Stop),
        Fault::Api(ApiServerFault::Stop),
    ];
    for fault in &restarts {
        fault.strike(&bench).await;
        sleep(APART).await;
        fault.heal(&bench).await;
        bench.settled(QUIET).await;
        expect_standing(&bench, &standing, &format!("after {fault:?}"));
    }
    bench.commit("leaf1", "set / k8s-services alarm-policy history-size 50").await;
    bench.settled(QUIET).await;
    expect_standing(&bench, &standing, "after a change of the configuration");

    bench.act(&Action::Release(lever)).await;
    bench.until("leaf1", RECOVERY, |state| alarms(state).first().map(|alarm| format!("alarm {alarm}"))).await;
    bench.settled(QUIET).await;
    let state = bench.state("leaf1");
    let history = state["alarm-history"].as_array().expect("a history");
    for (id, at, _) in &standing {
        let records: Vec<_> = history.iter().filter(|record| record["id"] == **id).collect();
        assert!(
            records.len() == 1 && records[0]["raised"] == *at,
            "{}",
            bench.failure("leaf1", &format!("{records:?}"))
        );
    }
    bench.expect_no_exit();
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_session_raises_each_alarm_once_and_counts_occurrences() {
    let bench = Bench::healthy().await;
    bench.commit("leaf1", "set / k8s-services alarm-policy clear-hold-time 4").await;
    let lever = Lever::SessionDown { leaf: Some("leaf1".to_owned()), node: "cluster1".to_owned() };
    const ALARM: &str = "neighbor-session-down/c1/cluster1";
    let count = |state: &Value| {
        let alarm = alarms(state).into_iter().find(|alarm| alarm["id"] == ALARM);
        alarm.and_then(|alarm| alarm["occurrences"].as_u64()).unwrap_or_default()
    };
    let session = |state: &Value| state["cluster"][0]["node"][0]["session-state"].clone();
    for flap in 1..=4 {
        bench.act(&Action::Pull(lever.clone())).await;
        bench
            .until("leaf1", RECOVERY, |state| (count(state) != flap).then(|| format!("not counted {flap} times")))
            .await;
        bench.act(&Action::Release(lever.clone())).await;
        let established = |state: &Value| (session(state) != "established").then(|| "session is down".to_owned());
        bench.until("leaf1", RECOVERY, established).await;
        let history = bench.state("leaf1")["alarm-history"].clone();
        assert!(history.is_null(), "{}", bench.failure("leaf1", &format!("cleared too soon: {history}")));
    }
    bench.until("leaf1", RECOVERY, |state| alarms(state).first().map(|alarm| format!("alarm {alarm}"))).await;
    let state = bench.state("leaf1");
    let history = state["alarm-history"].as_array().expect("a history");
    assert_eq!(history.iter().filter(|record| record["id"] == ALARM).count(), 1, "{history:?}");
    bench.down().await;
}

/// Returns the alarms by id, with the time they were raised and the number of occurrences.
fn raised(state: &Value) -> Vec<(String, Value, Value)> {
    let alarms = alarms(state).into_iter().filter(|alarm| alarm["type"] != "source-stale");
    let of = |alarm: &Value| {
        (alarm["id"].as_str().unwrap_or_default().to_owned(), alarm["raised"].clone(), alarm["occurrences"].clone())
    };
    alarms.map(of).collect()
}

fn expect_standing(bench: &Bench, standing: &[(String, Value, Value)], when: &str) {
    let now = raised(&bench.state("leaf1"));
    assert!(now == *standing, "{}", bench.failure("leaf1", &format!("{when}: {now:?} in place of {standing:?}")));
}

#[test]
fn all_orders_of_the_four_outages_are_covered() {
    let leaves = ["leaf1", "leaf2", "leaf3", "leaf4"];
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..8 {
        let steps = round(number, &leaves);
        let api = steps.iter().position(|step| matches!(step[0], Fault::Api(_))).expect("the API server goes too");
        for leaf in leaves {
            let own = steps.iter().flatten().filter(|fault| fault.leaf() == Some(leaf));
            let order: Vec<_> = own.map(|fault| format!("{:?}", std::mem::discriminant(fault))).collect();
            if !order.is_empty() {
                seen.insert((api, order));
            }
        }
    }
    assert_eq!(seen.len(), 24);
}
