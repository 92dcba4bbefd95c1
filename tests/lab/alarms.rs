//! Tests how alarms leave the switch: as state, by syslog, and as Events for the owner of a Service.

use std::time::Duration;

use srl_sim::cluster::Cluster;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::bench::Says::{Anything, Has, Is, Nothing};
use crate::bench::{Bench, CLUSTER, HEALTHY_REMOTE};

const PATIENCE: Duration = Duration::from_secs(20);
const ALARM: &str = "/k8s-services/alarm[id=vip-degraded/c1/default/nginxhello/1.1.1.100]";
const RECORD: &str = "/k8s-services/alarm-history[sequence=1]";

/// Returns the next line on a syslog socket that contains a text.
async fn line(syslog: &UnixDatagram, text: &str) -> String {
    let read = async {
        let mut buffer = vec![0; 4096];
        loop {
            let length = syslog.recv(&mut buffer).await.expect("the socket is ours");
            let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if line.contains(text) {
                return line;
            }
        }
    };
    timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("no line with {text:?} in time"))
}

/// Time limit for an Event: a Service gets one per minute, so the second may have to wait.
const EVENT_PATIENCE: Duration = Duration::from_secs(90);

/// Returns the note of an Event with this reason, found as `kubectl describe service` does.
async fn note(cluster: &Cluster, reason: &str, patience: Duration) -> String {
    let mut news = cluster.subscribe();
    let written = async {
        loop {
            let events = cluster.list("Event");
            let event = events.iter().find(|event| event["reason"] == reason && event["message"].is_string());
            if let Some(event) = event {
                assert_eq!(event["involvedObject"]["name"], "nginxhello");
                assert!(event["involvedObject"]["uid"].is_string(), "kubectl finds it by the uid");
                return event["message"].as_str().unwrap_or_default().to_owned();
            }
            // A lagging receiver is also a reason to look.
            let _ = news.recv().await;
        }
    };
    timeout(patience, written).await.unwrap_or_else(|_| panic!("no Event {reason} in time"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_and_its_end_are_reported_in_state_syslog_and_kubernetes_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let syslog = UnixDatagram::bind(folder.path().join("log")).expect("a socket");
    let flag = format!("--syslog={}", folder.path().join("log").display());
    let bench = Bench::with(|lab| {
        lab.apps.iter_mut().for_each(|app| app.arguments.push(flag.clone()));
        lab.config.push_str("set / k8s-services alarm-policy kubernetes-events true\n");
    })
    .await;
    bench.until_healthy().await;

    bench.act(&["pull: { session-down: { leaf: leaf1, node: cluster1 } }"]).await;
    let raised = [
        (format!("{ALARM}/severity"), Is("major")),
        (format!("{ALARM}/text"), Has("missing: VTEP 10.0.1.1 (cluster1)")),
        ("/k8s-services/summary/alarms-major".to_owned(), Is("1")),
    ];
    let raised: Vec<_> = raised.iter().map(|(path, says)| (path.as_str(), *says)).collect();
    bench.until("leaf4", &raised).await;
    let told = line(&syslog, "alarm-raised severity=major type=vip-degraded").await;
    assert!(told.starts_with("<187>") && told.contains(" k8s-services["), "local7.err, by its tag: {told}");
    assert!(
        note(bench.cluster(), "VipDegraded", PATIENCE).await.starts_with("leaf4: VIP 1.1.1.100 of default/nginxhello")
    );

    bench.act(&["release: { session-down: { leaf: leaf1, node: cluster1 } }"]).await;
    bench.until("leaf4", &[(ALARM, Nothing), (&format!("{RECORD}/cleared"), Anything)]).await;
    bench.until("leaf4", HEALTHY_REMOTE).await;
    let told = line(&syslog, "alarm-cleared severity=major type=vip-degraded").await;
    assert!(told.starts_with("<189>"), "local7.notice: {told}");
    assert!(note(bench.cluster(), "VipDegradedCleared", EVENT_PATIENCE).await.starts_with("leaf4: cleared after "));
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cause_of_an_alarm_is_in_its_syslog_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let syslog = UnixDatagram::bind(folder.path().join("log")).expect("a socket");
    let flag = format!("--syslog={}", folder.path().join("log").display());
    let bench = Bench::with(|lab| {
        lab.apps.iter_mut().for_each(|app| app.arguments.push(flag.clone()));
        lab.config.push_str("set / k8s-services alarm-policy raise-hold-time 5\n");
    })
    .await;
    bench.until_healthy().await;
    bench.act(&["pull: { peer-shutdown: { node: cluster1 } }"]).await;
    let told = line(&syslog, "alarm-raised severity=major type=neighbor-session-down").await;
    assert!(
        told.contains(" cause=peer-shutdown ") && told.contains("NOTIFICATION Cease (Administrative Shutdown)"),
        "{told}"
    );
    bench.act(&["release-all"]).await;
    let told = line(&syslog, "alarm-cleared severity=major type=neighbor-session-down").await;
    assert!(told.contains(" because="), "{told}");
    bench.until("leaf1", &[(&format!("{CLUSTER}/node[name=cluster1]/probable-cause"), Nothing)]).await;
    bench.down().await;
}
