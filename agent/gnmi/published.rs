//! Keeps what the engine was last sent of a keyed table, so that only differences are sent.

use std::collections::BTreeMap;

use crate::model::event::Update;

/// The entries the engine knows.
#[derive(Debug)]
pub(super) struct Published<K, V>(BTreeMap<K, V>);

impl<K, V> Default for Published<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> Published<K, V> {
    /// Returns the entries the engine knows.
    pub(super) fn entries(&self) -> &BTreeMap<K, V> {
        &self.0
    }

    /// Records an entry; returns the update if the engine knows another value.
    pub(super) fn change(&mut self, key: K, now: Option<V>) -> Option<Update<K, V>> {
        if self.0.get(&key) == now.as_ref() {
            return None;
        }
        Some(match now {
            Some(value) => {
                self.0.insert(key.clone(), value.clone());
                Update::Set(key, value)
            }
            None => {
                self.0.remove(&key);
                Update::Gone(key)
            }
        })
    }

    /// Records the whole table; returns the differences.
    pub(super) fn replace(&mut self, now: BTreeMap<K, V>) -> Vec<Update<K, V>> {
        let gone: Vec<K> = self.0.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        let gone = gone.into_iter().map(|key| (key, None));
        let changes = gone.chain(now.into_iter().map(|(key, value)| (key, Some(value))));
        let changes: Vec<_> = changes.collect();
        changes.into_iter().filter_map(|(key, value)| self.change(key, value)).collect()
    }

    /// Records the whole table; returns it as one update.
    pub(super) fn all(&mut self, now: BTreeMap<K, V>) -> Update<K, V> {
        self.0 = now;
        Update::All(self.0.clone().into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_are_returned() {
        let mut published = Published::default();
        assert_eq!(published.all(BTreeMap::from([(1, 'a'), (2, 'b')])), Update::All(vec![(1, 'a'), (2, 'b')]));
        assert_eq!(published.change(1, Some('a')), None);
        assert_eq!(published.change(1, Some('c')), Some(Update::Set(1, 'c')));
        assert_eq!(published.change(3, None), None);
        assert_eq!(published.replace(BTreeMap::from([(1, 'c'), (4, 'd')])), [Update::Gone(2), Update::Set(4, 'd')]);
        assert_eq!(published.entries().len(), 2);
    }
}
