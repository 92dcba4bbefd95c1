//! Tests of the runner on a stage without real leaves: what it waits for, what it prints, and how it fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::lab::{Action, ActionError, Changes, ViewError};

use super::file::Demo;
use super::run::{DemoError, Stage, play};
use super::table::Screen;

/// Leaves whose state is a map. An action writes what the name of its manifest says: `leaf1 oper-state down`.
struct Puppets {
    state: Mutex<BTreeMap<(String, String), String>>,
    changed: watch::Sender<u64>,
}

impl Puppets {
    fn new() -> Self {
        let state = ["leaf1", "leaf2"].map(|leaf| ((leaf.to_owned(), "/x/oper-state".to_owned()), "up".to_owned()));
        Self { state: Mutex::new(state.into()), changed: watch::Sender::new(0) }
    }
}

impl Stage for Puppets {
    fn leaves(&self) -> Vec<String> {
        vec!["leaf1".to_owned(), "leaf2".to_owned()]
    }

    fn read(&self, leaf: &str, path: &str) -> Result<Option<String>, ViewError> {
        Ok(self.state.lock().expect("not poisoned").get(&(leaf.to_owned(), path.to_owned())).cloned())
    }

    fn changes(&self) -> Changes {
        Changes::new(self.changed.subscribe())
    }

    async fn act(&self, action: &Action) -> Result<(), ActionError> {
        let Action::Apply { file, .. } = action else { return Err(ActionError::NotPulled) };
        let text = file.to_string_lossy();
        let mut words = text.split(' ');
        let mut next = || words.next().expect("three words").to_owned();
        let (leaf, name, value) = (next(), next(), next());
        self.state.lock().expect("not poisoned").insert((leaf, format!("/x/{name}")), value);
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn cli(&self, leaf: &str, command: &str) -> Result<String, ViewError> {
        Ok(format!("{leaf} answers {command}\n"))
    }

    fn logs(&self, leaf: &str) -> Vec<PathBuf> {
        vec![PathBuf::from(format!("/run/{leaf}/agent.log"))]
    }
}

fn set(words: &str) -> Value {
    json!({"apply": {"cluster": "c", "file": words}})
}

fn demo(expect: Value) -> Demo {
    let demo = json!({
        "watch": "/x",
        "healthy": {"*": {"oper-state": "up"}},
        "show": [{"leaf": "leaf1", "command": "show version"}],
        "steps": [{
            "title": "leaf1 breaks",
            "do": [set("leaf1 oper-state down"), set("leaf1 oper-reason no-route")],
            "expect": expect,
            "heal": [set("leaf1 oper-state up")],
            "within": 1,
        }],
    });
    serde_json::from_value(demo).expect("a demo")
}

async fn output(demo: &Demo) -> (Result<(), DemoError>, String) {
    let mut out = Vec::new();
    let played = play(&Puppets::new(), demo, Screen { width: 80, colours: false }, &mut out).await;
    (played, String::from_utf8(out).expect("text"))
}

#[tokio::test]
async fn a_step_prints_its_actions_the_states_of_leaves_and_their_recovery() {
    let (played, text) = output(&demo(json!({"leaf1": {"oper-state": "down"}, "*": {"oper-state": "up"}}))).await;
    played.expect("as expected");
    for line in [
        "leaf1# show version",
        "leaf1 answers show version",
        " 1  leaf1 breaks",
        "    kubectl apply -f leaf1 oper-state down",
        "    LEAF   STATE  REASON    AFTER",
        "    leaf2  up               -",
        "    every leaf is well again after",
        "all 1 steps as expected",
    ] {
        assert!(text.lines().any(|shown| shown.starts_with(line)), "no line '{line}' in:\n{text}");
    }
    assert!(text.contains("    leaf1  down   no-route  "), "{text}");
}

#[tokio::test]
async fn an_unmet_expectation_is_reported_with_both_values_and_the_log() {
    let (played, _) = output(&demo(json!({"leaf1": {"oper-state": "degraded"}}))).await;
    let error = played.expect_err("not as expected").to_string();
    assert_eq!(
        error,
        "step 1, 'leaf1 breaks': not as expected within 1 s\n  \
         LEAF   PATH        EXPECTED  GOT\n  \
         leaf1  oper-state  degraded  down\n  \
         paths are below /x\n  \
         leaf1's log: /run/leaf1/agent.log"
    );
}

#[tokio::test]
async fn a_failed_action_ends_the_demo_with_its_step() {
    let mut broken = demo(json!({"leaf1": {"oper-state": "down"}}));
    broken.steps[0].actions.push(Action::ReleaseAll);
    let (played, _) = output(&broken).await;
    assert!(matches!(played, Err(DemoError::Action { what, .. }) if what == "step 1, 'leaf1 breaks'"));
}
