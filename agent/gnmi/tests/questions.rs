//! Questions of the engine, answered by Gets and by subscriptions to ARP entries.

use super::*;

fn neighbor_question() -> (NeighborKey, Inquiry) {
    let peer = PeerAddress { ip: [192, 168, 1, 11].into(), interface: None };
    let key = NeighborKey { network_instance: "default".into(), peer };
    let inquiry = Inquiry::from([(Question::Neighbor(key.clone()), Asking::Repeatedly)]);
    (key, inquiry)
}

#[tokio::test]
async fn a_question_of_the_engine_is_answered_with_one_get() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let words = json!({"last-event": "recvNotify", "received-messages": {"last-notification-error-code": "Cease"}});
    server.rules(|rules| rules.answers = vec![(NEIGHBOR, words.to_string())]);
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    assert_eq!(server.rules(|rules| rules.gets.len()), 0, "nothing is asked while all is up");
    let (key, inquiry) = neighbor_question();
    agent.inquiry.send_replace(inquiry);
    let (question, finding) = loop {
        if let Event::Finding(question, finding) = agent.event().await {
            break (question, finding);
        }
    };
    assert_eq!(question, Question::Neighbor(key));
    let Answer::Neighbor(words) = finding.answer else { panic!("words of a neighbor: {finding:?}") };
    assert_eq!(words.received.map(|one| one.code.to_string()).as_deref(), Some("Cease"));
    assert_eq!(server.rules(|rules| rules.gets.clone()), [1]);
}

#[tokio::test]
async fn a_withdrawn_question_is_not_asked() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(neighbor_question().1);
    agent.inquiry.send_replace(Inquiry::default());
    assert!(tokio::time::timeout(Duration::from_millis(1300), agent.event()).await.is_err());
    assert_eq!(server.rules(|rules| rules.gets.len()), 0);
}

const ENTRY: &str = "/srl_nokia-interfaces:interface[name=irb1]/subinterface[index=1]/ipv4/srl_nokia-interfaces-nbr:arp\
                     /neighbor[ipv4-address=10.20.0.100]";
const MEMBER: &str = "/srl_nokia-network-instance:network-instance[name=default]/interface[name=irb1.1]";

/// Asks to follow who answers for 10.20.0.100.
fn followed() -> Inquiry {
    let key = AddressKey { network_instance: "default".into(), address: [10, 20, 0, 100].into() };
    Inquiry::from([(Question::Place(key), Asking::Followed)])
}

/// Returns the next finding about who answers.
async fn place(agent: &mut Agent) -> Place {
    loop {
        if let Event::Finding(Question::Place(_), finding) = agent.event().await {
            let Answer::Place(place) = finding.answer else { panic!("a place: {finding:?}") };
            return place;
        }
    }
}

/// Returns the finding once this MAC has answered.
async fn until_mac(agent: &mut Agent, mac: &str) -> Place {
    loop {
        let place = place(agent).await;
        if place.answers && place.link_layer_address.as_deref() == Some(mac) {
            return place;
        }
    }
}

fn answers(subscription: &Subscription, mac: &str) {
    subscription.update(ENTRY, &json!({ "link-layer-address": mac }).to_string());
}

fn modes(subscription: &Subscription) -> BTreeSet<i32> {
    subscription.list.subscription.iter().map(|one| one.mode).collect()
}

#[tokio::test]
async fn arp_entries_are_followed_by_samples_and_their_place_asked_once() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(followed());
    let entries = server.subscription().await;
    assert_eq!(entries.leaves(), ["link-layer-address", "oper-state"]);
    assert_eq!(modes(&entries), [SubscriptionMode::Sample.into()].into());
    entries.update(MEMBER, r#"{"oper-state":"up"}"#);
    answers(&entries, "AA:C1:AB:00:00:11");
    entries.sync();
    assert_eq!(until_mac(&mut agent, "AA:C1:AB:00:00:11").await.subinterface.as_deref(), Some("irb1.1"));
    answers(&entries, "AA:C1:AB:00:00:12");
    until_mac(&mut agent, "AA:C1:AB:00:00:12").await;
    entries.delete(ENTRY);
    while place(&mut agent).await.answers {}
    // The address is still followed, so that a Get has less to report about it.
    server.rules(|rules| rules.answers = vec![(ENTRY, json!({ "link-layer-address": "old" }).to_string())]);
    answers(&entries, "AA:C1:AB:00:00:13");
    let place = until_mac(&mut agent, "AA:C1:AB:00:00:13").await;
    assert_eq!(place.port, None);
}

#[tokio::test]
async fn arp_entries_are_followed_on_change_if_the_server_refuses_samples() {
    let folder = folder();
    let rules = Rules { no_samples_of: Some("arp"), ..Rules::default() };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(followed());
    let entries = server.subscription().await;
    assert_eq!(modes(&entries), [SubscriptionMode::OnChange.into()].into());
    answers(&entries, "AA:C1:AB:00:00:11");
    entries.sync();
    until_mac(&mut agent, "AA:C1:AB:00:00:11").await;
    assert_eq!(agent.adapted().1, ["sample"]);
}

#[tokio::test]
async fn arp_entries_are_polled_by_get_if_they_cannot_be_subscribed_to() {
    let folder = folder();
    let rules = Rules {
        unknown_element: Some("arp"),
        answers: vec![(ENTRY, json!({ "link-layer-address": "AA:C1:AB:00:00:11" }).to_string())],
        ..Rules::default()
    };
    let mut server = Server::start(&socket(&folder), rules);
    let mut agent = Agent::start(&folder, &[], |_| {});
    let state = server.subscription().await;
    agent.synced(&state).await;
    agent.inquiry.send_replace(followed());
    until_mac(&mut agent, "AA:C1:AB:00:00:11").await;
    server.rules(|rules| rules.answers[0].1 = json!({ "link-layer-address": "AA:C1:AB:00:00:12" }).to_string());
    until_mac(&mut agent, "AA:C1:AB:00:00:12").await;
    let entries = "/interface[name=*]/subinterface[index=*]/ipv4/arp/neighbor[ipv4-address=*]/link-layer-address";
    assert_eq!(agent.adapted().1, [entries]);
}

#[tokio::test]
async fn arp_entries_are_polled_while_a_rate_limit_delays_their_subscription() {
    let folder = folder();
    let mut server = Server::start(&socket(&folder), Rules::default());
    let mut agent = Agent::start(&folder, &[], |options| options.limit_pause = Duration::from_secs(1));
    let state = server.subscription().await;
    agent.synced(&state).await;
    server.rules(|rules| {
        rules.exhausted = 1;
        rules.answers = vec![(ENTRY, json!({ "link-layer-address": "AA:C1:AB:00:00:11" }).to_string())];
    });
    agent.inquiry.send_replace(followed());
    until_mac(&mut agent, "AA:C1:AB:00:00:11").await;
    let entries = server.subscription().await;
    answers(&entries, "AA:C1:AB:00:00:12");
    entries.sync();
    until_mac(&mut agent, "AA:C1:AB:00:00:12").await;
}
