//! Faults of a lab: how they begin and how they are healed.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use srl_sim::appmgr::Operation;
use srl_sim::fabric::Lever;
use srl_sim::lab::{Action, ApiServerFault, ServiceFault};
use srl_sim::ndk::Refuse;

use crate::bench::{Bench, bounded};

/// Something that goes wrong in a lab.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// A lever of the fabric.
    Fabric(Lever),
    /// All next-hop groups of a leaf get new numbers.
    Renumber(&'static str),
    /// A deployment is scaled.
    Scale(&'static str, u32),
    /// A service is deleted.
    Remove(&'static str),
    /// A service changes its external traffic policy.
    Policy(&'static str),
    /// The pods on a node become unready.
    Unready(&'static str),
    /// A node is deleted from the cluster.
    NodeGone(&'static str),
    Api(ApiServerFault),
    /// The API server forgets older versions and ends watches with 410.
    ApiForgets,
    /// The API server answers the next requests with this status code.
    ApiRefuses(u16, usize),
    ApiSlow(Duration),
    Ndk(&'static str, ServiceFault),
    NdkSlow(&'static str, Duration),
    /// The next telemetry writes are refused.
    NdkRefuses(&'static str, u32),
    NdkRefusesAll(&'static str),
    Gnmi(&'static str, ServiceFault),
    GnmiSlow(&'static str, Duration),
    Agent(&'static str, AgentFault),
    /// The cluster is disabled in the configuration of a leaf.
    Disabled(&'static str),
}

/// Faults of the agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentFault {
    /// SIGKILL; the application manager restarts it.
    Killed,
    /// SIGTERM; it stays down until it is started.
    Stopped,
    /// SIGHUP.
    Reloaded,
    /// SIGSTOP, until SIGCONT.
    Suspended,
}

impl Fault {
    /// Returns what the fault concerns. Faults that concern the same thing are never in force at the same time.
    pub(crate) fn things(&self) -> Vec<String> {
        match self {
            Self::Fabric(lever) => vec![about(lever)],
            Self::Renumber(leaf) => vec![format!("groups of {leaf}")],
            Self::Scale(service, _) | Self::Remove(service) | Self::Policy(service) => {
                vec![format!("service {service}")]
            }
            Self::Unready(node) | Self::NodeGone(node) => vec![format!("pods of {node}")],
            Self::Api(_) | Self::ApiForgets | Self::ApiRefuses(..) | Self::ApiSlow(_) => vec!["the API".to_owned()],
            Self::Ndk(leaf, _) | Self::NdkSlow(leaf, _) | Self::NdkRefuses(leaf, _) | Self::NdkRefusesAll(leaf) => {
                vec![format!("NDK of {leaf}")]
            }
            Self::Gnmi(leaf, _) | Self::GnmiSlow(leaf, _) => vec![format!("gNMI of {leaf}")],
            Self::Agent(leaf, _) => vec![format!("agent of {leaf}")],
            // A commit needs an agent that is reachable.
            Self::Disabled(leaf) => vec![format!("agent of {leaf}"), format!("NDK of {leaf}")],
        }
    }

    /// Returns whether the fault prevents an agent from seeing or reporting the current state. All others change the
    /// state.
    pub(crate) fn blinds(&self) -> bool {
        !matches!(
            self,
            Self::Fabric(_)
                | Self::Renumber(_)
                | Self::Scale(..)
                | Self::Remove(_)
                | Self::Policy(_)
                | Self::Unready(_)
                | Self::NodeGone(_)
        )
    }

    /// Returns the leaf whose agent is blinded; `None` for all leaves.
    pub(crate) fn leaf(&self) -> Option<&'static str> {
        match self {
            Self::Ndk(leaf, _)
            | Self::NdkSlow(leaf, _)
            | Self::NdkRefuses(leaf, _)
            | Self::NdkRefusesAll(leaf)
            | Self::Gnmi(leaf, _)
            | Self::GnmiSlow(leaf, _)
            | Self::Agent(leaf, _)
            | Self::Disabled(leaf) => Some(leaf),
            _ => None,
        }
    }

    pub(crate) async fn strike(&self, bench: &Bench) {
        bounded(&format!("{self:?}"), self.begin(bench)).await;
    }

    pub(crate) async fn heal(&self, bench: &Bench) {
        bounded(&format!("the end of {self:?}"), self.end(bench)).await;
    }

    async fn begin(&self, bench: &Bench) {
        match self {
            Self::Fabric(lever) => bench.act(&Action::Pull(lever.clone())).await,
            Self::Renumber(leaf) => bench.leaf(leaf).renumber_groups(),
            Self::Scale(service, replicas) => {
                bench.cluster().scale("default", service, *replicas).expect("it is there")
            }
            Self::Remove(service) => bench.cluster().delete("Service", "default", service).expect("it is there"),
            Self::Policy(service) => flip_policy(bench, service),
            Self::Unready(node) => bench.act(&pods(node, false)).await,
            Self::NodeGone(node) => bench.cluster().delete("Node", "", node).expect("it is there"),
            Self::Api(fault) => bench.act(&Action::ApiServer { cluster: "c1".to_owned(), to: *fault }).await,
            Self::ApiForgets => {
                bench.cluster().compact();
                bench.cluster().expire_watches();
            }
            Self::ApiRefuses(code, requests) => {
                bench.cluster().refuse(*code, *requests);
                bench.cluster().drop_watches();
            }
            Self::ApiSlow(delay) => bench.cluster().set_delay(*delay),
            Self::Ndk(leaf, fault) => bench.act(&Action::Ndk { leaf: (*leaf).to_owned(), to: *fault }).await,
            Self::NdkSlow(leaf, delay) => bench.leaf(leaf).ndk().delay_calls(*delay),
            Self::NdkRefuses(leaf, calls) => bench.leaf(leaf).ndk().refuse_telemetry(Refuse::Calls(*calls)),
            Self::NdkRefusesAll(leaf) => bench.leaf(leaf).ndk().refuse_telemetry(Refuse::Everything),
            Self::Gnmi(leaf, fault) => bench.act(&Action::Gnmi { leaf: (*leaf).to_owned(), to: *fault }).await,
            Self::GnmiSlow(leaf, delay) => bench.gnmi(leaf).set_delay(*delay),
            Self::Agent(leaf, fault) => strike_agent(bench, leaf, *fault).await,
            Self::Disabled(leaf) => bench.commit(leaf, "set / k8s-services cluster c1 admin-state disable").await,
        }
    }

    async fn end(&self, bench: &Bench) {
        match self {
            Self::Fabric(lever) => bench.act(&Action::Release(lever.clone())).await,
            Self::Scale(service, _) => {
                bench.restore("Deployment", service);
            }
            Self::Remove(service) => bench.restore("Service", service),
            Self::Policy(service) => flip_policy(bench, service),
            Self::Unready(node) => bench.act(&pods(node, true)).await,
            Self::NodeGone(node) => bench.restore("Node", node),
            Self::Api(ApiServerFault::Stop) => bench.cluster().start().await,
            Self::Api(_) => bench.cluster().set_half_open(false),
            Self::ApiRefuses(..) => bench.cluster().refuse(500, 0),
            Self::ApiSlow(_) => bench.cluster().set_delay(Duration::ZERO),
            // The lab's own action would wait until the agent has registered, but the agent may be down.
            Self::Ndk(leaf, ServiceFault::Stop) => bench.leaf(leaf).ndk().start().await.expect("its socket is free"),
            Self::Ndk(leaf, _) => bench.leaf(leaf).ndk().freeze(false),
            Self::NdkSlow(leaf, _) => bench.leaf(leaf).ndk().delay_calls(Duration::ZERO),
            Self::NdkRefuses(leaf, _) | Self::NdkRefusesAll(leaf) => {
                bench.leaf(leaf).ndk().refuse_telemetry(Refuse::Nothing);
            }
            Self::Gnmi(leaf, ServiceFault::Stop) => bench.gnmi(leaf).start().await.expect("its socket is free"),
            Self::Gnmi(leaf, _) => bench.gnmi(leaf).freeze(false),
            Self::GnmiSlow(leaf, _) => bench.gnmi(leaf).set_delay(Duration::ZERO),
            Self::Agent(leaf, fault) => heal_agent(bench, leaf, *fault).await,
            Self::Disabled(leaf) => bench.commit(leaf, "delete / k8s-services cluster c1 admin-state").await,
            Self::Renumber(_) | Self::ApiForgets => {}
        }
    }
}

/// Returns the node or leaf that a lever concerns. Levers with one prefix on different leaves may overlap.
fn about(lever: &Lever) -> String {
    match lever {
        Lever::SessionDown { node, .. }
        | Lever::LinkDown { node }
        | Lever::SpeakerDead { node }
        | Lever::NodeMoved { node, .. }
        | Lever::Withheld { node, .. } => format!("node {node}"),
        Lever::FibFailed { leaf, prefix }
        | Lever::FibPending { leaf, prefix }
        | Lever::PolicyReject { leaf, prefix }
        | Lever::EvpnWithdrawn { leaf, prefix: Some(prefix) } => format!("{prefix} on {leaf}"),
        other => other.summary(),
    }
}

fn pods(node: &str, ready: bool) -> Action {
    Action::Pods { cluster: "c1".to_owned(), node: node.to_owned(), ready }
}

fn flip_policy(bench: &Bench, service: &str) {
    let now = bench.cluster().get("Service", "default", service).expect("it is there");
    let next = if now["spec"]["externalTrafficPolicy"] == "Local" { "Cluster" } else { "Local" };
    let patch = json!({ "spec": { "externalTrafficPolicy": next } });
    bench.cluster().patch("Service", "default", service, &patch).expect("it is there");
}

/// Time the agent may take to end on SIGTERM, whatever the state of its peers, before it would be killed.
const ENDS_WITHIN: Duration = Duration::from_secs(9);

async fn strike_agent(bench: &Bench, leaf: &str, fault: AgentFault) {
    match fault {
        AgentFault::Killed => {
            bench.operate(leaf, Operation::Kill).await;
            bench.killed(leaf);
        }
        AgentFault::Stopped => {
            let begun = Instant::now();
            bench.operate(leaf, Operation::Stop).await;
            assert!(begun.elapsed() < ENDS_WITHIN, "{leaf}: the agent did not end on SIGTERM");
        }
        AgentFault::Reloaded => bench.operate(leaf, Operation::Reload).await,
        AgentFault::Suspended => signal(bench, leaf, Signal::STOP),
    }
}

async fn heal_agent(bench: &Bench, leaf: &str, fault: AgentFault) {
    match fault {
        AgentFault::Stopped => bench.operate(leaf, Operation::Start).await,
        AgentFault::Suspended => signal(bench, leaf, Signal::CONT),
        AgentFault::Killed | AgentFault::Reloaded => {}
    }
}

fn signal(bench: &Bench, leaf: &str, signal: Signal) {
    let pid = bench.process(leaf).and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    kill_process(pid.expect("the agent runs"), signal).expect("it is ours");
}
