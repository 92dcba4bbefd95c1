//! Damages lines of a watch randomly: the following lines must still be read. `PROPTEST_CASES` sets the number of
//! cases.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use srl_k8s_services::model::event::{ClusterEvent, Update};

use crate::cases::cases;
use crate::cluster::Cluster;
use crate::damage::{damage, damaged};
use crate::server::{NODES, SERVICES, SLICES, Server};

/// Objects as real API servers send them: the seeds of the fuzzer, each preceded by a letter for its kind.
const OBJECTS: &[&str] = &[
    include_str!("../../fuzz/seeds/object/service"),
    include_str!("../../fuzz/seeds/object/slice"),
    include_str!("../../fuzz/seeds/object/slice-v6"),
    include_str!("../../fuzz/seeds/object/node"),
];

/// Starts a source that watches, and its server.
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
    #![proptest_config(cases(24, "tests/hostile/mutated.regressions"))]

    /// Each case is a watch with a hundred damaged lines, followed by a valid one.
    #[test]
    fn a_watch_continues_after_damaged_objects(lines in prop::collection::vec((any::<Index>(), prop::collection::vec(damage(), 1..6)), 100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (server, mut cluster) = watching().await;
            for (at, damages) in &lines {
                let line = format!(r#"{{"type":"MODIFIED","object":{}}}"#, &OBJECTS[at.index(OBJECTS.len())][1..]);
                let line = String::from_utf8_lossy(&damaged(line.as_bytes(), damages)).replace(['\n', '\r'], " ");
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
