//! Tests of commands about the session itself, `ping`, and confirmed commits.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn back_returns_to_earlier_contexts_and_history_lists_commands() {
    let (_, mut session) = leaf1("25.10.1");
    run(&mut session, "/ system information").await;
    run(&mut session, "/ k8s-services").await;
    run(&mut session, "back").await;
    assert_eq!(run(&mut session, "pwc").await, "/ system information\n");
    run(&mut session, "back").await;
    assert_eq!(run(&mut session, "pwc").await, "/ k8s-services\n");
    let history = run(&mut session, "history").await;
    assert!(history.starts_with("    1  / system information\n    2  / k8s-services\n    3  back\n"), "{history}");
    assert!(history.ends_with("    7  history\n"), "{history}");
}

#[tokio::test]
async fn help_date_and_tree_print_something() {
    let (_, mut session) = leaf1("25.10.1");
    let help = run(&mut session, "help").await;
    assert!(help.contains("  ping      Check whether an address answers\n"), "{help}");
    assert!(!help.contains("commit"), "only candidates are committed: {help}");
    assert!(run(&mut session, "date").await.contains(" UTC 20"));
    let tree = run(&mut session, "tree k8s-services cluster").await;
    assert!(tree.starts_with("cluster\n+-- ") && tree.contains("\n+-- node\n|   +-- peer\n"), "{tree}");
    assert!(run(&mut session, "tree").await.starts_with("<root>\n+-- "));
    let wrong = fails(&mut session, "tree k8s-services nothing").await;
    assert!(wrong.contains("Unknown token 'nothing'"), "{wrong}");
}

#[tokio::test]
async fn commands_that_are_not_emulated_are_refused_by_name() {
    let (_, mut session) = leaf1("25.10.1");
    for (line, words) in [
        ("bash date", "Error: bash is not emulated: "),
        ("/ bash", "Error: bash is not emulated: "),
        ("show platform chassis", "Error: show platform is not emulated: use show version\n"),
        ("show system logging", "Error: show system logging is not emulated: "),
        ("traceroute 10.0.0.1", "Error: traceroute is not emulated: "),
    ] {
        let refused = fails(&mut session, line).await;
        assert!(refused.starts_with(words), "{line}: {refused}");
    }
    assert!(fails(&mut session, "bashful").await.starts_with("Parsing error: Unknown token 'bashful'."));
    run(&mut session, "enter candidate").await;
    assert!(fails(&mut session, "commit checkpoint").await.starts_with("Error: commit checkpoint is not emulated: "));
}

fn subnet(store: &Datastore) {
    let neighbor = |address: &str, mac: &str| json!({ "ipv4-address": address, "link-layer-address": mac });
    let irb = json!({ "subinterface": [{ "index": 1, "name": "irb1.1", "ipv4": {
        "address": [{ "ip-prefix": "192.168.1.1/24" }],
        "arp": { "neighbor": [
            neighbor("192.168.1.11", "02:00:00:00:00:0b"),
            neighbor("192.168.1.12", "02:00:00:00:00:0c"),
        ] } } }] });
    put(store, "/interface[name=irb1]", irb);
    put(store, "/network-instance[name=ip-vrf-1]", json!({ "type": "ip-vrf", "interface": [{ "name": "irb1.1" }] }));
    let mac = "/network-instance[name=subnetA]/bridge-table/mac-table/mac[address=02:00:00:00:00:0B]";
    put(store, "/network-instance[name=subnetA]", json!({ "type": "mac-vrf" }));
    put(store, mac, json!({ "destination": "ethernet-1/1.0" }));
}

#[tokio::test]
async fn an_address_answers_pings_while_it_has_an_arp_entry_and_a_port() {
    let (store, mut session) = leaf1("25.10.1");
    subnet(&store);
    let answered = run(&mut session, "ping network-instance ip-vrf-1 192.168.1.11 -c 2").await;
    assert!(answered.contains("64 bytes from 192.168.1.11: icmp_seq=2 ttl=64\n"), "{answered}");
    assert!(answered.ends_with("2 packets transmitted, 2 received, 0% packet loss\n"), "{answered}");
    assert!(run(&mut session, "ping 192.168.1.1 network-instance ip-vrf-1").await.contains(" 0% packet loss"));
    // .12 is in ARP, but its port is gone; .13 was never resolved.
    for address in ["192.168.1.12", "192.168.1.13"] {
        let lost = run(&mut session, &format!("ping {address} network-instance ip-vrf-1")).await;
        assert!(lost.contains("Destination Host Unreachable") && lost.contains(" 100% packet loss"), "{lost}");
    }
}

#[tokio::test]
async fn a_ping_whose_outcome_is_unknown_is_refused() {
    let (store, mut session) = leaf1("25.10.1");
    subnet(&store);
    let beyond = fails(&mut session, "ping 1.1.1.100 network-instance ip-vrf-1").await;
    assert!(beyond.contains("look at show network-instance ip-vrf-1 route-table"), "{beyond}");
    assert!(fails(&mut session, "ping 1.1.1.100 network-instance none").await.contains("Unknown token 'none'"));
    assert!(fails(&mut session, "ping nowhere").await.contains("Unknown token 'nowhere'"));
    assert!(fails(&mut session, "ping 1.1.1.1 -c many").await.contains("Got 'many' expected 1..100"));
    assert!(fails(&mut session, "ping").await.starts_with("Parsing error: Unexpected end of the line."));
}

async fn disable(session: &mut Session, commit: &str) -> String {
    run(session, "enter candidate").await;
    run(session, "set / k8s-services admin-state disable").await;
    run(session, commit).await
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_commit_is_rolled_back() {
    let (store, mut session) = leaf1("25.10.1");
    let committed = disable(&mut session, "commit confirmed timeout 60").await;
    assert!(committed.contains("taken back in 60 seconds"), "{committed}");
    run(&mut session, "enter candidate").await;
    run(&mut session, "set / k8s-services admin-state enable").await;
    let refused = fails(&mut session, "commit now").await;
    assert!(refused.contains("confirmed-accept"), "{refused}");
    run(&mut session, "discard now").await;
    let mut changed = store.subscribe();
    tokio::time::advance(Duration::from_secs(61)).await;
    changed.recv().await.expect("the configuration is taken back");
    assert_eq!(run(&mut session, "info from running k8s-services").await, "");
    let none = fails(&mut session, "tools system configuration confirmed-accept").await;
    assert_eq!(none, "Error: there is no commit to confirm or reject\n");
}

#[tokio::test(start_paused = true)]
async fn a_commit_can_be_confirmed_or_rejected_before_its_timeout() {
    let (_, mut session) = leaf1("25.10.1");
    disable(&mut session, "commit confirmed").await;
    run(&mut session, "tools system configuration confirmed-reject").await;
    assert_eq!(run(&mut session, "info from running k8s-services").await, "");
    disable(&mut session, "commit confirmed").await;
    run(&mut session, "tools system configuration confirmed-accept").await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(run(&mut session, "info from running k8s-services").await, "    admin-state disable\n");
}

#[tokio::test]
async fn an_exclusive_candidate_excludes_other_sessions() {
    let (store, mut session) = leaf1("25.10.1");
    let mut other = Session::new(store, SessionOptions::new("leaf1", "25.10.1"), None);
    run(&mut session, "enter candidate exclusive").await;
    assert!(session.prompt().starts_with("--{ candidate exclusive default }--"), "{}", session.prompt());
    for kind in ["shared", "private", "exclusive"] {
        let refused = fails(&mut other, &format!("enter candidate {kind}")).await;
        assert!(refused.contains("another session edits it exclusively"), "{refused}");
    }
    run(&mut session, "enter running").await;
    run(&mut other, "enter candidate shared").await;
    run(&mut other, "set / k8s-services admin-state disable").await;
    let refused = fails(&mut session, "enter candidate exclusive").await;
    assert!(refused.contains("commit or discard"), "{refused}");
    drop(other);
}
