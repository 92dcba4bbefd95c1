//! Wires the agent together: its tasks, and the channels between them.
//!
//! ```text
//!   NDK ══ session ───────────┐
//!   gNMI ══ client ───────────┤ Event (256)            Input (64)
//!   API server ══ cluster ────┼─────────────► engine ─────────────► publisher ══ telemetry ══ NDK
//!          (one a cluster)    │                  │
//!          configurator ──────┘                  ├─ watch<Inquiry> ──► gNMI client, whose findings are events
//!                                                ├─ watch<PersistentState> ──► state file
//!                                                ├─ broadcast<AlarmNotification> (1024) ──► syslog, clusters ══ Kubernetes Events
//!             ▲    │                             └─ watch<bool> (settled) ──► leftovers ── Input ──► publisher
//!             │    └─ watch<Config> ──► clusters (starts and stops one task a cluster), gNMI client
//!             └── Commit (4) ── session
//!
//!   session ── watch<Registration> ──► publisher, leftovers
//!   publisher ── watch<u64> (accepted) ──► read-back ── Input ──► publisher
//!   session, engine, gNMI client, read-back ── watch<Adaptation> ── Input ──► publisher
//! ```
//!
//! Data flows in one direction. The engine has one owner, which ingests everything that has arrived before it evaluates
//! once, so that a burst costs one evaluation. Every channel is bounded: a source that is faster than the engine waits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use crate::adapted::Adapted;
use crate::config::{Assembler, Valid};
use crate::engine::Engine;
use crate::gnmi;
use crate::kubernetes::{ClusterSource, ConnectOptions, Notices};
use crate::model::adaptation::{Adaptation, DumpEnd};
use crate::model::alarm::AlarmNotification;
use crate::model::commit::Verdict;
use crate::model::config::{Config, Source};
use crate::model::event::Event;
use crate::model::inquiry::{Inquiry, revise};
use crate::model::names::{ClusterName, NetworkInstanceName};
use crate::model::persistent::PersistentState;
use crate::model::time::{Now, Timestamp};
use crate::model::view::Change;
use crate::ndk::{self, Commit};
use crate::publish::{Input, Publisher};
use crate::read_back::{Leftovers, Reader, Release, Shows};
use crate::state_file::StateFile;
use crate::supervise::stopped;
use crate::syslog::Syslog;

/// Messages between sources and engine. A message may be a batch of hundreds of routes, so that a few buffer a lot.
const EVENTS: usize = 256;
/// Messages between engine and publisher. The publisher always receives them, so that a few are enough.
const INPUTS: usize = 64;
/// Changes of alarms that syslog and clusters may be behind. Further ones are dropped there; nothing waits.
const NOTICES: usize = 1024;
/// Commits between session and configurator; the switch makes one at a time.
const COMMITS: usize = 4;
/// Most events that are ingested before an evaluation, so that a flood does not delay the first of them indefinitely.
const BURST: usize = 256;
/// How often freshness and counters are written.
const FRESHNESS: Duration = Duration::from_secs(10);
/// How long the session may take to unregister.
const FAREWELL: Duration = Duration::from_secs(5);

/// The flags of the process.
#[derive(Clone, Debug)]
pub struct Options {
    /// The NDK.
    pub ndk: ndk::Options,
    /// The on-box gNMI server.
    pub gnmi: gnmi::Options,
    /// The file with what must outlive a restart.
    pub state_file: StateFile,
    /// The socket of the syslog daemon; `None` turns it off.
    pub syslog: Option<PathBuf>,
    /// The name of this switch.
    pub leaf: String,
    /// What the clusters' sources may use.
    pub connect: ConnectOptions,
    /// The value of `/k8s-services/version`.
    pub version: &'static str,
}

/// Signals from outside.
#[derive(Clone, Debug)]
pub struct Signals {
    /// True if the agent must unregister and end.
    pub stop: watch::Receiver<bool>,
    /// Changes with each request to read credentials again.
    pub refresh: watch::Receiver<u64>,
}

/// Runs the agent until it is asked to stop.
///
/// # Errors
/// If a task ends that should not; app_mgr starts the agent again.
pub async fn run(options: Options, signals: Signals) -> anyhow::Result<()> {
    let Options { ndk, gnmi, state_file, syslog, leaf, connect, version } = options;
    let Signals { mut stop, refresh } = signals;
    let (events, events_in) = mpsc::channel(EVENTS);
    let (inputs, inputs_in) = mpsc::channel(INPUTS);
    let (commits, commits_in) = mpsc::channel(COMMITS);
    let (config, config_seen) = watch::channel(Arc::new(Config::default()));
    let (instances, instances_seen) = watch::channel(BTreeSet::new());
    let (settled, settled_seen) = watch::channel(false);
    let (inquiry, inquiry_seen) = watch::channel(Inquiry::default());
    let (persistent, persistent_seen) = watch::channel(PersistentState::default());
    let (notices, notices_seen) = broadcast::channel(NOTICES);
    let (kubernetes_events, enabled) = watch::channel(false);
    let (adapted, adaptation_seen) = Adapted::new();
    let (session, registration) = ndk::Session::new(ndk, events.clone(), commits, stop.clone());
    let session = session.reporting(adapted.clone());
    info!(version, "starting");

    let remembered = tokio::select! {
        biased;
        () = stopped(&mut stop) => return Ok(()),
        remembered = state_file.load() => remembered,
    };
    let mut tasks = JoinSet::new();
    let engine = EngineTask {
        engine: Engine::new(),
        started: Instant::now(),
        inputs: inputs.clone(),
        inquiry,
        persistent,
        notices: notices.clone(),
        settled,
        adapted: adapted.clone(),
        end_of_dump: None,
    };
    let notices = Notices { notices, enabled, leaf: leaf.into() };
    tasks.spawn(named("engine", engine.run(remembered, events_in, stop.clone())));
    let publisher = Publisher::new(inputs_in, registration.clone(), version);
    tasks.spawn(named("syslog", Syslog::new(syslog).run(notices_seen)));
    let assembler = Assembler::new(Arc::clone(&connect.credentials));
    let configurator = Configurator { assembler, events: events.clone(), config, instances, kubernetes_events };
    tasks.spawn(named("configurator", configurator.run(commits_in)));
    let (refresh_clusters, running) = (refresh.clone(), BTreeMap::new());
    let clusters = Clusters { events: events.clone(), refresh: refresh_clusters, notices, connect, running };
    tasks.spawn(named("clusters", clusters.run(config_seen)));
    let reader = Reader { gnmi: gnmi.clone(), adapted: adapted.clone() };
    let shows = Shows { reader: reader.clone(), inputs: inputs.clone(), accepted: publisher.accepted() };
    tasks.spawn(named("publisher", publisher.run()));
    tasks.spawn(named("read-back", shows.run()));
    tasks.spawn(named("release", Release(reader.clone()).run()));
    tasks.spawn(named("adaptation", report(adaptation_seen, inputs.clone())));
    let leftovers = Leftovers { reader, inputs, registration, settled: settled_seen };
    tasks.spawn(named("leftovers", leftovers.run()));
    let source = gnmi::Source::new(gnmi, events, instances_seen, inquiry_seen, refresh).reporting(adapted);
    tasks.spawn(named("gNMI", source.run()));
    let session = tokio::spawn(session.run());
    let state_file = tokio::spawn(state_file.keep(persistent_seen));

    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        ended = tasks.join_next() => match ended {
            Some(Ok(name)) => bail!("the {name} task ended"),
            Some(Err(error)) => return Err(error).context("a task failed"),
            None => bail!("no task is left"),
        },
    }
    info!("stopping");
    let farewell = async { tokio::join!(session, state_file) };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        warn!("the NDK did not let the agent go in time, or the state file was not written");
    }
    Ok(())
}

/// Runs a task that should not end, and returns its name if it does.
async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

/// The engine and its channels.
struct EngineTask {
    engine: Engine,
    started: Instant,
    inputs: mpsc::Sender<Input>,
    inquiry: watch::Sender<Inquiry>,
    persistent: watch::Sender<PersistentState>,
    notices: broadcast::Sender<Arc<AlarmNotification>>,
    settled: watch::Sender<bool>,
    adapted: Adapted,
    end_of_dump: Option<DumpEnd>,
}

impl EngineTask {
    async fn run(
        mut self,
        remembered: PersistentState,
        mut events: mpsc::Receiver<Event>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut freshness = tokio::time::interval(FRESHNESS);
        freshness.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = self.now();
        self.engine.ingest(now, Event::Restored(remembered));
        loop {
            let deadline = self.engine.deadline().map(|elapsed| self.started + elapsed);
            tokio::select! {
                biased;
                () = stopped(&mut stop) => {
                    // The final state for the state file, which is written before the process ends.
                    self.persistent.send_replace(self.engine.persistent_state(self.now()));
                    drop(self.persistent);
                    return std::future::pending().await;
                }
                () = until(deadline) => self.engine.ingest(self.now(), Event::Tick),
                event = events.recv() => {
                    let Some(event) = event else { return };
                    self.ingest_burst(event, &mut events);
                }
                _ = freshness.tick() => {
                    let input = Input::Freshness(self.engine.freshness(), self.engine.evaluations());
                    if self.inputs.send(input).await.is_err() {
                        return;
                    }
                    continue;
                }
            }
            let changes = self.engine.evaluate(self.now());
            let end_of_dump = self.engine.end_of_dump();
            if std::mem::replace(&mut self.end_of_dump, end_of_dump) != end_of_dump {
                self.adapted.report(|found| found.end_of_dump = end_of_dump);
            }
            if !changes.is_empty() && !self.pass_on(changes).await {
                return;
            }
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: self.started.elapsed(), wall: Timestamp::now() }
    }

    /// Ingests an event and everything that has arrived in the meantime, before one evaluation.
    fn ingest_burst(&mut self, first: Event, events: &mut mpsc::Receiver<Event>) {
        let now = self.now();
        self.engine.ingest(now, first);
        for _ in 1..BURST {
            let Ok(event) = events.try_recv() else { return };
            self.engine.ingest(now, event);
        }
    }

    /// Sends changes to their receivers; returns false if nobody receives them any more.
    async fn pass_on(&mut self, changes: Vec<Change>) -> bool {
        for change in &changes {
            match change {
                Change::Ask(changes) => self.inquiry.send_modify(|inquiry| revise(inquiry, changes)),
                Change::PersistentState(state) => drop(self.persistent.send_replace(state.clone())),
                Change::AlarmNotification(notice) => drop(self.notices.send(Arc::new(notice.clone()))),
                _ => {}
            }
        }
        let is_synced = self.engine.is_synced();
        self.inputs.send(Input::Changes(changes)).await.is_ok() && {
            // After the changes: what is synced must be on its way to the switch before leftovers are looked for.
            self.settled.send_if_modified(|settled| is_synced && !std::mem::replace(settled, true));
            true
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Turns commits into a configuration in force.
struct Configurator {
    assembler: Assembler,
    events: mpsc::Sender<Event>,
    config: watch::Sender<Arc<Config>>,
    instances: watch::Sender<BTreeSet<NetworkInstanceName>>,
    kubernetes_events: watch::Sender<bool>,
}

impl Configurator {
    async fn run(mut self, mut commits: mpsc::Receiver<Commit>) {
        while let Some(Commit { sequence, notifications, answer }) = commits.recv().await {
            let verdict = match self.assembler.apply(sequence, &notifications) {
                Ok(Valid { config, warnings }) => {
                    info!(commit = sequence, clusters = config.clusters.len(), "configuration in force");
                    for warning in &warnings {
                        warn!(path = %warning.path, warning = %warning.message, "configuration has no effect");
                    }
                    if self.put_in_force(config).await.is_err() {
                        return;
                    }
                    Verdict::Accepted(warnings)
                }
                Err(problems) => {
                    for problem in &problems {
                        warn!(path = %problem.path, problem = %problem.message, "configuration refused");
                    }
                    Verdict::Rejected(problems)
                }
            };
            // A session that has ended needs no answer: the next one receives the whole configuration again.
            if answer.send(verdict).is_err() {
                debug!(commit = sequence, "nobody waits for the verdict on this commit");
            }
        }
    }

    /// Puts a configuration in force: first in the engine, so that it knows the cluster of every source that starts.
    async fn put_in_force(&self, next: Config) -> Result<(), mpsc::error::SendError<Event>> {
        let next = Arc::new(next);
        let in_use = next.clusters.values().filter(|cluster| cluster.enabled);
        let in_use: BTreeSet<_> = in_use.map(|cluster| cluster.rules.network_instance.clone()).collect();
        self.events.send(Event::Configured(next.clone())).await?;
        self.instances.send_if_modified(|current| std::mem::replace(current, in_use.clone()) != in_use);
        self.kubernetes_events.send_replace(next.alarm_policy.kubernetes_events);
        self.config.send_replace(next);
        Ok(())
    }
}

/// Runs one task per cluster, started and stopped according to the configuration.
struct Clusters {
    events: mpsc::Sender<Event>,
    refresh: watch::Receiver<u64>,
    notices: Notices,
    connect: ConnectOptions,
    running: BTreeMap<ClusterName, (Source, AbortHandle)>,
}

impl Clusters {
    async fn run(mut self, mut config: watch::Receiver<Arc<Config>>) {
        loop {
            let wanted = config.borrow_and_update().clone();
            self.adopt(&wanted);
            if config.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops tasks whose configuration was removed or changed, starts missing ones, and leaves the others alone.
    fn adopt(&mut self, config: &Config) {
        let wanted = |name: &ClusterName| config.clusters.get(name).filter(|cluster| config.enabled && cluster.enabled);
        self.running.retain(|name, (current, task)| {
            let keep = wanted(name).is_some_and(|next| next.source == *current);
            if !keep {
                task.abort();
            }
            keep
        });
        for name in config.clusters.keys() {
            if let Some(cluster) = wanted(name)
                && !self.running.contains_key(name)
            {
                let (events, refresh) = (self.events.clone(), self.refresh.clone());
                let (notices, connect) = (self.notices.clone(), self.connect.clone());
                let source =
                    ClusterSource::new(name.clone(), cluster.source.clone(), events, refresh, notices, connect);
                let task = tokio::spawn(source.run()).abort_handle();
                self.running.insert(name.clone(), (cluster.source.clone(), task));
            }
        }
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        self.running.values().for_each(|(_, task)| task.abort());
    }
}

/// Passes what the sources found out about this switch to the publisher.
async fn report(mut adaptation: watch::Receiver<Adaptation>, inputs: mpsc::Sender<Input>) {
    while adaptation.changed().await.is_ok() {
        let found = adaptation.borrow_and_update().clone();
        if inputs.send(Input::Adaptation(found)).await.is_err() {
            return;
        }
    }
}
