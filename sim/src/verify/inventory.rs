//! The inventory: real leaves and clusters, and the commands for actions that the emulator performs itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::lab::{Action, LabFileError, read_yaml};

/// Real leaves of a lab, and how to act on them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Inventory {
    /// The folder of the lab whose demo is played, relative to this file.
    pub lab: PathBuf,
    /// User name for gNMI.
    pub username: String,
    /// File with the user's password, relative to this file.
    pub password_file: PathBuf,
    /// Factor by which a device may be slower than an emulated leaf.
    #[serde(default = "three")]
    pub patience: f64,
    /// Leaves by their names in the lab.
    pub leaves: BTreeMap<String, Target>,
    /// Words before the arguments of kubectl, by cluster: `[kubectl, --context, c1]`.
    #[serde(default)]
    pub kubectl: BTreeMap<String, Vec<String>>,
    /// Run folder of a lab of `srl-sim up`. All actions are performed through its control socket. For trying an
    /// inventory.
    #[serde(default)]
    pub emulated: Option<PathBuf>,
    /// Replacements of actions. Actions performed by kubectl or the CLI need no entry; others without one are skipped.
    #[serde(default)]
    pub actions: Vec<Instead>,
}

/// A real leaf.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// Address of its gNMI server, without TLS: `http://leaf1:57401`.
    pub gnmi: String,
    /// The command that reads CLI lines from its standard input: `[docker, exec, -i, leaf1, sr_cli]`.
    #[serde(default)]
    pub cli: Vec<String>,
}

/// What to do in place of an action.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Instead {
    /// The action, as in the demo.
    #[serde(rename = "of")]
    pub action: Action,
    /// What to do.
    pub run: Vec<Deed>,
}

/// Something to do to a real lab.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// A command and its arguments.
    Command(Vec<String>),
    /// Lines typed on a leaf's CLI, unchanged.
    Typed {
        /// The leaf.
        leaf: String,
        /// The lines.
        lines: String,
    },
    /// Lines committed on a leaf.
    Committed {
        /// The leaf.
        leaf: String,
        /// The lines.
        lines: String,
    },
}

fn three() -> f64 {
    3.0
}

impl Inventory {
    /// Reads an inventory. Its paths become absolute, or relative to the working directory.
    ///
    /// # Errors
    /// Returns an error if the file is missing, is not YAML, or is not an inventory.
    pub fn read(path: &Path) -> Result<Self, LabFileError> {
        let mut inventory: Self = read_yaml(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        inventory.lab = folder.join(&inventory.lab);
        inventory.password_file = folder.join(&inventory.password_file);
        inventory.emulated = inventory.emulated.map(|run| folder.join(run));
        Ok(inventory)
    }

    /// Returns what to do for an action; `None` if nothing is known that performs it.
    pub(super) fn deeds(&self, action: &Action) -> Option<Vec<Deed>> {
        if let Some(instead) = self.actions.iter().find(|instead| instead.action == *action) {
            return Some(instead.run.clone());
        }
        let kubectl = |cluster: &str, arguments: &[&str]| {
            let begin = self.kubectl.get(cluster)?.iter().cloned();
            Some(vec![Deed::Command(begin.chain(arguments.iter().map(|it| (*it).to_owned())).collect())])
        };
        match action {
            Action::Scale { cluster, object, replicas } => {
                let (namespace, replicas) = (&*object.namespace, format!("--replicas={replicas}"));
                kubectl(cluster, &["scale", "deployment", &object.name, "--namespace", namespace, &replicas])
            }
            Action::Patch { cluster, kind, object, patch } => {
                let (namespace, patch) = (&*object.namespace, patch.to_string());
                let target = [kind.as_str(), &object.name, "--namespace", namespace];
                kubectl(cluster, &[&["patch"], &target[..], &["--type", "merge", "--patch", &patch]].concat())
            }
            Action::Delete { cluster, kind, object } => {
                kubectl(cluster, &["delete", kind, &object.name, "--namespace", &object.namespace])
            }
            Action::Apply { cluster, file } => {
                kubectl(cluster, &["apply", "--filename", &self.lab.join(file).to_string_lossy()])
            }
            Action::Config { leaf, lines } => {
                Some(self.on(leaf, |leaf| Deed::Committed { leaf, lines: lines.clone() }))
            }
            Action::App { leaf, app, operation } => {
                let lines = format!("tools system app-management application {app} {operation}");
                Some(self.on(leaf, |leaf| Deed::Typed { leaf, lines: lines.clone() }))
            }
            _ => None,
        }
    }

    /// Returns what to do on one leaf, or on all for `*`.
    fn on(&self, leaf: &str, deed: impl Fn(String) -> Deed) -> Vec<Deed> {
        match leaf {
            "*" => self.leaves.keys().cloned().map(deed).collect(),
            leaf => vec![deed(leaf.to_owned())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let text = r#"
lab: ..
username: admin
password-file: password
leaves:
  leaf1: { gnmi: "http://leaf1:57401", cli: [docker, exec, -i, leaf1, sr_cli] }
  leaf2: { gnmi: "http://leaf2:57401" }
kubectl: { c1: [kubectl, --context, cluster1] }
actions:
- of: { pull: { session-down: { leaf: leaf1, node: n1 } } }
  run:
  - command: [docker, stop, n1]
  - typed: { leaf: leaf1, lines: "show version" }
"#;
        let value: serde_json::Value = serde_norway::from_str(text).expect("YAML");
        serde_json::from_value(value).expect("an inventory")
    }

    fn action(text: &str) -> Action {
        let value: serde_json::Value = serde_norway::from_str(text).expect("YAML");
        serde_json::from_value(value).expect("an action")
    }

    fn words(text: &str) -> Option<Vec<String>> {
        let deeds = inventory().deeds(&action(text))?;
        Some(
            deeds
                .into_iter()
                .map(|deed| match deed {
                    Deed::Command(words) => words.join(" "),
                    Deed::Typed { leaf, lines } => format!("{leaf}> {lines}"),
                    Deed::Committed { leaf, lines } => format!("{leaf}# {lines}"),
                })
                .collect(),
        )
    }

    #[test]
    fn actions_of_kubectl_and_the_cli_need_no_inventory_entry() {
        for (text, expected) in [
            (
                "scale: { cluster: c1, name: web, replicas: 0 }",
                "kubectl --context cluster1 scale deployment web --namespace default --replicas=0",
            ),
            (
                "patch: { cluster: c1, kind: Service, name: web, patch: { spec: { a: b } } }",
                r#"kubectl --context cluster1 patch Service web --namespace default --type merge --patch {"spec":{"a":"b"}}"#,
            ),
            (
                "delete: { cluster: c1, kind: Service, name: web }",
                "kubectl --context cluster1 delete Service web --namespace default",
            ),
            ("apply: { cluster: c1, file: nginx.yaml }", "kubectl --context cluster1 apply --filename ../nginx.yaml"),
            ("config: { leaf: leaf1, lines: set / a }", "leaf1# set / a"),
            (
                "app: { leaf: leaf2, app: agent, operation: kill }",
                "leaf2> tools system app-management application agent kill",
            ),
        ] {
            assert_eq!(words(text), Some(vec![expected.to_owned()]), "{text}");
        }
        let everywhere = words("config: { leaf: '*', lines: set / a }");
        assert_eq!(everywhere, Some(vec!["leaf1# set / a".to_owned(), "leaf2# set / a".to_owned()]));
    }

    #[test]
    fn a_lever_is_pulled_only_as_the_inventory_says() {
        let pulled = words("pull: { session-down: { leaf: leaf1, node: n1 } }");
        assert_eq!(pulled, Some(vec!["docker stop n1".to_owned(), "leaf1> show version".to_owned()]));
        assert_eq!(words("pull: { session-down: { leaf: leaf2, node: n1 } }"), None);
        assert_eq!(words("scale: { cluster: c2, name: web, replicas: 0 }"), None, "no kubectl for that cluster");
    }
}
