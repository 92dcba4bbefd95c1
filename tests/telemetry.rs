//! Tests of the telemetry stack: gnmic's configuration and processor, Prometheus rules, the Grafana dashboards.
//! promtool checks rules and queries on a recording of what real gnmic exports for the lab. `make e2e` does the same on
//! a new scrape, and fails if the recording differs from it (`tests/e2e/gnmi/collector.rs`).

#[path = "telemetry/stack.rs"]
mod stack;
mod tools;

use std::collections::BTreeSet;

use serde_json::Value;

use stack::{ALIVE, DASHBOARDS, RULES, dashboard, list, promtool, rules, text, yaml};

const GNMIC: &str = "packaging/telemetry/gnmic/gnmic.yml";
const RECORDED: [&str; 2] = ["tests/telemetry/leaves.prom", "tests/telemetry/gnmic.prom"];

/// Returns the recording.
fn recorded() -> Vec<(String, f64)> {
    stack::series(&RECORDED.map(tools::read).concat())
}

#[test]
fn rules_are_valid() {
    tools::run(".", &[], &promtool(), &["check", "rules", RULES]);
}

#[test]
fn rules_pass_their_promtool_tests() {
    tools::run("tests/telemetry", &[], &promtool(), &["test", "rules", "rules.test.yml"]);
}

#[test]
fn every_alert_has_its_own_test() {
    let tests = tools::read("tests/telemetry/rules.test.yml");
    for rule in rules() {
        if let Some(alert) = rule["alert"].as_str() {
            assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is not seen firing in any test");
            assert!(rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string());
        }
    }
}

#[test]
fn every_metric_in_rules_and_dashboards_exists() {
    stack::expect_every_metric(&recorded());
}

#[test]
fn every_dashboard_query_returns_data_on_the_recording() {
    stack::expect_every_query_to_return_data(&recorded());
}

#[test]
fn recorded_faults_raise_exactly_the_expected_alerts() {
    stack::expect_alerts_of_faults(&recorded());
}

/// Collects every text below members with this name.
fn texts<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, name, found)),
        Value::Object(members) => {
            found.extend(members.get(name).and_then(Value::as_str));
            members.values().for_each(|member| texts(member, name, found));
        }
        _ => {}
    }
}

#[test]
fn dashboards_link_to_each_other_and_to_existing_pages() {
    let all = DASHBOARDS.map(dashboard);
    let known: BTreeSet<&str> = all.iter().map(|it| text(it, "uid")).collect();
    for (at, it) in all.iter().enumerate() {
        let variables: BTreeSet<&str> = list(&it["templating"]["list"]).iter().map(|it| text(it, "name")).collect();
        let mut urls = Vec::new();
        texts(it, "url", &mut urls);
        assert!(
            urls.iter().any(|url| url.contains(text(&all[1 - at], "uid"))),
            "{} links to no other",
            text(it, "title")
        );
        for url in urls {
            match url.strip_prefix("/d/") {
                Some(rest) => assert!(known.contains(rest.split('?').next().unwrap_or_default()), "{url}"),
                None => assert!(url.starts_with("${docs}/reasons/") || url.starts_with("${docs}/alarms/"), "{url}"),
            }
            for variable in url.split("${").skip(1).filter_map(|rest| rest.split(['}', ':']).next()) {
                assert!(variables.contains(variable) || variable.starts_with("__"), "{url} has no {variable}");
            }
        }
    }
}

#[test]
fn every_alert_has_an_owner_and_a_page() {
    for rule in rules().iter().filter(|rule| rule["alert"].is_string()) {
        assert!(rule["labels"]["owner"].is_string(), "{} has no owner", text(rule, "alert"));
        let url = text(&rule["annotations"], "runbook_url");
        let page = url.rsplit("{{ end }}/").next().unwrap_or_default();
        // Pages of reasons and alarms are checked elsewhere.
        let page = page.split('#').next().unwrap_or_default();
        let exists = page.contains("{{") || tools::path("docs").join(page).exists();
        assert!(exists && url.contains("$externalLabels.docs_base"), "{}: no page {page}", text(rule, "alert"));
    }
}

#[test]
fn panels_do_not_overlap_and_have_unique_ids() {
    DASHBOARDS.map(dashboard).iter().for_each(expect_no_overlapping_panels);
}

fn expect_no_overlapping_panels(dashboard: &Value) {
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        assert!(ids.insert(panel["id"].as_u64()), "{} shares its id", text(panel, "title"));
        assert!(!text(panel, "description").is_empty());
        assert!(place("x") + place("w") <= 24);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(places.insert((x, y)), "{} overlaps another panel", text(panel, "title"));
            }
        }
    }
}

#[test]
fn gnmic_subscribes_only_to_paths_of_the_yang_module() {
    let configuration = yaml(GNMIC);
    let tree = tools::read("tests/yang/k8s-services-tree.txt");
    let subscriptions = configuration["subscriptions"].as_object().expect("subscriptions");
    for path in subscriptions.values().flat_map(|subscription| list(&subscription["paths"])) {
        let path = path.as_str().expect("a path");
        if let Some(inner) = path.strip_prefix("/k8s-services/") {
            for step in inner.split('/') {
                let named = |line: &str| line.split([' ', '?', '*', ',']).any(|word| word == step);
                assert!(tree.lines().any(named), "{path}: no {step} in the tree");
            }
        } else {
            assert_eq!(path, "/system/app-management/application[name=k8s-services]/state");
        }
    }
    // The rules count the updates of this subscription, and consider a leaf heard while they arrive.
    assert!(subscriptions.contains_key("alive") && tools::read(RULES).contains(ALIVE));
    let script = text(&configuration["processors"]["k8s-services"]["event-starlark"], "script");
    assert!(tools::path("packaging/telemetry/gnmic").join(script).exists());
}

#[test]
fn the_gnmic_processor_passes_its_tests_on_recorded_states() {
    tools::unittest("tests/telemetry", &[], 13);
}
