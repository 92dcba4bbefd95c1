//! Alarms as an operator meets them: when they are raised and cleared, what they stand for, and what they say.

use std::time::Duration;

use srl_k8s_services::engine::Engine;
use srl_k8s_services::model::alarm::{
    AlarmRecord, AlarmType, AlarmView, ClearedBecause, LONGEST_TEXT, NotificationEvent, Severity,
};
use srl_k8s_services::model::cluster::{AddressFamily, Node, Service, TrafficPolicy};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, SourceId, SwitchEvent, Update};
use srl_k8s_services::model::persistent::PersistentState;
use srl_k8s_services::model::speaker::{ObjectKey, Pool, ResourceState, SpeakerObject, SpeakerResource};
use srl_k8s_services::model::switch::{FibFaultKind, SessionState};
use srl_k8s_services::model::time::Now;
use srl_k8s_services::model::verdict::Owner;

use crate::said::State;
use crate::scenario::{BGP, C1, Scenario, VRF, at, cluster_config, endpoint, ip, key, load_balancer, net, vtep};
use crate::world::World;

const ROUTE_MISSING: &str = "vip-route-missing/c1/default/web/1.1.1.100";
const DEGRADED: &str = "vip-degraded/c1/default/web/1.1.1.100";
const BLACKHOLED: &str = "vip-blackholed/c1/default/web/1.1.1.100";
const NO_ENDPOINT: &str = "vip-no-endpoint/c1/default/web/1.1.1.100";
const SESSION_DOWN: &str = "neighbor-session-down/c1/n2";
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn node(n: usize) -> std::net::IpAddr {
    ip(&format!("192.168.1.1{n}"))
}

fn vip(n: usize) -> std::net::IpAddr {
    ip(&format!("1.1.1.{}", 99 + n))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Scenario {
    /// Three attached nodes carry the VIP of service web.
    fn carried() -> Self {
        let mut leaf = Self::new();
        leaf.config.alarm_policy.raise_hold = Duration::from_secs(10);
        leaf.config.alarm_policy.clear_hold = Duration::from_secs(5);
        leaf.configure(|_| {});
        for (index, name) in NODES.into_iter().enumerate() {
            leaf.attached(name, node(index + 1));
        }
        leaf.carry(1, "web");
        leaf
    }

    /// One more service whose VIP all three nodes carry.
    fn carry(&mut self, n: usize, name: &str) -> &mut Self {
        self.service(name, TrafficPolicy::Cluster, &[vip(n)]).ready(name, &NODES).via(n, &[1, 2, 3])
    }

    /// The route of the n-th VIP goes to these nodes.
    fn via(&mut self, n: usize, nodes: &[usize]) -> &mut Self {
        let hops: Vec<_> = nodes.iter().map(|n| node(*n)).collect();
        self.bgp(vip(n), &hops)
    }

    fn no_route(&mut self) -> &mut Self {
        self.withdraw(vip(1))
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.pass(Duration::from_secs(seconds))
    }

    fn holds(&mut self, raise: u64, clear: u64, history: u16) -> &mut Self {
        self.configure(|config| {
            config.alarm_policy.raise_hold = Duration::from_secs(raise);
            config.alarm_policy.clear_hold = Duration::from_secs(clear);
            config.alarm_policy.history_size = history;
        })
    }

    fn back(&mut self, source: SourceId) -> &mut Self {
        self.source(source, SourceEvent::Synced)
    }

    #[track_caller]
    fn alarmed(&mut self, ids: &[&str]) -> &mut Self {
        let active: Vec<String> = self.said.alarms.active.keys().map(ToString::to_string).collect();
        assert_eq!(active, ids);
        assert_eq!(self.said.alarms.counts.active.iter().sum::<u32>() as usize, ids.len(), "the summary counts them");
        self
    }

    #[track_caller]
    fn alarm(&self, id: &str) -> &AlarmView {
        let mut active = self.said.alarms.active.iter();
        active.find(|(key, _)| key.to_string() == id).unwrap_or_else(|| panic!("{id} is not active")).1
    }

    #[track_caller]
    fn record(&self, id: &str) -> &AlarmRecord {
        let mut records = self.said.alarms.history.values();
        records.rfind(|record| record.key.to_string() == id).unwrap_or_else(|| panic!("{id} was not cleared"))
    }

    fn events(&self, wanted: impl Fn(NotificationEvent) -> bool) -> usize {
        self.said.alarms.notifications.iter().filter(|notification| wanted(notification.event)).count()
    }

    fn raised(&self) -> usize {
        self.events(|event| event == NotificationEvent::Raised)
    }

    /// The process ends; another one starts with what was saved, and hears of nothing yet.
    fn restarted(&mut self) -> &mut Self {
        let saved = self.engine.persistent_state(at(self.elapsed));
        let text = serde_json::to_string(&saved).expect("it is saved as JSON");
        let memory: PersistentState = serde_json::from_str(&text).expect("and read again");
        assert_eq!(memory, saved);
        (self.engine, self.world, self.said) = (Engine::new(), World::default(), State::default());
        self.event(Event::Restored(memory))
    }

    /// It hears of the switch and the cluster again, with the VIP's route to these nodes.
    fn heard_again(&mut self, nodes: &[usize]) -> &mut Self {
        self.configure(|_| {});
        for name in ["default", VRF] {
            self.network_instance(name, Some(1));
        }
        self.event(Event::Switch(SwitchEvent::Application(BGP, Some("bgp_mgr".into()))));
        for (index, name) in NODES.into_iter().enumerate() {
            self.attached(name, node(index + 1));
        }
        self.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &NODES);
        if !nodes.is_empty() {
            self.via(1, nodes);
        }
        self.source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
        self.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced)
    }
}

// ---- hold times ----

#[test]
fn a_missing_route_is_raised_after_the_hold_time() {
    let mut leaf = Scenario::carried();
    leaf.alarmed(&[]).no_route().after(9).alarmed(&[]).after(1).alarmed(&[ROUTE_MISSING]);
    let alarm = leaf.alarm(ROUTE_MISSING);
    assert_eq!((alarm.severity, alarm.owner, alarm.affected), (Severity::Critical, Owner::Network, 1));
    assert!(
        alarm.text.starts_with("VIP 1.1.1.100 of default/web in cluster c1: no route in ip-vrf-1"),
        "{}",
        alarm.text
    );
    assert!(leaf.engine.deadline().is_none_or(|due| due > leaf.elapsed), "nothing is due at once");
}

#[test]
fn it_is_cleared_once_it_has_been_well_for_the_hold_time() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(1, &[1, 2, 3]).after(4).alarmed(&[ROUTE_MISSING]).after(1).alarmed(&[]);
    let record = leaf.record(ROUTE_MISSING);
    assert_eq!((record.sequence, record.because), (1, ClearedBecause::Well));
    assert_eq!(record.cleared.duration_since(record.raised).as_secs(), 5);
    assert_eq!((record.severity, record.owner, record.affected), (Severity::Critical, Owner::Network, 1));
}

#[test]
fn a_fault_that_ends_within_the_hold_time_raises_nothing() {
    Scenario::carried().no_route().after(9).via(1, &[1, 2, 3]).after(60).alarmed(&[]);
}

#[test]
fn going_from_fault_to_fault_is_no_break_and_raises_what_it_is_then() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]).after(4).no_route().after(4).slice(C1, "web", AddressFamily::Ipv4, &[]);
    leaf.after(1).alarmed(&[]).after(1).alarmed(&[NO_ENDPOINT]);
}

#[test]
fn a_flapping_fault_is_one_alarm_that_counts() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10);
    for _ in 0..3 {
        leaf.via(1, &[1, 2, 3]).after(2).no_route().after(2);
    }
    leaf.after(10).alarmed(&[ROUTE_MISSING]);
    assert_eq!((leaf.alarm(ROUTE_MISSING).occurrences, leaf.raised()), (4, 1));
    leaf.via(1, &[1, 2, 3]).after(5).alarmed(&[]);
    assert_eq!(leaf.said.alarms.history.len(), 1);
}

#[test]
fn without_hold_times_it_is_raised_and_cleared_at_once() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 100).no_route().alarmed(&[ROUTE_MISSING]).via(1, &[1, 2, 3]).alarmed(&[]);
}

#[test]
fn a_new_hold_time_applies_to_what_is_pending() {
    Scenario::carried().no_route().after(3).holds(2, 5, 100).after(0).alarmed(&[ROUTE_MISSING]);
    let mut leaf = Scenario::carried();
    leaf.no_route().after(3).holds(60, 5, 100).after(20).alarmed(&[]).after(40).alarmed(&[ROUTE_MISSING]);
}

// ---- one alarm for each VIP ----

#[test]
fn type_and_severity_follow_the_verdict_and_the_time_stays() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).alarmed(&[ROUTE_MISSING]);
    let raised = leaf.alarm(ROUTE_MISSING).raised;
    leaf.after(60).slice(C1, "web", AddressFamily::Ipv4, &[]).alarmed(&[NO_ENDPOINT]);
    let alarm = leaf.alarm(NO_ENDPOINT);
    assert_eq!((alarm.raised, alarm.severity, alarm.owner), (raised, Severity::Minor, Owner::Application));
    let record = leaf.record(ROUTE_MISSING);
    assert_eq!(record.because, ClearedBecause::Became(AlarmType::VipNoEndpoint));
    assert!(record.text.ends_with("; became vip-no-endpoint"), "{}", record.text);
}

#[test]
fn becoming_unknown_changes_nothing() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).lost(SourceId::Ndk).after(60);
    leaf.alarmed(&[ROUTE_MISSING, "source-stale/ndk"]);
    leaf.back(SourceId::Ndk).after(30).alarmed(&[ROUTE_MISSING]);
    assert_eq!(leaf.alarm(ROUTE_MISSING).occurrences, 1, "it was never gone");
}

#[test]
fn nothing_is_raised_for_the_time_it_was_not_known() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(5).lost(SourceId::Ndk).after(60).alarmed(&["source-stale/ndk"]);
    leaf.back(SourceId::Ndk).after(9).alarmed(&[]).after(1).alarmed(&[ROUTE_MISSING]);
}

#[test]
fn a_verdict_that_is_unknown_when_its_source_returns_starts_no_clock() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(2).source(SourceId::Ndk, SourceEvent::Syncing).network_instance("ip-vrf-2", Some(1));
    leaf.source(SourceId::Ndk, SourceEvent::Synced).after(60).alarmed(&["network-instance-missing/c1"]);
}

#[test]
fn an_application_fault_is_minor_and_the_application_s() {
    let mut leaf = Scenario::carried();
    leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("web-0", "n1", false, false)])
        .after(10)
        .alarmed(&[NO_ENDPOINT]);
    let alarm = leaf.alarm(NO_ENDPOINT);
    assert_eq!((alarm.severity, alarm.owner), (Severity::Minor, Owner::Application));
}

#[test]
fn a_service_without_an_address_is_a_warning_of_the_cluster_s() {
    let mut leaf = Scenario::carried();
    leaf.service("second", TrafficPolicy::Cluster, &[]).after(10).alarmed(&["vip-address-pending/c1/default/second"]);
    let alarm = leaf.alarm("vip-address-pending/c1/default/second");
    assert_eq!((alarm.severity, alarm.owner), (Severity::Warning, Owner::Cluster));
}

// ---- sessions ----

#[test]
fn a_lost_session_is_one_alarm_that_counts_the_vips_behind_it() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns").session(node(2), SessionState::Active).via(1, &[1, 3]).via(2, &[1, 3]).after(10);
    leaf.alarmed(&[SESSION_DOWN]);
    let alarm = leaf.alarm(SESSION_DOWN);
    let text = "BGP session with 192.168.1.12 (node n2) is down (state active); 2 VIPs have lost this next-hop";
    assert_eq!((&*alarm.text, alarm.affected, alarm.owner), (text, 1, Owner::Network));
}

#[test]
fn a_next_hop_missing_beside_a_lost_session_is_an_alarm_of_its_own() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Active).via(1, &[1]).after(10).alarmed(&[DEGRADED, SESSION_DOWN]);
}

#[test]
fn a_missing_route_is_not_swallowed_by_the_alarm_of_a_session() {
    let mut leaf = Scenario::carried();
    leaf.vanish(node(1)).vanish(node(3)).kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n1".into())));
    leaf.kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n3".into())));
    leaf.session(node(2), SessionState::Idle).no_route().after(10);
    leaf.alarmed(&[ROUTE_MISSING, SESSION_DOWN]);
}

#[test]
fn a_vip_is_raised_while_its_session_flaps_too_fast_for_an_alarm() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]);
    for _ in 0..8 {
        leaf.session(node(2), SessionState::Idle).pass(ms(1500)).up(node(2)).pass(ms(1500));
    }
    leaf.alarmed(&[DEGRADED]);
    assert_eq!(leaf.raised(), 1);
}

#[test]
fn a_session_lost_a_moment_after_its_routes_is_still_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]).pass(ms(700)).session(node(2), SessionState::Idle).after(30).alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.raised(), 1, "the VIP waits for the session to be raised");
}

#[test]
fn routes_that_return_after_their_session_raise_nothing() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(60).up(node(2)).after(3).via(1, &[1, 2, 3]);
    leaf.after(60).alarmed(&[]);
    assert_eq!((leaf.raised(), leaf.said.alarms.history.len()), (1, 1));
}

#[test]
fn a_vip_that_stays_degraded_after_its_session_returned_is_raised() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(60).up(node(2)).after(14).alarmed(&[]);
    leaf.after(1).alarmed(&[DEGRADED]);
}

#[test]
fn a_degraded_vip_becomes_the_alarm_of_the_session_that_explains_it() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]).after(10).alarmed(&[DEGRADED]).session(node(2), SessionState::Idle).after(10);
    leaf.alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.record(DEGRADED).because, ClearedBecause::Became(AlarmType::NeighborSessionDown));
}

#[test]
fn a_session_nobody_needs_any_more_is_cleared_and_says_so() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).alarmed(&[SESSION_DOWN]);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("web")))).after(5).alarmed(&[]);
    assert_eq!(leaf.record(SESSION_DOWN).because, ClearedBecause::NothingToAnnounce);
}

#[test]
fn all_nodes_lost_at_once_are_one_alarm_and_their_vips_another() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns");
    for n in 1..=3 {
        leaf.session(node(n), SessionState::Idle);
    }
    leaf.withdraw(vip(1)).withdraw(vip(2)).after(10).alarmed(&["vip-route-missing/c1", "neighbor-session-down/c1"]);
    let sessions = leaf.alarm("neighbor-session-down/c1");
    assert_eq!(sessions.affected, 3);
    assert!(
        sessions.text.starts_with("BGP sessions with 3 nodes of cluster c1 are down: n1, n2, n3"),
        "{}",
        sessions.text
    );
    let vips = leaf.alarm("vip-route-missing/c1");
    assert_eq!((vips.affected, vips.severity), (2, Severity::Critical));
    assert!(vips.text.starts_with("2 VIPs of cluster c1 without a route: 1.1.1.101 (default/dns), "), "{}", vips.text);
    leaf.up(node(1)).after(20).alarmed(&["vip-route-missing/c1", "neighbor-session-down/c1"]);
    assert_eq!(leaf.alarm("neighbor-session-down/c1").affected, 2, "members come and go, the alarm stays");
    assert_eq!(leaf.raised(), 2);
}

#[test]
fn the_alarm_of_a_session_outlives_gnmi() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).lost(SourceId::Gnmi).after(60);
    leaf.alarmed(&[SESSION_DOWN, "source-stale/gnmi"]).back(SourceId::Gnmi).after(30).alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.raised(), 2);
    leaf.up(node(2)).via(1, &[1, 2, 3]).after(5).alarmed(&[]);
}

#[test]
fn a_session_that_returned_while_gnmi_was_lost_is_cleared_afterwards() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).lost(SourceId::Gnmi).via(1, &[1, 2, 3]);
    leaf.after(60).alarmed(&[SESSION_DOWN, "source-stale/gnmi"]);
    leaf.up(node(2)).back(SourceId::Gnmi).after(5).alarmed(&[]);
}

// ---- sources ----

#[test]
fn a_route_lost_while_gnmi_is_lost_is_raised_all_the_same() {
    Scenario::carried()
        .lost(SourceId::Gnmi)
        .after(60)
        .no_route()
        .after(10)
        .alarmed(&[ROUTE_MISSING, "source-stale/gnmi"]);
}

#[test]
fn a_failure_in_the_fib_is_not_forgotten_while_gnmi_is_lost() {
    let mut leaf = Scenario::carried();
    leaf.fib(vip(1), Some(FibFaultKind::Failed)).after(10).alarmed(&[BLACKHOLED]);
    leaf.lost(SourceId::Gnmi).after(60).alarmed(&[BLACKHOLED, "source-stale/gnmi"]);
    leaf.back(SourceId::Gnmi).after(10).alarmed(&[BLACKHOLED]);
    leaf.fib(vip(1), None).after(5).alarmed(&[]);
}

#[test]
fn a_lost_api_server_is_one_alarm_whose_reason_does_not_chatter() {
    let api = || SourceId::Kubernetes(C1.into());
    let mut leaf = Scenario::carried();
    leaf.lost(api()).after(10).alarmed(&["source-stale/kubernetes/c1"]);
    let owner = leaf.alarm("source-stale/kubernetes/c1").owner;
    assert_eq!(owner, Owner::Cluster);
    let written = |leaf: &Scenario| leaf.alarm("source-stale/kubernetes/c1").last_change;
    let first = written(&leaf);
    leaf.after(3).source(api(), SourceEvent::Lost("no route to host".into()));
    assert_eq!(written(&leaf), first, "a text is written at most every 10 s");
    leaf.after(7);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.contains(": no route to host; its VIPs are judged by data received until then"), "{text}");
    assert_eq!(leaf.events(|_| true), 1, "a text that changes is no notification");
    leaf.source(api(), SourceEvent::Synced).after(5).alarmed(&[]);
}

#[test]
fn a_source_that_never_answered_is_given_half_a_minute() {
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    leaf.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced);
    leaf.lost(SourceId::Kubernetes(C1.into())).after(39).alarmed(&[]).after(1).alarmed(&["source-stale/kubernetes/c1"]);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.starts_with("cluster c1 is not read: connection refused; its services are not known"), "{text}");
}

#[test]
fn a_source_s_reason_is_one_printable_line_of_bounded_length() {
    let mut leaf = Scenario::carried();
    let page = format!("<html>\u{1b}[31m{}</html>\nmore", "x".repeat(5000));
    leaf.source(SourceId::Kubernetes(C1.into()), SourceEvent::Lost(page.as_str().into())).after(10);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.len() <= LONGEST_TEXT && !text.contains(['\n', '\u{1b}']), "{text}");
    assert!(text.ends_with("its VIPs are judged by data received until then"), "{text}");
}

#[test]
fn a_network_instance_that_goes_clears_no_session_s_alarm() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).network_instance(VRF, None).after(60);
    leaf.alarmed(&[SESSION_DOWN, "network-instance-missing/c1"]);
}

// ---- one cause, one alarm ----

#[test]
fn a_missing_network_instance_is_one_alarm_and_says_what_there_is() {
    let mut leaf = Scenario::carried();
    leaf.network_instance(VRF, None).after(10).alarmed(&["network-instance-missing/c1"]);
    let text = &leaf.alarm("network-instance-missing/c1").text;
    assert!(text.contains("network-instance ip-vrf-1") && text.contains("(there is default, ip-vrf-2)"), "{text}");
}

#[test]
fn clusters_of_one_missing_network_instance_are_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.cluster("c2", |cluster| cluster.rules.network_instance = VRF.into());
    leaf.network_instance(VRF, None).after(11).alarmed(&["network-instance-missing/network-instance/ip-vrf-1"]);
    assert_eq!(leaf.alarm("network-instance-missing/network-instance/ip-vrf-1").affected, 2);
}

#[test]
fn vips_of_a_wrong_network_instance_are_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns");
    let hops = [node(1), node(2), node(3)];
    leaf.withdraw(vip(1)).withdraw(vip(2));
    leaf.route_of("ip-vrf-2", vip(1).into(), BGP, &hops).route_of("ip-vrf-2", vip(2).into(), BGP, &hops);
    leaf.after(10).alarmed(&["vip-route-missing/c1"]);
    assert_eq!(leaf.alarm("vip-route-missing/c1").affected, 2);
}

#[test]
fn ten_vips_of_one_service_are_one_alarm() {
    let mut leaf = Scenario::carried();
    let vips: Vec<_> = (1..=10).map(vip).collect();
    leaf.service("web", TrafficPolicy::Cluster, &vips);
    for (n, vip) in vips.iter().enumerate().skip(1) {
        leaf.bgp(*vip, &[node(1), node(2), node(3)]);
        assert!(n < 10);
    }
    for vip in &vips {
        leaf.withdraw(*vip).up(node(1));
    }
    // Sessions are up and give other routes: the cause is not a node's.
    leaf.carry(11, "dns").after(10).alarmed(&["vip-route-missing/c1/default/web"]);
    let alarm = leaf.alarm("vip-route-missing/c1/default/web");
    assert_eq!(alarm.affected, 10);
    assert!(alarm.text.starts_with("10 VIPs of service default/web in cluster c1 without a route: "), "{}", alarm.text);
    assert!(alarm.text.contains(" and 7 more; "), "{}", alarm.text);
}

#[test]
fn a_speaker_that_announces_nothing_is_one_alarm() {
    let mut leaf = Scenario::carried();
    for n in 2..=5 {
        leaf.carry(n, &format!("s{n}"));
    }
    for n in 1..=5 {
        leaf.withdraw(vip(n));
    }
    for n in 1..=3 {
        leaf.neighbor(node(n), Some(SessionState::Established), Some(0));
    }
    leaf.after(10).alarmed(&["vip-route-missing/c1"]);
    assert_eq!(leaf.alarm("vip-route-missing/c1").affected, 5);
}

#[test]
fn a_remote_node_lost_by_many_vips_is_one_alarm_named_by_the_node() {
    let mut leaf = Scenario::new();
    for (index, name) in NODES.into_iter().enumerate() {
        leaf.remote(name, node(index + 1), index as u8 + 1);
    }
    for n in 1..=4 {
        let name = format!("s{n}");
        leaf.service(&name, TrafficPolicy::Cluster, &[vip(n)]).ready(&name, &NODES);
        leaf.evpn(vip(n), &[vtep(1), vtep(2), vtep(3)]);
    }
    for n in 1..=4 {
        leaf.evpn(vip(n), &[vtep(1), vtep(2)]);
    }
    leaf.after(11).alarmed(&["vip-degraded/c1/n3"]);
    let alarm = leaf.alarm("vip-degraded/c1/n3");
    assert_eq!((alarm.affected, alarm.severity), (4, Severity::Major));
}

#[test]
fn a_conflict_seen_from_both_clusters_is_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.cluster("c2", |_| {}).source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    let there = ip("192.168.1.21");
    leaf.node_in("c2", "m1", Node { internal: [there].into(), ..Node::default() }).up(there);
    leaf.service_in("c2", "shop", load_balancer(TrafficPolicy::Cluster, &[vip(1)]));
    leaf.slice("c2", "shop", AddressFamily::Ipv4, &[endpoint("shop-0", "m1", true, true)]);
    leaf.bgp(vip(1), &[node(1), node(2), node(3), there]).after(11);
    leaf.alarmed(&["vip-address-conflict/network-instance/ip-vrf-1/1.1.1.100"]);
    let alarm = leaf.alarm("vip-address-conflict/network-instance/ip-vrf-1/1.1.1.100");
    assert_eq!((alarm.affected, alarm.severity, alarm.owner), (2, Severity::Critical, Owner::Cluster));
    let head = "VIP 1.1.1.100 in network-instance ip-vrf-1 is claimed by 2 services: cluster c1 (default/web), cluster c2 (default/shop)";
    assert!(alarm.text.starts_with(head), "{}", alarm.text);
}

/// A MetalLB pool with this many addresses from 1.1.1.100 on, a power of two.
fn pool(leaf: &mut Scenario, prefix: &str) {
    let key = ObjectKey { namespace: Some("metallb-system".into()), name: "vip-pool".into() };
    let pool = Pool { prefixes: [net(prefix)].into(), ..Pool::default() };
    leaf.kubernetes(C1, ClusterEvent::SpeakerResource(SpeakerResource::MetallbPools, ResourceState::Watched));
    let update = Update::All(vec![(key, SpeakerObject::Pool(pool))]);
    leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(SpeakerResource::MetallbPools, update));
}

#[test]
fn a_full_pool_is_one_alarm_with_the_pool_s_numbers() {
    let mut leaf = Scenario::carried();
    pool(&mut leaf, "1.1.1.100/31");
    leaf.carry(2, "dns");
    for n in 0..5 {
        leaf.service(&format!("waits{n}"), TrafficPolicy::Cluster, &[]);
    }
    leaf.after(10).alarmed(&["vip-address-pending/c1"]);
    let text = &leaf.alarm("vip-address-pending/c1").text;
    let head =
        "5 services of cluster c1 waiting for an address: default/waits0, default/waits1, default/waits2 and 2 more";
    assert!(text.starts_with(&format!("{head}; pool vip-pool: 2 of 2 addresses in use; ")), "{text}");
}

#[test]
fn a_pool_with_free_addresses_is_not_blamed() {
    let mut leaf = Scenario::carried();
    pool(&mut leaf, "1.1.1.96/28");
    leaf.service("waits", TrafficPolicy::Cluster, &[]).after(10);
    assert!(!leaf.alarm("vip-address-pending/c1/default/waits").text.contains("in use"));
}

#[test]
fn a_second_one_with_the_same_cause_turns_an_alarm_into_one_for_both() {
    let mut leaf = Scenario::carried();
    leaf.service("one", TrafficPolicy::Cluster, &[]).after(20).alarmed(&["vip-address-pending/c1/default/one"]);
    let raised = leaf.alarm("vip-address-pending/c1/default/one").raised;
    leaf.service("two", TrafficPolicy::Cluster, &[]).after(10).alarmed(&["vip-address-pending/c1"]);
    let alarm = leaf.alarm("vip-address-pending/c1");
    assert_eq!((alarm.raised, alarm.affected), (raised, 2));
    let record = leaf.record("vip-address-pending/c1/default/one");
    assert_eq!(record.because, ClearedBecause::Became(AlarmType::VipAddressPending));
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("one"))))
        .after(10)
        .alarmed(&["vip-address-pending/c1"]);
    assert_eq!(leaf.alarm("vip-address-pending/c1").affected, 1);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("two")))).alarmed(&[]);
    assert_eq!(leaf.record("vip-address-pending/c1").because, ClearedBecause::Removed);
}

#[test]
fn the_owner_of_a_service_that_joins_an_alarm_later_or_leaves_it_hears_of_it() {
    let mut leaf = Scenario::carried();
    for name in ["one", "two", "three"] {
        leaf.service(name, TrafficPolicy::Cluster, &[]).after(10);
    }
    let heard = |leaf: &Scenario, wanted: fn(NotificationEvent) -> bool| {
        let of_group =
            leaf.said.alarms.notifications.iter().filter(|it| it.key.to_string() == "vip-address-pending/c1");
        let services = of_group.filter(|it| wanted(it.event)).flat_map(|it| it.services.to_vec());
        services.map(|(_, service)| service.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(heard(&leaf, |event| event == NotificationEvent::Raised), ["one", "two"]);
    assert_eq!(heard(&leaf, |event| event == NotificationEvent::Joined), ["three"]);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("one")))).after(10);
    assert_eq!(heard(&leaf, |event| matches!(event, NotificationEvent::Left(_, ClearedBecause::Removed))), ["one"]);
    for name in ["two", "three"] {
        leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key(name))));
    }
    assert_eq!(heard(&leaf, |event| matches!(event, NotificationEvent::Cleared(..))), ["three"]);
}

#[test]
fn those_whose_hold_times_end_within_a_second_are_raised_as_one() {
    let mut leaf = Scenario::carried();
    for n in 0..4 {
        leaf.service(&format!("waits{n}"), TrafficPolicy::Cluster, &[]).pass(ms(300));
    }
    leaf.after(11).alarmed(&["vip-address-pending/c1"]);
    assert_eq!((leaf.raised(), leaf.said.alarms.history.len()), (1, 0));
}

#[test]
fn three_hundred_services_are_a_handful_of_alarms_with_the_session_on_top() {
    let mut leaf = Scenario::carried();
    pool(&mut leaf, "1.1.1.100/31");
    let services = (0..300).map(|n| match n {
        0 => (key("s0"), load_balancer(TrafficPolicy::Cluster, &[vip(2)])),
        n => (key(&format!("s{n}")), load_balancer(TrafficPolicy::Cluster, &[])),
    });
    let mut services: Vec<(_, Service)> = services.collect();
    services.push((key("web"), load_balancer(TrafficPolicy::Cluster, &[vip(1)])));
    leaf.kubernetes(C1, ClusterEvent::Services(Update::All(services)));
    leaf.session(node(2), SessionState::Active).via(1, &[1, 3]).after(12);
    let mut alarms: Vec<_> =
        leaf.said.alarms.active.iter().map(|(key, view)| (view.severity, key.to_string())).collect();
    alarms.sort();
    assert!(alarms.len() <= 4, "{alarms:?}");
    assert_eq!(alarms[0], (Severity::Major, SESSION_DOWN.to_owned()));
    assert_eq!(leaf.alarm("vip-address-pending/c1").affected, 299);
}

// ---- what is removed ----

#[test]
fn a_service_that_is_deleted_takes_its_alarms_along_at_once() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).kubernetes(C1, ClusterEvent::Services(Update::Gone(key("web")))).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::Removed);
}

#[test]
fn a_vip_that_moves_to_another_address_takes_its_alarm_along() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(2, &[1, 2, 3]).service("web", TrafficPolicy::Cluster, &[vip(2)]).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::Removed);
}

#[test]
fn a_cluster_that_is_disabled_or_removed_takes_its_alarms_along() {
    for enabled in [Some(false), None] {
        let mut leaf = Scenario::carried();
        leaf.no_route().session(node(2), SessionState::Idle).after(10).lost(SourceId::Kubernetes(C1.into())).after(10);
        assert_eq!(leaf.said.alarms.active.len(), 3);
        match enabled {
            Some(enabled) => leaf.cluster(C1, |cluster| cluster.enabled = enabled),
            None => leaf.configure(|config| config.clusters.clear()),
        };
        leaf.alarmed(&[]);
        assert!(leaf.said.alarms.history.values().all(|record| record.because == ClearedBecause::Removed));
    }
}

// ---- nodes that are not located, routes nobody claims ----

#[test]
fn an_announcer_that_is_not_located_is_named_unless_a_next_hop_may_be_its_own() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", node(1)).node("n2", &[node(2)]).remote("n3", node(3), 3);
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &["n1", "n2"]).via(1, &[1]);
    leaf.after(10).alarmed(&["node-address-unknown/c1/n2"]);
    assert_eq!(leaf.alarm("node-address-unknown/c1/n2").owner, Owner::Cluster);
    leaf.up(ip("10.9.9.9")).bgp(vip(1), &[node(1), ip("10.9.9.9")]).after(5).alarmed(&[]);
}

#[test]
fn a_leaf_that_locates_few_nodes_names_none_of_the_others() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", node(1)).node("n2", &[node(2)]).node("n3", &[node(3)]);
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &NODES).via(1, &[1]);
    leaf.after(60).alarmed(&[]).evpn(node(2), &[vtep(2)]).after(10).alarmed(&["node-address-unknown/c1/n3"]);
    leaf.evpn(node(3), &[vtep(3)]).after(5).alarmed(&[]);
}

#[test]
fn losing_the_place_of_other_nodes_clears_no_node_s_alarm() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", node(1)).remote("n2", node(2), 2).node("n3", &[node(3)]);
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &NODES).via(1, &[1]);
    leaf.after(10).alarmed(&["node-address-unknown/c1/n3"]);
    leaf.withdraw(node(2)).after(60);
    assert!(leaf.said.alarms.active.keys().any(|key| key.kind == AlarmType::NodeAddressUnknown));
}

#[test]
fn a_route_nobody_claims_is_a_warning_until_it_is_gone() {
    let mut leaf = Scenario::carried();
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [net("1.1.1.0/24")].into());
    leaf.bgp(ip("1.1.1.7"), &[node(1)]).after(10).alarmed(&["vip-route-orphan/ip-vrf-1/1.1.1.7/32"]);
    leaf.bgp(ip("1.1.1.8"), &[node(1)]).after(10).alarmed(&["vip-route-orphan/network-instance/ip-vrf-1"]);
    leaf.withdraw(ip("1.1.1.7")).withdraw(ip("1.1.1.8")).after(5).alarmed(&[]);
}

// ---- pacing ----

#[test]
fn a_text_is_written_at_most_every_ten_seconds() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 2]).after(10).alarmed(&[DEGRADED]);
    let text = |leaf: &Scenario| leaf.alarm(DEGRADED).text.clone();
    let first = text(&leaf);
    leaf.after(1).via(1, &[1]).after(1);
    assert_eq!(text(&leaf), first);
    leaf.after(8);
    assert_ne!(text(&leaf), first);
    assert_eq!(leaf.events(|_| true), 1, "no notification for a text");
}

#[test]
fn an_alarm_is_graver_when_what_is_graver_has_lasted_and_less_grave_at_once() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 2]).after(10).alarmed(&[DEGRADED]);
    leaf.no_route().after(9).alarmed(&[DEGRADED]);
    leaf.via(1, &[1, 2]).after(1).no_route().after(9).alarmed(&[DEGRADED]);
    leaf.after(1).alarmed(&[ROUTE_MISSING]);
    assert_eq!(leaf.alarm(ROUTE_MISSING).severity, Severity::Critical);
    leaf.via(1, &[1, 2]).alarmed(&[DEGRADED]);
}

#[test]
fn what_becomes_of_an_alarm_whose_route_is_back_is_told_though_it_is_not_known() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).alarmed(&[ROUTE_MISSING]);
    leaf.session(node(2), SessionState::Active).via(1, &[1, 2, 3]).after(60).alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::NotKnown);
}

#[test]
fn the_session_of_a_node_of_which_nothing_is_known_any_more_raises_nothing() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Active).network_instance(VRF, None).after(60);
    leaf.alarmed(&["network-instance-missing/c1"]);
}

#[test]
fn a_flood_of_one_cluster_leaves_room_for_others_and_is_summed_up() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 1000);
    leaf.cluster("c2", |_| {}).source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    // One VIP of c1 that comes and goes, faster than anybody can read.
    for _ in 0..100 {
        leaf.no_route().via(1, &[1, 2, 3]);
    }
    leaf.service_in("c2", "waits", load_balancer(TrafficPolicy::Cluster, &[]));
    let of = |leaf: &Scenario, name: &str| {
        let notifications = leaf.said.alarms.notifications.iter();
        notifications.filter(|of| of.key.resource.cluster().is_some_and(|cluster| cluster.as_str() == name)).count()
    };
    assert_eq!((of(&leaf, "c1"), of(&leaf, "c2")), (50, 1));
    leaf.after(1);
    let summary = leaf.said.alarms.notifications.last().expect("a notification");
    assert_eq!(summary.event, NotificationEvent::Raised, "the worst stands for the rest");
    assert_eq!(summary.omitted, 149);
}

#[test]
fn the_history_forgets_the_oldest_of_the_least_severity_first() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 3).no_route().via(1, &[1, 2, 3]);
    for _ in 0..5 {
        leaf.slice(C1, "web", AddressFamily::Ipv4, &[]).ready("web", &NODES);
    }
    let kept: Vec<_> = leaf.said.alarms.history.iter().map(|(sequence, of)| (*sequence, of.severity)).collect();
    assert_eq!(kept, [(1, Severity::Critical), (5, Severity::Minor), (6, Severity::Minor)]);
    leaf.holds(0, 0, 1);
    assert_eq!(leaf.said.alarms.history.keys().copied().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_long_text_is_cut_at_the_limit() {
    let mut leaf = Scenario::new();
    let long = "n".repeat(200);
    for n in 1..=4 {
        leaf.attached(&format!("{long}{n}"), node(n));
    }
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &[&format!("{long}1")]).after(11);
    for alarm in leaf.said.alarms.active.values() {
        assert!(alarm.text.len() <= LONGEST_TEXT && alarm.text.ends_with('…'), "{}", alarm.text);
    }
    assert_eq!(leaf.said.alarms.active.len(), 1);
}

// ---- restarts ----

#[test]
fn alarms_and_history_outlive_the_process_with_their_times() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(1, &[1, 2, 3]).after(10).no_route().after(10).alarmed(&[ROUTE_MISSING]);
    let (raised, history) = (leaf.alarm(ROUTE_MISSING).raised, leaf.said.alarms.history.clone());
    leaf.restarted().alarmed(&[ROUTE_MISSING]).after(20).alarmed(&[ROUTE_MISSING]);
    leaf.heard_again(&[]).after(60).alarmed(&[ROUTE_MISSING]);
    assert_eq!(leaf.alarm(ROUTE_MISSING).raised, raised);
    assert_eq!(leaf.said.alarms.history, history);
    assert_eq!(leaf.raised(), 0, "nobody is notified again");
    leaf.via(1, &[1, 2, 3]).after(5).alarmed(&[]);
    assert_eq!(leaf.said.alarms.history.keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_alarm_for_several_outlives_the_process_and_takes_its_members_back() {
    let mut leaf = Scenario::carried();
    leaf.service("one", TrafficPolicy::Cluster, &[]).service("two", TrafficPolicy::Cluster, &[]).after(10);
    let raised = leaf.alarm("vip-address-pending/c1").raised;
    leaf.restarted().heard_again(&[1, 2, 3]).alarmed(&["vip-address-pending/c1"]);
    leaf.service("one", TrafficPolicy::Cluster, &[]).after(20).alarmed(&["vip-address-pending/c1"]);
    let alarm = leaf.alarm("vip-address-pending/c1");
    assert_eq!((alarm.raised, alarm.affected, leaf.raised()), (raised, 1, 0));
}

#[test]
fn an_alarm_for_several_of_whom_none_is_left_is_cleared_after_a_restart() {
    let mut leaf = Scenario::carried();
    leaf.service("one", TrafficPolicy::Cluster, &[]).service("two", TrafficPolicy::Cluster, &[]).after(10).restarted();
    leaf.after(60).alarmed(&["vip-address-pending/c1"]).heard_again(&[1, 2, 3]).alarmed(&["vip-address-pending/c1"]);
    leaf.after(5).alarmed(&[]);
}

#[test]
fn an_alarm_for_several_waits_after_a_restart_while_their_verdicts_are_unknown() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns");
    for n in 1..=3 {
        leaf.session(node(n), SessionState::Idle);
    }
    leaf.withdraw(vip(1)).withdraw(vip(2)).after(10).alarmed(&["vip-route-missing/c1", "neighbor-session-down/c1"]);
    leaf.restarted().heard_again(&[]).network_instance(VRF, None).after(60);
    assert!(leaf.said.alarms.active.keys().any(|key| key.to_string() == "vip-route-missing/c1"));
}

#[test]
fn an_alarm_about_what_was_removed_meanwhile_is_cleared_after_a_restart() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).restarted().configure(|_| {});
    leaf.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced);
    leaf.alarmed(&[ROUTE_MISSING]).source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::Removed);
}

#[test]
fn a_fault_that_became_another_during_a_restart_keeps_its_time() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10);
    let raised = leaf.alarm(ROUTE_MISSING).raised;
    leaf.restarted().heard_again(&[1, 2]).alarmed(&[DEGRADED]);
    assert_eq!(leaf.alarm(DEGRADED).raised, raised);
}

#[test]
fn an_alarm_is_not_cleared_before_it_was_raised_though_the_clock_is_set_back() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(1, &[1, 2, 3]);
    leaf.elapsed += Duration::from_secs(5);
    let behind = at(Duration::ZERO).wall.checked_sub(Duration::from_secs(3600)).expect("in range");
    for change in leaf.engine.apply(Now { elapsed: leaf.elapsed, wall: behind }, Event::Tick) {
        leaf.said.take(change);
    }
    let record = leaf.record(ROUTE_MISSING);
    assert_eq!(record.cleared, record.raised);
}

#[test]
fn what_is_raised_or_cleared_is_saved_soon_and_a_new_text_later() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 100).after(60);
    let mut saves = leaf.said.alarms.saves;
    let mut saved = |leaf: &Scenario| leaf.said.alarms.saves - std::mem::replace(&mut saves, leaf.said.alarms.saves);
    assert_eq!(saved(leaf.via(1, &[1, 2])), 1);
    assert_eq!(saved(leaf.no_route().pass(ms(900))), 0, "once a second at most");
    assert_eq!(saved(leaf.pass(ms(100))), 1);
    assert_eq!(saved(leaf.after(20).via(1, &[1, 2])), 1);
    assert_eq!(saved(leaf.pass(ms(500)).via(1, &[1]).pass(ms(9400))), 0, "a text is neither written nor saved at once");
    assert_eq!(saved(leaf.after(1)), 1);
}
