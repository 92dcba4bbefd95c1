//! What is known: the switch's tables, sessions, clusters, nodes, endpoints, claims, counts.

pub(super) mod attachments;
pub(super) mod bgp;
pub(super) mod claims;
pub(super) mod cluster;
pub(super) mod dump;
pub(super) mod endpoints;
pub(super) mod ids;
pub(super) mod node_sets;
pub(super) mod nodes;
pub(super) mod routes;
mod slab;
pub(super) mod sources;
pub(super) mod switch;
pub(super) mod tally;
