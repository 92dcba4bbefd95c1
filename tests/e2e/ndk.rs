//! Tests of applications on bond, the library for NDK applications in Go, on an emulated leaf: one of our own, and
//! greeter, the example of bond's authors. `GREETER` names a folder with the program `greeter` and its `greeter.yang`.
//!
//! bond's sockets have the fixed paths of a switch.

use std::path::{Path, PathBuf};

use srl_proto::gnmi as pb;
use srl_proto::gnmi::g_nmi_client::GNmiClient;
use srl_sim::gnmi::Gnmi;
use srl_sim::lab::LabContent;
use srl_sim::ndk::{Key, NdkEvent, Row};
use tokio::net::UnixDatagram;
use tonic::Request;
use tonic::transport::Endpoint;

use crate::bench::Says::{Anything, Counted, Has, Is, Nothing};
use crate::bench::{Bench, bounded};
use crate::foreign::{self, Foreign, allowed};
use crate::net::{skipped, unobtainable};
use crate::peers::peer;

const LEAF: &str = "leaf4";
const ROOT: &str = "/bond-app";
const NEXT_HOPS: &str = "/bond-app/prefix[prefix=1.1.1.100/32]/next-hop";
const GREETING: &str = "/greeter/greeting";
const ALL: &str = r#"["10.0.1.1","10.0.1.2","10.0.1.3"]"#;

/// Returns the folder that describes our own application.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/peers/bond-app")
}

/// Returns the path of a leaf in our own application's counters.
fn table(kind: &str, leaf: &str) -> String {
    format!("{ROOT}/table[name={kind}]/{leaf}")
}

/// Returns our own application, or why it cannot run.
fn bond_app() -> Result<PathBuf, String> {
    allowed()?;
    Ok(peer("bond-app")?.join("bond-app"))
}

/// Returns the folder of greeter, or why there is none.
fn greeter() -> Result<PathBuf, String> {
    foreign::folder("GREETER", ["greeter", "greeter.yang"])
}

/// Starts the anycast lab with an application on its leaves.
async fn lab_with(app: Foreign<'_>, files: &Path, change: impl FnOnce(&mut LabContent)) -> Bench {
    let bench = foreign::lab_with("anycast-metallb", app, files, change).await;
    bench.until_healthy().await;
    bench
}

/// Returns our own application with its description.
fn described(program: &Path) -> Foreign<'_> {
    let definition = folder().join("bond-app.yml");
    Foreign { name: "bond-app", program, definition, yang: folder(), environment: "" }
}

async fn commit(bench: &Bench, leaf: &str, line: &str) {
    bench.act(&[&format!("config: {{ leaf: {leaf}, lines: '{line}' }}")]).await;
}

/// Commits a line. Returns what an operator sees, or the refusal.
async fn enter(bench: &Bench, line: &str) -> Result<String, String> {
    let lines = format!("enter candidate private\n{line}\ncommit now\n");
    bench.lab.cli(LEAF, &lines).await.map_err(|error| error.to_string())
}

/// Returns what a collector on the network gets at a path, as JSON.
async fn get(bench: &Bench, path: &str) -> String {
    let address = bench.lab.gnmi_server(LEAF).and_then(Gnmi::tcp_address).expect("gNMI listens on TCP");
    let channel =
        Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect().await.expect("connected");
    let elem = path.split('/').skip(1).map(|name| pb::PathElem { name: name.to_owned(), ..Default::default() });
    let mut request = Request::new(pb::GetRequest {
        path: vec![pb::Path { elem: elem.collect(), ..Default::default() }],
        encoding: pb::Encoding::JsonIetf.into(),
        r#type: pb::get_request::DataType::State.into(),
        ..Default::default()
    });
    request.metadata_mut().insert("username", "admin".parse().expect("ASCII"));
    request.metadata_mut().insert("password", "NokiaSrl1!".parse().expect("ASCII"));
    let answer = GNmiClient::new(channel).get(request).await.expect("answered").into_inner();
    let updates = answer.notification.into_iter().flat_map(|notification| notification.update);
    let texts = updates.filter_map(|update| match update.val?.value? {
        pb::typed_value::Value::JsonIetfVal(json) => Some(String::from_utf8(json.to_vec()).expect("text")),
        other => panic!("{other:?}"),
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_using_bond_works_on_the_emulated_leaf() {
    let program = match bond_app() {
        Ok(program) => program,
        Err(reason) => return skipped(&reason),
    };
    let files = tempfile::tempdir().expect("a folder");
    let bench = lab_with(described(&program), files.path(), |_| {}).await;
    bench.expect(LEAF, &[(ROOT, Nothing)]);

    commit(&bench, LEAF, "set / bond-app prefix 1.1.1.100/32 network-instance ip-vrf-1").await;
    bench.until(LEAF, &[(NEXT_HOPS, Is(ALL)), ("/bond-app/release", Is("v25.3.1"))]).await;
    let printed = bench.cli(LEAF, "info from state bond-app prefix 1.1.1.100/32").await;
    assert!(printed.contains("network-instance ip-vrf-1\n") && printed.contains("10.0.1.3\n"), "{printed}");
    let told = get(&bench, "/bond-app/prefix").await;
    assert!(told.contains(r#""next-hop":["10.0.1.1","10.0.1.2","10.0.1.3"]"#), "{told}");

    // Changes of routes and groups.
    bench.act(&["pull: { session-down: { leaf: leaf1, node: cluster1 } }"]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Is(r#"["10.0.1.2","10.0.1.3"]"#))]).await;
    bench.act(&["release: { session-down: { leaf: leaf1, node: cluster1 } }"]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Is(ALL))]).await;

    // Refused configuration is not in force. Configuration with a warning is.
    let refused = enter(&bench, "set / bond-app prefix 1.1.1 network-instance ip-vrf-1").await.expect_err("refused");
    assert!(
        refused.contains("Error in /bond-app/prefix[prefix=1.1.1]:") && refused.contains("write it as 192.0.2.0/24"),
        "{refused}"
    );
    bench.expect(LEAF, &[("/bond-app/prefix[prefix=1.1.1]", Nothing), (NEXT_HOPS, Is(ALL))]);
    let warned = enter(&bench, "set / bond-app prefix 1.1.1.100/30 network-instance default").await.expect("committed");
    assert!(!warned.contains("Warning"), "{warned}");
    let warned = enter(&bench, "set / bond-app prefix 1.1.1.101/30 network-instance default").await.expect("committed");
    assert!(warned.contains("looks for 1.1.1.100/30"), "{warned}");
    bench.until(LEAF, &[("/bond-app/prefix[prefix=1.1.1.101/30]/network-instance", Is("default"))]).await;

    // Changes and deletion of entries. Entries whose names begin the same are kept.
    commit(&bench, LEAF, "set / bond-app prefix 1.1.1.100/32 network-instance default").await;
    bench.until(LEAF, &[(NEXT_HOPS, Nothing), ("/bond-app/prefix[prefix=1.1.1.100/32]", Anything)]).await;
    commit(&bench, LEAF, "set / bond-app prefix 1.1.1.100/32 network-instance ip-vrf-1").await;
    commit(&bench, LEAF, "delete / bond-app prefix 1.1.1.100/30").await;
    commit(&bench, LEAF, "delete / bond-app prefix 1.1.1.101/30").await;
    let left = [("/bond-app/prefix[prefix=1.1.1.100/30]", Nothing), ("/bond-app/prefix[prefix=1.1.1.101/30]", Nothing)];
    bench.until(LEAF, &left).await;
    bench.until(LEAF, &[(NEXT_HOPS, Is(ALL))]).await;

    // A restart of the application, and of the NDK, which ends the application too. It writes its state again.
    for operation in ["kill", "restart"] {
        bench.act(&[&format!("app: {{ leaf: {LEAF}, app: bond-app, operation: {operation} }}")]).await;
        bench.until(LEAF, &[(NEXT_HOPS, Is(ALL))]).await;
    }
    bench.act(&[&format!("ndk: {{ leaf: {LEAF}, to: stop }}"), &format!("ndk: {{ leaf: {LEAF}, to: start }}")]).await;
    bench.until(LEAF, &[(NEXT_HOPS, Is(ALL))]).await;
    commit(&bench, LEAF, "delete / bond-app prefix 1.1.1.100/32").await;
    bench.until(LEAF, &[(NEXT_HOPS, Nothing), (ROOT, Anything)]).await;

    commit(&bench, LEAF, "delete / bond-app").await;
    bench.until(LEAF, &[(ROOT, Nothing)]).await;
    commit(&bench, LEAF, "set / bond-app prefix 1.1.1.100/32 network-instance ip-vrf-1").await;
    bench.until(LEAF, &[(NEXT_HOPS, Is(ALL))]).await;
    bench.act(&[&format!("app: {{ leaf: {LEAF}, app: bond-app, operation: stop }}")]).await;
    bench.until(LEAF, &[(ROOT, Nothing)]).await;
    assert!(!bench.leaf(LEAF).ndk().is_registered("bond-app"));
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bond_receives_every_ndk_table() {
    let program = match bond_app() {
        Ok(program) => program,
        Err(reason) => return skipped(&reason),
    };
    let files = tempfile::tempdir().expect("a folder");
    let guarded = |lab: &mut LabContent| {
        let instance = lab.fabric.network_instances.get_mut("ip-vrf-1").expect("the lab has it");
        instance.bgp.as_mut().expect("it speaks BGP").bfd = true;
    };
    let bench = lab_with(described(&program), files.path(), guarded).await;
    let leaf = "leaf1";
    commit(&bench, leaf, "set / bond-app").await;
    for kind in ["route", "next-hop-group", "app-id"] {
        bench.until(leaf, &[(&table(kind, "entries"), Counted)]).await;
    }
    // A port, two uplinks, mgmt0, and interfaces without a cable. The NDK does not report mac-vrfs.
    bench.until(leaf, &[(&table("interface", "entries"), Is("7"))]).await;
    bench.until(leaf, &[(&table("network-instance", "entries"), Is("3"))]).await;
    // The session of one node, and its routes when the session ends.
    bench.until(leaf, &[(&table("bfd-session", "entries"), Is("1")), (&table("route", "gone"), Is("0"))]).await;
    bench.act(&["pull: { bfd-down: { node: cluster1 } }"]).await;
    bench.until(leaf, &[(&table("bfd-session", "told"), Is("2")), (&table("next-hop-group", "gone"), Counted)]).await;

    // In addition to the spines.
    let neighbor =
        Key::Lldp { interface: "ethernet-1/49".to_owned(), chassis: "02:00:00:00:00:01".to_owned(), kind: 4 };
    let ndk = bench.leaf(leaf).ndk();
    ndk.apply([(neighbor.clone(), Some(Row::Lldp(Box::default())))]);
    bench.until(leaf, &[(&table("lldp-neighbor", "entries"), Is("3"))]).await;
    ndk.apply([(neighbor, None)]);
    bench
        .until(leaf, &[(&table("lldp-neighbor", "entries"), Is("2")), (&table("lldp-neighbor", "gone"), Is("1"))])
        .await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nokias_greeter_runs_on_the_emulated_leaf() {
    let greeter = match greeter() {
        Ok(folder) => folder,
        Err(reason) => return unobtainable(&reason),
    };
    let files = tempfile::tempdir().expect("a folder");
    // It needs a system log that receives its messages.
    let log = UnixDatagram::bind(files.path().join("log")).expect("a new socket");
    tokio::spawn(async move { while log.recv(&mut [0; 64 << 10]).await.is_ok() {} });
    let definition = files.path().join("greeter.yml");
    let modules = "yang-modules: { names: [greeter], source-directories: [/opt/greeter/yang] }";
    let spec = format!(
        "greeter:\n  path: /usr/local/bin\n  launch-command: greeter\n  failure-action: wait=10\n  \
         config-delivery-format: json\n  {modules}\n"
    );
    std::fs::write(&definition, spec).expect("written");
    let program = greeter.join("greeter");
    let app = Foreign { name: "greeter", program: &program, definition, yang: greeter, environment: "" };
    let bench = lab_with(app, files.path(), |_| {}).await;

    commit(&bench, LEAF, "set / greeter name me").await;
    bench.until(LEAF, &[(GREETING, Has("Hi me, I am SR Linux and my uptime is "))]).await;
    let printed = bench.cli(LEAF, "info from state greeter").await;
    assert!(printed.contains("name me\n") && printed.contains("Hi me, "), "{printed}");
    commit(&bench, LEAF, "set / greeter name you").await;
    bench.until(LEAF, &[(GREETING, Has("Hi you, "))]).await;

    // bond delivers what is committed from now on, not what was committed before.
    let mut news = bench.leaf(LEAF).ndk().subscribe();
    bench.act(&[&format!("app: {{ leaf: {LEAF}, app: greeter, operation: kill }}")]).await;
    let followed = async { while news.recv().await.expect("few") != NdkEvent::ConfigFollowed("greeter".to_owned()) {} };
    bounded("greeter follows its configuration", followed).await;
    bench.expect(LEAF, &[("/greeter", Nothing)]);
    commit(&bench, LEAF, "set / greeter name them").await;
    bench.until(LEAF, &[(GREETING, Has("Hi them, "))]).await;
    commit(&bench, LEAF, "delete / greeter name").await;
    bench.until(LEAF, &[(GREETING, Nothing), ("/greeter/name", Nothing)]).await;
    bench.down().await;
}
