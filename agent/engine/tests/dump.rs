//! The end of a dump is counted, and nothing is judged by half of one.

use std::time::Duration;

use ipnet::IpNet;

use super::fixtures::{BGP, Lab};
use crate::model::cluster::TrafficPolicy::Cluster;
use crate::model::event::{DumpPace, Event, SourceEvent, SourceId, SwitchEvent, Update};
use crate::model::switch::{IpFamily, NextHopGroup, NextHopGroupId, RouteTable};
use crate::model::verdict::OperState::{Unknown, Up};
use crate::model::verdict::Reason;

impl Lab {
    fn paced(self, pace: DumpPace) -> Self {
        self.tell(Event::Switch(SwitchEvent::Pace(pace)))
    }

    /// gNMI counts this many active routes.
    fn counting(self, count: u64) -> Self {
        let table = RouteTable { network_instance: "ip-vrf-1".into(), family: IpFamily::Ipv4 };
        self.tell(Event::ActiveRoutes(Update::All(vec![(table, count)])))
    }

    fn dumping(self) -> Self {
        self.source(SourceId::Ndk, SourceEvent::Syncing)
    }

    fn wait(mut self, milliseconds: u64) -> Self {
        self.elapsed += Duration::from_millis(milliseconds);
        self.tell(Event::Tick)
    }

    /// Wakes the engine when it asked to be woken, up to a moment from now.
    fn woken_for(mut self, seconds: u64) -> Self {
        let end = self.elapsed + Duration::from_secs(seconds);
        while let Some(at) = self.engine.deadline().filter(|at| *at <= end) {
            self.elapsed = at.max(self.elapsed);
            self = self.tell(Event::Tick);
        }
        self.elapsed = end;
        self.tell(Event::Tick)
    }
}

/// A VIP behind one node, before anything of the switch is told but the route to another address.
fn half_told() -> Lab {
    let lab = Lab::unsynced(true).gnmi_synced().counting(2).cluster_synced().node(1).service(Cluster).endpoints(&[1]);
    let lab = lab.dumping().ndk_tables().attached(&[1]);
    let other: IpNet = "9.9.9.9/32".parse().expect("a prefix");
    let hop = lab.node_address(1);
    lab.route_in("ip-vrf-1", other, BGP, &[hop])
}

#[test]
fn a_first_dump_that_pauses_in_its_middle_gives_no_false_word() {
    let lab = half_told().paced(DumpPace::Paused).paced(DumpPace::Rested);
    let lab = lab.says(Unknown, Some(Reason::Syncing)).woken_for(5).says(Unknown, Some(Reason::Syncing));
    let lab = lab.via_nodes(&[1]).says(Unknown, Some(Reason::Syncing));
    lab.paced(DumpPace::Paused).says(Up, None);
}

#[test]
fn a_dump_of_fewer_routes_than_are_counted_is_over_when_nothing_moves() {
    let lab = half_told().counting(3).via_nodes(&[1]).paced(DumpPace::Paused).paced(DumpPace::Rested);
    lab.woken_for(9).says(Unknown, Some(Reason::Syncing)).woken_for(1).says(Up, None);
}

#[test]
fn without_counts_a_rest_ends_the_dump() {
    let lab = half_told().counting(0).via_nodes(&[1]);
    let lab = lab.tell(Event::ActiveRoutes(Update::All(Vec::new())));
    lab.paced(DumpPace::Paused).says(Unknown, Some(Reason::Syncing)).paced(DumpPace::Rested).says(Up, None);
}

#[test]
fn a_stream_made_again_keeps_verdicts_until_all_is_told_again() {
    let lab = Lab::new(true, 1).service(Cluster).endpoints(&[1]).attached(&[1]).counting(1).via_nodes(&[1]);
    let lab = lab.says(Up, None);
    let route = (IpNet::from(lab.vip_address()), NextHopGroupId(lab.next_group));
    let next_hops = [lab.node_address(1)].into();

    // Groups first, and routes three seconds later.
    let lab = lab.source(SourceId::Ndk, SourceEvent::Lost("ended".into())).dumping();
    let group = Some(NextHopGroup { next_hops });
    let lab = lab.tell(Event::Switch(SwitchEvent::NextHopGroups(vec![(route.1, group.clone())])));
    let lab = lab.wait(300).paced(DumpPace::Paused).wait(700).paced(DumpPace::Rested).wait(2000).says(Up, None);
    let lab = lab.route_by("ip-vrf-1", route.0, BGP, route.1).paced(DumpPace::Paused).says(Up, None);
    let lab = lab.ndk_tables().paced(DumpPace::Paused).says(Up, None);

    // Routes first, and what they name three seconds later.
    let lab = lab.source(SourceId::Ndk, SourceEvent::Lost("ended".into())).dumping();
    let lab = lab.route_by("ip-vrf-1", route.0, BGP, route.1);
    let lab = lab.wait(300).paced(DumpPace::Paused).wait(700).paced(DumpPace::Rested).wait(2000).says(Up, None);
    let lab = lab.tell(Event::Switch(SwitchEvent::NextHopGroups(vec![(route.1, group)])));
    lab.ndk_tables().paced(DumpPace::Paused).says(Up, None);
}

#[test]
fn what_was_not_told_again_is_gone_when_the_dump_is_over() {
    let lab = Lab::new(true, 1).service(Cluster).endpoints(&[1]).attached(&[1]).counting(0).via_nodes(&[1]);
    let lab = lab.says(Up, None).source(SourceId::Ndk, SourceEvent::Lost("ended".into())).dumping();
    let lab = lab.ndk_tables().says(Up, None).paced(DumpPace::Paused);
    lab.says(crate::model::verdict::OperState::Down, Some(Reason::NoRoute));
}
