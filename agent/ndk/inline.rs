//! Assigns groups to routes that contain their next-hops themselves (group id 0), numbered by content.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::model::switch::{NextHopGroup, NextHopGroupId};

/// Next-hops, sorted and without duplicates.
pub(super) type NextHops = Arc<[IpAddr]>;

/// The groups for routes of one stream that contain next-hops.
#[derive(Debug, Default)]
pub(super) struct InlineGroups {
    /// The group of each such route, by number of its network instance and prefix.
    routes: FxHashMap<(usize, IpNet), NextHopGroupId>,
    users: FxHashMap<NextHopGroupId, usize>,
}

impl InlineGroups {
    /// Records the next-hops that a route contains now; returns its group, and the groups that changed.
    pub(super) fn set(
        &mut self,
        instance: usize,
        prefix: IpNet,
        next_hops: Option<&NextHops>,
    ) -> (Option<NextHopGroupId>, Vec<(NextHopGroupId, Option<NextHopGroup>)>) {
        let mut news = Vec::new();
        let id = next_hops.map(number);
        let before = match id {
            Some(id) => self.routes.insert((instance, prefix), id),
            // Hardly any route contains next-hops.
            None if self.routes.is_empty() => None,
            None => self.routes.remove(&(instance, prefix)),
        };
        if let (Some(id), Some(next_hops)) = (id, next_hops) {
            let users = self.users.entry(id).or_default();
            *users += 1;
            if *users == 1 {
                news.push((id, Some(NextHopGroup { next_hops: Arc::clone(next_hops) })));
            }
        }
        if let Some(before) = before
            && let Some(users) = self.users.get_mut(&before)
        {
            *users -= 1;
            if *users == 0 {
                self.users.remove(&before);
                news.push((before, None));
            }
        }
        (id, news)
    }
}

/// Returns the number of these next-hops, which is the same in every stream, so that a number of an earlier stream
/// never stands for other next-hops.
fn number(next_hops: &NextHops) -> NextHopGroupId {
    let mut hasher = DefaultHasher::new();
    next_hops.hash(&mut hasher);
    NextHopGroupId(hasher.finish() | NextHopGroupId::INLINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hops(last: &[u8]) -> NextHops {
        last.iter().map(|octet| IpAddr::from([10, 0, 0, *octet])).collect()
    }

    fn prefix(octet: u8) -> IpNet {
        IpNet::from(IpAddr::from([1, 1, 1, octet]))
    }

    #[test]
    fn an_inline_group_is_created_with_its_first_route_and_deleted_with_its_last() {
        let mut groups = InlineGroups::default();
        let (first, news) = groups.set(0, prefix(1), Some(&hops(&[1, 2])));
        let first = first.expect("a group");
        assert!(first.0 & NextHopGroupId::INLINE != 0);
        assert!(matches!(&*news, [(id, Some(group))] if *id == first && group.next_hops.len() == 2));
        assert_eq!(groups.set(0, prefix(2), Some(&hops(&[1, 2]))), (Some(first), Vec::new()));
        let (second, news) = groups.set(0, prefix(1), Some(&hops(&[3])));
        assert!(second != Some(first) && news.len() == 1, "the first is still in use: {news:?}");
        assert_eq!(groups.set(0, prefix(2), None), (None, vec![(first, None)]));
        assert_eq!(groups.set(0, prefix(9), None), (None, Vec::new()));
    }

    #[test]
    fn a_repeated_route_changes_nothing() {
        let mut groups = InlineGroups::default();
        let (id, _) = groups.set(0, prefix(1), Some(&hops(&[1])));
        assert_eq!(groups.set(0, prefix(1), Some(&hops(&[1]))), (id, Vec::new()));
        assert_eq!(groups.set(0, prefix(1), None), (None, vec![(id.expect("a group"), None)]));
    }
}
