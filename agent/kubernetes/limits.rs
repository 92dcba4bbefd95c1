//! Defines every limit on what a cluster can make this agent read and keep, each with its reason.
//!
//! State shows when a limit is reached: as the reason why the cluster is not read, or as a note beside its
//! `oper-state`. None of them affects a cluster within Kubernetes' own thresholds
//! (<https://github.com/kubernetes/community/blob/main/sig-scalability/configs-and-limits/thresholds.md>).

/// A kubeconfig: a few kilobytes per cluster, with every certificate inside.
pub(super) const KUBECONFIG_BYTES: u64 = 1 << 20;

/// A token, a certificate authority, a client certificate or its key: a bundle of all public authorities has 220 KiB.
pub(super) const CREDENTIAL_BYTES: u64 = 512 << 10;

/// A token: one with hundreds of groups has a few kilobytes, and servers limit the size of headers.
pub(super) const TOKEN_BYTES: u64 = 64 << 10;

/// The head of an answer: hyper keeps all of it in memory before it returns anything.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// The body of an answer that is not a listing: `/version`, API groups, an error, an Event.
pub(super) const ANSWER_BYTES: usize = 64 << 10;

/// A page of a listing. A larger one is asked for again with fewer objects on it.
pub(super) const PAGE_BYTES: usize = 16 << 20;

/// Objects on a page: servers may ignore the requested number, but must not send millions of empty ones.
pub(super) const PAGE_OBJECTS: usize = 250_000;

/// Pages up to this size are read concurrently; larger ones one at a time per cluster.
pub(super) const SMALL_PAGE_BYTES: usize = 1 << 20;

/// An object: etcd accepts 1.5 MiB, and JSON is larger than what is stored there.
pub(super) const OBJECT_BYTES: usize = 4 << 20;

/// A line of a watch: an object and the text around it.
pub(super) const LINE_BYTES: usize = OBJECT_BYTES + 1024;

/// Pages of a listing, as a multiple of the pages that the kept objects of that kind would fill: most Services are not
/// of type LoadBalancer.
pub(super) const PAGES_FACTOR: usize = 8;
/// Additional pages, for kinds with few objects.
pub(super) const PAGES_SLACK: usize = 16;

/// LoadBalancer Services of a cluster: Kubernetes is tested with 10 000 Services.
pub(super) const SERVICES: usize = 50_000;
/// EndpointSlices of a cluster: 100 endpoints each, of 150 000 pods, some not full, and two for each small Service.
pub(super) const SLICES: usize = 100_000;
/// Nodes of a cluster: Kubernetes is tested with 5 000.
pub(super) const NODES: usize = 10_000;
/// MetalLB's ServiceBGPStatuses, one per service and node, so that they outnumber everything else; and its
/// ServiceL2Statuses.
pub(super) const STATUSES: usize = 100_000;
/// Objects of another resource of a speaker: people write pools, peers and advertisements, and there are as many
/// CiliumBGPNodeConfigs as nodes.
pub(super) const SPEAKER_OBJECTS: usize = NODES;

/// One namespace may have one in this many of those, so that no tenant uses up what all share.
pub(super) const NAMESPACE_SHARE: usize = 4;

/// Memory that all objects of a cluster take, as estimated by the figures below: with every kind at its own limit, they
/// would take gigabytes. The largest clusters that Kubernetes is tested with take 90 MiB.
pub(super) const CLUSTER_BYTES: usize = 96 << 20;
/// The part of it that one namespace may take: Kubernetes is tested with 5 000 Services and 3 000 pods in one.
pub(super) const NAMESPACE_BYTES: usize = CLUSTER_BYTES / 2;
/// What a Service takes besides its VIPs: the object twice while it is listed again, its view, what is published.
pub(super) const SERVICE_BYTES: usize = 1_500;
/// What a VIP that is not up takes: its view with a few next-hops, what is published of it, its alarm, its place in
/// indexes.
pub(super) const VIP_BYTES: usize = 4_000;
/// What an EndpointSlice takes besides its endpoints, twice while it is listed again.
pub(super) const SLICE_BYTES: usize = 500;
/// What an endpoint takes, twice while it is listed again, and its part of what is counted for its service.
pub(super) const ENDPOINT_BYTES: usize = 72;
/// What a Node takes besides its addresses and labels.
pub(super) const NODE_BYTES: usize = 1_500;
/// What an address of a Node takes: its place in indexes, and how it is connected here.
pub(super) const NODE_ADDRESS_BYTES: usize = 250;
/// What an object of a speaker takes besides its text and prefixes; a status, too.
pub(super) const SPEAKER_OBJECT_BYTES: usize = 200;
/// What a prefix of a pool takes, twice while it is listed again.
pub(super) const PREFIX_BYTES: usize = 36;
/// What a name or a label takes besides its text.
pub(super) const TEXT_BYTES: usize = 64;

/// Addresses of one Service, those of its status first: further VIPs are not judged.
pub(super) const VIPS: usize = 64;
/// Addresses of one kind of one node: each may be what it speaks BGP from.
pub(super) const NODE_ADDRESSES: usize = 64;
/// Prefixes of a pool of a speaker: a range from one address to another may be as many as 254 of them.
pub(super) const PREFIXES: usize = 5_000;
/// Labels of an object, and its annotations: each is kept, or searched.
pub(super) const LABELS: usize = 1024;
/// Elements of a list in an object: an EndpointSlice has at most 1000 endpoints.
pub(super) const ELEMENTS: usize = 5_000;

/// Objects that are remembered as logged, to log each of them once.
pub(super) const LOGGED: usize = 1024;

/// Unreadable parts of one object that are counted: an object full of them must not keep the engine busy.
pub(super) const FAULTS: u64 = 16;

/// The longest name of a class, a host or the like that is quoted, in characters: DNS names are not longer.
pub(super) const QUOTED: usize = 253;

/// Services whose Event waits for its turn: in a longer outage, state has the alarms.
pub(super) const WAITING_EVENTS: usize = 1024;

/// Returns a number of bytes in words.
pub(super) fn in_words(bytes: usize) -> String {
    match bytes {
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::COUNTED_ENDPOINTS;

    const PAGE: &str = include_str!("../../docs/security.md");

    fn bytes(size: u64) -> String {
        if size.is_multiple_of(1 << 20) { format!("{} MiB", size >> 20) } else { format!("{} KiB", size >> 10) }
    }

    #[test]
    fn the_documented_table_lists_exactly_these_limits() {
        let sizes = [
            ("a kubeconfig", KUBECONFIG_BYTES),
            ("a certificate authority, a client certificate, a key", CREDENTIAL_BYTES),
            ("a token", TOKEN_BYTES),
            ("the head of an answer", HEAD_BYTES as u64),
            ("an answer that is not a listing", ANSWER_BYTES as u64),
            ("a page of a listing", PAGE_BYTES as u64),
            ("an object", OBJECT_BYTES as u64),
            ("memory of the objects of a cluster", CLUSTER_BYTES as u64),
            ("memory of the objects of one namespace", NAMESPACE_BYTES as u64),
        ];
        let counts = [
            ("objects on a page", PAGE_OBJECTS),
            ("labels or annotations of an object", LABELS),
            ("elements of a list in an object", ELEMENTS),
            ("LoadBalancer Services of a cluster", SERVICES),
            ("EndpointSlices of a cluster", SLICES),
            ("Nodes of a cluster", NODES),
            ("MetalLB ServiceBGPStatuses, or ServiceL2Statuses, of a cluster", STATUSES),
            ("objects of another speaker resource", SPEAKER_OBJECTS),
            ("Services of one namespace", SERVICES / NAMESPACE_SHARE),
            ("EndpointSlices of one namespace", SLICES / NAMESPACE_SHARE),
            ("addresses of a Service", VIPS),
            ("addresses of one kind of a Node", NODE_ADDRESSES),
            ("prefixes of a speaker's pool", PREFIXES),
            ("endpoints of a Service", COUNTED_ENDPOINTS),
            ("Services that wait for an Event", WAITING_EVENTS),
            ("Services of one namespace that wait for an Event", WAITING_EVENTS / NAMESPACE_SHARE),
        ];
        let mut expected: Vec<(String, String)> =
            sizes.map(|(what, size)| (what.to_owned(), bytes(size))).into_iter().collect();
        expected.extend(counts.map(|(what, count)| (what.to_owned(), count.to_string())));
        let table = PAGE.split("| what | limit | beyond it |").nth(1).expect("the table is there");
        let mut rows: Vec<(String, String)> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                (cells[1].to_owned(), cells[2].to_owned())
            })
            .collect();
        rows.sort();
        expected.sort();
        assert_eq!(rows, expected);
    }
}
