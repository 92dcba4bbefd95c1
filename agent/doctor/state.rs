//! Checks `/k8s-services`: whether the module is loaded, whether the agent writes, and how it describes itself.

use serde_json::Value;

use super::{Check, Outcome, typed};
use crate::gnmi::{self, GetError};
use crate::supervise::chain;

const YANG: &str = "YANG";
const STATE: &str = "state";
const RELOAD: &str = "tools system app-management application app_mgr reload";
const RESTART: &str = "tools system app-management application k8s-services restart";

/// Checks the agent's own state; also returns the answers.
pub(super) async fn examine(gnmi: &gnmi::Options) -> (Vec<Check>, Vec<(&'static str, Value)>) {
    let get = async |path: &str| gnmi::get(&gnmi.endpoint, &gnmi.credentials, path).await;
    let oper_state = match get("/k8s-services/oper-state").await {
        Ok(state) => state,
        Err(error) => return (vec![unread(&error)], Vec::new()),
    };
    let mut checks = vec![Check::ok(YANG, "module k8s-services is loaded")];
    let Some(oper_state) = oper_state.as_str().map(str::to_owned) else {
        let words = "nothing stands at /k8s-services: the agent does not run, or the NDK takes nothing from it";
        checks.push(
            Check::failure(STATE, words)
                .remedy(["tail /var/log/srlinux/stdout/k8s-services.log".to_owned(), typed(RESTART)]),
        );
        return (checks, Vec::new());
    };
    let reason = get("/k8s-services/oper-reason").await.unwrap_or_default();
    let summary = get("/k8s-services/summary").await.unwrap_or_default();
    let statistics = get("/k8s-services/statistics").await.unwrap_or_default();
    checks.push(root(&oper_state, reason.as_str(), &summary));
    checks.extend(summary["source"].as_array().into_iter().flatten().filter_map(source));
    checks.push(adaptation(&statistics["adaptation"]));
    (checks, vec![("summary", summary), ("statistics", statistics)])
}

fn unread(error: &GetError) -> Check {
    match error.refused() {
        Some(refused) if !refused.paths.is_empty() => {
            let words = "the switch does not know /k8s-services: the module is not loaded, or is being loaded";
            Check::failure(YANG, words)
                .remedy(["ls -l /opt/k8s-services/yang/k8s-services.yang".to_owned(), typed(RELOAD)])
        }
        _ => Check::warning(YANG, format!("/k8s-services cannot be read: {}", chain(error))),
    }
}

fn root(oper_state: &str, reason: Option<&str>, summary: &Value) -> Check {
    let number = |name: &str| summary[name].as_u64().unwrap_or_default();
    let vips = match number("vips") {
        1 => format!("1 VIP, {} up", number("vips-up")),
        vips => format!("{vips} VIPs, {} up", number("vips-up")),
    };
    let words = match reason {
        Some(reason) => format!("{oper_state}, {reason}; {vips}"),
        None => format!("{oper_state}; {vips}"),
    };
    match oper_state {
        "up" => Check::ok(STATE, words),
        "down" => Check::failure(STATE, words).remedy([typed("show k8s-services")]),
        _ => Check::warning(STATE, words).remedy([typed("show k8s-services")]),
    }
}

/// Returns a check for a source that is not in sync; `None` if it is.
fn source(entry: &Value) -> Option<Check> {
    let (name, state) = (entry["name"].as_str()?, entry["oper-state"].as_str()?);
    if state == "synced" {
        return None;
    }
    let since = entry["stale-since"].as_str().map(|since| format!(" since {since}")).unwrap_or_default();
    Some(Check::warning(format!("source {name}"), format!("{state}{since}: what follows says why")))
}

fn adaptation(found: &Value) -> Check {
    const CHECK: &str = "adaptation";
    let text = |name: &str| found[name].as_str().map(str::to_owned);
    let words = [
        text("path-spelling"),
        text("enumeration-form").map(|form| format!("{form} enumerations")),
        text("streams").map(|streams| format!("{streams} stream")),
        text("end-of-dump").map(|end| format!("end of dump {end}")),
        text("gnmi-encoding").map(|encoding| format!("gNMI in {encoding}")),
    ];
    let mut words = words.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if words.is_empty() {
        return Check::warning(CHECK, "the agent does not say what it adapted to: it is older, or has just begun");
    }
    let list = |name: &str| {
        let items = found[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        items.map(str::to_owned).collect::<Vec<_>>()
    };
    let without: Vec<String> = [list("refused-path"), list("refused-feature")].concat();
    if !without.is_empty() {
        words = format!("{words}; done without: {}", without.join(", "));
    }
    let refused = list("refused-entry");
    if refused.is_empty() {
        return Check::new(CHECK, Outcome::Ok, words);
    }
    let words = format!("{words}; entries that the NDK refuses, and state lacks: {}", refused.join(", "));
    Check::warning(CHECK, words).remedy(["k8s-services doctor --report report.txt"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refused_entries_are_a_warning_but_fallbacks_are_not() {
        let mut found = json!({ "path-spelling": "hyphens", "streams": "one", "refused-feature": ["updates_only"] });
        let check = adaptation(&found);
        assert_eq!((check.outcome, &*check.finding), (Outcome::Ok, "hyphens, one stream; done without: updates_only"));
        found["refused-entry"] = json!(["/k8s-services/cluster[name=c1]"]);
        assert_eq!(adaptation(&found).outcome, Outcome::Warning);
        assert_eq!(adaptation(&Value::Null).outcome, Outcome::Warning);
    }

    #[test]
    fn a_source_is_reported_unless_it_is_synced() {
        assert_eq!(source(&json!({ "name": "ndk", "oper-state": "synced" })), None);
        let stale = source(&json!({ "name": "gnmi", "oper-state": "stale", "stale-since": "2026-11-21T13:02:30Z" }));
        assert!(stale.is_some_and(|check| check.finding.starts_with("stale since 2026-11-21T13:02:30Z")));
    }
}
