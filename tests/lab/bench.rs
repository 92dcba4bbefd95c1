//! Starts a lab for one test, and waits with a limit for what its leaves report.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use srl_sim::cluster::Cluster;
use srl_sim::datastore::{Datastore, Transaction};
use srl_sim::lab::{Action, Lab, LabContent, LabFile, LabOptions};
use srl_sim::leaf::Leaf;
use srl_sim::ndk::{Misspelled, TelemetryCall};
use srl_sim::profile::Profile;
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

/// The name of the application, and of the state that it owns.
pub(crate) const AGENT: &str = "k8s-services";
/// The entry of the lab's one VIP; relative paths are below it.
pub(crate) const VIP: &str =
    "/k8s-services/cluster[name=c1]/service[namespace=default][name=nginxhello]/vip[address=1.1.1.100]";
/// The service of that VIP.
pub(crate) const SERVICE: &str = "/k8s-services/cluster[name=c1]/service[namespace=default][name=nginxhello]";
/// The lab's one cluster.
pub(crate) const CLUSTER: &str = "/k8s-services/cluster[name=c1]";
/// States of the sources: the cluster's API, the switch's tables, and its gNMI server.
pub(crate) const KUBERNETES_SOURCE: &str = "/k8s-services/summary/source[name=kubernetes/c1]/oper-state";
pub(crate) const NDK_SOURCE: &str = "/k8s-services/summary/source[name=ndk]/oper-state";
pub(crate) const GNMI_SOURCE: &str = "/k8s-services/summary/source[name=gnmi]/oper-state";
/// The leaves of the lab that have a node of their own.
pub(crate) const LOCAL_LEAVES: [&str; 3] = ["leaf1", "leaf2", "leaf3"];

/// The time within which a leaf must report what is expected, including restarts and pauses of sources.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time within which a lab must start, stop or complete one action. After that, the test fails and names what
/// hangs.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// What is expected at a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// Exactly this value.
    Is(&'static str),
    /// A value that contains this text.
    Has(&'static str),
    /// No value.
    Nothing,
    /// Any value.
    Anything,
    /// A number above zero.
    Counted,
}

use Says::{Is, Nothing};

impl Says {
    fn holds(self, value: Option<&str>) -> bool {
        match self {
            Self::Is(expected) => value == Some(expected),
            Self::Has(part) => value.is_some_and(|value| value.contains(part)),
            Self::Nothing => value.is_none(),
            Self::Anything => value.is_some(),
            Self::Counted => value.and_then(|value| value.parse().ok()).is_some_and(|count: u64| count > 0),
        }
    }
}

/// What leaf1 to leaf3 report when nothing is wrong.
pub(crate) const HEALTHY_LOCAL: &[(&str, Says)] = &[
    ("oper-state", Is("up")),
    ("oper-reason", Nothing),
    ("oper-detail", Nothing),
    ("vantage", Is("local")),
    ("route-owner", Is("bgp_mgr")),
    ("preference", Is("169")),
    ("fib-status", Is("programmed")),
    ("expected-next-hops", Is("1")),
    ("installed-next-hops", Is("1")),
];

/// What leaf4 reports when nothing is wrong.
pub(crate) const HEALTHY_REMOTE: &[(&str, Says)] = &[
    ("oper-state", Is("up")),
    ("oper-reason", Nothing),
    ("oper-detail", Nothing),
    ("vantage", Is("remote")),
    ("route-owner", Is("bgp_evpn_mgr")),
    ("preference", Is("170")),
    ("fib-status", Is("programmed")),
    ("expected-next-hops", Is("3")),
    ("installed-next-hops", Is("3")),
];

/// A lab in its own folder; the anycast lab unless another is named.
pub(crate) struct Bench {
    pub(crate) lab: Arc<Lab>,
    run: Option<TempDir>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The logs of a failed test are kept: its message names them.
        if let Some(run) = self.run.take().filter(|_| std::thread::panicking()) {
            let _ = run.keep();
        }
    }
}

impl Bench {
    /// Starts the anycast lab as it is described; returns once each leaf reports that all is well.
    pub(crate) async fn healthy() -> Self {
        let bench = Self::with(|_| {}).await;
        bench.until_healthy().await;
        bench
    }

    /// Starts the anycast lab with a changed description; returns once its configuration is committed.
    pub(crate) async fn with(change: impl FnOnce(&mut LabContent)) -> Self {
        Self::on(profile(), change).await
    }

    /// Starts the anycast lab with a changed description on switches with another profile.
    pub(crate) async fn on(profile: impl Into<Profile>, change: impl FnOnce(&mut LabContent)) -> Self {
        Self::start("anycast-metallb", profile, change).await
    }

    /// Starts any lab of the repository; returns once its configuration is committed.
    pub(crate) async fn of(lab: &str) -> Self {
        Self::start(lab, profile(), |_| {}).await
    }

    /// Starts any lab with a changed description on switches with this profile.
    pub(crate) async fn start(lab: &str, profile: impl Into<Profile>, change: impl FnOnce(&mut LabContent)) -> Self {
        Self::within(&std::env::temp_dir(), lab, profile, change).await
    }

    /// Starts any lab as [`Self::start`] does, in a new folder below `parent`.
    pub(crate) async fn within(
        parent: &Path,
        lab: &str,
        profile: impl Into<Profile>,
        change: impl FnOnce(&mut LabContent),
    ) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_k8s-services"));
        let programs = program.parent().expect("a program is in a folder");
        Self::running(programs, parent, lab, profile, change).await
    }

    /// Starts any lab as [`Self::within`] does, with the programs of applications from the folder `programs`.
    pub(crate) async fn running(
        programs: &Path,
        parent: &Path,
        lab: &str,
        profile: impl Into<Profile>,
        change: impl FnOnce(&mut LabContent),
    ) -> Self {
        let folder = lab_folder(lab);
        let mut file = LabFile::read(&folder).expect("the lab in the repository is readable");
        change(&mut file.content);
        let run = tempfile::Builder::new().prefix("lab").tempdir_in(parent).expect("a folder");
        let options = LabOptions {
            run: run.path().to_owned(),
            programs: programs.to_owned(),
            gnmi_port: None,
            api_port: None,
            profile: profile.into(),
        };
        let lab = match bounded("the start of the lab", Lab::up(file, options, |_| {})).await {
            Ok(lab) => lab,
            Err(error) => panic!("{error}: {:?}; see {}", std::error::Error::source(&error), run.keep().display()),
        };
        Self { lab: Arc::new(lab), run: Some(run) }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.lab.cluster("c1").expect("the lab's one cluster")
    }

    pub(crate) fn leaf(&self, leaf: &str) -> &Leaf {
        &self.lab.leaves()[leaf]
    }

    /// Returns the value at a path of a leaf's state.
    pub(crate) fn says(&self, leaf: &str, path: &str) -> Option<String> {
        self.lab.read(leaf, &absolute(path)).expect("the schema knows the path")
    }

    /// Performs actions, written as in a demo file.
    pub(crate) async fn act(&self, actions: &[&str]) {
        for text in actions {
            let action = action(text);
            if let Err(error) = bounded(&action.summary(), self.lab.act(&action)).await {
                panic!("'{}' failed: {error}", action.summary());
            }
        }
    }

    /// Returns what a command prints on a leaf's CLI.
    pub(crate) async fn cli(&self, leaf: &str, command: &str) -> String {
        match bounded(command, self.lab.cli(leaf, command)).await {
            Ok(text) => text,
            Err(error) => panic!("{leaf}# {command}\n{error}"),
        }
    }

    /// Waits until a leaf reports all of this at once.
    pub(crate) async fn until(&self, leaf: &str, expected: &[(&str, Says)]) {
        self.until_within(PATIENCE, leaf, expected).await;
    }

    /// Waits as [`Self::until`] does, but for at most `patience`, for what takes longer by design.
    pub(crate) async fn until_within(&self, patience: Duration, leaf: &str, expected: &[(&str, Says)]) {
        let deadline = Instant::now() + patience;
        let mut news = self.leaf(leaf).datastore().subscribe();
        loop {
            let wrong = self.wrong(leaf, expected);
            if wrong.is_empty() {
                return;
            }
            // The deadline applies even if changes keep arriving. State is compared once more before the test fails.
            let news = timeout_at(deadline, news.recv()).await;
            if !matches!(news, Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_)))) || Instant::now() >= deadline {
                let wrong = self.wrong(leaf, expected);
                if wrong.is_empty() {
                    return;
                }
                panic!("{}", self.failure(leaf, "not as expected in time", &wrong));
            }
        }
    }

    /// Asserts that a leaf reports all of this now.
    pub(crate) fn expect(&self, leaf: &str, expected: &[(&str, Says)]) {
        let wrong = self.wrong(leaf, expected);
        assert!(wrong.is_empty(), "{}", self.failure(leaf, "not as expected", &wrong));
    }

    /// Waits until every leaf reports that all is well.
    pub(crate) async fn until_healthy(&self) {
        for leaf in self.lab.leaves().keys() {
            self.until(leaf, if leaf == "leaf4" { HEALTHY_REMOTE } else { HEALTHY_LOCAL }).await;
            self.until(leaf, &[("/k8s-services/oper-state", Is("up")), ("/k8s-services/summary/vips-up", Is("1"))])
                .await;
        }
    }

    fn wrong(&self, leaf: &str, expected: &[(&str, Says)]) -> Vec<String> {
        let got = expected.iter().map(|(path, says)| (path, says, self.says(leaf, path)));
        got.filter(|(_, says, got)| !says.holds(got.as_deref()))
            .map(|(path, says, got)| format!("  {path}: expected {says:?}, got {got:?}"))
            .collect()
    }

    /// Returns the text of a failure: what was wrong, the state of the cluster, and where the log is.
    pub(crate) fn failure(&self, leaf: &str, what: &str, lines: &[String]) -> String {
        let state = self.says(leaf, CLUSTER).or_else(|| self.says(leaf, "/k8s-services"));
        let state = state.unwrap_or_else(|| "nothing".to_owned());
        let log = self.leaf(leaf).apps().log_file(AGENT);
        format!("{leaf}: {what}\n{}\n  what it says: {state}\n  the agent's log: {}", lines.join("\n"), log.display())
    }

    /// Follows one leaf node of a leaf's state from now on.
    pub(crate) fn follow(&self, leaf: &str, path: &str) -> Followed {
        let store = self.leaf(leaf).datastore();
        Followed { path: absolute(path), store: store.clone(), news: store.subscribe() }
    }

    /// Returns the paths of the agent's state on a leaf, without statistics, which change with time.
    pub(crate) fn written(&self, leaf: &str) -> BTreeSet<String> {
        let paths = self.leaf(leaf).datastore().paths_of_owner(AGENT);
        paths.iter().map(ToString::to_string).filter(|path| !path.contains("/statistics")).collect()
    }

    /// Returns the process id of the agent on a leaf.
    pub(crate) fn process(&self, leaf: &str) -> Option<u32> {
        self.leaf(leaf).apps().status(AGENT).and_then(|status| status.borrow().pid)
    }

    /// Stops all applications of the lab, then ends it.
    pub(crate) async fn down(mut self) {
        let run = self.run.take();
        let apps: Vec<_> = self.lab.leaves().values().map(|leaf| leaf.apps().clone()).collect();
        bounded("the end of the lab", futures::future::join_all(apps.iter().map(|apps| apps.stop_all()))).await;
        drop(run);
    }
}

/// Returns the profile for tests that run on any release: `RELEASE=26.7 cargo test --test lab` selects one.
fn profile() -> Profile {
    let name = std::env::var("RELEASE").unwrap_or_else(|_| "default".to_owned());
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Returns whether state shows that could not be read back: on some releases, only one spelling of its path does.
pub(crate) fn shows_without_gnmi() -> bool {
    profile().ndk.misspelled != Misspelled::NotShown
}

/// Returns the folder of a lab in the repository.
pub(crate) fn lab_folder(lab: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab").join(lab)
}

/// Returns the output of a future.
///
/// # Panics
/// If the future is not done within [`BOUND`].
pub(crate) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BOUND, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not done within {} s", BOUND.as_secs()),
    }
}

/// The successive values of one leaf node.
pub(crate) struct Followed {
    path: String,
    store: Datastore,
    news: broadcast::Receiver<Arc<Transaction>>,
}

impl Followed {
    /// Waits until the leaf node has this value; returns all its values up to then.
    pub(crate) async fn until(&mut self, value: &str) -> Vec<Option<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while seen.last() != Some(&Some(value.to_owned())) {
            match timeout_at(deadline, self.news.recv()).await {
                Ok(Ok(transaction)) => seen.extend(self.of(&transaction)),
                Ok(Err(error)) => panic!("changes of {} were missed: {error}", self.path),
                Err(_) => panic!("{} did not become {value} in time: {seen:?}", self.path),
            }
        }
        seen
    }

    fn of(&self, transaction: &Transaction) -> Vec<Option<String>> {
        let leaves = transaction.leaves(self.store.schema()).into_iter();
        let own = leaves.filter(|(path, _)| path.to_string() == self.path);
        own.map(|(_, value)| value.map(|value| value.as_str().map_or(value.to_string(), str::to_owned))).collect()
    }

    /// Returns the values since the last look; `None` for a deletion.
    pub(crate) fn values(&mut self) -> Vec<Option<String>> {
        let mut values = Vec::new();
        loop {
            match self.news.try_recv() {
                Ok(transaction) => values.extend(self.of(&transaction)),
                Err(broadcast::error::TryRecvError::Empty) => return values,
                Err(error) => panic!("changes of {} were missed: {error}", self.path),
            }
        }
    }
}

/// What the agent of one leaf writes from the creation of this value on.
pub(crate) struct Writes {
    since: std::time::Instant,
    calls: broadcast::Receiver<Arc<TelemetryCall>>,
}

impl Writes {
    pub(crate) fn of(bench: &Bench, leaf: &str) -> Self {
        Self { since: std::time::Instant::now(), calls: bench.leaf(leaf).ndk().record().subscribe() }
    }

    /// Returns the paths written or deleted since the last look, as gNMI spells them.
    pub(crate) fn all(&mut self) -> Vec<String> {
        let mut paths = Vec::new();
        loop {
            match self.calls.try_recv() {
                // State is visible before the call that wrote it is recorded.
                Ok(call) if call.at < self.since => {}
                Ok(call) => paths.extend(call.paths.iter().map(|path| spelled(path))),
                Err(broadcast::error::TryRecvError::Empty) => return paths,
                Err(error) => panic!("writes were missed: {error}"),
            }
        }
    }

    /// Returns the paths as [`Self::all`] does, without the agent's own entry, which has summary, sources and
    /// statistics and may be written every 10 s.
    pub(crate) fn but_freshness(&mut self) -> Vec<String> {
        let fresh = |path: &String| path == "/k8s-services";
        self.all().into_iter().filter(|path| !fresh(path)).collect()
    }

    /// Waits until a call is refused.
    pub(crate) async fn until_refused(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match timeout_at(deadline, self.calls.recv()).await {
                Ok(Ok(call)) if call.refused.is_some() => return,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => panic!("writes were missed: {error}"),
                Err(_) => panic!("no write was refused in time"),
            }
        }
    }
}

/// Returns a path as gNMI spells it, whichever spelling the switch requires.
fn spelled(js_path: &str) -> String {
    use srl_sim::path::{Path, Step};
    let hyphens = |name: &str| name.replace('_', "-");
    let path = Path::from_js(js_path).expect("a path");
    let steps = path.steps().iter().map(|step| Step {
        name: hyphens(&step.name),
        keys: step.keys.iter().map(|(key, value)| (hyphens(key), value.clone())).collect(),
    });
    Path::from_steps(steps.collect()).to_string()
}

/// Parses an action as demo files write it.
pub(crate) fn action(text: &str) -> Action {
    let value: serde_json::Value = serde_norway::from_str(text).expect("YAML");
    serde_json::from_value(value).expect("an action")
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{VIP}/{path}") }
}
