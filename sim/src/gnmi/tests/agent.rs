//! Tests the agent's own gNMI source with this server, within the request limit of the factory.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use srl_k8s_services::gnmi::{Credentials, Options, PasswordFile, Source};
use srl_k8s_services::model::event::{Event, SourceEvent, Update};
use srl_k8s_services::model::inquiry::Inquiry;
use srl_k8s_services::model::names::NetworkInstanceName;
use tokio::sync::{mpsc, watch};

use super::*;

const ROUTE: &str = "/network-instance[name=vrf]/route-table/ipv4-unicast/route[ipv4-prefix=1.1.1.100/32][id=0]\
                     [route-type=bgp][route-owner=bgp_mgr][origin-network-instance=vrf]";

fn programming(failed: &str) -> Value {
    json!({"active": true, "fib-programming": {"pending-operation-type": "none", "last-failed-operation-type": failed}})
}

async fn until(events: &mut mpsc::Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = events.recv().await.expect("the source runs");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the event comes")
}

fn session(event: &Event) -> Option<String> {
    match event {
        Event::Neighbors(Update::Set(_, neighbor)) => Some(format!("{:?}", neighbor.session).to_lowercase()),
        _ => None,
    }
}

#[tokio::test]
async fn the_agent_follows_sessions_and_fib_programming_across_a_restart_of_the_server() {
    let lab = Lab::with(GnmiOptions::new()).await;
    lab.neighbor("established");
    lab.write(ROUTE, programming("none"));
    let password = lab.folder.path().join("password");
    std::fs::write(&password, "NokiaSrl1!\n").expect("a password file");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("its permissions");
    let credentials = Credentials { username: "admin".to_owned(), password_file: PasswordFile::Required(password) };
    let endpoint = format!("unix://{}", lab.folder.path().join(SOCKET_NAME).display());
    let options = Options::new(endpoint.parse().expect("an endpoint"), credentials);
    let (sender, mut events) = mpsc::channel(64);
    let instances = watch::Sender::new(BTreeSet::from([NetworkInstanceName::from("vrf")]));
    let reload = watch::Sender::new(0);
    let inquiry = watch::Sender::new(Inquiry::default());
    let (instances, reload) = (instances.subscribe(), reload.subscribe());
    let source = tokio::spawn(Source::new(options, sender, instances, inquiry.subscribe(), reload).run());

    let all = until(&mut events, |event| matches!(event, Event::Neighbors(Update::All(_)))).await;
    assert!(matches!(&all, Event::Neighbors(Update::All(neighbors)) if neighbors.len() == 1), "{all:?}");
    until(&mut events, |event| matches!(event, Event::Source(_, SourceEvent::Synced))).await;
    lab.neighbor("idle");
    until(&mut events, |event| session(event).is_some_and(|session| session.contains("idle"))).await;
    lab.write(ROUTE, programming("add"));
    until(&mut events, |event| matches!(event, Event::Fib(Update::Set(..)))).await;
    lab.write(ROUTE, programming("none"));
    until(&mut events, |event| matches!(event, Event::Fib(Update::Gone(_)))).await;
    lab.delete(NEIGHBOR);
    until(&mut events, |event| matches!(event, Event::Neighbors(Update::Gone(_)))).await;

    lab.gnmi.stop();
    until(&mut events, |event| matches!(event, Event::Source(_, SourceEvent::Lost(_)))).await;
    lab.neighbor("established");
    lab.gnmi.start().await.expect("the server starts");
    let all = until(&mut events, |event| matches!(event, Event::Neighbors(Update::All(_)))).await;
    assert!(matches!(&all, Event::Neighbors(Update::All(neighbors)) if neighbors.len() == 1), "{all:?}");
    source.abort();
}
