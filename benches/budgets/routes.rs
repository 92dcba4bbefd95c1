//! A million routes: the cost of receiving them, compared with a client that decodes the same stream and drops it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use srl_proto::ndk as pb;
use srl_sim::ndk::{RouteFeed, RouteRow};

use crate::load;
use crate::process::{Agent, yardstick};
use crate::report::{Line, ratio};
use crate::switch::Switch;

const ROUTES: usize = 1_000_000;
const GROUPS: u64 = 1024;
const RUNS: usize = 3;

/// The table, generated while it is streamed.
#[derive(Clone, Copy)]
enum Table {
    Ipv4,
    Ipv6,
}

impl Table {
    /// The most memory that the agent may use for it.
    fn megabytes(self) -> u64 {
        match self {
            Self::Ipv4 => 50,
            Self::Ipv6 => 65,
        }
    }

    /// Returns a prefix. Prefixes are scattered, as in a real table, and all different.
    fn prefix(self, number: u32) -> IpNet {
        let bits = number.wrapping_mul(2_654_435_761);
        let longer = (number % 9) as u8;
        match self {
            Self::Ipv4 => Ipv4Net::new_assert(Ipv4Addr::from_bits(bits & 0xffff_ff00), 24 + longer).trunc().into(),
            Self::Ipv6 => {
                let bits = 0x2001_0db8 << 96 | u128::from(bits) << 64;
                Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), 56 + longer).trunc().into()
            }
        }
    }
}

impl RouteFeed for Table {
    fn groups(&self) -> Box<dyn Iterator<Item = (u64, Vec<pb::NextHop>)> + Send> {
        Box::new((0..GROUPS).map(|number| (group(number), vec![next_hop(number), next_hop(number + 1)])))
    }

    fn routes(&self) -> Box<dyn Iterator<Item = (Arc<str>, IpNet, RouteRow)> + Send> {
        let instance: Arc<str> = "default".into();
        let table = *self;
        Box::new((0..ROUTES as u32).map(move |number| {
            let row = RouteRow {
                group: group(u64::from(number) % GROUPS),
                preference: 170,
                metric: number % 1000,
                owner: 14,
            };
            (instance.clone(), table.prefix(number), row)
        }))
    }
}

fn group(number: u64) -> u64 {
    3_706_001 + 2 * number
}

fn next_hop(number: u64) -> pb::NextHop {
    let address = Ipv4Addr::from_bits(0x0a00_0000 + (number % GROUPS) as u32);
    let address = pb::IpAddressPb { ip_address: address.octets().to_vec().into() };
    pb::NextHop {
        resolve_to: pb::next_hop::ResolveToType::Indirect.into(),
        r#type: pb::next_hop::ResolutionType::Regular.into(),
        nexthop: Some(pb::next_hop::Nexthop::IpNexthop(address)),
    }
}

/// Measures processor time and memory for receiving the routes.
pub(crate) async fn routes() -> Vec<Line> {
    let mut lines = of_family("IPv4", Table::Ipv4).await;
    lines.append(&mut of_family("IPv6", Table::Ipv6).await);
    lines
}

async fn of_family(family: &str, table: Table) -> Vec<Line> {
    let (mut agent_cpu, mut client_cpu) = (f64::INFINITY, f64::INFINITY);
    let (mut resident, mut idle) = (0, f64::INFINITY);
    let cluster = load::cluster(100);
    for run in 1..=RUNS {
        let switch = Switch::start().await;
        switch.ndk().set_feed(Some(Arc::new(table)));
        let socket = switch.ndk().socket().display().to_string();
        client_cpu = client_cpu.min(yardstick(&["drop", &socket, &ROUTES.to_string()]).await[0]);

        // A cluster whose VIPs are looked up among these routes.
        let _server = switch.watch(&cluster, "default").await;
        let agent = Agent::start(&switch);
        switch.until("/k8s-services/summary/source[name=ndk]", |ndk| ndk["oper-state"] == "synced").await;
        agent_cpu = agent_cpu.min(agent.cpu());
        resident = resident.max(agent.resident());
        if run == RUNS {
            // Freshness is written every 10 s, so this must be longer.
            idle = agent.idle_share(Duration::from_secs(12)).await;
        }
    }
    vec![
        Line::figure(format!("{family}: a client that decodes and drops"), format!("{client_cpu:.2} s")),
        Line::figure(format!("{family}: the agent, until synced"), format!("{agent_cpu:.2} s")),
        Line::budget(format!("{family}: the agent against the client"), ratio(agent_cpu, client_cpu), 1.0),
        Line::megabytes(format!("{family}: resident after"), resident, table.megabytes()),
        Line::share(format!("{family}: processor while idle, of one core"), idle, 0.01),
    ]
}
