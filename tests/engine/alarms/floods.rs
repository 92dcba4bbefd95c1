//! Tests limits on what is notified, kept in the history and written.

use super::*;

#[test]
fn a_flood_from_one_cluster_leaves_room_for_others_and_is_summarized() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 1000);
    leaf.cluster("c2", |_| {}).source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    // One VIP of c1 flaps faster than anybody can read.
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
fn the_history_drops_the_oldest_of_the_lowest_severity_first() {
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
