//! Route tables that are too large to store and are generated while they are streamed.

use std::sync::Arc;

use ipnet::IpNet;
use srl_proto::ndk as pb;

use super::rows::RouteRow;

/// A generated table. It is streamed after the rows of the NDK to every stream with subscriptions to routes or groups,
/// and never stored.
pub trait RouteFeed: Send + Sync {
    /// Returns its next-hop groups, by number.
    fn groups(&self) -> Box<dyn Iterator<Item = (u64, Vec<pb::NextHop>)> + Send>;

    /// Returns its routes: network instance, prefix, data.
    fn routes(&self) -> Box<dyn Iterator<Item = (Arc<str>, IpNet, RouteRow)> + Send>;
}
