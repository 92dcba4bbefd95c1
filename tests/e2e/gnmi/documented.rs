//! What the docs show of gNMI is typed, and its output compared with theirs.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::clients::{Gnmic, Told, gnmic};
use crate::bench::Bench;
use crate::bench::Says::Counted;
use crate::net::skipped;

/// Where the docs' first leaf listens.
const SHOWN: &str = "127.0.0.1:57401";

/// A line that is typed, or a block that is printed.
#[derive(Debug)]
enum Shown {
    Typed(String),
    Printed(String),
}

/// The gnmic lines and gnmic's output of a page, in order.
fn shown(page: &str) -> Vec<Shown> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect(page);
    let mut found = Vec::new();
    for fence in text.split("```").skip(1).step_by(2) {
        let (language, lines) = fence.split_once('\n').expect("a fence has lines");
        match language {
            "sh" => {
                let typed = lines.lines().filter_map(|line| line.strip_prefix("gnmic "));
                found.extend(typed.map(|line| Shown::Typed(line.to_owned())));
            }
            "text" if lines.starts_with("[\n") => found.push(Shown::Printed(lines.to_owned())),
            _ => {}
        }
    }
    found
}

/// The pages of docs, with those of reasons and alarms, and the front page.
fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec!["README.md".to_owned()];
    for folder in ["docs", "docs/alarms", "docs/reasons"] {
        let entries = fs::read_dir(root.join(folder)).expect(folder);
        let names = entries.map(|entry| entry.expect(folder).file_name().to_string_lossy().into_owned());
        pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    pages
}

/// The paths that a page names: code between backticks that begins as one of a leaf's trees.
fn paths(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect(page);
    let code = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let trees = ["/k8s-services", "/bfd", "/system/", "/network-instance"];
    code.filter(|code| trees.iter().any(|tree| code.starts_with(tree))).map(str::to_owned).collect()
}

/// The arguments of a line, for this leaf.
fn arguments(gnmic: &Gnmic, line: &str) -> Vec<String> {
    assert!(line.contains(SHOWN), "{line}");
    line.replace(SHOWN, &gnmic.address).split_whitespace().map(str::to_owned).collect()
}

/// Output without what is another each time: times, the name that gnmic makes up, where the leaf listens.
fn lasting(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let volatile = |name: &str| matches!(name, "name" | "timestamp" | "source" | "subscription-name");
            let lasting = |(name, value): (&String, &Value)| {
                (name.clone(), if volatile(name) { Value::Null } else { lasting(value) })
            };
            Value::Object(members.iter().map(lasting).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(lasting).collect()),
        Value::String(text) => {
            let is_date = |word: &str| word.starts_with("20") && word.contains('T');
            let is_time = |word: &str| word.trim_end_matches(';').ends_with('Z') && word.matches(':').count() == 2;
            let timeless = text.split(' ').map(|word| if is_date(word) || is_time(word) { "(time)" } else { word });
            Value::String(timeless.collect::<Vec<_>>().join(" "))
        }
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_comes_and_goes_at_gnmic_as_the_guide_prints_it() {
    let gnmic = match gnmic() {
        Ok(program) => program,
        Err(reason) => return skipped(&reason),
    };
    let shown = shown("docs/guide.md");
    let [Shown::Typed(line), Shown::Printed(raised), Shown::Printed(cleared)] = &shown[..] else {
        panic!("the guide subscribes once, and shows an alarm and its end: {shown:?}")
    };
    let bench = Bench::healthy().await;
    let gnmic = Gnmic::on(&bench, "leaf1", gnmic);
    let mut alarms: Told = gnmic.stream(&arguments(&gnmic, line));
    for (action, printed) in [("pull", raised), ("release", cleared)] {
        bench.act(&[&format!("{action}: {{ session-down: {{ leaf: leaf1, node: cluster1 }} }}")]).await;
        let printed: Value = serde_json::from_str(printed).expect("the guide prints JSON");
        assert_eq!(lasting(&alarms.something().await), lasting(&printed));
    }
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_gnmic_line_and_every_path_of_the_docs_is_answered() {
    let gnmic = match gnmic() {
        Ok(program) => program,
        Err(reason) => return skipped(&reason),
    };
    let bench = Bench::healthy().await;
    let gnmic = Gnmic::on(&bench, "leaf1", gnmic);
    bench.act(&["pull: { session-down: { leaf: leaf1, node: cluster1 } }"]).await;
    bench.until("leaf1", &[("/k8s-services/summary/alarms-major", Counted)]).await;
    let (mut typed, mut named) = (0, 0);
    for page in pages() {
        for path in paths(&page) {
            let answer = gnmic.call("json_ietf", &["get", "--path", &path]).await;
            answer.unwrap_or_else(|error| panic!("{page}: {path}: {error}"));
            named += 1;
        }
        for line in shown(&page) {
            let Shown::Typed(line) = line else { continue };
            let arguments = arguments(&gnmic, &line);
            if line.contains(" subscribe ") {
                let told = gnmic.stream(&arguments).something().await;
                assert!(told.to_string().contains("neighbor-session-down/c1/cluster1"), "{page}: {line}: {told}");
            } else {
                let told = gnmic.typed(&arguments).await.unwrap_or_else(|error| panic!("{page}: {line}: {error}"));
                assert!(told.contains("k8s-services:k8s-services/summary"), "{page}: {line}: {told}");
            }
            typed += 1;
        }
    }
    assert_eq!(typed, 3, "the docs show as many");
    assert!(named > 3, "the docs name paths: {named}");
    bench.down().await;
}
