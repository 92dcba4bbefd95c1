//! Tests an application on Nokia's bindings: it is configured on the leaf's CLI, and its state is read there.

use srl_sim::lab::LabApp;
use srl_sim::ndk::Switches;

use super::{folder, python};
use crate::bench::Bench;
use crate::bench::Says::{Has, Is, Nothing};
use crate::foreign;
use crate::net::skipped;

const LEAF: &str = "leaf4";
const NEXT_HOPS: &str = "/pyapp/next-hop";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_using_nokias_python_bindings_works_on_the_emulated_leaf() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => return skipped(&reason),
    };
    let files = tempfile::tempdir().expect("a folder");
    let program = folder().join("app.py");
    let script = format!("#!/bin/sh\nexec {} -B {} \"$@\"\n", python.display(), program.display());
    let programs = foreign::programs(files.path(), "pyapp", &script);
    let app = LabApp {
        definition: folder().join("pyapp.yml"),
        yang: folder(),
        cli_plugins: None,
        arguments: vec!["${ndk}".to_owned()],
    };
    let bench = Bench::running(&programs, files.path(), "anycast-metallb", Switches::default(), |lab| {
        lab.apps.push(app);
        lab.config.push_str("set / pyapp prefix 1.1.1.100/32\n");
    })
    .await;
    bench.until_healthy().await;
    for vtep in ["10.0.1.1", "10.0.1.2", "10.0.1.3"] {
        bench.until(LEAF, &[(NEXT_HOPS, Has(vtep))]).await;
    }
    let printed = bench.cli(LEAF, "info from state pyapp").await;
    assert!(printed.contains("prefix 1.1.1.100/32\n") && printed.contains("        10.0.1.3\n"), "{printed}");

    // Changes of routes and groups.
    bench.act(&["pull: { session-down: { leaf: leaf1, node: cluster1 } }"]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Is(r#"["10.0.1.2","10.0.1.3"]"#))]).await;
    bench.act(&["release: { session-down: { leaf: leaf1, node: cluster1 } }"]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Has("10.0.1.1"))]).await;

    // Changes and deletion of configuration.
    bench.act(&["config: { leaf: leaf4, lines: 'set / pyapp prefix 9.9.9.9/32' }"]).await;
    bench.until(LEAF, &[("/pyapp/prefix", Is("9.9.9.9/32")), (NEXT_HOPS, Nothing)]).await;
    bench.act(&["config: { leaf: leaf4, lines: 'set / pyapp prefix 1.1.1.100/32' }"]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Has("10.0.1.2"))]).await;

    // A restart of the application, and of the NDK, which ends the application too.
    bench.act(&["app: { leaf: leaf4, app: pyapp, operation: kill }"]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Has("10.0.1.2"))]).await;
    bench.act(&["ndk: { leaf: leaf4, to: stop }", "ndk: { leaf: leaf4, to: start }"]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Has("10.0.1.2"))]).await;

    bench.act(&["config: { leaf: leaf4, lines: 'delete / pyapp' }"]).await;
    bench.until(LEAF, &[("/pyapp", Nothing)]).await;
    bench.down().await;
}
