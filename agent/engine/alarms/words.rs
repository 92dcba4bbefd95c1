//! Writes the texts of alarms: what is wrong, since when, where, and what to do.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::{PoolUse, SourceCondition};
use crate::engine::facts::switch::STATIC_OWNER;
use crate::model::alarm::{AlarmKey, AlarmType, ClearedBecause, LONGEST_TEXT, Resource};
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey, move_fabric_address};
use crate::model::source::SourceId;
use crate::model::switch::{RouteKey, SessionState, Unroutable};
use crate::model::text::{LONGEST, printable};
use crate::model::time::Timestamp;
use crate::model::verdict::AttachmentState;
use crate::model::view::{NodeView, OrphanView, PeerView, Verdict};

/// The most members named in the text of an alarm that stands for several.
const NAMED: usize = 3;

/// Returns the sentence of a verdict.
pub(super) fn detail(verdict: &Verdict) -> Arc<str> {
    verdict.detail.clone().unwrap_or_else(|| "not up".into())
}

/// Returns the text for one VIP.
pub(super) fn vip(cluster: &ClusterName, service: &ServiceKey, address: IpAddr, detail: &str) -> Arc<str> {
    format!("VIP {address} of {service} in cluster {cluster}: {detail}").into()
}

/// Returns the text for one service without a VIP.
pub(super) fn service(cluster: &ClusterName, service: &ServiceKey, detail: &str) -> Arc<str> {
    format!("Service {service} in cluster {cluster}: {detail}").into()
}

/// Returns the text about the lost sessions of a node, with and without its subject, and without the count of VIPs.
pub(super) fn sessions(node: &NodeName, view: &NodeView, now: Timestamp) -> (Arc<str>, Arc<str>) {
    let lost = view
        .peers
        .iter()
        .filter(|peer| peer.attachment == AttachmentState::Attached && peer.session != Some(SessionState::Established));
    let lost: Vec<&PeerView> = lost.collect();
    let one = |peer: &&PeerView| {
        let address = peer.address;
        match (peer.session, peer.last_established) {
            (None, _) => format!("BGP session with {address} (node {node}) is down: the neighbor is gone"),
            (Some(state), None) => {
                format!("BGP session with {address} (node {node}) is down (state {})", state.as_str())
            }
            (Some(state), Some(last)) => {
                let since = since(last, now);
                format!("BGP session with {address} (node {node}) is down (state {}) since {since}", state.as_str())
            }
        }
    };
    let explained = |peer: &&PeerView, text: String| match &peer.cause {
        Some(cause) => format!("{text}: {}", cause.detail),
        None => text,
    };
    let text: Vec<String> = lost.iter().map(|peer| explained(peer, one(peer))).collect();
    let detail: Vec<String> = lost.iter().map(|peer| explained(peer, peer.address.to_string())).collect();
    (text.join("; ").into(), detail.join(", ").into())
}

/// Adds to a text how many VIPs have lost a next-hop by the lost sessions.
pub(super) fn with_lost_next_hops(text: &str, vips: u32) -> Arc<str> {
    let cost = match vips {
        0 => "no VIP has lost this next-hop so far".to_owned(),
        vips => counted(vips, "VIP has lost this next-hop", "VIPs have lost this next-hop"),
    };
    format!("{text}; {cost}").into()
}

/// Returns the text for an announcer that cannot be located: addresses tried, and the remedy.
pub(super) fn unlocated(view: &NodeView, instance: &NetworkInstanceName) -> Arc<str> {
    let candidates: Vec<String> = view.peers.iter().map(|peer| peer.address.to_string()).collect();
    let tried = match candidates.is_empty() {
        true => "no address of it is known".to_owned(),
        false => format!(
            "{} is neither a BGP neighbor nor an EVPN host route in network-instance {instance}",
            candidates.join(", ")
        ),
    };
    let advice = match (&*view.fabric_addresses, &*view.vacant_names) {
        ([], []) => "check EVPN and network-instance of the cluster, or set fabric-address of the node".into(),
        ([], vacant) => move_fabric_address(vacant),
        _ => "fabric-address is set: check EVPN, and whether the node is connected".into(),
    };
    format!("{tried}; {advice}").into()
}

/// Returns the text for one announcer that cannot be located.
pub(super) fn unlocated_node(node: &NodeName, view: &NodeView, detail: &str) -> Arc<str> {
    let vips = counted(view.expected_vips, "VIP", "VIPs");
    format!("node {node} should announce {vips}, but is not located on this leaf: {detail}").into()
}

/// Returns the text for a cluster in whose network instance VIPs cannot be routed; `present` are those of the switch.
pub(super) fn instance_missing(
    cluster: &ClusterName,
    instance: &NetworkInstanceName,
    unroutable: &Unroutable,
    present: &[NetworkInstanceName],
) -> Arc<str> {
    let present = match (unroutable, present) {
        (Unroutable::Down, _) => String::new(),
        (_, []) => " (there is none)".to_owned(),
        (_, present) => format!(" (there is {})", few(present.iter().map(ToString::to_string), present.len())),
    };
    let (sentence, remedy) = (unroutable.sentence(instance), unroutable.remedy(cluster));
    format!("{sentence}{present}: {remedy}; its VIPs are not judged").into()
}

/// Returns the text for a source that does not answer.
pub(super) fn source_stale(source: &SourceId, condition: &SourceCondition, now: Timestamp) -> Arc<str> {
    let SourceCondition::Lost { since: lost, why, was_read } = condition else { return "does not answer".into() };
    let since = since(*lost, now);
    let why = printable(why, LONGEST);
    match source {
        SourceId::Ndk => format!("the NDK of this switch has not answered since {since}: {why}; no VIP is judged"),
        SourceId::Gnmi => format!(
            "gNMI of this switch has not answered since {since}: {why}; BGP sessions and FIB programming are not known, VIPs are judged by routes alone"
        ),
        SourceId::Kubernetes(cluster) if *was_read => {
            format!("cluster {cluster} has not been read since {since}: {why}; its VIPs are judged by data received until then")
        }
        SourceId::Kubernetes(cluster) => {
            format!("cluster {cluster} is not read: {why}; its services are not known, none of their VIPs is judged")
        }
    }
    .into()
}

/// Returns the text for a route that no service claims, with and without its subject.
pub(super) fn orphan(route: &RouteKey, view: &OrphanView) -> (Arc<str>, Arc<str>) {
    let owner = view.owner.as_deref().unwrap_or("unknown owner");
    let via = match view.next_hops.is_empty() {
        true => "no next-hop".to_owned(),
        false => few(view.next_hops.iter().map(ToString::to_string), view.next_hops.len()),
    };
    let RouteKey { network_instance, prefix } = route;
    let detail = format!("{owner}, via {via}");
    let remedy = if owner == STATIC_OWNER { "remove it from this switch" } else { "withdraw it where it is announced" };
    let text = format!(
        "{prefix} in {network_instance} ({owner}) via {via} is inside a VIP pool, and no service claims it: {remedy}"
    );
    (text.into(), detail.into())
}

/// Returns the text of an alarm that stands for several: how many, the names of the first few, what address pools have
/// left, and the sentence of the first.
pub(super) fn group<'a>(
    key: &AlarmKey,
    members: impl ExactSizeIterator<Item = &'a Resource>,
    detail: &str,
    pools: Option<&String>,
) -> String {
    use AlarmType::*;
    let affected = members.len();
    let members: Vec<&Resource> = members.take(NAMED).collect();
    let label = |member: &Resource| name(member, &key.resource);
    let names = few(members.iter().map(|member| label(member)), affected);
    let (many, of) = (affected, Shared(&key.resource));
    let head = match key.kind {
        VipRouteMissing => format!("{} of {of} without a route: {names}", counted_vips(many)),
        VipBlackholed => format!("{} of {of} with a route that leads nowhere: {names}", counted_vips(many)),
        VipDegraded => format!("{} of {of} degraded: {names}", counted_vips(many)),
        VipNoEndpoint => format!("{} of {of} without a ready endpoint: {names}", counted_vips(many)),
        VipNotAnnounced => format!("{} of {of} that no node may announce: {names}", counted_vips(many)),
        VipAddressConflict => format!("{of} is claimed by {}: {names}", services(many)),
        VipAddressPending => format!("{} of {of} waiting for an address: {names}", services(many)),
        NeighborSessionDown => format!("BGP sessions with {} of {of} are down: {names}", nodes(many)),
        NodeAddressUnknown => format!("{} of {of} not located on this leaf: {names}", nodes(many)),
        NetworkInstanceMissing => {
            format!("{of} is not on this switch, and {} are configured for it: {names}", clusters(many))
        }
        SourceStale => format!("{many} sources do not answer: {names}"),
        VipRouteOrphan => format!("{many} routes in {of} are inside a VIP pool, and no service claims them: {names}"),
    };
    let head = pools.into_iter().fold(head, |head, pools| format!("{head}; {pools}"));
    match members.first() {
        Some(first) => format!("{head}; {}: {detail}", label(first)),
        None => head,
    }
}

/// Lists the address pools that are full, which explains why services wait for an address; `None` if none is.
pub(super) fn pools(pools: &[PoolUse]) -> Option<String> {
    let full = pools.iter().filter(|pool| pool.used >= pool.size);
    let full: Vec<String> = full
        .take(NAMED)
        .map(|pool| format!("pool {}: {} of {} addresses in use", pool.name, pool.used, pool.size))
        .collect();
    (!full.is_empty()).then(|| full.join("; "))
}

/// Returns the text of a cleared alarm: its last text and, if any, the alarm that it became.
pub(super) fn cleared(text: &Arc<str>, because: ClearedBecause) -> Arc<str> {
    match because.became() {
        Some(kind) => {
            let became = format!("; became {}", kind.as_str());
            format!("{}{became}", cut(text, LONGEST_TEXT - became.len())).into()
        }
        None => Arc::clone(text),
    }
}

/// Returns the text, cut at [`LONGEST_TEXT`] bytes.
pub(super) fn bounded(text: &str) -> Arc<str> {
    cut(text, LONGEST_TEXT).into()
}

fn cut(text: &str, max: usize) -> Cow<'_, str> {
    match text.len() <= max {
        true => text.into(),
        false => format!("{}…", &text[..text.floor_char_boundary(max - '…'.len_utf8())]).into(),
    }
}

/// Formats a time to the second, with its date unless it is today's.
fn since(time: Timestamp, now: Timestamp) -> String {
    let same_day = time.strftime("%F").to_string() == now.strftime("%F").to_string();
    time.strftime(if same_day { "%H:%M:%SZ" } else { "%Y-%m-%d %H:%M:%SZ" }).to_string()
}

/// Lists the first few of `of` names, and how many more there are.
fn few(names: impl Iterator<Item = String>, of: usize) -> String {
    let named: Vec<String> = names.take(NAMED).collect();
    let mut text = named.join(", ");
    if of > named.len() {
        let _ = write!(text, " and {} more", of - named.len());
    }
    text
}

/// Returns the name of a member in an alarm that already names what the members share.
fn name(member: &Resource, shared: &Resource) -> String {
    match member {
        Resource::Vip(cluster, service, _) if matches!(shared, Resource::Address(..)) => {
            format!("cluster {cluster} ({service})")
        }
        Resource::Vip(_, service, address) => format!("{address} ({service})"),
        Resource::Node(_, node) => node.to_string(),
        Resource::Service(_, service) => service.to_string(),
        Resource::Cluster(cluster) => cluster.to_string(),
        Resource::Orphan(route) => route.prefix.to_string(),
        other => other.to_string(),
    }
}

/// Displays a shared resource as part of a sentence.
struct Shared<'a>(&'a Resource);

impl std::fmt::Display for Shared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Resource::Cluster(cluster) => write!(f, "cluster {cluster}"),
            Resource::Node(cluster, node) => write!(f, "cluster {cluster} by way of node {node}"),
            Resource::Service(cluster, service) => write!(f, "service {service} in cluster {cluster}"),
            Resource::NetworkInstance(name) => write!(f, "network-instance {name}"),
            Resource::Address(name, address) => write!(f, "VIP {address} in network-instance {name}"),
            other => write!(f, "{other}"),
        }
    }
}

fn counted_vips(count: usize) -> String {
    numbered(count, "VIP", "VIPs")
}

fn services(count: usize) -> String {
    numbered(count, "service", "services")
}

fn nodes(count: usize) -> String {
    numbered(count, "node", "nodes")
}

fn clusters(count: usize) -> String {
    numbered(count, "cluster", "clusters")
}

fn numbered(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn counted(count: u32, one: &str, many: &str) -> String {
    numbered(count as usize, one, many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_the_limit_between_characters() {
        assert_eq!(&*bounded("short"), "short");
        let long = "é".repeat(400);
        let cut = bounded(&long);
        assert!(cut.len() <= LONGEST_TEXT && cut.ends_with('…'), "{}", cut.len());
        assert!(cut.len() > LONGEST_TEXT - 4, "no more than needed is cut");
    }

    #[test]
    fn a_timestamp_of_today_is_written_as_time_and_any_other_with_its_date() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = time("2026-11-21T23:59:59Z");
        assert_eq!(since(time("2026-11-21T13:19:14Z"), now), "13:19:14Z");
        assert_eq!(since(time("2026-11-20T13:19:14Z"), now), "2026-11-20 13:19:14Z");
    }
}
