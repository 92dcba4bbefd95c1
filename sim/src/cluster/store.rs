//! Stores the objects of one kind, and the log of their changes, from which watches read and older states are rebuilt.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// One version of an object.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) value: Arc<Value>,
    pub(crate) version: u64,
    /// The version at which it was created. It orders objects by creation, because timestamps are too coarse.
    pub(crate) born: u64,
    /// The object as JSON without its opening brace, kind and apiVersion; computed when first sent.
    tail: OnceLock<Bytes>,
}

impl Stored {
    pub(crate) fn new(value: Value, version: u64) -> Self {
        Self { value: Arc::new(value), version, born: version, tail: OnceLock::new() }
    }

    /// Creates an object whose body on the wire differs from its value.
    pub(crate) fn with_body(value: Value, version: u64, body: Bytes) -> Self {
        Self { value: Arc::new(value), version, born: version, tail: OnceLock::from(body) }
    }

    /// Returns it as a later version of an object created at `born`.
    pub(crate) fn born_at(mut self, born: u64) -> Self {
        self.born = born;
        self
    }

    pub(crate) fn tail(&self) -> &Bytes {
        self.tail.get_or_init(|| tail(&self.value))
    }
}

/// Returns the JSON without its beginning: `"metadata":{...},"spec":{...}}`.
pub(crate) fn tail(value: &Value) -> Bytes {
    let mut text = Vec::with_capacity(1024);
    let members = value.as_object().into_iter().flatten();
    for (name, member) in members.filter(|(name, _)| *name != "kind" && *name != "apiVersion") {
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
        text.push(b':');
        text.extend_from_slice(member.to_string().as_bytes());
    }
    text.push(b'}');
    Bytes::from(text)
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    pub(crate) key: Key,
    /// The object after the change, or as it was when deleted, with the version of the change.
    pub(crate) object: Arc<Stored>,
    pub(crate) previous: Option<Arc<Stored>>,
}

/// Number of changes kept per kind; older ones are compacted.
const LOG_LIMIT: usize = 20_000;

/// All objects of one kind.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) objects: BTreeMap<Key, Arc<Stored>>,
    log: VecDeque<Change>,
    /// Number of log entries compacted so far, which is the absolute position of the log's first entry.
    trimmed: u64,
    /// States of this and later versions can be rebuilt from the log.
    oldest: u64,
}

/// Error: the requested version is from before the last compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) oldest: u64,
}

impl Collection {
    /// Records a change. `next` is the object's new state, or its last one if `kind` is Deleted.
    pub(crate) fn record(&mut self, kind: ChangeKind, key: Key, next: Arc<Stored>) {
        let previous = match kind {
            ChangeKind::Deleted => self.objects.remove(&key),
            ChangeKind::Added | ChangeKind::Modified => self.objects.insert(key.clone(), Arc::clone(&next)),
        };
        self.log.push_back(Change { kind, key, object: next, previous });
        while self.log.len() > LOG_LIMIT {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(change) = self.log.pop_front() {
            self.trimmed += 1;
            self.oldest = change.object.version;
        }
    }

    /// Forgets all changes until now.
    pub(crate) fn compact(&mut self, version: u64) {
        self.trimmed += self.log.len() as u64;
        self.log.clear();
        self.oldest = version;
    }

    /// Returns the log position after everything up to `version`.
    pub(crate) fn position(&self, version: u64) -> Result<u64, Compacted> {
        if version < self.oldest {
            return Err(Compacted { oldest: self.oldest });
        }
        let after = self.log.partition_point(|change| change.object.version <= version);
        Ok(self.trimmed + after as u64)
    }

    /// Returns the position after the last change.
    pub(crate) fn end(&self) -> u64 {
        self.trimmed + self.log.len() as u64
    }

    /// Returns up to `limit` changes from a position on.
    pub(crate) fn changes(&self, position: u64, limit: usize) -> Result<Vec<Change>, Compacted> {
        let start = position.checked_sub(self.trimmed).ok_or(Compacted { oldest: self.oldest })?;
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.log.len());
        Ok(self.log.iter().skip(start).take(limit).cloned().collect())
    }

    /// Visits the objects of one namespace (all if empty) after `after`, as they were at `version`, until `keep`
    /// returns false.
    pub(crate) fn at(
        &self,
        version: u64,
        namespace: &str,
        after: Option<&Key>,
        mut keep: impl FnMut(&Arc<Stored>) -> bool,
    ) -> Result<(), Compacted> {
        let first = self.position(version)? - self.trimmed;
        let mut then: HashMap<&Key, Option<&Arc<Stored>>> = HashMap::new();
        for change in self.log.iter().skip(usize::try_from(first).unwrap_or(usize::MAX)) {
            then.entry(&change.key).or_insert(change.previous.as_ref());
        }
        let floor = Key::new(namespace, "");
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(&floor),
        };
        let inside = |key: &Key| namespace.is_empty() || &*key.namespace == namespace;
        let mut gone: Vec<(&Key, &Arc<Stored>)> = then
            .iter()
            .filter_map(|(key, stored)| Some((*key, (*stored)?)))
            .filter(|(key, _)| inside(key) && after.is_none_or(|after| *key > after))
            .collect();
        gone.sort_by_key(|(key, _)| *key);
        let mut gone = gone.into_iter().peekable();
        for (key, stored) in self.objects.range((from, Bound::Unbounded)) {
            if !inside(key) {
                break;
            }
            while let Some((_, old)) = gone.next_if(|(old, _)| *old < key) {
                if !keep(old) {
                    return Ok(());
                }
            }
            let stored = match then.get(key) {
                None => stored,
                Some(None) => continue,
                Some(Some(old)) => {
                    gone.next_if(|(old, _)| *old == key);
                    old
                }
            };
            if !keep(stored) {
                return Ok(());
            }
        }
        for (_, old) in gone {
            if !keep(old) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the objects of one namespace whose name starts with `prefix`.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        namespace: &'a str,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Stored>)> {
        let from = Key::new(namespace, prefix);
        self.objects
            .range(from..)
            .take_while(move |(key, _)| &*key.namespace == namespace && key.name.starts_with(prefix))
    }

    /// Returns the objects of one namespace.
    pub(crate) fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Arc<Stored>)> {
        self.with_prefix(namespace, "")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(collection: &mut Collection, name: &str, version: u64) {
        let key = Key::new("ns", name);
        let kind = if collection.objects.contains_key(&key) { ChangeKind::Modified } else { ChangeKind::Added };
        collection.record(kind, key, Arc::new(Stored::new(json!({"v": version}), version)));
    }

    fn drop_object(collection: &mut Collection, name: &str, version: u64) {
        let stored = Arc::new(Stored::new(json!({"v": version}), version));
        collection.record(ChangeKind::Deleted, Key::new("ns", name), stored);
    }

    fn versions_at(collection: &Collection, version: u64, after: Option<&str>) -> Vec<u64> {
        let mut found = Vec::new();
        let after = after.map(|name| Key::new("ns", name));
        let keep = |stored: &Arc<Stored>| {
            found.push(stored.version);
            true
        };
        collection.at(version, "ns", after.as_ref(), keep).expect("not compacted");
        found
    }

    #[test]
    fn an_older_version_is_rebuilt_from_the_log() {
        let mut collection = Collection::default();
        for (version, name) in [(1, "b"), (2, "d"), (3, "f")] {
            put(&mut collection, name, version);
        }
        put(&mut collection, "d", 4);
        drop_object(&mut collection, "b", 5);
        put(&mut collection, "a", 6);
        drop_object(&mut collection, "f", 7);
        assert_eq!(versions_at(&collection, 3, None), [1, 2, 3]);
        assert_eq!(versions_at(&collection, 4, None), [1, 4, 3]);
        assert_eq!(versions_at(&collection, 3, Some("b")), [2, 3]);
        assert_eq!(versions_at(&collection, 7, None), [6, 4]);
    }

    #[test]
    fn compacted_versions_are_reported_as_gone() {
        let mut collection = Collection::default();
        put(&mut collection, "a", 1);
        put(&mut collection, "a", 2);
        collection.compact(2);
        assert_eq!(collection.position(1), Err(Compacted { oldest: 2 }));
        assert_eq!(collection.position(2), Ok(2));
        assert!(collection.changes(0, 10).is_err());
        put(&mut collection, "a", 3);
        assert_eq!(collection.changes(2, 10).expect("kept").len(), 1);
    }
}
