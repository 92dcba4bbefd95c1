//! What differs between two tables, and the changes that show it to readers of the NDK and of state.

use std::collections::BTreeMap;

use crate::datastore::StateOp;
use crate::ndk::{Key, Row};

/// Changes for readers of the NDK and of state.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) rows: Vec<(Key, Option<Row>)>,
    /// State that is shown for a moment before `ops` delete it.
    pub(super) farewells: Vec<StateOp>,
    pub(super) ops: Vec<StateOp>,
}

/// Rows to be sent, by kind, so that their order can be chosen.
#[derive(Default)]
pub(super) struct Announcements {
    pub(super) routes: Vec<(Key, Option<Row>)>,
    pub(super) new_groups: Vec<(Key, Option<Row>)>,
    pub(super) gone_groups: Vec<(Key, Option<Row>)>,
    pub(super) others: Vec<(Key, Option<Row>)>,
}

/// Returns the keys whose values differ, in order, with both values.
pub(super) fn differences<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some((old, _)), Some((new, _))) => old.cmp(new),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return None,
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            let key = before.or(after)?.0;
            let (before, after) = (before.map(|it| it.1), after.map(|it| it.1));
            if before != after {
                return Some((key, before, after));
            }
        }
    })
}
