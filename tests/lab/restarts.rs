//! Tests of losing and recovering streams, servers, and the agent itself.

use srl_sim::appmgr::Operation;
use srl_sim::ndk::{StaleState, Switches};

use crate::bench::Says::{Anything, Has, Is, Nothing};
use crate::bench::{AGENT, Bench, CLUSTER, GNMI_SOURCE, HEALTHY_LOCAL, KUBERNETES_SOURCE, NDK_SOURCE, SERVICE, Writes};

const SESSION_DOWN: &str = "pull: { session-down: { leaf: leaf1, node: cluster1 } }";
const SESSION_UP: &str = "release: { session-down: { leaf: leaf1, node: cluster1 } }";

/// Starts a healthy lab in which a source may be lost for a while before an alarm is raised.
async fn patient() -> Bench {
    let bench = Bench::healthy().await;
    bench.act(&["config: { leaf: leaf1, lines: \"set / k8s-services alarm-policy raise-hold-time 30\" }"]).await;
    bench.until("leaf1", &[("/k8s-services/alarm-policy/raise-hold-time", Is("30"))]).await;
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_streams_are_reopened_and_only_freshness_is_written() {
    let bench = patient().await;
    let mut verdict = bench.follow("leaf1", "oper-state");
    let mut source = bench.follow("leaf1", NDK_SOURCE);
    let mut writes = Writes::of(&bench, "leaf1");
    bench.act(&["ndk: { leaf: leaf1, to: drop-streams }"]).await;
    source.until("synced").await;
    // The agent's own state reports that the switch was unavailable; what is directly below it is written too.
    let own = ["/k8s-services", "/k8s-services/summary"];
    let written = writes.but_freshness();
    assert!(written.iter().all(|path| own.contains(&path.as_str())), "{written:?}");
    assert_eq!(verdict.values(), []);
    bench.act(&[SESSION_DOWN]).await;
    bench.until("leaf1", &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))]).await;
    bench.act(&[SESSION_UP]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_the_ndk_the_agent_registers_syncs_and_writes_again() {
    let bench = patient().await;
    let before = bench.written("leaf1");
    let process = bench.process("leaf1");
    let mut source = bench.follow("leaf1", NDK_SOURCE);
    let mut writes = Writes::of(&bench, "leaf1");
    bench.act(&["ndk: { leaf: leaf1, to: stop }", "ndk: { leaf: leaf1, to: start }"]).await;
    source.until("synced").await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    let again = writes.all();
    let missing: Vec<_> = before.iter().filter(|path| !again.contains(path)).collect();
    assert!(missing.is_empty(), "not written again: {missing:?}");
    assert_eq!(bench.written("leaf1"), before);
    assert_eq!(bench.process("leaf1"), process, "the same process");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_drops_stale_state_if_the_switch_wipes_it() {
    killed(StaleState::UntilRegistered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_drops_stale_state_if_the_switch_keeps_it() {
    killed(StaleState::UntilDeleted).await;
}

async fn killed(stale_state: StaleState) {
    let bench = Bench::on(Switches { stale_state, ..Switches::default() }, |_| {}).await;
    bench.until_healthy().await;
    let process = bench.process("leaf1");
    bench.leaf("leaf1").apps().operate(AGENT, Operation::Kill).await.expect("killed");
    // It is deleted before the restarted agent can ask for it.
    bench.act(&["delete: { cluster: c1, kind: Service, name: nginxhello }"]).await;
    bench
        .until(
            "leaf1",
            &[(SERVICE, Nothing), ("/k8s-services/summary/vips", Is("0")), (KUBERNETES_SOURCE, Is("synced"))],
        )
        .await;
    assert_ne!(bench.process("leaf1"), process);
    let left: Vec<_> = bench.written("leaf1").into_iter().filter(|path| path.contains("nginxhello")).collect();
    assert!(left.is_empty(), "{left:?}");
    bench.act(&["apply: { cluster: c1, file: nginx.yaml }"]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_agent_unregisters_and_leaves_no_state() {
    let bench = Bench::healthy().await;
    bench.act(&["app: { leaf: leaf1, app: k8s-services, operation: stop }"]).await;
    assert!(!bench.leaf("leaf1").ndk().is_registered(AGENT));
    bench.expect("leaf1", &[("/k8s-services", Nothing)]);
    assert_eq!(bench.written("leaf1").len(), 0);
    bench.act(&["app: { leaf: leaf1, app: k8s-services, operation: start }"]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_gnmi_routes_decide_and_sessions_and_the_fib_are_unknown() {
    let bench = Bench::healthy().await;
    let session = format!("{CLUSTER}/node[name=cluster1]/session-state");
    let mut verdict = bench.follow("leaf1", "oper-state");
    bench.act(&["gnmi: { leaf: leaf1, to: stop }"]).await;
    bench.until("leaf1", &[(GNMI_SOURCE, Is("stale")), ("fib-status", Is("unknown")), (&session, Nothing)]).await;
    bench.expect(
        "leaf1",
        &[
            ("oper-state", Is("up")),
            ("oper-reason", Nothing),
            ("next-hop[address=192.168.1.11]/session-state", Nothing),
            ("/k8s-services/oper-state", Is("degraded")),
        ],
    );
    assert_eq!(verdict.values(), []);
    bench.act(&[SESSION_DOWN]).await;
    bench.until("leaf1", &[("oper-state", Is("degraded")), ("route-owner", Is("bgp_evpn_mgr"))]).await;
    bench.act(&[SESSION_UP]).await;
    bench.until("leaf1", &[("oper-state", Is("up")), ("oper-reason", Nothing)]).await;
    bench.act(&["gnmi: { leaf: leaf1, to: start }"]).await;
    bench.until("leaf1", &[(GNMI_SOURCE, Is("synced")), (&session, Is("established"))]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_api_server_verdicts_stay_and_state_the_age_of_their_data() {
    let bench = Bench::healthy().await;
    let mut verdict = bench.follow("leaf1", "oper-state");
    bench.act(&["api-server: { cluster: c1, to: stop }"]).await;
    let cluster = format!("{CLUSTER}/oper-state");
    let reason = format!("{CLUSTER}/oper-reason");
    bench
        .until(
            "leaf1",
            &[
                (KUBERNETES_SOURCE, Is("stale")),
                ("/k8s-services/summary/source[name=kubernetes/c1]/stale-since", Anything),
                (&cluster, Is("degraded")),
                (&reason, Has("the API server has not been read since")),
                ("oper-state", Is("up")),
                ("oper-detail", Has("based on data received until")),
            ],
        )
        .await;
    assert_eq!(verdict.values(), []);
    bench.act(&[SESSION_DOWN]).await;
    bench.until("leaf1", &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))]).await;
    bench.act(&[SESSION_UP, "api-server: { cluster: c1, to: start }"]).await;
    bench.until("leaf1", &[(KUBERNETES_SOURCE, Is("synced")), (&cluster, Is("up"))]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}
