//! Tests limits on what is notified, kept in the history and written.

use std::collections::BTreeMap;

use srl_k8s_services::model::names::ServiceKey;

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
    assert_eq!((of(&leaf, "c1"), of(&leaf, "c2")), (12, 1));
    leaf.after(1);
    let summary = leaf.said.alarms.notifications.last().expect("a notification");
    assert_eq!(summary.event, NotificationEvent::Raised, "the worst stands for the rest");
    assert_eq!(summary.omitted, 187);
}

/// Sends a service that waits for its address, or its removal.
fn pending(leaf: &mut Scenario, namespace: &str, there: bool) {
    let key = ServiceKey::new(namespace, "waits");
    let update = match there {
        true => Update::Set(key, load_balancer(TrafficPolicy::Cluster, &[])),
        false => Update::Gone(key),
    };
    leaf.event(Event::Cluster(C1.into(), ClusterEvent::Services(update)));
}

#[test]
fn a_flood_from_one_namespace_leaves_room_for_others_of_its_cluster() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 1000);
    for _ in 0..100 {
        leaf.no_route().via(1, &[1, 2, 3]);
    }
    for namespace in ["shop", "mail"] {
        pending(&mut leaf, namespace, true);
        pending(&mut leaf, namespace, false);
    }
    let notifications = leaf.said.alarms.notifications.iter();
    let mut of: BTreeMap<&str, usize> = BTreeMap::new();
    for namespace in notifications.filter_map(|of| of.key.resource.namespace()) {
        *of.entry(namespace).or_default() += 1;
    }
    assert_eq!(of, [("default", 12), ("mail", 2), ("shop", 2)].into());
}

#[test]
fn a_namespace_whose_alarms_come_and_go_does_not_displace_others_from_the_history() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 4);
    for namespace in ["shop", "tenant", "tenant", "tenant", "tenant", "tenant"] {
        pending(&mut leaf, namespace, true);
        pending(&mut leaf, namespace, false);
    }
    let kept: Vec<u64> = leaf.said.alarms.history.keys().copied().collect();
    assert_eq!(kept, [1, 4, 5, 6]);
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
