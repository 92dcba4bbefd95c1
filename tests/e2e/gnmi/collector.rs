//! Tests gnmic as it is shipped to run for a fabric, on the leaves of a broken lab: what it serves to Prometheus.
//!
//! With `K8S_SERVICES_RECORD=1`, also writes its output to `tests/telemetry/`, for tests without gnmic.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::Instant;

use super::clients::{address, gnmic, kept};
use crate::bench::Bench;
use crate::bench::Says::Anything;
use crate::net::skipped;
use crate::telemetry_stack::{self as stack, metric};
use crate::tools;

/// Faults before gnmic starts, so that every metric has data.
const FAULTS: [&str; 5] = [
    "apply: { cluster: c1, file: ../../tests/cli_plugin/more-services.yaml }",
    "pull: { session-down: { leaf: leaf1, node: cluster1 } }",
    "pull: { fib-failed: { leaf: leaf2, prefix: 1.1.1.102/32 } }",
    "config: { leaf: leaf4, lines: \"set / k8s-services cluster c1 vip-pool [ 1.1.1.0/24 ]\" }",
    "pull: { foreign-route: { leaf: leaf4, network-instance: ip-vrf-1, prefix: 1.1.1.150/32, next-hop: 192.168.1.13 } }",
];
/// The alarms that these faults raise.
const ALARMS: [(&str, &str); 7] = [
    ("leaf1", "neighbor-session-down/c1/cluster1"),
    ("leaf1", "vip-no-endpoint/c1/shop/cart/1.1.1.101"),
    ("leaf2", "vip-blackholed/c1/shop/checkout/1.1.1.102"),
    ("leaf2", "vip-no-endpoint/c1/shop/cart/1.1.1.101"),
    ("leaf4", "vip-degraded/c1/cluster1"),
    ("leaf4", "vip-no-endpoint/c1/shop/cart/1.1.1.101"),
    ("leaf4", "vip-route-orphan/ip-vrf-1/1.1.1.150/32"),
];
/// Faults after these alarms.
const LATER: [&str; 2] =
    ["api-server: { cluster: c1, to: stop }", "app: { leaf: leaf3, app: k8s-services, operation: stop }"];
/// The leaf whose agent is stopped.
const STOPPED: &str = "leaf3";
/// Time limit for gnmic to hear every leaf.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval at which the test scrapes.
const SCRAPE: Duration = Duration::from_millis(500);

/// Files of the recording, with the prefixes of the metrics they contain.
const RECORDINGS: [(&str, &[&str]); 2] = [
    ("tests/telemetry/leaves.prom", &["k8s_services_"]),
    ("tests/telemetry/gnmic.prom", &["gnmic_target_up", "gnmic_subscribe_number_of_received"]),
];

/// gnmic, run as by `make telemetry`, on its own ports.
struct Collector {
    _keeper: Child,
    metrics: u16,
    api: u16,
}

impl Collector {
    fn on(bench: &Bench, gnmic: &std::path::Path) -> Self {
        let folder = bench.lab.run_folder();
        let lines = bench.lab.leaves().keys().map(|leaf| format!("  {leaf}  gNMI {}\n", address(bench, leaf)));
        std::fs::write(folder.join("status"), lines.collect::<String>()).expect("it is written");
        // The lab runs in this process and has no control socket that srl-sim could ask.
        let status = folder.join("srl-sim");
        std::fs::write(&status, "#!/bin/sh\ncat \"${0%/*}/status\"\n").expect("it is written");
        std::fs::set_permissions(&status, PermissionsExt::from_mode(0o755)).expect("it is to be run");
        let (metrics, api) = (free_port(), free_port());
        let mut command = kept(&tools::path("packaging/telemetry/on-lab"), &[folder.to_str().expect("plain text")]);
        command.env("SRL_SIM", status).env("GNMIC", gnmic);
        command.env("METRICS_PORT", metrics.to_string()).env("API_PORT", api.to_string());
        let log = std::fs::File::create(folder.join("gnmic.log")).expect("a log");
        let keeper = command.stdout(Stdio::null()).stderr(log).spawn().expect("on-lab runs");
        Self { _keeper: keeper, metrics, api }
    }

    /// Returns everything that Prometheus would get now; nothing while gnmic does not listen yet.
    async fn scrape(&self) -> String {
        let mut text = String::new();
        for port in [self.metrics, self.api] {
            text += &page(port).await.unwrap_or_default();
        }
        text
    }

    /// Scrapes until everything that telemetry.md names is there, and every leaf is heard.
    async fn until_all(&self, bench: &Bench) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.scrape().await;
            let missing = missing(&text, bench.lab.leaves().keys());
            if missing.is_empty() {
                return text;
            }
            let log = bench.lab.run_folder().join("gnmic.log");
            assert!(
                Instant::now() < deadline,
                "not scraped in time: {missing:?}; gnmic's log: {}\n{text}",
                log.display()
            );
            tokio::time::sleep(SCRAPE).await;
        }
    }
}

/// Waits until an agent has written its counters, which it does once a minute. Otherwise gnmic would get them a minute
/// later.
async fn counted(bench: &Bench, leaf: &str) {
    let mut news = bench.leaf(leaf).datastore().subscribe();
    let counters = async {
        while bench.says(leaf, "/k8s-services/statistics/source[name=ndk]/events").is_none() {
            let _ = news.recv().await;
        }
    };
    tokio::time::timeout(2 * PATIENCE, counters).await.expect("the agent counts");
}

/// Returns what is expected in a scrape but missing.
fn missing<'a>(text: &str, leaves: impl Iterator<Item = &'a String>) -> Vec<String> {
    let of_leaves = leaves.flat_map(|leaf| {
        let running = format!("k8s_services_agent_running{{leaf=\"{leaf}\"}}");
        let counters = format!("k8s_services_evaluations_total{{leaf=\"{leaf}\"}}");
        let alive = format!("messages_total{{source=\"{leaf}\",subscription=\"alive\"}}");
        // A stopped agent has no state.
        if leaf == STOPPED { vec![running, alive] } else { vec![running, counters, alive] }
    });
    let metrics: BTreeSet<_> = text.lines().map(metric).collect();
    let documented = documented().into_iter().filter(|names| !names.iter().any(|name| is_there(&metrics, name)));
    let documented = documented.map(|names| names.join(" or "));
    of_leaves.filter(|wanted| !text.contains(wanted.as_str())).chain(documented).collect()
}

/// Returns a free port.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    listener.local_addr().expect("it is bound").port()
}

async fn page(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

/// Returns metrics with the names of their labels.
fn shapes(scraped: &[(String, f64)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut shapes = BTreeMap::<_, BTreeSet<_>>::new();
    for (series, _) in scraped {
        let labels = series.split_once('{').map_or("", |(_, labels)| labels);
        // A name is before `="`, which is escaped in values.
        let names = labels.split("=\"").filter_map(|part| part.rsplit([',', '{']).next());
        let names = names.filter(|name| !name.is_empty() && !name.contains(['"', '}']));
        shapes.entry(metric(series).to_owned()).or_default().extend(names.map(str::to_owned));
    }
    shapes
}

/// Returns the metrics that telemetry.md names, in code in the first cell of its table. A name with leading `...`
/// stands for several possible names, which begin with some of the words of the first name in the cell.
fn documented() -> Vec<Vec<String>> {
    let text = tools::read("docs/telemetry.md");
    let mut found = Vec::new();
    for cell in text.lines().filter_map(|line| line.strip_prefix("| `k8s_services_")?.split(" | ").next()) {
        let cell = format!("`k8s_services_{cell}");
        let first = cell.split('`').nth(1).expect("a name");
        for name in cell.split('`').skip(1).step_by(2) {
            found.push(match name.strip_prefix("...") {
                None => vec![name.to_owned()],
                Some(rest) => {
                    first.match_indices('_').skip(1).map(|(at, _)| format!("{}{rest}", &first[..at])).collect()
                }
            });
        }
    }
    assert!(found.len() > 25, "{found:?}");
    found
}

/// Returns whether a metric with this name exists; `*` in it stands for any words.
fn is_there(metrics: &BTreeSet<&str>, name: &str) -> bool {
    let (front, back) = name.split_once('*').unwrap_or((name, ""));
    if back.is_empty() {
        metrics.contains(name)
    } else {
        metrics.iter().any(|metric| metric.starts_with(front) && metric.ends_with(back))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_gnmic_configuration_serves_every_documented_or_used_metric() {
    let gnmic = match gnmic() {
        Ok(program) => program,
        Err(reason) => return skipped(&reason),
    };
    let bench = Bench::healthy().await;
    bench.act(&FAULTS).await;
    for (leaf, id) in ALARMS {
        bench.until(leaf, &[(&format!("/k8s-services/alarm[id={id}]/type"), Anything)]).await;
    }
    bench.act(&LATER).await;
    for leaf in ["leaf1", "leaf2", "leaf4"] {
        bench.until(leaf, &[("/k8s-services/alarm[id=source-stale/kubernetes/c1]/type", Anything)]).await;
    }
    for leaf in ["leaf1", "leaf2", "leaf4"] {
        counted(&bench, leaf).await;
    }
    let collector = Collector::on(&bench, &gnmic);
    let text = collector.until_all(&bench).await;
    let of = |prefixes: &[&str]| {
        let lines = text.lines().filter(|line| prefixes.iter().any(|prefix| line.starts_with(prefix)));
        lines.fold(String::new(), |all, line| all + line + "\n")
    };
    let fresh = RECORDINGS.map(|(_, prefixes)| of(prefixes));
    let scraped = stack::series(&fresh.concat());
    stack::expect_every_metric(&scraped);
    stack::expect_every_query_to_return_data(&scraped);
    stack::expect_alerts_of_faults(&scraped);

    if std::env::var_os("K8S_SERVICES_RECORD").is_some() {
        for ((file, _), text) in RECORDINGS.iter().zip(&fresh) {
            std::fs::write(tools::path(file), text).expect("the recording is written");
        }
    }
    let recorded = shapes(&stack::series(&RECORDINGS.map(|(file, _)| tools::read(file)).concat()));
    assert_eq!(recorded, shapes(&scraped), "the recording is out of date: make record-telemetry");
    bench.down().await;
}
