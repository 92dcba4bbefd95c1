//! A lab for one test, the state of its leaves, and waits with time limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use srl_sim::appmgr::{AppStatus, Operation};
use srl_sim::cluster::Cluster;
use srl_sim::gnmi::Gnmi;
use srl_sim::lab::{Action, Lab, LabContent, LabFile, LabOptions};
use srl_sim::leaf::Leaf;
use srl_sim::ndk::Switches;
use tempfile::TempDir;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout, timeout_at};

/// Name of the application.
pub(crate) const AGENT: &str = "k8s-services";
/// Manifests of the lab's nodes and services, and of the tests' own services.
const MANIFESTS: [&str; 3] = [
    include_str!("../../lab/anycast-metallb/cluster.yaml"),
    include_str!("../../lab/anycast-metallb/nginx.yaml"),
    include_str!("services.yaml"),
];
/// Time without changes after which state is settled, if nothing was refused or lost before.
pub(crate) const QUIET: Duration = Duration::from_secs(3);
/// Time without changes after which state is settled after any fault: longer than the longest pause before a refused
/// write is repeated.
pub(crate) const LONG_QUIET: Duration = Duration::from_secs(11);
/// The longest pause of any source between two attempts, plus the time to sync.
pub(crate) const RECOVERY: Duration = Duration::from_secs(75);
/// Time limit for starting a lab, ending it, or a single action, so that a hang fails the test instead of blocking it.
const BOUND: Duration = Duration::from_secs(120);

/// The anycast lab with more services, in its own folder.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    run: Option<TempDir>,
    kills: Mutex<BTreeMap<String, u64>>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The logs of a failed test are kept: its message names them.
        if let Some(run) = self.run.take().filter(|_| std::thread::panicking()) {
            let _ = run.keep();
        }
    }
}

/// Returns the folder of the agent's program.
pub(crate) fn programs() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_k8s-services"));
    program.parent().expect("a program is in a folder").to_owned()
}

impl Bench {
    /// Starts the unmodified lab and waits until every leaf is healthy.
    pub(crate) async fn healthy() -> Self {
        let bench = Self::with(&programs(), |_, _| {}).await;
        bench.until_healthy().await;
        bench
    }

    /// Starts the lab with the agent's program from another folder and a change to its description. The change receives
    /// the folder in which the lab will run. Returns when the configuration is committed.
    pub(crate) async fn with(programs: &Path, change: impl FnOnce(&mut LabContent, &Path)) -> Self {
        Self::on(Switches::default(), programs, change).await
    }

    /// Starts the lab as [`Bench::with`] does, on switches with other behaviour.
    pub(crate) async fn on(switches: Switches, programs: &Path, change: impl FnOnce(&mut LabContent, &Path)) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/anycast-metallb");
        let mut file = LabFile::read(&folder).expect("the lab in the repository is readable");
        let run = tempfile::Builder::new().prefix("chaos").tempdir().expect("a folder");
        change(&mut file.content, run.path());
        let options = LabOptions {
            run: run.path().to_owned(),
            programs: programs.to_owned(),
            gnmi_port: None,
            api_port: None,
            profile: switches.into(),
        };
        let lab = match bounded("the start of the lab", Lab::up(file, options, |_| {})).await {
            Ok(lab) => lab,
            Err(error) => panic!("{error}: {:?}; see {}", std::error::Error::source(&error), run.keep().display()),
        };
        let bench = Self { lab, run: Some(run), kills: Mutex::default() };
        bench.cluster().load(MANIFESTS[2]).expect("the cluster takes them");
        bench
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.lab.cluster("c1").expect("the lab's one cluster")
    }

    pub(crate) fn leaves(&self) -> impl Iterator<Item = &str> {
        self.lab.leaves().keys().map(String::as_str)
    }

    pub(crate) fn leaf(&self, leaf: &str) -> &Leaf {
        &self.lab.leaves()[leaf]
    }

    pub(crate) fn gnmi(&self, leaf: &str) -> &Gnmi {
        self.lab.gnmi_server(leaf).expect("every leaf has one")
    }

    /// Performs an operation on the agent of a leaf.
    pub(crate) async fn operate(&self, leaf: &str, operation: Operation) {
        let what = format!("{} of the agent on {leaf}", operation.name());
        if let Err(error) = bounded(&what, self.leaf(leaf).apps().operate(AGENT, operation)).await {
            panic!("{what}: {error}");
        }
    }

    /// Performs an action on the lab.
    pub(crate) async fn act(&self, action: &Action) {
        if let Err(error) = bounded(&action.summary(), self.lab.act(action)).await {
            panic!("'{}' failed: {error}", action.summary());
        }
    }

    /// Commits configuration on a leaf.
    pub(crate) async fn commit(&self, leaf: &str, lines: &str) {
        self.act(&Action::Config { leaf: leaf.to_owned(), lines: lines.to_owned() }).await;
    }

    /// Restores an object as in its manifest.
    pub(crate) fn restore(&self, kind: &str, name: &str) {
        let documents = MANIFESTS.iter().flat_map(|text| serde_norway::Deserializer::from_str(text));
        let mut objects = documents.map(|document| Value::deserialize(document).expect("a manifest is YAML"));
        let object = objects.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        self.cluster().apply(object.expect("it has a manifest")).expect("the cluster takes it");
    }

    /// Returns all of `/k8s-services` on a leaf; null if there is no state.
    pub(crate) fn state(&self, leaf: &str) -> Value {
        let text = self.lab.read(leaf, "/k8s-services").expect("the schema knows the path");
        text.map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"))
    }

    /// Waits until `wrong` finds nothing wrong with the state of a leaf. Panics after `within`.
    pub(crate) async fn until(&self, leaf: &str, within: Duration, wrong: impl Fn(&Value) -> Option<String>) {
        let deadline = Instant::now() + within;
        let mut news = self.leaf(leaf).datastore().subscribe();
        while wrong(&self.state(leaf)).is_some() {
            // Either there is a change, or time may be up, which must also be checked if changes never end.
            let news = timeout_at(deadline, news.recv()).await;
            if (!matches!(news, Ok(Ok(_) | Err(RecvError::Lagged(_)))) || Instant::now() >= deadline)
                && let Some(why) = wrong(&self.state(leaf))
            {
                panic!("{}", self.failure(leaf, &format!("after {} s still: {why}", within.as_secs())));
            }
        }
    }

    /// Waits until every VIP on every leaf is up and every source is synced.
    pub(crate) async fn until_healthy(&self) {
        for leaf in self.leaves() {
            self.until(leaf, RECOVERY, unhealthy).await;
        }
    }

    /// Waits until all sources of every leaf are synced and its state has not changed for `quiet`. Returns the states.
    pub(crate) async fn settled(&self, quiet: Duration) -> BTreeMap<String, Value> {
        let settled = self.leaves().map(|leaf| async move { (leaf.to_owned(), self.leaf_settled(leaf, quiet).await) });
        futures::future::join_all(settled).await.into_iter().collect()
    }

    async fn leaf_settled(&self, leaf: &str, quiet: Duration) -> Value {
        let deadline = Instant::now() + RECOVERY;
        let mut news = self.leaf(leaf).datastore().subscribe();
        let mut last = self.state(leaf);
        let mut since = Instant::now();
        loop {
            // A timeout is expected: it means that nothing has changed.
            let _ = timeout_at(deadline.min(since + quiet), news.recv()).await;
            let now = self.state(leaf);
            if unsynced(&now).is_some() || lasting(&now) != lasting(&last) {
                since = Instant::now();
            } else if since.elapsed() >= quiet {
                return lasting(&now);
            }
            last = now;
            if Instant::now() >= deadline {
                let why = unsynced(&last).unwrap_or_else(|| "its state does not come to rest".to_owned());
                panic!("{}", self.failure(leaf, &why));
            }
        }
    }

    /// Returns the text of a failure: what was wrong, the state of the leaf, and the path of the agent's log.
    pub(crate) fn failure(&self, leaf: &str, what: &str) -> String {
        let log = self.leaf(leaf).apps().log_file(AGENT);
        format!("{leaf}: {what}\n  state: {}\n  the agent's log: {}", self.state(leaf), log.display())
    }

    pub(crate) fn status(&self, leaf: &str) -> AppStatus {
        self.leaf(leaf).apps().status(AGENT).expect("the lab has an agent").borrow().clone()
    }

    /// Returns the process of the agent on a leaf, if it runs.
    pub(crate) fn process(&self, leaf: &str) -> Option<u32> {
        self.status(leaf).pid
    }

    /// Returns the agent's log on a leaf.
    pub(crate) fn log(&self, leaf: &str) -> String {
        std::fs::read_to_string(self.leaf(leaf).apps().log_file(AGENT)).unwrap_or_default()
    }

    /// Counts an intentional kill of an agent.
    pub(crate) fn killed(&self, leaf: &str) {
        *self.kills.lock().expect("no holder panics").entry(leaf.to_owned()).or_default() += 1;
    }

    /// Asserts that no agent ended except those that were killed or stopped.
    pub(crate) fn expect_no_exit(&self) {
        for leaf in self.leaves() {
            let killed = self.kills.lock().expect("no holder panics").get(leaf).copied().unwrap_or_default();
            assert_eq!(self.status(leaf).restarts, killed, "{}", self.failure(leaf, "the agent ended by itself"));
            let log = self.log(leaf);
            assert!(!log.contains("panicked"), "{}", self.failure(leaf, "the agent panicked"));
        }
    }

    /// Ends the lab in order.
    pub(crate) async fn down(mut self) {
        let run = self.run.take();
        let apps: Vec<_> = self.lab.leaves().values().map(|leaf| leaf.apps().clone()).collect();
        bounded("the end of the lab", futures::future::join_all(apps.iter().map(|apps| apps.stop_all()))).await;
        drop(run);
    }
}

/// Returns the result of a future. Panics if it takes longer than [`BOUND`].
pub(crate) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(BOUND, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not done within {} s", BOUND.as_secs()),
    }
}

/// Returns the active alarms of a leaf.
pub(crate) fn alarms(state: &Value) -> Vec<&Value> {
    state["alarm"].as_array().into_iter().flatten().collect()
}

/// Returns why the state of a leaf is not healthy; `None` if it is.
pub(crate) fn unhealthy(state: &Value) -> Option<String> {
    let summary = &state["summary"];
    let counts = [&summary["vips"], &summary["vips-up"]];
    unsynced(state).or_else(|| (counts != [3, 3]).then(|| format!("not all three VIPs are up: {summary}")))
}

/// Returns which source of a leaf is not synced.
pub(crate) fn unsynced(state: &Value) -> Option<String> {
    let sources = state["summary"]["source"].as_array().map(Vec::as_slice).unwrap_or_default();
    if sources.len() != 3 {
        return Some(format!("{} sources of 3", sources.len()));
    }
    let stale = sources.iter().find(|source| source["oper-state"] != "synced");
    stale.map(|source| format!("source not synced: {source}"))
}

/// Returns the part of a state that does not depend on when something happened or how often.
pub(crate) fn lasting(state: &Value) -> Value {
    const FLEETING: [&str; 7] =
        ["last-change", "last-event", "since", "statistics", "alarm-history", "raised", "occurrences"];
    // Where a node was connected before it became silent, and what follows from that, is known only to agents that saw
    // it.
    const SEEN: [&str; 5] = ["subinterface", "port", "link-layer-address", "probable-cause", "cause-detail"];
    match state {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, value)| {
                // The state of a route being programmed is reported only when it begins, not to agents that start
                // later.
                let passes = FLEETING.iter().chain(&SEEN).any(|passing| *passing == name.as_str());
                !passes && *value != "pending" && *value != "programmed"
            });
            kept.map(|(name, value)| (name.clone(), lasting(value))).collect()
        }
        Value::Array(entries) => entries.iter().map(lasting).collect(),
        Value::String(text) => Value::from(text.split("; cause: ").next()),
        other => other.clone(),
    }
}
