//! Tests of CLI plugins, with `show k8s-services` as it is shipped.

use super::*;

fn plugged(store: &Datastore, python: &str) -> Session {
    let mut options = SessionOptions::new("leaf1", "25.10.1");
    options.plugins = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/cli"))];
    options.python = python.into();
    Session::new(store.clone(), options, None)
}

/// Returns a leaf whose agent reports a service that is down, and a node.
fn agent() -> (Datastore, Session) {
    let (store, _) = leaf1("25.10.1");
    let source = json!([{ "name": "ndk", "oper-state": "synced", "last-event": spelled(Timestamp::now()) }]);
    put(&store, "/k8s-services/summary", json!({ "services": 1, "vips": 1, "vips-down": 1, "source": source }));
    let vip = json!([{ "address": "1.1.1.100", "oper-state": "down", "oper-reason": "no-route" }]);
    let service = json!({ "oper-state": "down", "oper-reason": "no-route", "owner": "network",
        "oper-detail": "no route to 1.1.1.100/32", "last-change": ago(3), "vip": vip });
    put(&store, "/k8s-services/cluster[name=c1]", json!({ "oper-state": "up" }));
    put(&store, "/k8s-services/cluster[name=c1]/service[namespace=default][name=web]", service);
    let application = json!({ "pid": 1, "state": "running", "last-change": ago(9) });
    put(&store, "/system/app-management/application[name=k8s-services]", application);
    let session = plugged(&store, "python3");
    (store, session)
}

#[tokio::test]
async fn a_plugins_report_is_made_from_the_state_of_this_switch() {
    let (_, mut session) = agent();
    let text = run(&mut session, "show k8s-services").await;
    assert!(text.contains("1 VIP: 1 down"), "{text}");
    assert!(text.contains("c1/default/web") && text.contains("no route to 1.1.1.100/32"), "{text}");
    let vip = run(&mut session, "show k8s-services vip 1.1.1.100").await;
    assert!(vip.contains("no-route"), "{vip}");
}

#[tokio::test]
async fn a_plugins_report_can_be_piped_like_any_other() {
    let (_, mut session) = agent();
    let data = run(&mut session, "show k8s-services vips | as json").await;
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(data["k8s-services"]["vip"][0]["VIP"], "1.1.1.100");
    let table = run(&mut session, "show k8s-services vips | as table").await;
    assert!(table.starts_with("+-") && table.contains("| 1.1.1.100"), "{table}");
    assert_eq!(run(&mut session, "show k8s-services | grep -c web").await, "1\n");
}

#[tokio::test]
async fn invalid_arguments_of_a_plugin_are_refused_like_any_other() {
    let (_, mut session) = agent();
    let wrong = fails(&mut session, "show k8s-services vip nonsense").await;
    assert_eq!(wrong, "'nonsense' is not an IP address\n");
    let wrong = fails(&mut session, "show k8s-services vipz").await;
    let options = wrong.strip_prefix("Parsing error: Unknown token 'vipz'. Options are ['alarms', ");
    assert!(options.is_some_and(|options| options.contains("'vips']")), "{wrong}");
    let wrong = fails(&mut session, "show k9s").await;
    assert!(wrong.contains("Unknown token 'k9s'") && wrong.contains("'k8s-services', 'network-instance'"), "{wrong}");
}

#[tokio::test]
async fn commands_arguments_and_values_of_a_plugin_are_completed() {
    let (_, mut session) = agent();
    let help = run(&mut session, "show ?").await;
    assert!(help.lines().any(|line| line.trim_start().starts_with("k8s-services      Show whether")), "{help}");
    let help = run(&mut session, "show k8s-services ?").await;
    assert!(help.contains("  vips      Show VIPs, the worst first"), "{help}");
    assert!(run(&mut session, "show k8s-services vip ?").await.contains("1.1.1.100"));
    assert_eq!(run(&mut session, "show k8s-services vips service w?").await, "  web\n");
    let rest = run(&mut session, "show k8s-services vips service web not-up ?").await;
    assert!(rest.contains("  namespace  ") && !rest.contains("not-up") && !rest.contains("  service"), "{rest}");
}

#[tokio::test]
async fn a_plugin_without_python_fails_with_what_to_install() {
    let (store, _) = agent();
    let mut session = plugged(&store, "/nowhere/python3");
    let said = fails(&mut session, "show k8s-services").await;
    assert_eq!(
        said,
        "Error: CLI plugins, such as show k8s-services, need /nowhere/python3 on this machine: install Python 3\n"
    );
    assert!(run(&mut session, "show version").await.contains("leaf1"));
}

#[tokio::test]
async fn a_plugin_that_cannot_be_loaded_fails_with_its_python_error() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("broken.py"), "import srlinux.nothing\n").expect("written");
    let (store, _) = leaf1("25.10.1");
    let mut session = plugged(&store, "python3");
    session.options.plugins = vec![folder.path().to_owned()];
    let said = fails(&mut session, "show anything").await;
    assert!(said.contains("No module named 'srlinux.nothing'"), "{said}");
}
