//! Tests alarms as an operator meets them: when they are raised and cleared, what they stand for, and their texts.

mod floods;
mod groups;
mod holds;
mod resources;
mod restarts;
mod sessions;
mod sources;

use std::time::Duration;

use srl_k8s_services::engine::Engine;
use srl_k8s_services::model::alarm::{
    AlarmRecord, AlarmType, AlarmView, ClearedBecause, LONGEST_TEXT, NotificationEvent, Severity,
};
use srl_k8s_services::model::cluster::{AddressFamily, Node, Service, TrafficPolicy};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::inquiry::{Answer, Finding, Question};
use srl_k8s_services::model::persistent::PersistentState;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::speaker::{ObjectKey, Pool, ResourceState, SpeakerObject, SpeakerResource};
use srl_k8s_services::model::switch::{FibFaultKind, SessionState};
use srl_k8s_services::model::time::{Now, Timestamp};
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
    /// Creates three attached nodes that announce the VIP of service web.
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

    /// Adds a service whose VIP all three nodes announce.
    fn carry(&mut self, n: usize, name: &str) -> &mut Self {
        self.service(name, TrafficPolicy::Cluster, &[vip(n)]).ready(name, &NODES).via(n, &[1, 2, 3])
    }

    /// Sets the route of the n-th VIP to these nodes.
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

    /// Ends the process and starts another one with the saved state, which has not heard from any source yet.
    fn restarted(&mut self) -> &mut Self {
        let saved = self.engine.persistent_state(at(self.elapsed));
        let text = serde_json::to_string(&saved).expect("it is saved as JSON");
        let memory: PersistentState = serde_json::from_str(&text).expect("and read again");
        assert_eq!(memory, saved);
        (self.engine, self.world, self.said) = (Engine::new(), World::default(), State::default());
        self.event(Event::Restored(memory))
    }

    /// Reports the switch and the cluster again, with the VIP's route to these nodes.
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
