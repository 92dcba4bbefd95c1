//! Route tables too large to hold: generated while they are streamed.

use std::sync::Arc;

use ipnet::IpNet;
use srl_proto::ndk as pb;

use super::rows::RouteRow;

/// A generated table, streamed after the rows the NDK holds, to every stream that asks for routes or groups, without being
/// kept anywhere.
pub trait RouteFeed: Send + Sync {
    /// Its next-hop groups, by number.
    fn groups(&self) -> Box<dyn Iterator<Item = (u64, Vec<pb::NextHop>)> + Send>;

    /// Its routes: network instance, prefix, data.
    fn routes(&self) -> Box<dyn Iterator<Item = (Arc<str>, IpNet, RouteRow)> + Send>;
}
