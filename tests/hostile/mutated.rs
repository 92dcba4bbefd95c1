//! Good inputs with random damage: nothing may panic, and what comes after them must be read. A bounded run of what a
//! fuzzer does; `PROPTEST_CASES` sets how long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use srl_k8s_services::config::Assembler;
use srl_k8s_services::model::commit::{ConfigChange, Operation};
use srl_k8s_services::model::event::{ClusterEvent, Update};
use srl_k8s_services::state_file::StateFile;

use crate::cluster::Cluster;
use crate::server::{NODES, SERVICES, SLICES, Server};

/// Objects as real API servers send them, one a line.
const OBJECTS: &str = include_str!("corpus/objects.jsonl");
/// Configuration as the NDK delivers it: path, blank, JSON.
const CONFIGURATION: &str = include_str!("corpus/configuration.txt");
/// A state file.
const STATE: &str = include_str!("corpus/state.json");

/// Damage to a text: some bytes replaced, cut out or repeated.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    let words =
        prop::sample::select(vec!["null", "[]", "{}", "-1", "1e999", "\"\\u0000\"", "\"\\ud800\"", "\u{202e}", "\""]);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Cut(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        (any::<Index>(), words).prop_map(|(at, word)| Damage::Insert(at, word)),
    ]
}

fn damaged(text: &str, damages: &[Damage]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let span = |from: &Index, to: &Index| {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            (from.min(to), from.max(to).min(from.min(to) + 64))
        };
        match damage {
            Damage::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Cut(from, to) => {
                let (from, to) = span(from, to);
                bytes.drain(from..to);
            }
            Damage::Repeat(from, to) => {
                let (from, to) = span(from, to);
                let part = bytes[from..to].to_vec();
                bytes.splice(from..from, part);
            }
            Damage::Insert(at, word) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn cases(default: u32) -> ProptestConfig {
    let set = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: set.unwrap_or(default), failure_persistence: None, ..ProptestConfig::default() }
}

/// A source that watches, and the server it watches.
async fn watching() -> (Server, Cluster) {
    let server = Server::start().await;
    let mut cluster = Cluster::of(&server);
    cluster.synced().await;
    while server.watches() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (server, cluster)
}

proptest! {
    #![proptest_config(cases(24))]

    /// Each case is a watch with a hundred damaged lines, and a good one after them.
    #[test]
    fn a_watch_of_damaged_objects_goes_on(lines in prop::collection::vec((any::<Index>(), prop::collection::vec(damage(), 1..6)), 100)) {
        let objects: Vec<&str> = OBJECTS.lines().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (server, mut cluster) = watching().await;
            for (at, damages) in &lines {
                let line = format!(r#"{{"type":"MODIFIED","object":{}}}"#, objects[at.index(objects.len())]);
                let line = damaged(&line, damages).replace(['\n', '\r'], " ");
                for path in [SERVICES, SLICES, NODES] {
                    server.say(path, &line);
                }
            }
            let node = r#"{"type":"ADDED","object":{"metadata":{"name":"the-last"}}}"#;
            server.say(NODES, node);
            loop {
                if let ClusterEvent::Nodes(Update::Set(name, _)) = cluster.change().await
                    && name.as_str() == "the-last"
                {
                    break;
                }
            }
        });
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn damaged_configuration_is_refused_or_taken(at: Index, damages in prop::collection::vec(damage(), 1..6)) {
        let lines: Vec<&str> = CONFIGURATION.lines().collect();
        let line = damaged(lines[at.index(lines.len())], &damages);
        let (path, json) = line.split_once(' ').unwrap_or((&line, ""));
        let change = ConfigChange { op: Operation::Set, path: path.to_owned(), json: json.to_owned() };
        let mut assembler = Assembler::new(Arc::from(Path::new("/")));
        if let Err(problems) = assembler.apply(0, &[change]) {
            prop_assert!(!problems.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_damaged_state_file_is_read_or_forgotten(damages in prop::collection::vec(damage(), 1..8)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        std::fs::write(&path, damaged(STATE, &damages)).expect("written");
        StateFile::new(&path).load();
    }
}
