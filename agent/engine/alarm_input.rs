//! Turns facts into the values that alarms need in addition to the changed views.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::alarms::{PoolUse, SourceCondition};
use super::facts::cluster::Cluster;
use super::facts::sources::{Loss, START_PATIENCE, Source, Sources};
use crate::model::source::SourceId;

/// Returns the condition of every source. A source that never synced counts as lost only after [`START_PATIENCE`].
pub(super) fn sources(sources: &Sources, now: Duration) -> BTreeMap<SourceId, SourceCondition> {
    let condition = |source: &Source| match &source.lost {
        Some(Loss { wall, why, .. }) if source.ever_synced || now >= START_PATIENCE => {
            SourceCondition::Lost { since: *wall, why: Arc::clone(why), was_read: source.ever_synced }
        }
        None if source.ever_synced => SourceCondition::Heard,
        _ => SourceCondition::Awaited,
    };
    sources.iter().map(|(id, source)| (id.clone(), condition(source))).collect()
}

/// Returns how full the address pools of a cluster's speaker are: VIPs of its services, and the size of each pool.
pub(super) fn pools(cluster: &Cluster) -> Vec<PoolUse> {
    let of_pool = |(name, prefixes): (String, &[IpNet])| {
        let used = cluster.vips.keys().filter(|vip| prefixes.iter().any(|prefix| prefix.contains(*vip))).count();
        let size = prefixes.iter().map(addresses).fold(0, u128::saturating_add);
        PoolUse { name, size, used: used as u128 }
    };
    cluster.resources.named_pools().map(of_pool).collect()
}

/// Returns how many addresses a prefix contains.
fn addresses(prefix: &IpNet) -> u128 {
    let host_bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
    1_u128.checked_shl(host_bits).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_as_many_addresses_as_its_host_bits_allow() {
        for (prefix, count) in [("1.1.1.1/32", 1), ("1.1.1.0/24", 256), ("2001:db8::/64", 1 << 64), ("::/0", u128::MAX)]
        {
            assert_eq!(addresses(&prefix.parse().unwrap()), count, "{prefix}");
        }
    }
}
