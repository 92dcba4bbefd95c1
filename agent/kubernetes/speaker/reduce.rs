//! Reduces objects of a speaker to what the engine reads of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use serde::de::DeserializeOwned;

use super::super::limits;
use super::super::objects::Meta;
use super::super::reduce::{Kind, Names, Reduced, Unreadable, labels, name, text};
use super::calico;
use super::objects::{self, Block, Custom, LabelSelector};
use crate::model::event::{ClusterEvent, Update};
use crate::model::selector::{Operator, Requirement, Selector};
use crate::model::speaker::{
    CalicoConfiguration, CalicoPeer, CiliumAdvertisement, CiliumCluster, CiliumL2Policy, CiliumNode, CiliumPeer,
    CiliumServices, Lengths, MetallbAdvertisement, MetallbL2Advertisement, MetallbPeer, MetallbPools, ObjectKey, Pool,
    SpeakerObject, SpeakerResource,
};
use crate::model::text::is_name;

/// Reads objects of one resource.
#[derive(Debug)]
pub(super) struct Objects {
    resource: SpeakerResource,
    api: Arc<str>,
    names: Names,
}

impl Objects {
    pub(super) fn new(resource: SpeakerResource, api: Arc<str>) -> Self {
        Self { resource, api, names: Names::default() }
    }

    fn key(&mut self, meta: &Meta) -> Result<ObjectKey, Unreadable> {
        let namespace = meta.namespace.as_deref().filter(|namespace| is_name(namespace));
        Ok(ObjectKey { namespace: namespace.map(|namespace| self.names.get(namespace)), name: Arc::from(name(meta)?) })
    }
}

/// Reads a spec, and counts what it cannot read.
struct Reader<'a> {
    names: &'a mut Names,
    meta: &'a Meta,
    faults: u64,
    /// Whether there are more prefixes than are read.
    exceeds: bool,
}

impl Kind for Objects {
    type Key = ObjectKey;
    type Value = SpeakerObject;

    const NAMESPACED: bool = false;
    const PAGE: u32 = 200;
    const MOST: usize = limits::SPEAKER_OBJECTS;
    const EVERY_OBJECT_COUNTS: bool = true;

    fn resource(&self) -> &'static str {
        self.resource.plural()
    }

    fn api(&self) -> String {
        self.api.to_string()
    }

    fn speaker_resource(&self) -> Option<SpeakerResource> {
        Some(self.resource)
    }

    fn keys(&mut self, meta: &Meta) -> Result<Vec<ObjectKey>, Unreadable> {
        Ok(vec![self.key(meta)?])
    }

    fn reduce(&mut self, json: &str) -> Result<Reduced<ObjectKey, SpeakerObject>, Unreadable> {
        use SpeakerResource as R;
        match self.resource {
            R::MetallbPools => self.read(json, |reader, spec| Some(SpeakerObject::Pool(reader.metallb_pool(spec)))),
            R::MetallbAdvertisements => self.read(json, |reader, spec| {
                Some(SpeakerObject::MetallbAdvertisement(reader.metallb_advertisement(spec)))
            }),
            R::MetallbPeers => {
                self.read(json, |reader, spec| Some(SpeakerObject::MetallbPeer(reader.metallb_peer(spec))))
            }
            R::MetallbL2Advertisements => self.read(json, |reader, spec| {
                Some(SpeakerObject::MetallbL2Advertisement(reader.metallb_l2_advertisement(spec)))
            }),
            R::CiliumPools => self.read(json, |reader, spec| Some(SpeakerObject::Pool(reader.cilium_pool(spec)))),
            R::CiliumAdvertisements => self
                .read(json, |reader, spec| Some(SpeakerObject::CiliumAdvertisement(reader.cilium_advertisement(spec)))),
            R::CiliumClusters => {
                self.read(json, |reader, spec| Some(SpeakerObject::CiliumCluster(reader.cilium_cluster(spec))))
            }
            R::CiliumPeers => self.read(json, |reader, spec| Some(SpeakerObject::CiliumPeer(reader.cilium_peer(spec)))),
            R::CiliumNodes => self.read(json, |reader, spec| Some(SpeakerObject::CiliumNode(reader.cilium_node(spec)))),
            R::CiliumL2Policies => {
                self.read(json, |reader, spec| Some(SpeakerObject::CiliumL2Policy(reader.cilium_l2_policy(spec))))
            }
            R::CalicoConfigurations => self
                .read(json, |reader, spec| Some(SpeakerObject::CalicoConfiguration(reader.calico_configuration(spec)))),
            R::CalicoPeers => self.read(json, |reader, spec| reader.calico_peer(spec).map(SpeakerObject::CalicoPeer)),
            R::CalicoPools => self.read(json, |reader, spec| reader.calico_pool(spec).map(SpeakerObject::Pool)),
            // These are sent as announcements, not as objects.
            R::MetallbStatuses | R::MetallbL2Statuses => self.read(json, |_, ()| None),
        }
    }

    fn bytes(_: &ObjectKey, object: &SpeakerObject, json: usize) -> usize {
        limits::SPEAKER_OBJECT_BYTES
            + match object {
                SpeakerObject::Pool(pool) => pool.prefixes.len() * limits::PREFIX_BYTES + labels(&pool.labels),
                // There is one for each node, and most of it is not read.
                SpeakerObject::CiliumNode(node) => {
                    let addresses = node.local_addresses.len() * limits::PREFIX_BYTES;
                    node.peers.iter().map(|peer| text(peer)).sum::<usize>() + addresses
                }
                // Not more is kept of others than they contain.
                _ => json,
            }
    }

    fn event(&self, update: Update<ObjectKey, SpeakerObject>) -> ClusterEvent {
        ClusterEvent::SpeakerObjects(self.resource, update)
    }
}

impl Objects {
    fn read<S: DeserializeOwned + Default>(
        &mut self,
        json: &str,
        read: impl Fn(&mut Reader<'_>, S) -> Option<SpeakerObject>,
    ) -> Result<Reduced<ObjectKey, SpeakerObject>, Unreadable> {
        let object: Custom<S> = serde_json::from_str(json)?;
        let meta = object.metadata.unwrap_or_default();
        let key = self.key(&meta)?;
        let mut reader = Reader { names: &mut self.names, meta: &meta, faults: 0, exceeds: false };
        let value = read(&mut reader, object.spec.unwrap_or_default());
        let excess = reader.exceeds.then(|| {
            let (resource, most) = (self.resource.plural(), limits::PREFIXES);
            format!("{} of {resource} has more than {most} prefixes, of which {most} are read", key.name)
        });
        Ok(Reduced { excess, ..Reduced::one(key, value, reader.faults) })
    }
}

impl Reader<'_> {
    fn metallb_pool(&mut self, spec: objects::IpAddressPool) -> Pool {
        let ranges = spec.addresses.unwrap_or_default();
        let prefixes = self.prefixes(&ranges, |reader, range| match range.split_once('-') {
            Some((start, stop)) => reader.span(start, stop),
            None => reader.net(range).into_iter().collect(),
        });
        self.pool(prefixes)
    }

    fn cilium_pool(&mut self, spec: objects::CiliumPool) -> Pool {
        let blocks = spec.blocks.into_iter().chain(spec.cidrs).flatten();
        let prefixes = self.prefixes(blocks, |reader, block| reader.block(&block));
        self.pool(prefixes)
    }

    /// Returns a pool unless it is only for pods, as Calico's pools are by default.
    fn calico_pool(&mut self, spec: objects::CalicoPool) -> Option<Pool> {
        let uses = spec.allowed_uses.unwrap_or_default();
        if !uses.iter().any(|usage| usage == "LoadBalancer") {
            return None;
        }
        let prefixes = spec.cidr.and_then(|cidr| self.net(&cidr)).into_iter().collect();
        Some(self.pool(prefixes))
    }

    /// Returns the prefixes of all blocks, up to the limit.
    fn prefixes<B>(
        &mut self,
        blocks: impl IntoIterator<Item = B>,
        read: impl Fn(&mut Self, B) -> Vec<IpNet>,
    ) -> Vec<IpNet> {
        let mut all = Vec::new();
        for block in blocks {
            all.extend(read(self, block));
            if all.len() > limits::PREFIXES {
                all.truncate(limits::PREFIXES);
                self.exceeds = true;
                break;
            }
        }
        all
    }

    fn pool(&mut self, prefixes: Vec<IpNet>) -> Pool {
        let mut prefixes = IpNet::aggregate(&prefixes);
        prefixes.sort_unstable();
        Pool { prefixes: prefixes.into(), labels: self.names.labels(self.meta) }
    }

    fn block(&mut self, block: &Block) -> Vec<IpNet> {
        match (&block.cidr, &block.start) {
            (Some(cidr), _) => self.net(cidr).into_iter().collect(),
            (None, Some(start)) => {
                let stop = block.stop.as_deref().filter(|stop| !stop.is_empty());
                self.span(start, stop.unwrap_or(start))
            }
            (None, None) => self.fault(),
        }
    }

    fn blocks(&mut self, blocks: Option<Vec<Block>>) -> Box<[IpNet]> {
        self.prefixes(blocks.unwrap_or_default(), |reader, block| reader.block(&block)).into()
    }

    /// Parses a prefix, or a single address.
    fn net(&mut self, text: &str) -> Option<IpNet> {
        let text = text.trim();
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        self.faults += u64::from(net.is_err());
        net.ok().map(|net| net.trunc())
    }

    /// Returns the prefixes that make up a range, including its ends.
    fn span(&mut self, start: &str, stop: &str) -> Vec<IpNet> {
        match (start.trim().parse(), stop.trim().parse()) {
            (Ok(IpAddr::V4(start)), Ok(IpAddr::V4(stop))) if start <= stop => {
                Ipv4Subnets::new(start, stop, 0).map(IpNet::V4).collect()
            }
            (Ok(IpAddr::V6(start)), Ok(IpAddr::V6(stop))) if start <= stop => {
                Ipv6Subnets::new(start, stop, 0).map(IpNet::V6).collect()
            }
            _ => self.fault(),
        }
    }

    fn fault<T: Default>(&mut self) -> T {
        self.faults += 1;
        T::default()
    }

    fn metallb_advertisement(&mut self, spec: objects::BgpAdvertisement) -> MetallbAdvertisement {
        MetallbAdvertisement {
            pools: self.metallb_pools(spec.ip_address_pools, spec.ip_address_pool_selectors),
            node_selectors: self.selectors(spec.node_selectors),
            service_selectors: self.selectors(spec.service_selectors),
            peers: self.list(spec.peers),
            lengths: self.lengths(spec.aggregation_length, spec.aggregation_length_v6),
            local_preference: spec.local_pref.unwrap_or_default(),
            prepended: spec.as_path_prepend.unwrap_or_default(),
        }
    }

    fn metallb_pools(&mut self, names: Option<Vec<String>>, selectors: Option<Vec<LabelSelector>>) -> MetallbPools {
        MetallbPools { names: self.list(names), selectors: self.selectors(selectors) }
    }

    fn metallb_l2_advertisement(&mut self, spec: objects::L2Advertisement) -> MetallbL2Advertisement {
        let pools = self.metallb_pools(spec.ip_address_pools, spec.ip_address_pool_selectors);
        MetallbL2Advertisement { pools }
    }

    fn metallb_peer(&mut self, spec: objects::BgpPeer) -> MetallbPeer {
        let mut read = |address: Option<String>| {
            let address = address.filter(|address| !address.is_empty());
            address.and_then(|address| self.address(&address))
        };
        let (source, address) = (read(spec.source_address), read(spec.peer_address));
        MetallbPeer { node_selectors: self.selectors(spec.node_selectors), source, address }
    }

    fn cilium_advertisement(&mut self, spec: objects::CiliumAdvertisements) -> CiliumAdvertisement {
        let all = spec.advertisements.unwrap_or_default().into_iter();
        let of_services = all.filter(|one| one.advertisement_type.as_deref() == Some("Service"));
        let services = of_services.map(|one| {
            let service = one.service.unwrap_or_default();
            let named = |kind: &str| service.addresses.iter().flatten().any(|named| named == kind);
            CiliumServices {
                load_balancer: named("LoadBalancerIP"),
                external: named("ExternalIP"),
                selector: one.selector.map(|selector| self.selector(selector)),
                lengths: self.lengths(service.aggregation_length_ipv4, service.aggregation_length_ipv6),
            }
        });
        let services = services.collect();
        CiliumAdvertisement { labels: self.names.labels(self.meta), services }
    }

    fn cilium_cluster(&mut self, spec: objects::CiliumInstances) -> CiliumCluster {
        let node_selector = spec.node_selector.map(|selector| self.selector(selector));
        let (peers, _) = self.instances(spec.bgp_instances);
        CiliumCluster { node_selector, peers }
    }

    fn cilium_node(&mut self, spec: objects::CiliumInstances) -> CiliumNode {
        let (peers, local_addresses) = self.instances(spec.bgp_instances);
        CiliumNode { peers, local_addresses }
    }

    /// Returns the names of the peers' configurations, and the addresses that the node speaks from.
    fn instances(&mut self, instances: Option<Vec<objects::CiliumInstance>>) -> (Box<[Arc<str>]>, Box<[IpAddr]>) {
        let (mut configs, mut addresses) = (Vec::new(), Vec::new());
        for peer in instances.into_iter().flatten().flat_map(|instance| instance.peers.unwrap_or_default()) {
            configs.extend(peer.peer_config_ref.and_then(|reference| reference.name).map(|name| self.names.get(&name)));
            let local = peer.local_address.filter(|address| !address.is_empty());
            addresses.extend(local.and_then(|address| self.address(&address)));
        }
        configs.sort_unstable();
        configs.dedup();
        addresses.sort_unstable();
        addresses.dedup();
        (configs.into(), addresses.into())
    }

    fn cilium_peer(&mut self, spec: objects::CiliumPeerConfig) -> CiliumPeer {
        let families = spec.families.unwrap_or_default().into_iter().filter_map(|family| {
            let v4 = match family.afi.as_deref() {
                Some("ipv4") => true,
                Some("ipv6") => false,
                _ => return None,
            };
            Some((v4, family.advertisements.map(|selector| self.selector(selector))))
        });
        CiliumPeer { families: families.collect() }
    }

    fn cilium_l2_policy(&mut self, spec: objects::CiliumL2Policy) -> CiliumL2Policy {
        CiliumL2Policy {
            service_selector: spec.service_selector.map(|selector| self.selector(selector)),
            load_balancer: spec.load_balancer_ips.unwrap_or_default(),
            external: spec.external_ips.unwrap_or_default(),
        }
    }

    fn calico_configuration(&mut self, spec: objects::CalicoConfiguration) -> CalicoConfiguration {
        CalicoConfiguration {
            load_balancer: self.blocks(spec.service_load_balancer_ips),
            external: self.blocks(spec.service_external_ips),
            aggregation: spec.service_load_balancer_aggregation.as_deref() != Some("Disabled"),
        }
    }

    /// Returns a peer, unless it stands for nodes or for pods.
    fn calico_peer(&mut self, spec: objects::CalicoPeer) -> Option<CalicoPeer> {
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        if is_set(&spec.peer_selector) || is_set(&spec.local_workload_selector) {
            return None;
        }
        let text = spec.peer_ip.filter(|text| !text.trim().is_empty())?;
        // An address, or an address and a port.
        let address = text.trim().parse::<SocketAddr>().map(|peer| peer.ip()).ok().or_else(|| self.address(&text));
        let node = spec.node.filter(|name| !name.is_empty()).map(|name| self.names.get(&name));
        let node_selector = calico::selector(self.names, &spec.node_selector.unwrap_or_default());
        Some(CalicoPeer { node, node_selector, address })
    }

    fn address(&mut self, text: &str) -> Option<IpAddr> {
        let address = text.trim().parse().ok();
        self.faults += u64::from(address.is_none());
        address
    }

    /// Returns lengths; one that exceeds an address counts as not set.
    fn lengths(&mut self, v4: Option<i64>, v6: Option<i64>) -> Lengths {
        let mut length = |value: Option<i64>, most: u8| {
            let length = value.and_then(|value| u8::try_from(value).ok()).filter(|length| *length <= most);
            self.faults += u64::from(value.is_some() && length.is_none());
            length
        };
        Lengths { v4: length(v4, 32), v6: length(v6, 128) }
    }

    fn list(&mut self, names: Option<Vec<String>>) -> Box<[Arc<str>]> {
        names.unwrap_or_default().iter().map(|name| self.names.get(name)).collect()
    }

    fn selectors(&mut self, selectors: Option<Vec<LabelSelector>>) -> Box<[Selector]> {
        selectors.unwrap_or_default().into_iter().map(|selector| self.selector(selector)).collect()
    }

    /// Reads a selector. A requirement that cannot be read is left out, so that it restricts nobody.
    fn selector(&mut self, selector: LabelSelector) -> Selector {
        let mut requirements = Vec::new();
        for (label, value) in selector.match_labels.unwrap_or_default() {
            let values = [self.names.get(&value.unwrap_or_default())].into();
            requirements.push(Requirement { label: self.names.get(&label), operator: Operator::In(values) });
        }
        for expression in selector.match_expressions.unwrap_or_default() {
            let values = self.list(expression.values);
            let operator = match expression.operator.as_deref() {
                Some("In") => Operator::In(values),
                Some("NotIn") => Operator::NotIn(values),
                Some("Exists") => Operator::Exists,
                Some("DoesNotExist") => Operator::DoesNotExist,
                _ => {
                    self.faults += 1;
                    continue;
                }
            };
            requirements.push(Requirement { label: self.names.get(&expression.key.unwrap_or_default()), operator });
        }
        Selector(requirements.into())
    }
}

#[cfg(test)]
mod tests;
