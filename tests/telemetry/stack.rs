//! Reads the telemetry stack: its rules, the queries of its dashboards; runs promtool on what gnmic exports.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::tools;

/// The rules of Prometheus.
pub(crate) const RULES: &str = "packaging/telemetry/prometheus/k8s-services.rules.yml";
/// The dashboards of Grafana: a wall, and one VIP across the fabric.
pub(crate) const DASHBOARDS: [&str; 2] =
    ["packaging/telemetry/grafana/k8s-services-wall.json", "packaging/telemetry/grafana/k8s-services-vip.json"];
/// Label of the counter that must grow while a leaf is heard.
pub(crate) const ALIVE: &str = r#"subscription="alive""#;
/// The metric with the time that must advance while an agent writes.
const WRITES: &str = "k8s_services_source_last_event_seconds";

pub(crate) fn yaml(file: &str) -> Value {
    serde_norway::from_str(&tools::read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{value} has no text {name}"))
}

/// Parses lines `name{labels} value`, as scraped by Prometheus.
pub(crate) fn series(text: &str) -> Vec<(String, f64)> {
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        (series.to_owned(), value.parse().expect("a number"))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// Returns the metric of a series.
pub(crate) fn metric(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

pub(crate) fn rules() -> Vec<Value> {
    list(&yaml(RULES)["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

/// Reads a dashboard.
pub(crate) fn dashboard(file: &str) -> Value {
    serde_json::from_str(&tools::read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns a query as it is when everything is selected. `$1` belongs to regular expressions.
fn filled(query: &str) -> String {
    let all = [("$leaf", ".*"), ("$cluster", ".*"), ("$namespace", ".*"), ("$vip", ".*"), ("$__range", "5m")];
    let query = all.iter().fold(query.to_owned(), |query, (variable, value)| query.replace(variable, value));
    assert!(!query.replace("$1", "").contains('$'), "unknown variable in {query}");
    query
}

/// Returns title and query of everything on the dashboards, as they are when everything is selected.
fn queries() -> Vec<(String, String)> {
    DASHBOARDS.iter().flat_map(|file| queries_of(&dashboard(file))).collect()
}

fn queries_of(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let name = format!("{} {}", text(panel, "title"), text(target, "refId"));
            found.push((name, filled(text(target, "expr"))));
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        found.push((text(annotation, "name").to_owned(), filled(text(annotation, "expr"))));
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

/// Returns the names of metrics in an expression: words with one of the project's prefixes.
fn metrics(expression: &str) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("k8s_services") || word.starts_with("gnmic_"))
        .map(str::to_owned)
        .collect()
}

/// Returns promtool: the one that `packaging/need-promtool` unpacked, or else the installed one.
pub(crate) fn promtool() -> String {
    let unpacked = tools::path("target/promtool/usr/bin/promtool");
    if unpacked.exists() { unpacked.display().to_string() } else { "promtool".to_owned() }
}

/// Runs promtool's unit tests of `cases` on what was scraped.
fn promtool_on(scraped: &[(String, f64)], cases: &Value) {
    let series: Vec<Value> = scraped
        .iter()
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
    let file = folder.path().join("scraped.test.yml");
    std::fs::write(&file, test.to_string()).expect("it is written");
    tools::run(".", &[], &promtool(), &["test", "rules", file.to_str().expect("plain text")]);
}

/// Asserts that every metric of rules and dashboards is in what was scraped.
pub(crate) fn expect_every_metric(scraped: &[(String, f64)]) {
    let rules = rules();
    let mut known: BTreeSet<String> = scraped.iter().map(|(series, _)| metric(series).to_owned()).collect();
    known.extend(rules.iter().filter_map(|rule| rule["record"].as_str().map(str::to_owned)));
    let expressions = rules.iter().map(|rule| text(rule, "expr").to_owned());
    let annotations = rules.iter().map(|rule| rule["annotations"].to_string());
    for expression in expressions.chain(annotations).chain(queries().into_iter().map(|(_, query)| query)) {
        for metric in metrics(&expression) {
            assert!(known.contains(&metric), "{metric} is neither scraped nor a rule, in {expression}");
        }
    }
}

/// Asserts that every query of the dashboards has a result on what was scraped.
pub(crate) fn expect_every_query_to_return_data(scraped: &[(String, f64)]) {
    let cases: Vec<Value> = queries()
        .iter()
        .map(|(_, query)| {
            let sample = json!([{ "labels": "{}", "value": 1 }]);
            json!({ "expr": format!("clamp_max(count({query}), 1)"), "eval_time": "10m", "exp_samples": sample })
        })
        .collect();
    assert!(cases.len() > 35);
    promtool_on(scraped, &json!(cases));
    expect_complete_node_graph(scraped);
}

/// Asserts that the node graph can be drawn: all edges connect existing nodes, and both have what Grafana requires.
fn expect_complete_node_graph(scraped: &[(String, f64)]) {
    let all = queries();
    let query =
        |name: &str| &all.iter().find(|(title, _)| title.ends_with(name)).unwrap_or_else(|| panic!("no {name}")).1;
    let (nodes, edges) = (query(" nodes"), query(" edges"));
    let end = |label: &str| format!("label_replace({edges}, \"id\", \"$1\", \"{label}\", \"(.+)\")");
    let none = |query: String| {
        json!({ "expr": format!("count({query}) or vector(0)"), "eval_time": "10m",
            "exp_samples": [{ "labels": "{}", "value": 0 }] })
    };
    let cases = [
        none(format!("max by (id) ({}) unless max by (id) ({nodes})", end("source"))),
        none(format!("max by (id) ({}) unless max by (id) ({nodes})", end("target"))),
        none(format!("count by (id) ({nodes}) > 1")),
    ];
    promtool_on(scraped, &json!(cases));
}

/// Asserts that the faults in the recorded lab raise their alerts, and no others.
pub(crate) fn expect_alerts_of_faults(scraped: &[(String, f64)]) {
    let alerts = [
        "K8sServicesAgentNotRunning",
        "K8sServicesAlarm",
        "K8sServicesLeavesDisagree",
        "K8sServicesSourceStale",
        "K8sServicesVipDegraded",
        // Its route changed while its API server was unreachable, and its policy is Local.
        "K8sServicesVipUnknown",
        "K8sServicesVipWithoutEndpoint",
    ];
    let samples: Vec<Value> =
        alerts.iter().map(|name| json!({ "labels": format!("{{alertname=\"{name}\"}}"), "value": 1 })).collect();
    let query = "group by (alertname) (ALERTS{alertstate=\"firing\"})";
    promtool_on(scraped, &json!([{ "expr": query, "eval_time": "14m", "exp_samples": samples }]));
}
