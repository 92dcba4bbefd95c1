//! Derives from a speaker's resources who announces. Each object is evaluated again for every question.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::{Node, TrafficPolicy};
use srl_k8s_services::model::config::{ClusterConfig, Speaker};
use srl_k8s_services::model::names::NodeName;
use srl_k8s_services::model::selector::{Labels, Operator, Selector};
use srl_k8s_services::model::speaker::{
    CalicoPeer, CiliumAdvertisement, CiliumL2Policy, CiliumServices, MetallbAdvertisement, MetallbL2Advertisement,
    MetallbPools, ObjectKey, Pool, SpeakerObject, SpeakerResource,
};

use super::services::Subject;
use super::{Cluster, Oracle};
use crate::world::SpeakerWorld;

/// Returns all objects of a resource if they are known.
fn objects(speaker: &SpeakerWorld, resource: SpeakerResource) -> Option<Vec<(&ObjectKey, &SpeakerObject)>> {
    speaker.known.contains(&resource).then(|| speaker.objects.get(&resource).into_iter().flatten().collect())
}

macro_rules! typed {
    ($name:ident, $resource:ident, $variant:ident, $type:ty) => {
        fn $name(speaker: &SpeakerWorld) -> Option<Vec<(&ObjectKey, &$type)>> {
            let all = objects(speaker, SpeakerResource::$resource)?.into_iter();
            let typed = all.filter_map(|(key, object)| match object {
                SpeakerObject::$variant(typed) => Some((key, typed)),
                _ => None,
            });
            Some(typed.collect())
        }
    };
}

typed!(metallb_pools, MetallbPools, Pool, Pool);
typed!(metallb_advertisements, MetallbAdvertisements, MetallbAdvertisement, MetallbAdvertisement);
typed!(metallb_peers, MetallbPeers, MetallbPeer, srl_k8s_services::model::speaker::MetallbPeer);
typed!(l2_advertisements, MetallbL2Advertisements, MetallbL2Advertisement, MetallbL2Advertisement);
typed!(l2_policies, CiliumL2Policies, CiliumL2Policy, CiliumL2Policy);
typed!(cilium_advertisements, CiliumAdvertisements, CiliumAdvertisement, CiliumAdvertisement);
typed!(cilium_clusters, CiliumClusters, CiliumCluster, srl_k8s_services::model::speaker::CiliumCluster);
typed!(cilium_peers, CiliumPeers, CiliumPeer, srl_k8s_services::model::speaker::CiliumPeer);
typed!(calico_peers, CalicoPeers, CalicoPeer, CalicoPeer);
typed!(cilium_nodes, CiliumNodes, CiliumNode, srl_k8s_services::model::speaker::CiliumNode);

fn selects(selector: &Selector, label: &dyn Fn(&str) -> Option<String>) -> bool {
    selector.0.iter().all(|requirement| match (&requirement.operator, label(&requirement.label)) {
        (Operator::In(values), Some(value)) => values.iter().any(|known| **known == *value),
        (Operator::NotIn(values), Some(value)) => !values.iter().any(|known| **known == *value),
        (Operator::Exists, value) => value.is_some(),
        (Operator::DoesNotExist, value) => value.is_none(),
        (Operator::In(_), None) => false,
        (Operator::NotIn(_), None) => true,
    })
}

/// Returns whether a selector selects these labels.
pub(super) fn picks(selector: &Selector, labels: &Labels) -> bool {
    selects(selector, &of(labels))
}

fn any(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.is_empty() || selectors.iter().any(|selector| selects(selector, &|name| labels.get(name).map(Into::into)))
}

fn of(labels: &Labels) -> impl Fn(&str) -> Option<String> + '_ {
    |name| labels.get(name).map(Into::into)
}

/// Returns the addresses of a node according to resources of the speaker.
pub(crate) fn addresses(config: &ClusterConfig, speaker: &SpeakerWorld, name: &NodeName, node: &Node) -> Vec<IpAddr> {
    let pins = |selector: &Selector| {
        let pin = |operator: &Operator| matches!(operator, Operator::In(values) if values.len() == 1);
        selector.0.iter().any(|one| &*one.label == "kubernetes.io/hostname" && pin(&one.operator))
    };
    match config.source.speaker {
        Speaker::Metallb => {
            let peers = metallb_peers(speaker).unwrap_or_default().into_iter().map(|(_, peer)| peer);
            let own = peers.filter(|peer| {
                peer.node_selectors.len() == 1
                    && pins(&peer.node_selectors[0])
                    && any(&peer.node_selectors, &node.labels)
            });
            own.filter_map(|peer| peer.source).collect()
        }
        Speaker::Cilium => {
            let nodes = cilium_nodes(speaker).unwrap_or_default().into_iter();
            let own = nodes.filter(|(key, _)| *key.name == *name.as_str());
            own.flat_map(|(_, node)| node.local_addresses.to_vec()).collect()
        }
        Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => Vec::new(),
    }
}

/// Returns the prefixes from which VIPs are taken.
pub(super) fn pools(config: &ClusterConfig, speaker: &SpeakerWorld) -> BTreeSet<IpNet> {
    let mut all = config.rules.vip_pools.clone();
    let sees_all = config.source.namespaces.is_empty() && config.source.label_selector.is_none();
    for resource in [SpeakerResource::MetallbPools, SpeakerResource::CiliumPools, SpeakerResource::CalicoPools] {
        for (_, object) in objects(speaker, resource).unwrap_or_default() {
            if let (SpeakerObject::Pool(pool), true) = (object, sees_all) {
                all.extend(pool.prefixes.iter().copied());
            }
        }
    }
    all
}

impl<'a> Oracle<'a> {
    /// Returns the nodes whose speakers report that they announce the service by BGP.
    pub(super) fn said(&self, subject: Subject<'a>) -> BTreeSet<&'a NodeName> {
        match subject.service.ingress.contains(&subject.vip) {
            true => self.nodes_with_status(subject, SpeakerResource::MetallbStatuses),
            false => BTreeSet::new(),
        }
    }

    /// Returns the nodes that the speaker reports to answer ARP and ND for the service.
    pub(super) fn elected(&self, subject: Subject<'a>) -> BTreeSet<&'a NodeName> {
        match subject.cluster.config.source.speaker {
            Speaker::KubeVip => subject.service.hints.kube_vip_host.iter().collect(),
            _ => self.nodes_with_status(subject, SpeakerResource::MetallbL2Statuses),
        }
    }

    fn nodes_with_status(&self, subject: Subject<'a>, resource: SpeakerResource) -> BTreeSet<&'a NodeName> {
        let Cluster { config, world, .. } = subject.cluster;
        if config.source.speaker != Speaker::Metallb || !world.speaker.known.contains(&resource) {
            return BTreeSet::new();
        }
        let statuses = world.speaker.statuses.get(&resource).into_iter().flat_map(BTreeMap::keys);
        statuses.filter(|status| status.service == *subject.key).map(|status| &status.node).collect()
    }

    /// Returns whether the service has the class for which Cilium answers ARP and ND but does not announce by BGP.
    pub(super) fn is_of_l2_class(&self, subject: Subject<'a>) -> bool {
        subject.cluster.config.source.speaker == Speaker::Cilium
            && subject.service.class.as_deref() == Some("io.cilium/l2-announcer")
    }

    /// Returns whether nobody announces the VIP by BGP for this service, and somebody answers ARP and ND for it.
    pub(super) fn only_by_l2(&self, subject: Subject<'a>) -> bool {
        let Cluster { config, world, .. } = subject.cluster;
        let by_resources = match config.source.speaker {
            Speaker::Metallb => {
                let silent = metallb_about(&world.speaker, subject).is_some_and(|about| about.is_empty());
                let pool = metallb_pool(&world.speaker, subject);
                let mut all = l2_advertisements(&world.speaker).unwrap_or_default().into_iter();
                silent && all.any(|(_, advertisement)| of_pool(&advertisement.pools, &pool))
            }
            Speaker::Cilium => {
                cilium_only_by_l2(&world.speaker, subject, self.policy(subject.cluster, subject.service))
            }
            Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => false,
        };
        by_resources || self.is_of_l2_class(subject)
    }

    /// Returns whether a node is attached here and may be missing from the reports: the VIP's route uses it or is
    /// unknown, or none of its sessions is known to be up.
    pub(super) fn may_be_silent(&self, cluster: Cluster<'a>, vip: IpAddr, node: &NodeName) -> bool {
        use srl_k8s_services::model::switch::SessionState::Established;
        let attached = self.attached(cluster, node);
        let up = attached.iter().any(|address| self.session(cluster, *address) == Some(Established));
        let used = match self.longest(&cluster.config.rules.network_instance, vip) {
            None => false,
            Some((_, route)) => self
                .world
                .next_hops(route)
                .is_none_or(|next_hops| next_hops.iter().any(|next_hop| self.is_address_of(cluster, node, *next_hop))),
        };
        !attached.is_empty() && (used || !up)
    }

    /// Returns the lengths of the prefixes as which the VIP is announced, the longest first; `None` stands for a single
    /// length, which does not matter.
    pub(super) fn lengths(&self, subject: Subject<'a>) -> Vec<Option<u8>> {
        let metallb = subject.cluster.config.source.speaker == Speaker::Metallb;
        let about = metallb_about(&subject.cluster.world.speaker, subject).filter(|_| metallb).unwrap_or_default();
        let lengths: BTreeSet<u8> = about.into_iter().map(|one| metallb_length(one, subject.vip)).collect();
        if lengths.len() > 1 { lengths.into_iter().rev().map(Some).collect() } else { vec![None] }
    }

    /// Returns whether resources of the speaker announce the VIP by BGP, by any node.
    pub(super) fn announced_by_resources(&self, subject: Subject<'a>) -> bool {
        let Cluster { config, world, .. } = subject.cluster;
        let policy = self.policy(subject.cluster, subject.service);
        match config.source.speaker {
            Speaker::Metallb => metallb_about(&world.speaker, subject).is_some_and(|about| !about.is_empty()),
            Speaker::Cilium => cilium_length(&world.speaker, subject, policy).flatten().is_some(),
            Speaker::Calico => calico_length(&world.speaker, subject, false).flatten().is_some(),
            Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => false,
        }
    }

    /// Returns the length of the shortest prefix as which resources let anybody announce the VIP, which is that of a
    /// host prefix if they let nobody. `None` if they do not define it.
    pub(super) fn shortest_length(&self, subject: Subject<'a>) -> Option<u8> {
        let Cluster { config, world, .. } = subject.cluster;
        let host = if subject.vip.is_ipv4() { 32 } else { 128 };
        let speaker = &world.speaker;
        match config.source.speaker {
            Speaker::Metallb => {
                let about = metallb_about(speaker, subject)?;
                Some(about.into_iter().map(|one| metallb_length(one, subject.vip)).min().unwrap_or(host))
            }
            Speaker::Cilium => {
                let policy = self.policy(subject.cluster, subject.service);
                cilium_length(speaker, subject, policy).map(|length| length.unwrap_or(host))
            }
            // Every node announces ranges, regardless of the policy.
            Speaker::Calico => calico_length(speaker, subject, false).map(|length| length.unwrap_or(host)),
            Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => None,
        }
    }

    /// Returns whether the speaker's peers of a node include one that is no node of the cluster, or may.
    pub(super) fn speaks_outside(&self, cluster: Cluster<'a>, name: &NodeName) -> bool {
        if cluster.config.source.speaker != Speaker::Calico {
            return true;
        }
        let labels = &cluster.world.nodes[name].labels;
        let selected = |peer: &CalicoPeer| {
            let selector = peer.node_selector.as_ref().is_none_or(|selector| selects(selector, &of(labels)));
            selector && peer.node.as_ref().is_none_or(|node| **node == *name.as_str())
        };
        let inside = |address: IpAddr| !self.nodes_at(cluster, address).is_empty();
        let mut peers = calico_peers(&cluster.world.speaker).unwrap_or_default().into_iter().map(|(_, peer)| peer);
        peers.any(|peer| selected(peer) && !peer.address.is_some_and(inside))
    }

    /// Returns whether a peer of the node is this leaf, and every advertisement for the VIP, of this length and from the
    /// node, goes only to peers that are not.
    pub(super) fn advertised_elsewhere(&self, subject: Subject<'a>, node: &Node, length: Option<u8>) -> bool {
        let Cluster { config, world, .. } = subject.cluster;
        if config.source.speaker != Speaker::Metallb {
            return false;
        }
        let mut about = metallb_about(&world.speaker, subject).unwrap_or_default();
        about.retain(|one| length.is_none_or(|length| metallb_length(one, subject.vip) == length));
        about.retain(|one| any(&one.node_selectors, &node.labels));
        let mut peers = metallb_peers(&world.speaker).unwrap_or_default();
        peers.retain(|(_, peer)| any(&peer.node_selectors, &node.labels));
        let own = |address: IpAddr| {
            let route = self.world.host_route(&config.rules.network_instance, address);
            route.and_then(|route| self.world.owner(route)) == Some("net_inst_mgr")
        };
        let goes = |one: &MetallbAdvertisement, key: &ObjectKey| one.peers.is_empty() || one.peers.contains(&key.name);
        let may_reach = |one: &&MetallbAdvertisement| {
            peers.iter().any(|(key, peer)| goes(one, key) && peer.address.is_none_or(own))
        };
        let peers_here = peers.iter().any(|(_, peer)| peer.address.is_some_and(own));
        peers_here && !about.is_empty() && !about.iter().any(may_reach)
    }

    /// Returns whether resources let the node announce the VIP, as a prefix of this length.
    pub(super) fn may_announce(
        &self,
        subject: Subject<'a>,
        name: &NodeName,
        node: &Node,
        usable: bool,
        length: Option<u8>,
    ) -> bool {
        let speaker = &subject.cluster.world.speaker;
        match subject.cluster.config.source.speaker {
            Speaker::Metallb => metallb(speaker, subject, node, length),
            Speaker::Cilium => cilium(speaker, subject, name, node),
            Speaker::Calico => calico(speaker, subject, usable),
            Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => true,
        }
    }
}

/// Returns the advertisements for the VIP; `None` if it cannot be known whether any are not for it.
fn metallb_about<'w>(speaker: &'w SpeakerWorld, subject: Subject<'_>) -> Option<Vec<&'w MetallbAdvertisement>> {
    let advertisements = metallb_advertisements(speaker)?;
    if !subject.service.ingress.contains(&subject.vip) {
        return None;
    }
    if advertisements.is_empty() {
        return metallb_pools(speaker).is_some_and(|pools| !pools.is_empty()).then(Vec::new);
    }
    let pool = metallb_pool(speaker, subject);
    let all = advertisements.into_iter().map(|(_, advertisement)| advertisement);
    let about = all.filter(|one| of_pool(&one.pools, &pool) && any(&one.service_selectors, &subject.service.labels));
    Some(about.collect())
}

/// The pool that contains the service's addresses, if any; `None` outside if pools are unknown.
type OfPool<'w> = Option<Option<(&'w ObjectKey, &'w Pool)>>;

fn metallb_pool<'w>(speaker: &'w SpeakerWorld, subject: Subject<'_>) -> OfPool<'w> {
    let holds = |pool: &Pool| {
        let mut addresses = subject.service.ingress.iter();
        addresses.all(|address| pool.prefixes.iter().any(|prefix| prefix.contains(address)))
    };
    Some(metallb_pools(speaker)?.into_iter().find(|(_, pool)| holds(pool)))
}

fn of_pool(advertised: &MetallbPools, pool: &OfPool<'_>) -> bool {
    match pool {
        None => true,
        Some(None) => false,
        Some(Some((key, pool))) => {
            let by_label = advertised.selectors.iter().any(|selector| selects(selector, &of(&pool.labels)));
            let all = advertised.names.is_empty() && advertised.selectors.is_empty();
            all || advertised.names.contains(&key.name) || by_label
        }
    }
}

fn metallb_length(advertisement: &MetallbAdvertisement, vip: IpAddr) -> u8 {
    match vip {
        IpAddr::V4(_) => advertisement.lengths.v4.unwrap_or(32),
        IpAddr::V6(_) => advertisement.lengths.v6.unwrap_or(128),
    }
}

fn metallb(speaker: &SpeakerWorld, subject: Subject<'_>, node: &Node, length: Option<u8>) -> bool {
    let Some(about) = metallb_about(speaker, subject) else { return true };
    let here: Vec<&MetallbAdvertisement> = about
        .into_iter()
        .filter(|one| length.is_none_or(|length| metallb_length(one, subject.vip) == length))
        .filter(|one| any(&one.node_selectors, &node.labels))
        .collect();
    let clash = here.iter().enumerate().any(|(at, one)| {
        here[at + 1..].iter().any(|other| {
            let differ = one.local_preference != other.local_preference || one.prepended != other.prepended;
            let apart = !one.peers.is_empty()
                && !other.peers.is_empty()
                && one.peers.iter().all(|peer| !other.peers.contains(peer));
            let refused = one.service_selectors.is_empty() && other.service_selectors.is_empty();
            differ && !apart && !refused
        })
    });
    let peers = metallb_peers(speaker).unwrap_or_default();
    let reaches_a_peer = |one: &&MetallbAdvertisement| {
        peers.is_empty()
            || peers.iter().any(|(key, peer)| {
                (one.peers.is_empty() || one.peers.contains(&key.name)) && any(&peer.node_selectors, &node.labels)
            })
    };
    !clash && here.iter().any(reaches_a_peer)
}

/// Returns whether the advertisement is for addresses of the VIP's kind, and selects the service.
fn cilium_about(subject: Subject<'_>, services: &CiliumServices) -> bool {
    let address =
        if subject.service.ingress.contains(&subject.vip) { services.load_balancer } else { services.external };
    address && services.selector.as_ref().is_some_and(|selector| cilium_selects(selector, subject))
}

fn cilium_selects(selector: &Selector, subject: Subject<'_>) -> bool {
    let label = |name: &str| match name {
        "io.kubernetes.service.name" => Some(subject.key.name.to_string()),
        "io.kubernetes.service.namespace" => Some(subject.key.namespace.to_string()),
        name => subject.service.labels.get(name).map(Into::into),
    };
    selects(selector, &label)
}

/// Returns whether a policy makes a node answer for the service, and no BGP configuration announces it.
fn cilium_only_by_l2(speaker: &SpeakerWorld, subject: Subject<'_>, policy: TrafficPolicy) -> bool {
    let balancer = subject.service.ingress.contains(&subject.vip);
    let mut policies = l2_policies(speaker).unwrap_or_default().into_iter();
    let answered = policies.any(|(_, one)| {
        let about = if balancer { one.load_balancer } else { one.external };
        about && one.service_selector.as_ref().is_none_or(|selector| cilium_selects(selector, subject))
    });
    let known = cilium_advertisements(speaker).is_some() && cilium_peers(speaker).is_some();
    known && answered && cilium_length(speaker, subject, policy).flatten().is_none()
}

fn cilium(speaker: &SpeakerWorld, subject: Subject<'_>, name: &NodeName, node: &Node) -> bool {
    let (Some(advertisements), Some(peers)) = (cilium_advertisements(speaker), cilium_peers(speaker)) else {
        return true;
    };
    let clusters = cilium_clusters(speaker).unwrap_or_default();
    let nodes = cilium_nodes(speaker).unwrap_or_default();
    if clusters.is_empty() && nodes.is_empty() {
        return true;
    }
    let own: Vec<String> = if nodes.is_empty() {
        let selecting = clusters.iter().find(|(_, cluster)| {
            cluster.node_selector.as_ref().is_none_or(|selector| selects(selector, &of(&node.labels)))
        });
        selecting.into_iter().flat_map(|(_, cluster)| cluster.peers.iter().map(|peer| peer.to_string())).collect()
    } else {
        let own = nodes.iter().filter(|(key, _)| *key.name == *name.as_str());
        own.flat_map(|(_, node)| node.peers.iter().map(|peer| peer.to_string())).collect()
    };
    let about = |services: &CiliumServices| cilium_about(subject, services);
    peers.iter().filter(|(key, _)| own.contains(&key.name.to_string())).any(|(_, peer)| {
        peer.families.iter().any(|(v4, selector)| {
            let taken = |one: &CiliumAdvertisement| {
                selector.as_ref().is_some_and(|selector| selects(selector, &of(&one.labels)))
            };
            *v4 == subject.vip.is_ipv4()
                && advertisements.iter().any(|(_, one)| taken(one) && one.services.iter().any(about))
        })
    })
}

fn calico(speaker: &SpeakerWorld, subject: Subject<'_>, usable: bool) -> bool {
    let Some(configurations) = objects(speaker, SpeakerResource::CalicoConfigurations) else { return true };
    let default = configurations.into_iter().find(|(key, _)| &*key.name == "default" && key.namespace.is_none());
    let Some((_, SpeakerObject::CalicoConfiguration(configuration))) = default else { return false };
    let blocks: Vec<(&IpNet, bool)> = configuration
        .load_balancer
        .iter()
        .map(|block| (block, !configuration.aggregation))
        .chain(configuration.external.iter().map(|block| (block, false)))
        .filter(|(block, _)| block.contains(&subject.vip))
        .collect();
    // A single address, or a range announced as a whole, needs no endpoint. Members announced individually do.
    let host = blocks.iter().any(|(block, _)| block.prefix_len() == block.max_prefix_len());
    let longest = blocks.iter().map(|(block, _)| block.prefix_len()).max();
    let apart = blocks.iter().any(|(block, apart)| *apart && Some(block.prefix_len()) == longest);
    !blocks.is_empty() && (host || !apart || usable)
}

/// Returns the length of the longest prefix as which the peers' advertisements announce the VIP from any node; the
/// inner `None` if there is none. The outer `None` means that the resources do not define it.
fn cilium_length(speaker: &SpeakerWorld, subject: Subject<'_>, policy: TrafficPolicy) -> Option<Option<u8>> {
    let host = if subject.vip.is_ipv4() { 32 } else { 128 };
    let (advertisements, peers) = (cilium_advertisements(speaker)?, cilium_peers(speaker)?);
    let clusters = cilium_clusters(speaker).unwrap_or_default();
    if clusters.is_empty() && cilium_nodes(speaker).unwrap_or_default().is_empty() {
        return None;
    }
    let lengths = |one: &CiliumAdvertisement| {
        let about = one.services.iter().filter(|services| cilium_about(subject, services));
        let length = |services: &CiliumServices| {
            let lengths = if policy == TrafficPolicy::Local { Default::default() } else { services.lengths };
            if subject.vip.is_ipv4() { lengths.v4.unwrap_or(host) } else { lengths.v6.unwrap_or(host) }
        };
        about.map(length).max()
    };
    let taken = peers.iter().flat_map(|(_, peer)| {
        let families = peer.families.iter().filter(|(v4, _)| *v4 == subject.vip.is_ipv4());
        let selectors: Vec<_> = families.filter_map(|(_, selector)| selector.as_ref()).collect();
        let all = advertisements.iter().filter_map(|(_, one)| Some((one, lengths(one)?)));
        let taken = all.filter(|(one, _)| selectors.iter().any(|selector| selects(selector, &of(&one.labels))));
        taken.map(|(_, length)| length).collect::<Vec<_>>()
    });
    Some(taken.max())
}

fn calico_length(speaker: &SpeakerWorld, subject: Subject<'_>, local: bool) -> Option<Option<u8>> {
    let host = if subject.vip.is_ipv4() { 32 } else { 128 };
    let configurations = objects(speaker, SpeakerResource::CalicoConfigurations)?;
    let default = configurations.into_iter().find(|(key, _)| &*key.name == "default" && key.namespace.is_none());
    let Some((_, SpeakerObject::CalicoConfiguration(configuration))) = default else { return Some(None) };
    let all = configuration.load_balancer.iter().chain(&configuration.external);
    let Some(block) = all.filter(|block| block.contains(&subject.vip)).max_by_key(|block| block.prefix_len()) else {
        return Some(None);
    };
    let apart = !configuration.aggregation && configuration.load_balancer.contains(block);
    Some(Some(if local || apart { host } else { block.prefix_len() }))
}
