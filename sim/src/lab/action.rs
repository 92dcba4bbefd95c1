//! The actions on a running lab, as used by the demo's steps and the control socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fabric::{Lever, spell};

/// An action on a lab. A leaf named `*` stands for all leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Breaks something in the fabric.
    Pull(Lever),
    /// Heals what a lever broke.
    Release(Lever),
    /// Heals everything in the fabric.
    ReleaseAll,
    /// `kubectl scale`
    Scale {
        /// The cluster.
        cluster: String,
        /// The deployment.
        #[serde(flatten)]
        object: ObjectName,
        /// Number of replicas.
        replicas: u32,
    },
    /// `kubectl patch --type merge`
    Patch {
        /// The cluster.
        cluster: String,
        /// `Service`, `Node`, ...
        kind: String,
        /// Name of the object.
        #[serde(flatten)]
        object: ObjectName,
        /// The patch.
        patch: Value,
    },
    /// `kubectl delete`
    Delete {
        /// The cluster.
        cluster: String,
        /// `Service`, `Node`, ...
        kind: String,
        /// Name of the object.
        #[serde(flatten)]
        object: ObjectName,
    },
    /// `kubectl apply -f`
    Apply {
        /// The cluster.
        cluster: String,
        /// The manifest, relative to the lab's folder.
        file: PathBuf,
    },
    /// Makes the pods on a node ready, or not.
    Pods {
        /// The cluster.
        cluster: String,
        /// Name of the node.
        node: String,
        /// Whether they become ready.
        ready: bool,
    },
    /// Causes or ends a fault of an API server.
    ApiServer {
        /// The cluster.
        cluster: String,
        /// The fault.
        to: ApiServerFault,
    },
    /// Causes or ends a fault of a leaf's NDK.
    Ndk {
        /// The leaf.
        leaf: String,
        /// The fault.
        to: ServiceFault,
    },
    /// Causes or ends a fault of a leaf's gNMI server.
    Gnmi {
        /// The leaf.
        leaf: String,
        /// The fault.
        to: ServiceFault,
    },
    /// `tools system app-management application <app> <operation>`
    App {
        /// The leaf.
        leaf: String,
        /// The application.
        app: String,
        /// `start`, `stop`, `restart`, `reload`, `kill`, ...
        operation: String,
    },
    /// Commits configuration on a leaf, line by line as on the CLI.
    Config {
        /// The leaf.
        leaf: String,
        /// `set / ...` and `delete / ...`
        lines: String,
    },
}

/// Name of a Kubernetes object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectName {
    /// Its namespace; `default` if absent.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Its name.
    pub name: String,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// Faults of an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiServerFault {
    /// It stops listening and cuts every connection.
    Stop,
    /// It listens again.
    Start,
    /// It ends every watch.
    DropWatches,
    /// It ends every watch with 410.
    Expire,
    /// It accepts requests and never answers.
    Silent,
    /// It answers again.
    Answering,
}

/// Faults of a service of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceFault {
    /// It stops.
    Stop,
    /// It starts again.
    Start,
    /// It ends every stream; calls keep working.
    DropStreams,
    /// It accepts connections but answers nothing.
    Freeze,
    /// It answers again.
    Thaw,
}

impl Action {
    /// Returns a description for progress lines.
    pub fn summary(&self) -> String {
        match self {
            Self::Pull(lever) => format!("fabric: {}", lever.summary()),
            Self::Release(lever) => format!("fabric: heal {}", lever.summary()),
            Self::ReleaseAll => "fabric: heal everything".to_owned(),
            Self::Scale { object, replicas, .. } => {
                format!("kubectl scale deployment {} --replicas={replicas}", object.name)
            }
            Self::Patch { kind, object, patch, .. } => {
                format!("kubectl patch {} {} -p '{patch}'", kind.to_lowercase(), object.name)
            }
            Self::Delete { kind, object, .. } => format!("kubectl delete {} {}", kind.to_lowercase(), object.name),
            Self::Apply { file, .. } => format!("kubectl apply -f {}", file.display()),
            Self::Pods { node, ready, .. } => {
                format!("pods on {node} become {}", if *ready { "ready" } else { "not ready" })
            }
            Self::ApiServer { cluster, to } => format!("API server of {cluster}: {}", spell(to)),
            Self::Ndk { leaf, to } => format!("{}: NDK {}", leaves(leaf), spell(to)),
            Self::Gnmi { leaf, to } => format!("{}: gNMI {}", leaves(leaf), spell(to)),
            Self::App { leaf, app, operation } => format!("{}: {operation} {app}", leaves(leaf)),
            Self::Config { leaf, lines } => {
                let lines: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                format!("{}: {}", leaves(leaf), lines.join("; "))
            }
        }
    }
}

fn leaves(leaf: &str) -> &str {
    if leaf == "*" { "every leaf" } else { leaf }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(text: &str) -> Action {
        let value: Value = serde_norway::from_str(text).expect("YAML");
        serde_json::from_value(value).expect("an action")
    }

    #[test]
    fn the_summary_of_an_action_reads_like_an_operators_command() {
        let summaries = [
            (
                "pull: { session-down: { leaf: leaf1, node: cluster1 } }",
                "fabric: session-down leaf=leaf1 node=cluster1",
            ),
            ("release-all", "fabric: heal everything"),
            (
                "scale: { cluster: c1, name: nginxhello, replicas: 0 }",
                "kubectl scale deployment nginxhello --replicas=0",
            ),
            (
                "patch: { cluster: c1, kind: Service, name: web, patch: { spec: { externalTrafficPolicy: Local } } }",
                r#"kubectl patch service web -p '{"spec":{"externalTrafficPolicy":"Local"}}'"#,
            ),
            ("delete: { cluster: c1, kind: Service, name: web }", "kubectl delete service web"),
            ("apply: { cluster: c1, file: nginx.yaml }", "kubectl apply -f nginx.yaml"),
            ("pods: { cluster: c1, node: n1, ready: false }", "pods on n1 become not ready"),
            ("api-server: { cluster: c1, to: stop }", "API server of c1: stop"),
            ("ndk: { leaf: leaf1, to: drop-streams }", "leaf1: NDK drop-streams"),
            ("app: { leaf: leaf1, app: k8s-services, operation: kill }", "leaf1: kill k8s-services"),
            ("config: { leaf: '*', lines: \"set / a\\n\" }", "every leaf: set / a"),
        ];
        for (text, summary) in summaries {
            assert_eq!(action(text).summary(), summary);
        }
    }

    #[test]
    fn an_action_survives_serialization_for_the_control_socket() {
        let original = action("patch: { cluster: c1, kind: Node, name: n1, patch: { spec: null } }");
        let line = serde_json::to_string(&original).expect("JSON");
        assert_eq!(serde_json::from_str::<Action>(&line).expect("JSON"), original);
    }
}
