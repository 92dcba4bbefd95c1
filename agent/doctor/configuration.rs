//! Checks the configuration in force, and whether it is saved.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{Check, committed, typed};
use crate::config::{Assembler, Valid, delivered};
use crate::gnmi::{self, unprefixed};
use crate::model::commit::Problem;
use crate::model::config::ClusterConfig;
use crate::model::names::{ClusterName, NetworkInstanceName};
use crate::supervise::chain;

const CHECK: &str = "configuration";
/// The parts of the configuration that the agent needs. A reload of the application manager may lose parts that are not
/// saved.
const NEEDED: [&str; 4] = ["/k8s-services", "/system/ndk-server", "/system/grpc-server", "/acl/acl-filter"];

/// The configuration that was read.
pub(super) struct Read {
    /// The parts that the agent needs, as gNMI returns them, in the order of the paths; `None` if they cannot be read.
    pub(super) over_gnmi: Option<Vec<Value>>,
    /// Why they cannot be read.
    error: Option<String>,
    valid: Result<Valid, Vec<Problem>>,
}

/// Reads the configuration over gNMI; if that fails, the clusters are those of the saved configuration.
pub(super) async fn read(gnmi: &gnmi::Options, startup: Option<&Value>, credentials: &Arc<Path>) -> Read {
    let mut error = None;
    let mut over_gnmi = Vec::new();
    for path in NEEDED {
        match gnmi::get_config(&gnmi.endpoint, &gnmi.credentials, path).await {
            Ok(value) => over_gnmi.push(value),
            // Everything depends on the first path; a release without the others has nothing to save there.
            Err(failed) if over_gnmi.is_empty() => {
                error = Some(chain(&failed));
                break;
            }
            Err(_) => over_gnmi.push(Value::Null),
        }
    }
    let saved = || startup.map(|startup| part(startup, NEEDED[0]));
    let whole = over_gnmi.first().cloned().or_else(saved).unwrap_or_default();
    let valid = Assembler::new(Arc::clone(credentials)).apply(0, &delivered(&whole));
    Read { over_gnmi: error.is_none().then_some(over_gnmi), error, valid }
}

impl Read {
    /// Returns the enabled clusters.
    pub(super) fn clusters(&self) -> impl Iterator<Item = (&ClusterName, &ClusterConfig)> {
        let clusters = self.valid.iter().flat_map(|valid| &valid.config.clusters);
        clusters.filter(|(_, cluster)| cluster.enabled).map(|(name, cluster)| (name, &**cluster))
    }

    /// Returns the network instances of their VIPs.
    pub(super) fn instances(&self) -> BTreeSet<NetworkInstanceName> {
        self.clusters().map(|(_, cluster)| cluster.rules.network_instance.clone()).collect()
    }

    /// Checks how many clusters there are.
    pub(super) fn check(&self) -> Check {
        if let Some(error) = &self.error {
            return Check::warning(CHECK, format!("it cannot be read: {error}"));
        }
        let count = self.clusters().count();
        match count {
            0 => Check::warning(CHECK, "no cluster is configured, or none is enabled").remedy(committed([
                "set / k8s-services cluster NAME kubeconfig /etc/opt/srlinux/k8s-services/NAME.kubeconfig",
            ])),
            1 => Check::ok(CHECK, "1 cluster"),
            count => Check::ok(CHECK, format!("{count} clusters")),
        }
    }

    /// Returns a check with everything in the configuration that the agent does not accept.
    pub(super) fn problems(&self) -> Option<Check> {
        let problems = self.valid.as_ref().err()?;
        let list: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
        Some(Check::failure(CHECK, list.join("; ")).remedy([typed("info k8s-services")]))
    }
}

/// Checks whether what the agent needs is saved: a reload of the application manager, and a restart, start from the
/// saved configuration.
pub(super) fn saved(over_gnmi: Option<&Vec<Value>>, startup: Result<&Value, &String>) -> Check {
    const CHECK: &str = "saved configuration";
    const PROMPT: &str = "a + in the prompt of the CLI says that something is not saved";
    let (running, startup) = match (over_gnmi, startup) {
        (Some(running), Ok(startup)) => (running, startup),
        (None, _) => return Check::ok(CHECK, format!("not known, as gNMI does not answer; {PROMPT}")),
        (_, Err(error)) => return Check::ok(CHECK, format!("not known here ({error}); {PROMPT}")),
    };
    let unsaved: Vec<&str> = NEEDED
        .iter()
        .zip(running)
        .filter(|(path, running)| ordered((*running).clone()) != ordered(part(startup, path)))
        .map(|(path, _)| *path)
        .collect();
    if unsaved.is_empty() {
        return Check::ok(CHECK, format!("what the agent needs is saved; of the rest, {PROMPT}"));
    }
    let words = format!("not saved: {}; a reload of the application manager may lose it", unsaved.join(", "));
    Check::warning(CHECK, words).remedy([typed("save startup")])
}

/// Returns the content of a path in a saved configuration, with names without prefixes.
fn part(startup: &Value, path: &str) -> Value {
    let mut steps = path.split('/').filter(|step| !step.is_empty());
    let bare = |name: &str| name.rsplit(':').next().unwrap_or_default().to_owned();
    let child = |value: &Value, step: &str| {
        let members = value.as_object()?;
        members.iter().find(|(name, _)| bare(name) == step).map(|(_, value)| value.clone())
    };
    unprefixed(steps.try_fold(startup.clone(), |value, step| child(&value, step)).unwrap_or_default())
}

/// Sorts lists and removes empty parts, because the two configurations are written by different programs.
fn ordered(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name, ordered(value)));
            let members: serde_json::Map<_, _> = members.filter(|(_, value)| !value.is_null()).collect();
            if members.is_empty() { Value::Null } else { Value::Object(members) }
        }
        Value::Array(entries) => {
            let mut entries: Vec<Value> = entries.into_iter().map(ordered).collect();
            entries.sort_by_key(Value::to_string);
            if entries.is_empty() { Value::Null } else { Value::Array(entries) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Outcome;
    use super::*;

    fn running(cluster: &str) -> Vec<Value> {
        let acl = json!([{ "name": "cpm", "type": "ipv4", "entry": [{ "sequence-id": 2 }, { "sequence-id": 1 }] }]);
        vec![json!({ "cluster": [{ "name": cluster }] }), json!({ "admin-state": "enable" }), Value::Null, acl]
    }

    fn startup() -> Value {
        let entries = json!([{ "sequence-id": 1 }, { "sequence-id": 2 }]);
        json!({
            "k8s-services:k8s-services": { "cluster": [{ "name": "c1" }] },
            "srl_nokia-system:system": { "srl_nokia-ndk:ndk-server": { "admin-state": "enable" } },
            "srl_nokia-acl:acl": { "acl-filter": [{ "name": "cpm", "type": "ipv4", "entry": entries }] },
        })
    }

    #[test]
    fn unsaved_configuration_is_a_warning_that_names_it() {
        assert_eq!(saved(Some(&running("c1")), Ok(&startup())).outcome, Outcome::Ok);
        let check = saved(Some(&running("c2")), Ok(&startup()));
        assert_eq!(check.outcome, Outcome::Warning);
        assert!(check.finding.starts_with("not saved: /k8s-services;"), "{check:?}");
        assert_eq!(check.remedy, ["sr_cli -- \"save startup\""]);
    }

    #[test]
    fn a_configuration_that_cannot_be_compared_is_reported_as_not_known() {
        for check in [saved(None, Ok(&startup())), saved(Some(&running("c1")), Err(&"no such file".to_owned()))] {
            assert!(check.outcome == Outcome::Ok && check.finding.starts_with("not known"), "{check:?}");
        }
    }
}
