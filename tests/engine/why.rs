//! Tests of causes in alarms: their texts follow the findings, but cause no second notification.

use std::time::Duration;

use srl_k8s_services::model::alarm::{AlarmType, AlarmView, NotificationEvent};
use srl_k8s_services::model::cluster::Service;
use srl_k8s_services::model::cluster::TrafficPolicy::Cluster;
use srl_k8s_services::model::config::AnnouncementMode;
use srl_k8s_services::model::event::Event;
use srl_k8s_services::model::inquiry::{Answer, Finding, NeighborWords, Notification, Question};
use srl_k8s_services::model::switch::SessionState;
use srl_k8s_services::model::verdict::OperState::Down;
use srl_k8s_services::model::verdict::{ProbableCause, Reason};

use crate::scenario::{C1, Family, Scenario, VRF, at, neighbor_key};

const V4: Family = Family::V4;
const RAISE: Duration = Duration::from_secs(10);

/// Nodes n1 and n2 carry a VIP, and the session of n2 has just gone down.
fn session_lost() -> Scenario {
    let mut leaf = Scenario::new();
    leaf.configure(|config| config.alarm_policy.raise_hold = RAISE);
    leaf.attached("n1", V4.node(1)).attached("n2", V4.node(2));
    leaf.service("web", Cluster, &[V4.vip(100)])
        .ready("web", &["n1", "n2"])
        .bgp(V4.vip(100), &[V4.node(1), V4.node(2)]);
    leaf.session(V4.node(2), SessionState::Active).bgp(V4.vip(100), &[V4.node(1)]);
    leaf
}

/// A leaf like that of [`session_lost`], with the alarm raised.
fn alarmed() -> Scenario {
    let mut leaf = session_lost();
    leaf.pass(RAISE + Duration::from_secs(2));
    leaf
}

fn shut_down(leaf: &mut Scenario) {
    let at = at(leaf.elapsed).wall;
    let notification =
        Notification { at: Some(at), code: "Cease".into(), subcode: Some("Administrative Shutdown".into()) };
    let words = NeighborWords { received: Some(notification), ..NeighborWords::default() };
    let question = Question::Neighbor(neighbor_key(VRF, V4.node(2)));
    leaf.tell(Event::Finding(question, Finding { at, answer: Answer::Neighbor(words) }));
}

fn alarm(leaf: &Scenario) -> AlarmView {
    let alarm = leaf.said.alarms.active.iter().find(|(key, _)| key.to_string() == "neighbor-session-down/c1/n2");
    alarm.expect("it is raised").1.clone()
}

#[test]
fn an_alarm_text_gets_its_cause_within_ten_seconds_without_a_notification() {
    let mut leaf = alarmed();
    let told = |leaf: &Scenario| leaf.said.alarms.notifications.len();
    let (before, raised) = (told(&leaf), alarm(&leaf));
    assert_eq!(raised.cause, None);
    shut_down(&mut leaf);
    leaf.pass(Duration::from_secs(10));
    let now = alarm(&leaf);
    assert_eq!(now.cause, Some(ProbableCause::PeerShutdown));
    assert!(now.text.contains("192.168.1.12 sent NOTIFICATION Cease (Administrative Shutdown)"), "{}", now.text);
    assert!(now.text.ends_with("; 1 VIP has lost this next-hop"), "{}", now.text);
    assert_eq!((now.raised, now.occurrences), (raised.raised, raised.occurrences));
    assert_eq!(told(&leaf), before, "no trap and no line for a text");
    // A text is written only once: the same finding again changes nothing.
    shut_down(&mut leaf);
    leaf.pass(Duration::from_secs(1));
    assert_eq!(alarm(&leaf).last_change, now.last_change);
}

#[test]
fn a_cause_known_in_time_is_included_in_the_notification() {
    let mut leaf = session_lost();
    shut_down(&mut leaf);
    leaf.pass(RAISE + Duration::from_secs(2));
    let raised = leaf.said.alarms.notifications.iter().find(|told| told.event == NotificationEvent::Raised);
    let raised = &raised.expect("it is raised").alarm;
    assert_eq!(raised.cause, Some(ProbableCause::PeerShutdown));
    assert!(raised.text.contains("Administrative Shutdown"), "{}", raised.text);
}

#[test]
fn an_address_that_its_speaker_never_announces_raises_no_alarm() {
    let external = "203.0.113.7".parse().expect("an address");
    let mut leaf = Scenario::new();
    leaf.cluster(C1, |cluster| cluster.source.include_external_ips = true);
    leaf.attached("n1", V4.node(1));
    leaf.service_in(C1, "web", Service { external_ips: [external].into(), ..Service::default() }).ready("web", &["n1"]);
    leaf.expect(external, Down, Some(Reason::NoAnnouncer), &[&"MetalLB does not announce spec.externalIPs"]);
    leaf.pass(Duration::from_secs(60));
    assert!(leaf.said.alarms.active.is_empty(), "{:?}", leaf.said.alarms.active);
}

#[test]
fn an_l2_vip_never_raises_a_missing_route() {
    let vip = V4.vip(100);
    let mut leaf = Scenario::new();
    leaf.cluster(C1, |cluster| cluster.rules.announcement = AnnouncementMode::L2);
    leaf.node("n1", &[V4.node(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
    leaf.pass(Duration::from_secs(60));
    let kinds: Vec<AlarmType> = leaf.said.alarms.active.keys().map(|key| key.kind).collect();
    assert!(!kinds.contains(&AlarmType::VipRouteMissing) && kinds.contains(&AlarmType::VipBlackholed), "{kinds:?}");
}
