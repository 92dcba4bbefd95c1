//! Continuously compares what leaves report with what the emulator knows: an agent that can see the truth may be wrong
//! only for a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;
use srl_sim::tables::Fib;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::fault::Fault;
use crate::process::{self, Usage};

/// Time for which something wrong may be reported once nothing prevents the agent from seeing it: its longest pause
/// between two attempts at a source, plus the time to sync, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(25);
/// Time for which state of an earlier process of the agent may remain, if the switch keeps it: it is read back by gNMI,
/// which is retried once a minute if it does not answer.
const LEFTOVERS: Duration = Duration::from_secs(100);
/// Text for something that no longer exists in the cluster.
const STILL_STANDS: &str = "still stands";
/// Maximum memory of an agent (debug build), in bytes.
const MEMORY: u64 = 120 << 20;

/// What is wrong, with the time since when.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    wrong: BTreeMap<(String, String), Instant>,
    /// Number of faults that blind the agent of each leaf.
    blinded: BTreeMap<String, usize>,
    seeing: BTreeMap<String, Instant>,
    processes: BTreeMap<(String, u32), Usage>,
}

impl Watch {
    /// Records that a fault begins.
    pub(crate) fn begins(&mut self, bench: &Bench, fault: &Fault) {
        for leaf in blinded(bench, fault) {
            *self.blinded.entry(leaf).or_default() += 1;
        }
    }

    /// Records that a fault is healed.
    pub(crate) fn ends(&mut self, bench: &Bench, fault: &Fault) {
        for leaf in blinded(bench, fault) {
            *self.blinded.entry(leaf.clone()).or_default() -= 1;
            self.seeing.insert(leaf, Instant::now());
        }
    }

    /// Checks every leaf.
    pub(crate) fn look(&mut self, bench: &Bench) {
        let now = Instant::now();
        for leaf in bench.leaves() {
            self.measure(bench, leaf);
            let found: BTreeSet<String> = wrong(bench, leaf).into_iter().collect();
            self.wrong.retain(|(of, what), _| of != leaf || found.contains(what));
            let blind = self.blinded.get(leaf).is_some_and(|faults| *faults > 0);
            let seeing = self.seeing.get(leaf).copied();
            for what in found {
                let since = self.wrong.entry((leaf.to_owned(), what.clone())).or_insert(now);
                let since = if blind { now } else { seeing.map_or(*since, |seeing| seeing.max(*since)) };
                let patience = if what.ends_with(STILL_STANDS) { LEFTOVERS } else { PATIENCE };
                assert!(now - since < patience, "{}", bench.failure(leaf, &format!("for too long: {what}")));
            }
        }
    }

    /// Returns what is wrong on any leaf now.
    pub(crate) fn now(bench: &Bench) -> Vec<String> {
        let of = |leaf: &str| {
            wrong(bench, leaf).into_iter().map(move |what| format!("{what} on {leaf}")).collect::<Vec<_>>()
        };
        bench.leaves().flat_map(of).collect()
    }

    fn measure(&mut self, bench: &Bench, leaf: &str) {
        let Some(pid) = bench.process(leaf) else { return };
        let Some(usage) = process::usage(pid) else { return };
        assert!(usage.resident < MEMORY, "{}", bench.failure(leaf, &format!("{} bytes resident", usage.resident)));
        let most = self.processes.entry((leaf.to_owned(), pid)).or_default();
        *most = Usage { cpu: usage.cpu, resident: usage.resident.max(most.resident) };
    }

    /// Returns the processor time of all processes of a leaf's agent, and the peak memory of any of them.
    pub(crate) fn used(&self, leaf: &str) -> Usage {
        let own = self.processes.iter().filter(|((of, _), _)| of == leaf).map(|(_, usage)| usage);
        own.fold(Usage::default(), |sum, one| Usage {
            cpu: sum.cpu + one.cpu,
            resident: sum.resident.max(one.resident),
        })
    }
}

/// Returns the leaves whose agents a fault blinds.
fn blinded(bench: &Bench, fault: &Fault) -> Vec<String> {
    match fault.leaf() {
        _ if !fault.blinds() => Vec::new(),
        Some(leaf) => vec![leaf.to_owned()],
        None => bench.leaves().map(str::to_owned).collect(),
    }
}

/// Returns what a leaf reports that is certainly wrong.
fn wrong(bench: &Bench, leaf: &str) -> Vec<String> {
    let state = bench.state(leaf);
    let mut found = Vec::new();
    for cluster in entries(&state["cluster"]) {
        for service in entries(&cluster["service"]) {
            let name = service["name"].as_str().unwrap_or_default();
            let Some(object) = bench.cluster().get("Service", "default", name) else {
                found.push(format!("service {name} was deleted and {STILL_STANDS}"));
                continue;
            };
            for vip in entries(&service["vip"]) {
                let address = vip["address"].as_str().unwrap_or_default();
                let ingress = entries(&object["status"]["loadBalancer"]["ingress"]);
                if !ingress.into_iter().any(|ingress| ingress["ip"] == address) {
                    found.push(format!("VIP {address} was taken away and {STILL_STANDS}"));
                } else if vip["oper-state"] == "up"
                    && let Some(why) = unusable(bench, leaf, name, address)
                {
                    found.push(format!("VIP {address} is said to be up, and {why}"));
                }
            }
        }
    }
    found
}

/// Returns why traffic to a VIP that enters a leaf certainly does not arrive.
fn unusable(bench: &Bench, leaf: &str, service: &str, vip: &str) -> Option<String> {
    let vip: IpAddr = vip.parse().ok()?;
    let tables = bench.leaf(leaf).tables();
    let Some(instance) = tables.network_instances.get("ip-vrf-1") else {
        return Some("its network instance is not there".to_owned());
    };
    let covers = |prefix: &IpNet| prefix.prefix_len() > 0 && prefix.contains(&vip);
    let routes = instance.routes.iter().filter(|(key, route)| route.active && covers(&key.prefix));
    let Some((key, route)) = routes.max_by_key(|(key, _)| key.prefix.prefix_len()) else {
        return Some("there is no route to it".to_owned());
    };
    if route.fib == Fib::Failed {
        return Some(format!("{} is not programmed", key.prefix));
    }
    let slices = bench.cluster().list("EndpointSlice");
    let own = slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service);
    let usable = own.flat_map(|slice| entries(&slice["endpoints"])).any(|endpoint| {
        let conditions = &endpoint["conditions"];
        conditions["ready"] == true || conditions["serving"] == true
    });
    (!usable).then(|| "no endpoint of its service is usable".to_owned())
}

fn entries(list: &Value) -> Vec<&Value> {
    list.as_array().into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watch_reports_a_suspended_agent_as_wrong_until_it_catches_up() {
    use crate::bench::RECOVERY;
    use crate::fault::AgentFault;
    let bench = Bench::healthy().await;
    assert_eq!(Watch::now(&bench), Vec::<String>::new());
    let held = Fault::Agent("leaf4", AgentFault::Suspended);
    held.strike(&bench).await;
    Fault::Fabric(srl_sim::fabric::Lever::OverlayDown { leaf: "leaf4".to_owned() }).strike(&bench).await;
    Fault::Remove("near").strike(&bench).await;
    let seen = Watch::now(&bench).join("\n");
    assert!(seen.contains("VIP 1.1.1.100 is said to be up, and there is no route to it on leaf4"), "{seen}");
    assert!(seen.contains("service near was deleted and still stands on leaf4"), "{seen}");
    held.heal(&bench).await;
    bench.until("leaf4", RECOVERY, |_| wrong(&bench, "leaf4").first().cloned()).await;
    bench.down().await;
}
