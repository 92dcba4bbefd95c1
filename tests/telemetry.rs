//! The telemetry stack: gnmic's configuration and processor, Prometheus rules, the Grafana dashboard. Rules and queries are
//! tried by promtool on what real gnmic was recorded to make of the lab (`tests/telemetry/record`).

mod tools;

use std::collections::BTreeSet;

use serde_json::{Value, json};

const RULES: &str = "packaging/telemetry/prometheus/k8s-services.rules.yml";
const GNMIC: &str = "packaging/telemetry/gnmic/gnmic.yml";
const DASHBOARD: &str = "packaging/telemetry/grafana/k8s-services-fabric.json";
const RECORDED: [&str; 2] = ["tests/telemetry/leaves.prom", "tests/telemetry/gnmic.prom"];
/// The counter that must grow while a leaf is heard.
const ALIVE: &str = r#"subscription="alive""#;
/// The time that must move while an agent writes.
const WRITES: &str = "k8s_services_source_last_event_seconds";

fn yaml(file: &str) -> Value {
    serde_norway::from_str(&tools::read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{value} has no text {name}"))
}

/// Lines `name{labels} value` of the recording.
fn recorded() -> Vec<(String, f64)> {
    let texts = RECORDED.map(tools::read).concat();
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        (series.to_owned(), value.parse().expect("a number"))
    };
    texts.lines().map(line).collect()
}

fn rules() -> Vec<Value> {
    list(&yaml(RULES)["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

/// Title and query of everything on the dashboard, variables replaced by what they match when all is selected.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&tools::read(DASHBOARD)).expect("the dashboard is JSON");
    let mut found = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let mut query = text(target, "expr").to_owned();
            for (variable, value) in [("$leaf", ".*"), ("$cluster", ".*"), ("$namespace", ".*"), ("$__range", "5m")] {
                query = query.replace(variable, value);
            }
            assert!(!query.contains('$'), "unknown variable in {query}");
            found.push((format!("{} {}", text(panel, "title"), text(target, "refId")), query));
        }
    }
    for variable in list(&dashboard["templating"]["list"]) {
        if let Some(query) = variable["query"]["query"].as_str() {
            let (series, label) = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "))
                .expect(query);
            let series = series.replace("$cluster", ".*");
            found.push((text(variable, "name").to_owned(), format!("count by ({label}) ({series})")));
        }
    }
    found
}

/// Names of metrics in an expression: what has one of the project's prefixes.
fn metrics(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("k8s_services") || word.starts_with("gnmic_"))
        .map(str::to_owned)
        .collect()
}

/// promtool: where `packaging/need-promtool` unpacked it, else the installed one.
fn promtool() -> String {
    let unpacked = tools::path("target/promtool/usr/bin/promtool");
    if unpacked.exists() { unpacked.display().to_string() } else { "promtool".to_owned() }
}

/// Runs promtool's own tests of `cases` on the recording.
fn promtool_on_recording(cases: &Value) {
    let series: Vec<Value> = recorded()
        .into_iter()
        .map(|(series, value)| {
            let moves = series.contains(ALIVE) || series.starts_with(WRITES);
            let values = if moves { format!("{value}+2x60") } else { format!("{value}x60") };
            json!({ "series": series, "values": values })
        })
        .collect();
    let test = json!({
        "rule_files": [tools::path(RULES)],
        "evaluation_interval": "15s",
        "tests": [{ "interval": "15s", "input_series": series, "promql_expr_test": cases }],
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("recording.test.yml");
    std::fs::write(&file, test.to_string()).expect("it is written");
    tools::run(".", &[], &promtool(), &["test", "rules", file.to_str().expect("plain text")]);
}

#[test]
fn rules_are_valid() {
    tools::run(".", &[], &promtool(), &["check", "rules", RULES]);
}

#[test]
fn rules_fire_when_they_should_and_say_what_an_operator_needs() {
    tools::run("tests/telemetry", &[], &promtool(), &["test", "rules", "rules.test.yml"]);
}

#[test]
fn every_alert_has_a_test_of_its_own() {
    let tests = tools::read("tests/telemetry/rules.test.yml");
    for rule in rules() {
        if let Some(alert) = rule["alert"].as_str() {
            assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is not seen firing in any test");
            assert!(rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string());
        }
    }
}

#[test]
fn every_metric_in_rules_and_dashboard_exists() {
    let rules = rules();
    let mut known: BTreeSet<String> =
        recorded().into_iter().map(|(series, _)| series.split('{').next().unwrap_or_default().to_owned()).collect();
    known.extend(rules.iter().filter_map(|rule| rule["record"].as_str().map(str::to_owned)));
    let expressions = rules.iter().map(|rule| text(rule, "expr").to_owned());
    let annotations = rules.iter().map(|rule| rule["annotations"].to_string());
    for expression in expressions.chain(annotations).chain(queries().into_iter().map(|(_, query)| query)) {
        for metric in metrics(&expression) {
            assert!(known.contains(&metric), "{metric} is neither recorded nor a rule, in {expression}");
        }
    }
}

#[test]
fn every_query_of_the_dashboard_answers_on_the_recording() {
    let cases: Vec<Value> = queries()
        .iter()
        .map(|(_, query)| {
            let sample = json!([{ "labels": "{}", "value": 1 }]);
            json!({ "expr": format!("clamp_max(count({query}), 1)"), "eval_time": "10m", "exp_samples": sample })
        })
        .collect();
    assert!(cases.len() > 20);
    promtool_on_recording(&json!(cases));
}

#[test]
fn recorded_faults_raise_these_alerts_and_no_others() {
    let alerts = [
        "K8sServicesAgentNotRunning",
        "K8sServicesAlarm",
        "K8sServicesLeavesDisagree",
        "K8sServicesSourceStale",
        "K8sServicesVipDegraded",
        "K8sServicesVipDown",
        "K8sServicesVipWithoutEndpoint",
    ];
    let samples: Vec<Value> =
        alerts.iter().map(|name| json!({ "labels": format!("{{alertname=\"{name}\"}}"), "value": 1 })).collect();
    let query = "group by (alertname) (ALERTS{alertstate=\"firing\"})";
    promtool_on_recording(&json!([{ "expr": query, "eval_time": "14m", "exp_samples": samples }]));
}

#[test]
fn dashboard_panels_do_not_overlap_and_have_ids_of_their_own() {
    let dashboard: Value = serde_json::from_str(&tools::read(DASHBOARD)).expect("the dashboard is JSON");
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
fn gnmic_subscribes_to_what_the_yang_module_has() {
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
    // The rules count the answers of this one, and believe a leaf while they come.
    assert!(subscriptions.contains_key("alive") && tools::read(RULES).contains(ALIVE));
    let script = text(&configuration["processors"]["k8s-services"]["event-starlark"], "script");
    assert!(tools::path("packaging/telemetry/gnmic").join(script).exists());
}

#[test]
fn processor_on_recorded_states() {
    tools::unittest("tests/telemetry", &[], 12);
}
