use std::sync::Mutex;

use tokio::net::UnixListener;

use super::*;

#[tokio::test]
async fn applications_are_shown_in_a_table_fitted_to_its_contents() {
    let (store, mut session) = leaf1("26.3.1");
    let value = json!({
        "pid": 8553, "state": "running", "version": "0.8.0", "last-change": "2026-04-10T15:20:17.849Z",
    });
    put(&store, "/system/app-management/application[name=inventory]", value);
    application(&store);
    let expected = "  \
  +-----------+------+---------+---------+--------------------------+
  |   Name    | PID  |  State  | Version |       Last Change        |
  +===========+======+=========+=========+==========================+
  | inventory | 8553 | running | 0.8.0   | 2026-04-10T15:20:17.849Z |
  +-----------+------+---------+---------+--------------------------+
";
    assert_eq!(run(&mut session, "show system application inventory").await, expected);
    assert!(run(&mut session, "show system application").await.contains("| srl_basic_agent | 120406 |"));
    assert_eq!(run(&mut session, "show system application none").await, "");
    let data = run(&mut session, "show system application inventory | as json").await;
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(data["Application"][0]["PID"], "8553");
}

#[tokio::test]
async fn show_version_prints_the_release_and_build() {
    let (store, mut session) = leaf1("25.10.1");
    information(&store);
    let text = run(&mut session, "show version").await;
    assert!(text.contains("Hostname             : leaf1\n"), "{text}");
    assert!(text.contains("Software Version     : v25.10.1\n"), "{text}");
    assert!(text.contains("Build Number         : 399-g90c1dbe35ef\n"), "{text}");
}

fn ip_vrf(store: &Datastore) {
    put(store, "/network-instance[name=ip-vrf-1]", json!({ "type": "ip-vrf" }));
    let hop = |index: u32, value: Value| {
        put(store, &format!("/network-instance[name=ip-vrf-1]/route-table/next-hop[index={index}]"), value);
    };
    let group = |index: u32, hops: &[u32]| {
        let hops: Vec<_> =
            hops.iter().enumerate().map(|(id, hop)| json!({ "id": id, "next-hop": hop.to_string() })).collect();
        let path = format!("/network-instance[name=ip-vrf-1]/route-table/next-hop-group[index={index}]");
        put(store, &path, json!({ "next-hop": hops }));
    };
    hop(1, json!({ "type": "direct", "ip-address": "192.168.1.1", "subinterface": "irb1.1" }));
    hop(
        2,
        json!({ "type": "indirect", "ip-address": "192.168.1.11", "indirect": { "resolved": true, "resolving-route": {
            "ip-prefix": "192.168.1.0/24", "route-type": "local", "route-owner": "net_inst_mgr" } } }),
    );
    for (index, vtep) in [(3, "10.0.1.2"), (4, "10.0.1.3")] {
        let tunnel = json!({ "ip-prefix": format!("{vtep}/32"), "tunnel-type": "vxlan", "tunnel-owner": "vxlan_mgr" });
        hop(index, json!({ "type": "indirect", "ip-address": vtep, "indirect": { "resolving-tunnel": tunnel } }));
    }
    group(11, &[1]);
    group(12, &[2]);
    group(13, &[3, 4]);
    let value = |preference: u32, active: bool, group: u32| {
        json!({ "metric": 0, "preference": preference, "active": active, "next-hop-group": group.to_string(),
            "last-app-update": "2023-08-25T14:28:54.782Z" })
    };
    route(store, "ip-vrf-1", "192.168.1.0/24", "local", "net_inst_mgr", value(0, true, 11));
    route(store, "ip-vrf-1", "1.1.1.100/32", "bgp", "bgp_mgr", value(169, true, 12));
    route(store, "ip-vrf-1", "1.1.1.100/32", "bgp-evpn", "bgp_evpn_mgr", value(170, false, 13));
}

#[tokio::test]
async fn the_route_table_shows_next_hops_as_on_a_real_leaf() {
    let (store, mut session) = leaf1("23.7.1");
    ip_vrf(&store);
    let text = run(&mut session, "show network-instance ip-vrf-1 route-table").await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "IPv4 unicast route table of network instance ip-vrf-1");
    assert_eq!(
        lines[3],
        "+-----------------------------+-------+------------+----------------------+----------------------+----------+---------+------------------+------------------+-----------------------+"
    );
    assert_eq!(
        lines[4],
        "|           Prefix            |  ID   | Route Type |     Route Owner      |        Active        |  Origin  | Metric  |       Pref       | Next-hop (Type)  |  Next-hop Interface   |"
    );
    assert_eq!(
        lines[8],
        "| 1.1.1.100/32                | 0     | bgp        | bgp_mgr              | True                 | ip-vrf-1 | 0       | 169              | 192.168.1.0/24   | irb1.1                |"
    );
    assert!(lines[9].contains("| (indirect/local) |"), "{text}");
    assert!(lines[10].contains("| bgp-evpn   | bgp_evpn_mgr         | False                | ip-vrf-1 | 0       | 170              | 10.0.1.2/32      |"));
    assert!(lines[11].contains("| (indirect/vxlan) |") && lines[12].contains("| 10.0.1.3/32      |"), "{text}");
    assert!(
        text.contains("IPv4 routes total                    : 3\nIPv4 prefixes with active routes     : 2\n"),
        "{text}"
    );
    let one = run(&mut session, "show network-instance ip-vrf-1 route-table ipv4-unicast prefix 192.168.1.0/24").await;
    assert!(one.contains("192.168.1.1") && !one.contains("1.1.1.100"), "{one}");
    let wrong = fails(&mut session, "show network-instance none route-table").await;
    assert_eq!(wrong, "Parsing error: Unknown token 'none'. Options are ['ip-vrf-1', 'summary']\n");
}

#[tokio::test]
async fn a_prefix_of_the_route_table_is_shown_in_detail() {
    let (store, mut session) = leaf1("23.7.1");
    ip_vrf(&store);
    let line = "show  network-instance ip-vrf-1 route-table ipv4-unicast prefix 1.1.1.100/32 detail";
    let text = run(&mut session, line).await;
    let rule = "-".repeat(91);
    let expected = format!(
        "\
{rule}
IPv4 unicast route table of network instance ip-vrf-1
{rule}
Destination            : 1.1.1.100/32
ID                     : 0
Route Type             : bgp
Route Owner            : bgp_mgr
Origin Network Instance: ip-vrf-1
Metric                 : 0
Preference             : 169
Active                 : true
Last change            : 2023-08-25T14:28:54.782Z
Resilient hash         : false
{rule}
Next hops: 1 entries
192.168.1.11 (indirect) resolved by route to 192.168.1.0/24 (local)
  via 192.168.1.1 (direct) via [irb1.1]
"
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.contains("10.0.1.2 (indirect) resolved by tunnel to 10.0.1.2/32 (vxlan)\n"), "{text}");
}

#[tokio::test]
async fn bgp_neighbors_are_summarized() {
    let (store, mut session) = leaf1("23.7.1");
    put(&store, "/network-instance[name=default]", json!({ "type": "default" }));
    let counts = |name: &str, numbers: [u32; 3]| {
        json!({ "afi-safi-name": name, "admin-state": "enable", "received-routes": numbers[0],
            "active-routes": numbers[1], "sent-routes": numbers[2] })
    };
    let since = Timestamp::now() - SignedDuration::from_secs(83);
    let neighbor = json!({ "admin-state": "enable", "peer-as": 64601, "peer-group": "spines", "session-state": "established",
        "dynamic-neighbor": true, "last-established": since.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
        "afi-safi": [counts("ipv4-unicast", [4, 4, 5]), counts("ipv6-unicast", [4, 3, 5])] });
    let path = "/network-instance[name=default]/protocols/bgp/neighbor";
    put(&store, &format!("{path}[peer-address=fe80::183a:cff:feff:1%ethernet-1/50.0]"), neighbor);
    put(
        &store,
        &format!("{path}[peer-address=10.1.0.1]"),
        json!({ "peer-as": 64321, "peer-group": "overlay",
        "session-state": "idle", "afi-safi": [counts("evpn", [0, 0, 0])] }),
    );
    let text = run(&mut session, "show network-instance default protocols bgp neighbor").await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "BGP neighbor summary for network-instance \"default\"");
    assert_eq!(
        lines[6],
        "|      Net-Inst      |            Peer             |       Group        | Flags |  Peer-AS  |     State      |     Uptime     |   AFI/SAFI   |       [Rx/Active/Tx]        |"
    );
    assert!(
        lines[8].contains("| 10.1.0.1                    | overlay            | S     | 64321     | idle "),
        "{text}"
    );
    assert!(lines[9].starts_with("| default            | fe80::183a:cff:feff:1%ether | spines             | D     | 64601     | established    | 0d:0h:1m:2"), "{text}");
    assert!(lines[10].starts_with("|                    | net-1/50.0                  |"), "{text}");
    assert!(lines[10].contains("| ipv6-unicast | [4/3/5]"), "{text}");
    assert!(text.ends_with("Summary:\n1 configured neighbors, 0 configured sessions are established,0 disabled peers\n1 dynamic peers\n"), "{text}");
    let one = run(&mut session, "show network-instance default protocols bgp neighbor 10.1.0.1").await;
    assert!(one.contains("10.1.0.1") && !one.contains("fe80"), "{one}");
}

#[tokio::test]
async fn an_unknown_report_is_an_error_that_lists_the_options() {
    let (_, mut session) = leaf1("23.7.1");
    assert_eq!(
        fails(&mut session, "show versions").await,
        "Parsing error: Unknown token 'versions'. Options are ['arpnd', 'interface', 'network-instance', 'system', 'version']\n"
    );
    assert!(fails(&mut session, "show network-instance default x").await.contains("'protocols', 'route-table'"));
    assert!(fails(&mut session, "show network-instance default").await.contains("'protocols', 'route-table'"));
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

#[tonic::async_trait]
impl Applications for Recorder {
    async fn operate(&self, application: &str, operation: &str) -> Result<String, String> {
        if application == "none" {
            return Err("Application 'none' does not exist".to_owned());
        }
        self.0.lock().expect("no test panics while it holds the lock").push(format!("{operation} {application}"));
        Ok(format!("Application '{application}' was killed with signal 9\nApplication '{application}' was restarted"))
    }
}

#[tokio::test]
async fn applications_are_operated_by_tools_commands() {
    let recorder = Arc::new(Recorder::default());
    let store = Datastore::new(SCHEMA.clone());
    let mut session = Session::new(store, SessionOptions::new("leaf1", "25.3.1"), Some(recorder.clone()));
    let line = "/ tools system app-management application k8s-services restart";
    assert_eq!(
        run(&mut session, line).await,
        "\
/system/app-management/application[name=k8s-services]:
    Application 'k8s-services' was killed with signal 9

/system/app-management/application[name=k8s-services]:
    Application 'k8s-services' was restarted
"
    );
    assert_eq!(*recorder.0.lock().expect("no panic"), ["restart k8s-services"]);
    assert!(fails(&mut session, "tools system app-management application none stop").await.contains("does not exist"));
    assert!(fails(&mut session, "tools system app-management application x jump").await.contains("'restart'"));
}

async fn words(session: &Session, line: &str) -> Vec<String> {
    session.complete(line, line.len()).await.suggestions.into_iter().map(|it| it.value).collect()
}

#[tokio::test]
async fn completion_follows_schema_and_data() {
    let (store, mut session) = leaf1("25.10.1");
    services(&store);
    ip_vrf(&store);
    application(&store);
    assert_eq!(words(&session, "inf").await, ["info"]);
    assert_eq!(words(&session, "info from ").await, ["candidate", "running", "state"]);
    assert_eq!(words(&session, "info from state k8s-s").await, ["k8s-services"]);
    assert_eq!(words(&session, "info from state /k8s-s").await, ["k8s-services"]);
    assert_eq!(words(&session, "info from state k8s-services cluster ").await, ["*", "c1"]);
    assert_eq!(words(&session, "info from state k8s-services cluster c1 service default n").await, ["name"]);
    assert_eq!(
        words(&session, "info from state k8s-services cluster c1 service default name ").await,
        ["*", "api", "web"]
    );
    let path = "info from state k8s-services cluster c1 service default name web vip ";
    assert_eq!(words(&session, path).await, ["*", "1.1.1.100", "1.1.1.20"]);
    assert_eq!(words(&session, "info from state bfd | as ").await, ["json", "table", "text", "yaml"]);
    assert_eq!(words(&session, "show network-instance ip-vrf-1 r").await, ["route-table"]);
    assert_eq!(words(&session, "show network-instance ").await, ["*", "ip-vrf-1", "summary"]);
    assert!(
        words(&session, "tools system app-management application srl").await.contains(&"srl_basic_agent".to_owned())
    );
    assert!(words(&session, "tools system app-management application x re").await.contains(&"restart".to_owned()));
    assert_eq!(words(&session, "se").await, Vec::<String>::new());
    run(&mut session, "enter candidate").await;
    assert_eq!(words(&session, "se").await, ["set"]);
    assert_eq!(words(&session, "set / k8s-services admin-state ").await, ["disable", "enable"]);
    let completion = session.complete("info from state k8s-services clu", 32).await;
    assert_eq!(completion.start, 29);
    assert!(completion.suggestions[0].description.is_some());
}

#[tokio::test]
async fn sessions_are_served_on_a_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("cli");
    let (store, _) = leaf1("25.10.1");
    services(&store);
    let options = SessionOptions::new("leaf1", "25.10.1");
    let factory: Factory = Arc::new(move || Session::new(store.clone(), options.clone(), None));
    let listener = UnixListener::bind(&socket).expect("a socket");
    let server = tokio::spawn(serve(listener, factory));
    tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(&socket).expect("a session");
        assert!(client.banner().contains("Welcome to the Nokia SR Linux CLI."));
        assert_eq!(client.prompt_text(), "--{ running }--[  ]--\nA:admin@leaf1# ");
        let output = client.execute("info from state k8s-services summary").expect("an answer");
        assert_eq!((output.text.as_str(), output.status), ("    vips 2\n", 0));
        client.execute("enter candidate").expect("an answer");
        assert!(client.prompt_text().starts_with("--{ candidate shared default }--"));
        assert_eq!(client.complete("comm", 4).expect("an answer").suggestions[0].value, "commit");
        assert_eq!(client.execute("nonsense").expect("an answer").status, 1);
        let mut printed = String::new();
        let status = client.script(["pwc", "nonsense", "pwc"], true, |text| printed.push_str(text));
        assert_eq!(status.expect("an answer"), 1);
        assert!(printed.starts_with("/ \nParsing error: Unknown token 'nonsense'."), "{printed}");
        assert_eq!(printed.lines().count(), 2, "{printed}");
        assert!(client.execute("quit").expect("an answer").quit);
    })
    .await
    .expect("the client ends");
    server.abort();
}
