//! Alarms: raised when a condition has held, cleared when it has been gone, silent while nobody knows.

use std::time::Duration;

use ipnet::IpNet;

use super::fixtures::{BGP, Lab};
use crate::model::alarm::{NoticeEvent, Severity};
use crate::model::cluster::{Service, TrafficPolicy};
use crate::model::event::{ClusterEvent, Event, SourceEvent, SourceId, SwitchEvent, Update};
use crate::model::memory::Memory;
use crate::model::names::ServiceKey;
use crate::model::switch::{FibFaultKind, SessionState};

const VIP_ROUTE_MISSING: &str = "vip-route-missing/c1/default/web/1.1.1.100";
const VIP_DEGRADED: &str = "vip-degraded/c1/default/web/1.1.1.100";
const SESSION_DOWN: &str = "neighbor-session-down/c1/node2";

impl Lab {
    /// Three attached nodes carry the VIP.
    fn healthy() -> Self {
        Self::new(true, 3)
            .attached(&[1, 2, 3])
            .service(TrafficPolicy::Cluster)
            .endpoints(&[1, 2, 3])
            .via_nodes(&[1, 2, 3])
    }

    fn alarms(&self) -> Vec<String> {
        self.said.alarms.keys().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn alarmed(self, ids: &[&str]) -> Self {
        assert_eq!(self.alarms(), ids);
        assert_eq!(self.said.counts.active.iter().sum::<u32>() as usize, ids.len(), "the summary counts them");
        self
    }

    fn text(&self, id: &str) -> &str {
        &self.said.alarms.iter().find(|(key, _)| key.to_string() == id).expect("active").1.text
    }

    fn raised(&self) -> usize {
        self.said.notices.iter().filter(|notice| notice.event == NoticeEvent::Raised).count()
    }

    fn policy(mut self, raise: u64, clear: u64, history: u16) -> Self {
        self.config.alarm_policy.raise_hold = Duration::from_secs(raise);
        self.config.alarm_policy.clear_hold = Duration::from_secs(clear);
        self.config.alarm_policy.history_size = history;
        self.configured()
    }

    fn lose(self, source: SourceId) -> Self {
        self.source(source, SourceEvent::Lost("connection refused".into()))
    }

    /// The process ends; another one starts with what was saved, and hears of the same things.
    fn restarted(mut self) -> Self {
        let now = self.now();
        let saved = self.engine.memory(now);
        let text = serde_json::to_string(&saved).expect("it is saved as JSON");
        let memory: Memory = serde_json::from_str(&text).expect("and read again");
        assert_eq!(memory, saved);
        let next = Self { elapsed: self.elapsed, ..Self::unsynced(true) };
        next.tell(Event::Remembered(memory))
    }
}

#[test]
fn a_missing_route_is_an_alarm_once_it_has_been_missing_for_the_hold_time() {
    let lab = Lab::healthy().alarmed(&[]).no_route().alarmed(&[]).after(9).alarmed(&[]).after(1);
    let lab = lab.alarmed(&[VIP_ROUTE_MISSING]);
    assert_eq!(lab.said.counts.of(Severity::Critical), 1);
    assert!(
        lab.text(VIP_ROUTE_MISSING).starts_with("VIP 1.1.1.100 of default/web in cluster c1: no route in ip-vrf-1")
    );
    assert!(lab.engine.deadline().is_none_or(|due| due > lab.elapsed), "nothing is due at once");
}

#[test]
fn it_is_cleared_into_the_history_once_the_route_has_been_back_for_the_hold_time() {
    let lab = Lab::healthy().no_route().after(10).via_nodes(&[1, 2, 3]).after(4).alarmed(&[VIP_ROUTE_MISSING]);
    let lab = lab.after(1).alarmed(&[]);
    let (sequence, record) = lab.said.history.first_key_value().expect("a record");
    assert_eq!((*sequence, record.key.to_string().as_str()), (1, VIP_ROUTE_MISSING));
    assert_eq!(record.cleared.duration_since(record.raised).as_secs(), 5);
    assert!(matches!(lab.said.notices.last().expect("a notice").event, NoticeEvent::Cleared(_)));
}

#[test]
fn a_route_back_within_the_hold_time_raises_nothing() {
    Lab::healthy().no_route().after(9).via_nodes(&[1, 2, 3]).after(60).alarmed(&[]);
}

#[test]
fn a_flapping_route_raises_once_and_counts() {
    let mut lab = Lab::healthy().no_route().after(10);
    for _ in 0..3 {
        lab = lab.via_nodes(&[1, 2, 3]).after(2).no_route().after(2);
    }
    let lab = lab.alarmed(&[VIP_ROUTE_MISSING]);
    assert_eq!(lab.said.alarms.values().next().expect("active").occurrences, 4);
    assert_eq!(lab.raised(), 1);
    let lab = lab.via_nodes(&[1, 2, 3]).after(5).alarmed(&[]);
    assert_eq!(lab.said.history.len(), 1);
}

#[test]
fn without_a_hold_time_it_is_raised_and_cleared_at_once() {
    Lab::healthy().policy(0, 0, 100).no_route().alarmed(&[VIP_ROUTE_MISSING]).via_nodes(&[1, 2, 3]).alarmed(&[]);
}

#[test]
fn a_new_hold_time_holds_for_what_is_pending() {
    Lab::healthy().no_route().after(3).policy(2, 5, 100).after(0).alarmed(&[VIP_ROUTE_MISSING]);
    Lab::healthy()
        .no_route()
        .after(3)
        .policy(60, 5, 100)
        .after(20)
        .alarmed(&[])
        .after(40)
        .alarmed(&[VIP_ROUTE_MISSING]);
}

#[test]
fn a_lost_session_is_one_alarm_that_counts_the_vips_behind_it() {
    let lab = Lab::healthy().session(2, SessionState::Active).via_nodes(&[1, 3]).after(10).alarmed(&[SESSION_DOWN]);
    let text = lab.text(SESSION_DOWN);
    assert!(text.contains("192.168.1.12 is active") && text.ends_with("1 VIP lacks this next-hop"), "{text}");
}

#[test]
fn a_next_hop_missing_beside_a_lost_session_is_an_alarm_of_its_own() {
    let lab = Lab::healthy().session(2, SessionState::Active).via_nodes(&[1]).after(10);
    lab.alarmed(&[VIP_DEGRADED, SESSION_DOWN]);
}

#[test]
fn a_route_lost_with_its_session_is_an_alarm_of_its_own() {
    let lab = Lab::new(true, 1).attached(&[1]).service(TrafficPolicy::Cluster).endpoints(&[1]).via_nodes(&[1]);
    let lab = lab.session(1, SessionState::Idle).no_route().after(10);
    lab.alarmed(&[VIP_ROUTE_MISSING, "neighbor-session-down/c1/node1"]);
}

#[test]
fn a_verdict_that_turns_worse_replaces_its_alarm() {
    let lab = Lab::healthy().via_nodes(&[1, 3]).after(10).alarmed(&[VIP_DEGRADED]).no_route().after(5).alarmed(&[]);
    lab.after(5).alarmed(&[VIP_ROUTE_MISSING]);
}

#[test]
fn what_is_wrong_with_the_application_is_minor_and_an_address_not_given_a_warning() {
    let lab = Lab::healthy().endpoints(&[]).after(10).alarmed(&["vip-no-endpoint/c1/default/web/1.1.1.100"]);
    assert_eq!(lab.said.counts.of(Severity::Minor), 1);
    let pending = Service { load_balancer: true, ..Service::default() };
    let lab = lab.service_as("c1", "web", pending.clone()).after(10);
    let lab = lab.alarmed(&["vip-address-pending/c1/default/web"]);
    assert_eq!(lab.said.counts.of(Severity::Warning), 1);
    assert_eq!(lab.said.history.len(), 1, "the VIP is no more, and its alarm with it");
}

#[test]
fn a_service_that_is_deleted_takes_its_alarms_with_it_at_once() {
    let lab = Lab::healthy().no_route().after(10);
    let lab = lab.told("c1", ClusterEvent::Services(Update::Gone(ServiceKey::new("default", "web"))));
    lab.alarmed(&[]);
}

#[test]
fn a_cluster_that_is_disabled_or_removed_takes_its_alarms_with_it() {
    let lab =
        Lab::healthy().no_route().session(2, SessionState::Idle).after(10).lose(SourceId::Kubernetes("c1".into()));
    let lab = lab.after(10);
    assert_eq!(lab.alarms().len(), 3);
    lab.with("c1", |cluster| cluster.enabled = false).alarmed(&[]);
    let mut lab = Lab::healthy().no_route().after(10);
    lab.config.clusters.clear();
    lab.configured().alarmed(&[]);
}

#[test]
fn nothing_is_raised_or_cleared_while_the_switch_s_own_tables_are_out_of_reach() {
    let lab = Lab::healthy().no_route().after(5).lose(SourceId::Ndk).after(9).alarmed(&[]);
    let lab = lab.after(60).alarmed(&["source-stale/ndk"]);
    let lab = lab.source(SourceId::Ndk, SourceEvent::Syncing).ndk_tables().via_nodes(&[1, 2, 3]);
    let lab = lab.source(SourceId::Ndk, SourceEvent::Synced).after(5).alarmed(&[]);
    assert_eq!(lab.raised(), 1);

    let lab = Lab::healthy().no_route().after(10).lose(SourceId::Ndk).after(60);
    let lab = lab.alarmed(&[VIP_ROUTE_MISSING, "source-stale/ndk"]);
    let lab = lab.source(SourceId::Ndk, SourceEvent::Syncing).ndk_tables().source(SourceId::Ndk, SourceEvent::Synced);
    let lab = lab.after(30).alarmed(&[VIP_ROUTE_MISSING]);
    assert_eq!(lab.said.alarms.values().next().expect("active").occurrences, 1, "it was never gone");
}

#[test]
fn the_alarm_of_a_session_outlives_gnmi_and_its_vips_raise_none_meanwhile() {
    let lab = Lab::healthy().session(2, SessionState::Idle).via_nodes(&[1, 3]).after(10).lose(SourceId::Gnmi);
    let lab = lab.after(60).alarmed(&[SESSION_DOWN, "source-stale/gnmi"]);
    let lab = lab.gnmi_synced().after(30).alarmed(&[SESSION_DOWN]);
    assert_eq!(lab.raised(), 2);
    lab.session(2, SessionState::Established).via_nodes(&[1, 2, 3]).after(5).alarmed(&[]);
}

#[test]
fn a_session_that_came_back_while_gnmi_was_out_of_reach_is_cleared_afterwards() {
    let lab = Lab::healthy().session(2, SessionState::Idle).via_nodes(&[1, 3]).after(10).lose(SourceId::Gnmi);
    let lab = lab.via_nodes(&[1, 2, 3]).after(60).alarmed(&[SESSION_DOWN, "source-stale/gnmi"]);
    lab.session(2, SessionState::Established).gnmi_synced().after(5).alarmed(&[]);
}

#[test]
fn a_route_lost_while_gnmi_is_out_of_reach_is_an_alarm_all_the_same() {
    let lab = Lab::healthy().lose(SourceId::Gnmi).after(60).no_route().after(10);
    lab.alarmed(&[VIP_ROUTE_MISSING, "source-stale/gnmi"]);
}

#[test]
fn a_failure_in_the_fib_is_not_forgotten_while_gnmi_is_out_of_reach() {
    let blackholed = "vip-blackholed/c1/default/web/1.1.1.100";
    let lab = Lab::healthy().fib(FibFaultKind::Failed).after(10).alarmed(&[blackholed]);
    let lab = lab.lose(SourceId::Gnmi).after(60).alarmed(&[blackholed, "source-stale/gnmi"]);
    lab.gnmi_synced().after(10).alarmed(&[blackholed]);
}

#[test]
fn an_api_server_out_of_reach_is_one_alarm_and_its_reason_does_not_make_it_chatter() {
    let api = || SourceId::Kubernetes("c1".into());
    let lab = Lab::healthy().lose(api()).after(9).alarmed(&[]).source(api(), SourceEvent::Syncing).lose(api());
    let lab = lab.after(1).alarmed(&["source-stale/kubernetes/c1"]);
    let notices = lab.said.notices.len();
    let other = || SourceEvent::Lost("no route to host".into());
    let lab = lab.source(api(), other()).after(59).source(api(), other());
    assert_eq!(lab.said.notices.len(), notices);
    // What keeps it out of reach now is told all the same.
    let lab = lab.after(1).source(api(), other()).source(api(), SourceEvent::Lost("timeout".into()));
    assert_eq!(lab.said.notices.len(), notices + 1);
    assert!(lab.text("source-stale/kubernetes/c1").contains(": no route to host; "));
    assert_eq!(lab.said.alarms.values().next().expect("active").occurrences, 1);
    lab.cluster_synced().after(5).alarmed(&[]);
}

#[test]
fn a_source_that_never_answered_is_given_half_a_minute_at_the_start() {
    let lab = Lab::unsynced(true).ndk_synced().gnmi_synced().lose(SourceId::Kubernetes("c1".into()));
    let lab = lab.after(29).alarmed(&[]);
    assert_eq!(lab.engine.deadline(), Some(Duration::from_secs(30)));
    let lab = lab.after(1).after(10).alarmed(&["source-stale/kubernetes/c1"]);
    let text = lab.text("source-stale/kubernetes/c1");
    assert!(text.ends_with("; its services were not read yet, none of their VIPs is judged"), "{text}");
}

#[test]
fn a_network_instance_that_is_missing_is_one_alarm_for_all_its_vips() {
    let lab = Lab::healthy().tell(Event::Switch(SwitchEvent::NetworkInstance("ip-vrf-1".into(), None))).after(10);
    let lab = lab.alarmed(&["network-instance-missing/c1"]);
    assert!(lab.text("network-instance-missing/c1").contains("ip-vrf-1"));
}

#[test]
fn an_announcer_nobody_can_place_is_named_unless_a_next_hop_may_be_its_own() {
    let lab = Lab::new(true, 3).attached(&[1]).behind(3).service(TrafficPolicy::Cluster).endpoints(&[1, 2]);
    let lab = lab.via_nodes(&[1]).after(10).alarmed(&["node-address-unknown/c1/node2"]);
    let strange = "10.9.9.9".parse().expect("an address");
    let hops = [lab.node_address(1), strange];
    let prefix = IpNet::from(lab.vip_address());
    lab.route_in("ip-vrf-1", prefix, BGP, &hops).after(5).alarmed(&[]);
}

#[test]
fn a_leaf_that_is_not_told_where_most_nodes_are_names_none_of_them() {
    let lab = Lab::new(true, 3).attached(&[1]).service(TrafficPolicy::Cluster).endpoints(&[1, 2, 3]).via_nodes(&[1]);
    let lab = lab.after(60).alarmed(&[]).behind(2).after(10).alarmed(&["node-address-unknown/c1/node3"]);
    lab.behind(3).after(5).alarmed(&[]);
}

#[test]
fn an_alarm_is_not_cleared_before_it_was_raised_though_the_clock_is_set_back() {
    let mut lab = Lab::healthy().no_route().after(10).via_nodes(&[1, 2, 3]);
    lab.wall_behind = Duration::from_secs(3600);
    let lab = lab.after(5).alarmed(&[]);
    let record = lab.said.history.values().next().expect("a record");
    assert_eq!(record.cleared, record.raised);
}

#[test]
fn a_route_nobody_claims_is_a_warning_until_it_is_gone() {
    let lab = Lab::healthy().with("c1", |cluster| {
        cluster.rules.vip_pools.insert("1.1.1.0/24".parse().expect("a prefix"));
    });
    let stray: IpNet = "1.1.1.7/32".parse().expect("a prefix");
    let hop = [lab.node_address(1)];
    let lab = lab.route_in("ip-vrf-1", stray, BGP, &hop).after(10).alarmed(&["vip-route-orphan/ip-vrf-1/1.1.1.7/32"]);
    let gone = Event::Switch(SwitchEvent::Routes("ip-vrf-1".into(), vec![(stray, None)]));
    lab.tell(gone).after(5).alarmed(&[]);
}

#[test]
fn alarms_and_history_outlive_the_process_with_their_times() {
    let lab = Lab::healthy().no_route().after(10).via_nodes(&[1, 2, 3]).after(10).no_route().after(10);
    let (before, history) = (lab.said.alarms.clone(), lab.said.history.clone());
    let lab = lab.restarted().alarmed(&[VIP_ROUTE_MISSING]).after(20).alarmed(&[VIP_ROUTE_MISSING]);
    let lab = lab.node(1).node(2).node(3).service(TrafficPolicy::Cluster).endpoints(&[1, 2, 3]).cluster_synced();
    let lab = lab.ndk_synced().gnmi_synced().attached(&[1, 2, 3]).after(60).alarmed(&[VIP_ROUTE_MISSING]);
    let raised = |alarms: &std::collections::BTreeMap<_, crate::model::alarm::AlarmView>| {
        alarms.values().map(|alarm| alarm.raised).collect::<Vec<_>>()
    };
    assert_eq!(raised(&lab.said.alarms), raised(&before));
    assert_eq!(lab.said.history, history);
    assert_eq!(lab.raised(), 0, "it is told to nobody again");
    let lab = lab.via_nodes(&[1, 2, 3]).after(5).alarmed(&[]);
    assert_eq!(lab.said.history.keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_alarm_of_an_earlier_life_is_cleared_when_what_it_is_about_is_no_more() {
    let lab = Lab::healthy().no_route().after(10).restarted().ndk_synced().gnmi_synced().alarmed(&[VIP_ROUTE_MISSING]);
    lab.cluster_synced().alarmed(&[]);
}

#[test]
fn the_history_keeps_the_newest_and_forgets_the_rest() {
    let mut lab = Lab::healthy().policy(0, 0, 2);
    for _ in 0..4 {
        lab = lab.no_route().via_nodes(&[1, 2, 3]);
    }
    assert_eq!(lab.said.history.keys().copied().collect::<Vec<_>>(), [3, 4]);
    let lab = lab.policy(0, 0, 1);
    assert_eq!(lab.said.history.keys().copied().collect::<Vec<_>>(), [4]);
}

#[test]
fn what_is_to_be_saved_is_said_once_a_second_at_most() {
    let saves =
        |lab: &Lab| lab.last.iter().filter(|change| matches!(change, crate::model::view::Change::Memory(_))).count();
    let lab = Lab::healthy().policy(0, 0, 100).after(60).no_route();
    assert_eq!(saves(&lab), 1);
    let lab = lab.via_nodes(&[1, 2, 3]);
    assert_eq!(saves(&lab), 0);
    assert_eq!(lab.engine.deadline(), Some(lab.elapsed + Duration::from_secs(1)));
    let lab = lab.after(1);
    assert_eq!(saves(&lab), 1);
    assert_eq!(lab.said.memory.alarm_history.len(), 1);
}
