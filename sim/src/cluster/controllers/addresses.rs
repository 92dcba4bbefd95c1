//! Load-balancer IPAM: assigns VIPs to services of type LoadBalancer from the pools of MetalLB, Cilium or Calico, as
//! these would, or from a plain range in the cluster's options.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::json::{annotation, flag, int, items, object, set, text};
use super::super::queue::wants;
use super::super::selector::label_selector_matches;
use super::super::state::{State, vips};
use super::super::store::Key;
use super::blocks::Block;

/// The implementation whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    MetalLb,
    Cilium,
    Calico,
    Plain,
}

const SPEAKERS: [Speaker; 4] = [Speaker::MetalLb, Speaker::Cilium, Speaker::Calico, Speaker::Plain];

/// A pool of any implementation.
#[derive(Clone, Debug)]
struct Pool {
    name: String,
    blocks: Vec<Block>,
    /// Assigns addresses to services that do not ask for one.
    automatic: bool,
    /// Assigns no new addresses.
    disabled: bool,
    avoid_buggy: bool,
    priority: i64,
    service_selectors: Vec<Value>,
    namespaces: Vec<String>,
    namespace_selectors: Vec<Value>,
}

/// Assigns, keeps or removes the addresses of a service.
pub(super) fn reconcile(state: &mut State, key: &Key) {
    let Some(service) = state.find("Service", key) else { return };
    let current = vips(&service);
    let ours = state.allocated.contains(key);
    if !wants(&service) {
        if ours || !current.is_empty() {
            write(state, key, &[], None);
        }
        return;
    }
    if !current.is_empty() && !ours {
        return;
    }
    let class = text(&service, "/spec/loadBalancerClass");
    let speaker =
        SPEAKERS.into_iter().find(|speaker| speaker.takes(state, class) && !pools(state, *speaker).is_empty());
    let Some(speaker) = speaker else {
        if ours {
            write(state, key, &[], None);
        }
        return;
    };
    let pools = pools(state, speaker);
    let request = Request::of(speaker, &service);
    if !current.is_empty() && request.accepts(&pools, &current) && fits(state, speaker, key, &service, &current) {
        return;
    }
    let found = request.choose(state, speaker, key, &service, &pools);
    let (addresses, pool) = found.unwrap_or_default();
    if addresses != current {
        let pool = (speaker == Speaker::MetalLb).then_some(pool);
        write(state, key, &addresses, pool.as_deref());
    }
}

impl Speaker {
    /// Returns whether this speaker's IPAM handles services of a class.
    fn takes(self, state: &State, class: &str) -> bool {
        match self {
            Self::MetalLb => class == state.options.metallb_class,
            Self::Cilium => matches!(class, "" | "io.cilium/bgp-control-plane" | "io.cilium/l2-announcer"),
            Self::Calico => matches!(class, "" | "calico"),
            Self::Plain => class.is_empty(),
        }
    }

    /// Returns the annotations by which services share an address if their values are equal.
    fn sharing_annotations(self) -> &'static [&'static str] {
        match self {
            Self::MetalLb => &["metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"],
            Self::Cilium => &["lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key"],
            Self::Calico | Self::Plain => &[],
        }
    }

    fn address_annotations(self) -> &'static [&'static str] {
        match self {
            Self::MetalLb => &["metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"],
            Self::Cilium => &["lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips"],
            Self::Calico => &["projectcalico.org/loadBalancerIPs"],
            Self::Plain => &[],
        }
    }

    fn pool_annotations(self) -> &'static [&'static str] {
        match self {
            Self::MetalLb => &["metallb.io/address-pool", "metallb.universe.tf/address-pool"],
            Self::Calico => &["projectcalico.org/ipv4pools", "projectcalico.org/ipv6pools"],
            Self::Cilium | Self::Plain => &[],
        }
    }
}

fn first_annotation<'a>(service: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| annotation(service, name))
}

/// Returns the values of an annotation that is a JSON list or separated by commas.
fn values(text: &str) -> Vec<String> {
    let strip =
        |value: &str| value.trim_matches(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | '"')).to_owned();
    text.split(',').map(strip).filter(|value| !value.is_empty()).collect()
}

/// What a service requests.
struct Request {
    addresses: Vec<IpAddr>,
    pools: Vec<String>,
    /// True for IPv6, in the order of the service's families.
    families: Vec<bool>,
    /// Whether one family of two is enough.
    lenient: bool,
}

impl Request {
    fn of(speaker: Speaker, service: &Value) -> Self {
        let asked = first_annotation(service, speaker.address_annotations()).unwrap_or_default();
        let mut addresses: Vec<IpAddr> = values(asked).iter().filter_map(|ip| ip.parse().ok()).collect();
        if addresses.is_empty() {
            addresses.extend(text(service, "/spec/loadBalancerIP").parse::<IpAddr>().ok());
        }
        let named = speaker.pool_annotations().iter().filter_map(|name| annotation(service, name));
        Self {
            addresses,
            pools: named.flat_map(values).collect(),
            families: items(service, "/spec/ipFamilies").iter().map(|family| family == "IPv6").collect(),
            lenient: text(service, "/spec/ipFamilyPolicy") == "PreferDualStack",
        }
    }

    /// Returns whether the addresses a service has are still requested and in a pool.
    fn accepts(&self, pools: &[Pool], current: &[IpAddr]) -> bool {
        let pooled = |address: &IpAddr| {
            pools.iter().any(|pool| {
                (self.pools.is_empty() || self.pools.contains(&pool.name))
                    && pool.blocks.iter().any(|block| block.contains(*address))
            })
        };
        let families: BTreeSet<bool> = current.iter().map(IpAddr::is_ipv6).collect();
        let wanted: BTreeSet<bool> = self.families.iter().copied().collect();
        let asked = self.addresses.is_empty() || self.addresses.iter().all(|address| current.contains(address));
        asked && current.iter().all(pooled) && (families == wanted || self.lenient && families.is_subset(&wanted))
    }

    fn choose(
        &self,
        state: &State,
        speaker: Speaker,
        key: &Key,
        service: &Value,
        pools: &[Pool],
    ) -> Option<(Vec<IpAddr>, String)> {
        if !self.addresses.is_empty() {
            let home =
                |address: &IpAddr| pools.iter().find(|pool| pool.blocks.iter().any(|block| block.contains(*address)));
            let homes: Vec<&Pool> = self.addresses.iter().map(home).collect::<Option<_>>()?;
            let named = |pool: &&Pool| self.pools.is_empty() || self.pools.contains(&pool.name);
            let together = speaker != Speaker::MetalLb || homes.iter().all(|pool| pool.name == homes[0].name);
            let sound = together && homes.iter().all(named) && fits(state, speaker, key, service, &self.addresses);
            return sound.then(|| (self.addresses.clone(), homes[0].name.clone()));
        }
        let labels = service.pointer("/metadata/labels").unwrap_or(&Value::Null);
        let mut open: Vec<&Pool> = pools
            .iter()
            .filter(|pool| !pool.disabled)
            .filter(|pool| if self.pools.is_empty() { pool.automatic } else { self.pools.contains(&pool.name) })
            .filter(|pool| pool.serves(state, key, labels))
            .collect();
        open.sort_by_key(|pool| if pool.priority == 0 { i64::MAX } else { pool.priority });
        let free = |pool: &Pool, v6: bool| {
            let blocks = pool.blocks.iter().filter(|block| block.is_v6() == v6);
            blocks.flat_map(|block| block.addresses()).find(|address| {
                !(pool.avoid_buggy && buggy(*address)) && fits(state, speaker, key, service, &[*address])
            })
        };
        // MetalLB takes all families from one pool; the others take each family from any pool.
        if speaker == Speaker::MetalLb {
            return open.iter().find_map(|pool| {
                let found: Vec<IpAddr> = self.families.iter().filter_map(|v6| free(pool, *v6)).collect();
                let enough = found.len() == self.families.len() || self.lenient && !found.is_empty();
                enough.then(|| (found, pool.name.clone()))
            });
        }
        let found: Vec<IpAddr> =
            self.families.iter().filter_map(|v6| open.iter().find_map(|pool| free(pool, *v6))).collect();
        let enough = found.len() == self.families.len() || self.lenient && !found.is_empty();
        enough.then(|| (found, String::new()))
    }
}

fn buggy(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if matches!(v4.octets()[3], 0 | 255))
}

impl Pool {
    fn serves(&self, state: &State, key: &Key, labels: &Value) -> bool {
        let services = self.service_selectors.iter();
        let by_service =
            self.service_selectors.is_empty() || services.clone().any(|s| label_selector_matches(s, labels));
        if self.namespaces.is_empty() && self.namespace_selectors.is_empty() {
            return by_service;
        }
        let namespace = state.find("Namespace", &Key::new("", &key.namespace));
        let labels = namespace.as_deref().and_then(|n| n.pointer("/metadata/labels")).unwrap_or(&Value::Null);
        let named = self.namespaces.iter().any(|name| **name == *key.namespace);
        by_service && (named || self.namespace_selectors.iter().any(|s| label_selector_matches(s, labels)))
    }
}

/// Returns whether no other service holds the addresses, or all that do may share them.
fn fits(state: &State, speaker: Speaker, key: &Key, service: &Value, addresses: &[IpAddr]) -> bool {
    addresses.iter().all(|address| {
        let holders = state.vips.get(address).into_iter().flatten().filter(|holder| *holder != key);
        holders.filter_map(|holder| state.find("Service", holder)).all(|other| may_share(speaker, service, &other))
    })
}

fn may_share(speaker: Speaker, one: &Value, other: &Value) -> bool {
    let key = |service| first_annotation(service, speaker.sharing_annotations());
    if key(one).is_none_or(str::is_empty) || key(one) != key(other) {
        return false;
    }
    let ports = |service: &Value| -> BTreeSet<(i64, String)> {
        let ports = items(service, "/spec/ports").iter();
        ports.map(|p| (int(p, "/port").unwrap_or_default(), text(p, "/protocol").to_owned())).collect()
    };
    let local = |service: &Value| text(service, "/spec/externalTrafficPolicy") == "Local";
    let same_backends = one.pointer("/spec/selector") == other.pointer("/spec/selector");
    let compatible = local(one) == local(other) && (!local(one) || same_backends);
    ports(one).is_disjoint(&ports(other)) && compatible
}

fn pools(state: &State, speaker: Speaker) -> Vec<Pool> {
    let read = |name: &str, pool: fn(&Value) -> Option<Pool>| -> Vec<Pool> {
        let Some(id) = state.registry.by_name(name) else { return Vec::new() };
        state.collection(id).objects.values().filter_map(|stored| pool(&stored.value)).collect()
    };
    match speaker {
        Speaker::MetalLb => {
            let mut pools = read("IPAddressPool.metallb.io", metallb_pool);
            if pools.is_empty() {
                pools =
                    state.find("ConfigMap", &Key::new("metallb-system", "config")).map_or(pools, |map| old_pools(&map));
            }
            pools
        }
        Speaker::Cilium => read("CiliumLoadBalancerIPPool.cilium.io", cilium_pool),
        Speaker::Calico => {
            let mut pools = read("IPPool.projectcalico.org", calico_pool);
            pools.extend(read("IPPool.crd.projectcalico.org", calico_pool));
            pools
        }
        Speaker::Plain => {
            let blocks: Vec<Block> = state.options.vip_ranges.iter().filter_map(|range| Block::parse(range)).collect();
            if blocks.is_empty() { Vec::new() } else { vec![plain_pool("", blocks)] }
        }
    }
}

fn plain_pool(name: &str, blocks: Vec<Block>) -> Pool {
    Pool {
        name: name.to_owned(),
        blocks,
        automatic: true,
        disabled: false,
        avoid_buggy: false,
        priority: 0,
        service_selectors: Vec::new(),
        namespaces: Vec::new(),
        namespace_selectors: Vec::new(),
    }
}

fn metallb_pool(pool: &Value) -> Option<Pool> {
    // MetalLB does not accept a bare address, and one bad entry makes the whole pool invalid.
    let whole = |text: &Value| text.as_str().filter(|text| text.contains(['/', '-'])).and_then(Block::parse);
    let blocks = items(pool, "/spec/addresses").iter().map(whole).collect::<Option<_>>()?;
    let allocation = pool.pointer("/spec/serviceAllocation").unwrap_or(&Value::Null);
    let names = items(allocation, "/namespaces").iter();
    Some(Pool {
        automatic: pool.pointer("/spec/autoAssign") != Some(&Value::Bool(false)),
        avoid_buggy: flag(pool, "/spec/avoidBuggyIPs"),
        priority: int(allocation, "/priority").unwrap_or_default(),
        service_selectors: items(allocation, "/serviceSelectors").to_vec(),
        namespaces: names.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        namespace_selectors: items(allocation, "/namespaceSelectors").to_vec(),
        ..plain_pool(text(pool, "/metadata/name"), blocks)
    })
}

/// Returns the pools of MetalLB up to 0.12, which was configured by text in a ConfigMap.
fn old_pools(map: &Value) -> Vec<Pool> {
    let config: Value = serde_norway::from_str(text(map, "/data/config")).unwrap_or_default();
    let pool = |pool: &Value| {
        let blocks = items(pool, "/addresses").iter().map(|text| text.as_str().and_then(Block::parse));
        Some(Pool {
            automatic: pool.pointer("/auto-assign") != Some(&Value::Bool(false)),
            avoid_buggy: flag(pool, "/avoid-buggy-ips"),
            ..plain_pool(text(pool, "/name"), blocks.collect::<Option<_>>()?)
        })
    };
    items(&config, "/address-pools").iter().filter_map(pool).collect()
}

fn cilium_pool(pool: &Value) -> Option<Pool> {
    let edges = text(pool, "/spec/allowFirstLastIPs") != "No";
    let block = |block: &Value| {
        if let Some(cidr) = block.get("cidr").and_then(Value::as_str) {
            return Block::parse(cidr).map(|block| if edges { block } else { block.inner() });
        }
        let start = text(block, "/start").parse().ok()?;
        let stop = text(block, "/stop");
        Block::range(start, if stop.is_empty() { start } else { stop.parse().ok()? })
    };
    let blocks = items(pool, "/spec/blocks").iter().chain(items(pool, "/spec/cidrs"));
    let selector = object(pool, "/spec/serviceSelector").map(|selector| Value::Object(selector.clone()));
    Some(Pool {
        disabled: flag(pool, "/spec/disabled"),
        service_selectors: selector.into_iter().collect(),
        ..plain_pool(text(pool, "/metadata/name"), blocks.filter_map(block).collect())
    })
}

fn calico_pool(pool: &Value) -> Option<Pool> {
    let for_services = items(pool, "/spec/allowedUses").iter().any(|allowed| allowed == "LoadBalancer");
    let block = Block::parse(text(pool, "/spec/cidr")).filter(|_| for_services)?;
    Some(Pool {
        automatic: text(pool, "/spec/assignmentMode") != "Manual",
        disabled: flag(pool, "/spec/disabled"),
        ..plain_pool(text(pool, "/metadata/name"), vec![block])
    })
}

fn write(state: &mut State, key: &Key, addresses: &[IpAddr], pool: Option<&str>) {
    if addresses.is_empty() {
        state.allocated.remove(key);
    } else {
        state.allocated.insert(key.clone());
    }
    let ingress: Vec<Value> = addresses.iter().map(|address| json!({"ip": address, "ipMode": "VIP"})).collect();
    // The caller found the service under the same lock.
    let _ = state.edit(state.kind("Service"), key, |service| {
        let status = if ingress.is_empty() { json!({}) } else { json!({"ingress": ingress}) };
        set(service, &["status", "loadBalancer"], status);
        match pool {
            Some(pool) => set(service, &["metadata", "annotations", POOL], pool),
            None => super::super::json::remove(service, "/metadata/annotations", POOL),
        }
    });
}

const POOL: &str = "metallb.io/ip-allocated-from-pool";
