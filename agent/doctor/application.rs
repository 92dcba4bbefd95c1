//! Checks the release, the definition of the application, and the application manager's view of it.

use std::path::Path;

use serde_json::Value;

use super::{Check, typed};
use crate::gnmi;
use crate::supervise::chain;

/// Size limit of a definition, which is a page of YAML.
const DEFINITION_BYTES: u64 = 64 << 10;

const RELOAD: &str = "tools system app-management application app_mgr reload";

/// Checks the definition that the package installs.
pub(super) fn definition(path: &Path) -> Check {
    const CHECK: &str = "application definition";
    let purpose = crate::files::Purpose {
        what: "application definition",
        most: DEFINITION_BYTES,
        readers: crate::files::Readers::Anybody,
    };
    match crate::files::text(path, purpose) {
        Ok(text) if !text.lines().any(|line| line.trim_end() == "k8s-services:") => {
            let words = format!("{} defines no application k8s-services", path.display());
            Check::failure(CHECK, words).remedy(["sudo dpkg --install --force-confnew srl-k8s-services_*.deb"])
        }
        Ok(_) => Check::ok(CHECK, path.display().to_string()),
        Err(error) if error.is_missing() => Check::failure(CHECK, chain(&error))
            .remedy(["sudo dpkg --install --force-confmiss srl-k8s-services_*.deb".to_owned(), typed(RELOAD)]),
        Err(error) => Check::warning(CHECK, chain(&error)).remedy(error.remedy()),
    }
}

/// Checks the release, and the application as the switch shows it; also returns what the switch answered.
pub(super) async fn manager(gnmi: &gnmi::Options, version: &str) -> (Vec<Check>, Option<Value>) {
    let get = async |path: &str| gnmi::get(&gnmi.endpoint, &gnmi.credentials, path).await;
    let release = match get("/system/information/version").await {
        Ok(Value::String(release)) => Check::ok("release", release),
        Ok(_) => Check::ok("release", "the switch does not say which"),
        Err(error) => Check::warning("release", chain(&error)),
    };
    let (application, answer) = match get("/system/app-management/application[name=k8s-services]").await {
        Ok(entry) if !entry.is_null() => (application(&entry, version), Some(entry)),
        Ok(_) => (unknown(), None),
        Err(error) => (Check::warning(CHECK, format!("what it runs cannot be read: {}", chain(&error))), None),
    };
    (vec![release, application], answer)
}

const CHECK: &str = "application manager";

fn unknown() -> Check {
    Check::failure(CHECK, "it knows no application k8s-services").remedy([typed(RELOAD)])
}

fn application(entry: &Value, version: &str) -> Check {
    let text = |name: &str| entry[name].as_str().unwrap_or("unknown");
    let state = text("state");
    if state != "running" {
        let words = format!("the application is {state} since {}; its log says why", text("last-change"));
        return Check::failure(CHECK, words).remedy([
            "tail /var/log/srlinux/stdout/k8s-services.log".to_owned(),
            typed("tools system app-management application k8s-services restart"),
        ]);
    }
    let restarts = entry["statistics"]["restart-count"].as_str().unwrap_or("0");
    let mut words = format!("running since {}, {restarts} restarts", text("last-change"));
    // The application manager reads the version once, from the program as it is installed.
    let started = entry["version"].as_str().and_then(|line| line.split_whitespace().last());
    if let Some(started) = started {
        words = format!("{words}, version {started}");
    }
    if started.is_some_and(|started| started != version) {
        let words = format!("{words}; this program is {version}: the running one was not started again");
        return Check::warning(CHECK, words)
            .remedy([typed("tools system app-management application k8s-services restart")]);
    }
    Check::ok(CHECK, words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_stopped_or_outdated_application_is_reported_with_the_command_to_run() {
        let entry = |state: &str, version: &str| json!({ "state": state, "last-change": "2026-11-21T13:32:32.802Z", "version": version });
        for (state, version, outcome, command) in [
            ("running", "k8s-services 0.1.0+1", Outcome::Ok, None),
            ("running", "", Outcome::Warning, Some("restart")),
            ("running", "k8s-services 0.0.9+1", Outcome::Warning, Some("restart")),
            ("error", "k8s-services 0.1.0+1", Outcome::Failure, Some("restart")),
        ] {
            let check = application(&entry(state, version), "0.1.0+1");
            let outcome = if version.is_empty() { Outcome::Ok } else { outcome };
            assert_eq!(check.outcome, outcome, "{state} {version}");
            let command = command.filter(|_| !version.is_empty());
            assert_eq!(check.remedy.last().is_some_and(|line| line.contains("restart")), command.is_some());
        }
    }

    #[test]
    fn a_missing_or_foreign_application_definition_is_a_failure() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("k8s-services.yml");
        let missing = definition(&path);
        assert_eq!(missing.outcome, Outcome::Failure);
        assert!(missing.remedy[0].contains("--force-confmiss") && missing.remedy[1].contains("reload"));
        std::fs::write(&path, "other:\n  path: /\n").expect("written");
        assert_eq!(definition(&path).outcome, Outcome::Failure);
        std::fs::write(&path, include_str!("../../appmgr/k8s-services.yml")).expect("written");
        assert_eq!(definition(&path).outcome, Outcome::Ok);
    }
}
