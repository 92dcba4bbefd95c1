//! Lists and watches one kind of object.
//!
//! A listing is a transaction: pages are reduced as they arrive, and the whole is sent at once (`list`). Then every
//! namespace is watched from the version of the listing. A watch that ends is opened again silently from the last
//! version seen; one that cannot be opened again is a failure, which is reported with its reason and retried with
//! growing pauses. Everything is listed again when the server no longer knows that version (410), when retries fail,
//! and once an hour in any case.

mod list;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustc_hash::FxHashSet;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::list::Listing;
use super::condition::Part;
use super::kept::{Admission, Kept, Limit};
use super::limits;
use super::link::LinkReceiver;
use super::memory::Memory;
use super::objects::Object;
use super::reduce::{Kind, Reduced, Unreadable};
use super::reporter::{Closed, Note, Reporter};
use super::stream::{Item, NamespaceWatch, Target};
use super::timings::{Timings, jittered};
use crate::model::event::{ClusterEvent, SourceEvent, Update};
use crate::model::speaker::ResourceState;
use crate::model::text::printable;
use crate::supervise::{Backoff, chain};

/// Why a listing failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Arc<str>,
    pub(super) kind: FailureKind,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The server does not answer, sends something unreadable, or does not accept the agent's credentials.
    Server,
    /// The server answers, but cannot list this.
    Listing,
    /// The server does not have the resource.
    Absent,
    /// The server does not permit reading the resource.
    Forbidden,
    /// There are more objects than are read.
    TooMany,
}

/// Failures that end a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// None, because the cluster cannot be judged without the resource.
    Required,
    /// Absent and forbidden, because another resource can be used instead.
    Replaceable,
    /// All failures except those of the server as a whole: the agent works without the resource.
    Optional,
}

impl Tolerance {
    fn ends_at(self, kind: FailureKind) -> bool {
        match kind {
            FailureKind::Server => false,
            FailureKind::Absent | FailureKind::Forbidden => self != Self::Required,
            FailureKind::Listing | FailureKind::TooMany => self == Self::Optional,
        }
    }
}

/// What a loop needs.
#[derive(Clone)]
pub(super) struct WatchContext {
    pub(super) link: LinkReceiver,
    /// Notified when a request failed, because the link may have to be rebuilt.
    pub(super) failure: Arc<Notify>,
    pub(super) reporter: Reporter,
    pub(super) timings: Timings,
    /// The account of what is kept.
    pub(super) memory: Memory,
    /// A single `None` for all namespaces.
    pub(super) namespaces: Arc<[Option<Arc<str>>]>,
}

/// How often a sign of life is reported at most while objects bring no changes.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Lists and watches one kind.
pub(super) struct Watcher<K: Kind> {
    kind: K,
    namespaces: Arc<[Option<Arc<str>>]>,
    context: WatchContext,
    /// Keys that were sent and have not been removed since.
    kept: Kept<K::Key>,
    /// Namespaces with more than is read, as last told to the engine.
    crowded: Option<BTreeSet<Arc<str>>>,
    /// Keys of objects that contain more than is read.
    excess: FxHashSet<K::Key>,
    logged: Logged,
    alive: Option<Instant>,
    /// Pauses before everything is listed again because a watch lost something.
    distrust: Backoff,
    /// Whether the watch lost something that has not been listed again yet.
    lossy: bool,
    /// Whether a listing was completed.
    listed: bool,
}

/// Why watching ended.
#[derive(Debug, PartialEq, Eq)]
enum WatchEnd {
    /// The known version is too old to continue from.
    TooOld,
    /// It is time to list everything again.
    Due,
    /// There are more objects than are read.
    TooMany(Limit),
    /// The resource may be listed but not watched, for this reason.
    Forbidden(Arc<str>),
}

impl<K: Kind> Watcher<K> {
    pub(super) fn new(kind: K, context: WatchContext) -> Self {
        let namespaces = if K::NAMESPACED { Arc::clone(&context.namespaces) } else { Arc::new([None]) };
        let distrust = Backoff::new(context.timings.distrust, context.timings.relist);
        let kept = kept::<K>(&context.memory);
        Self {
            kind,
            namespaces,
            context,
            kept,
            crowded: None,
            excess: FxHashSet::default(),
            logged: Logged::default(),
            alive: None,
            distrust,
            lossy: false,
            listed: false,
        }
    }

    /// Returns whether a listing was completed.
    pub(super) fn has_listed(&self) -> bool {
        self.listed
    }

    /// Runs until nobody receives events any more.
    pub(super) async fn run(mut self) -> Result<Infallible, Closed> {
        loop {
            let resource = self.kind.resource();
            let failure = self.run_until(resource, Tolerance::Required).await?;
            tracing::debug!(reason = ?failure.reason, resource, "refused");
        }
    }

    /// Runs until a failure that ends it. `part` is the name of its condition.
    pub(super) async fn run_until(&mut self, part: &str, tolerance: Tolerance) -> Result<Failure, Closed> {
        let mut backoff = self.context.timings.backoff();
        loop {
            let link = self.context.link.get().await?;
            let failure = match self.list(&link.client).await? {
                Listing::Complete { versions } => {
                    self.listed = true;
                    if let Some(resource) = self.kind.speaker_resource() {
                        let event = ClusterEvent::SpeakerResource(resource, ResourceState::Watched);
                        self.context.reporter.cluster(event).await?;
                    }
                    self.context.reporter.part(part, Part::Live).await?;
                    let begun = Instant::now();
                    let ended = self.watch(part, versions, tolerance).await?;
                    if ended == WatchEnd::TooOld {
                        self.context.reporter.part(part, Part::Listing).await?;
                    }
                    // Pause, so that a server that immediately forgets what it has just listed is not asked without
                    // end.
                    if ended == WatchEnd::TooOld && begun.elapsed() < self.context.timings.longest_pause {
                        self.context.link.pause(link.epoch, backoff.pause()).await;
                    } else {
                        backoff.reset();
                    }
                    match ended {
                        WatchEnd::TooMany(limit) => self.too_many(limit, None),
                        WatchEnd::Forbidden(reason) => Failure { reason, kind: FailureKind::Forbidden },
                        WatchEnd::Due | WatchEnd::TooOld => continue,
                    }
                }
                Listing::Failed(failure) => failure,
            };
            if tolerance.ends_at(failure.kind) {
                return Ok(failure);
            }
            self.context.reporter.part(part, Part::Failed(failure.reason)).await?;
            self.context.failure.notify_one();
            // The number of objects will not drop soon, and listing them is expensive for the server.
            let calm = failure.kind == FailureKind::TooMany;
            let pause = if calm { self.context.timings.look_again } else { backoff.pause() };
            self.context.link.pause(link.epoch, pause).await;
        }
    }

    fn too_many(&self, limit: Limit, count: Option<u64>) -> Failure {
        let reason = self.kept.refusal(self.kind.resource(), limit, count);
        Failure { reason: reason.into(), kind: FailureKind::TooMany }
    }

    fn path(&self, namespace: Option<&str>) -> String {
        let (api, resource) = (self.kind.api(), self.kind.resource());
        match namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{resource}"),
            None => format!("{api}/{resource}"),
        }
    }

    /// Watches every namespace until a listing is due.
    async fn watch(&mut self, part: &str, versions: Vec<String>, tolerance: Tolerance) -> Result<WatchEnd, Closed> {
        let several = versions.len() > 1;
        let part_of = |namespace: Option<&str>| match namespace {
            Some(namespace) if several => format!("{part}/{namespace}"),
            _ => part.to_owned(),
        };
        let mut watches = FuturesUnordered::new();
        for (namespace, version) in self.namespaces.iter().zip(versions) {
            watches.push(self.namespace_watch(namespace.clone(), version).next());
        }
        let due = tokio::time::sleep(jittered(self.context.timings.relist));
        tokio::pin!(due);
        let ended = loop {
            let (watch, item) = tokio::select! {
                next = watches.next() => match next {
                    Some(next) => next,
                    None => break WatchEnd::TooOld,
                },
                () = &mut due => {
                    if !std::mem::take(&mut self.lossy) {
                        self.distrust.reset();
                    }
                    break WatchEnd::Due;
                }
            };
            let part = part_of(watch.namespace());
            match item {
                Item::Opened => {
                    self.context.reporter.part(&part, Part::Live).await?;
                    self.sign_of_life().await?;
                }
                Item::Changed(object) => {
                    if let Admission::Full(limit) = self.changed(&object).await? {
                        break WatchEnd::TooMany(limit);
                    }
                }
                Item::Deleted(object) => self.forget(&object).await?,
                Item::Bookmark => self.context.reporter.source(SourceEvent::Alive).await?,
                Item::Malformed(what) => {
                    self.context.reporter.source(SourceEvent::Malformed).await?;
                    if !std::mem::replace(&mut self.lossy, true) {
                        let again = jittered(self.distrust.pause());
                        let resource = self.kind.resource();
                        tracing::warn!(resource, %what, ?again, "watch line left out: everything is listed again");
                        let again = due.deadline().min(Instant::now() + again);
                        due.as_mut().reset(again);
                    }
                }
                // If the server as a whole is failing, other watches notice; if only this resource is, the next listing
                // shows why.
                Item::Failed(_) if tolerance == Tolerance::Optional => {}
                // The next listing would be permitted.
                Item::Forbidden(reason) if tolerance == Tolerance::Optional => break WatchEnd::Forbidden(reason),
                Item::Failed(reason) | Item::Forbidden(reason) => {
                    self.context.reporter.part(&part, Part::Failed(reason)).await?;
                    self.context.failure.notify_one();
                }
                Item::TooOld => break WatchEnd::TooOld,
                Item::Closed => return Err(Closed),
            }
            watches.push(watch.next());
        };
        if several {
            for namespace in self.namespaces.iter() {
                self.context.reporter.no_part(&part_of(namespace.as_deref())).await?;
            }
        }
        Ok(ended)
    }

    fn namespace_watch(&self, namespace: Option<Arc<str>>, version: String) -> NamespaceWatch {
        let target = Target {
            resource: self.kind.resource(),
            path: self.path(namespace.as_deref()),
            namespace,
            labels: self.kind.label_selector().map(str::to_owned),
            version,
        };
        NamespaceWatch::new(target, self.context.link.clone(), self.context.timings)
    }

    /// Applies a new or changed object; returns whether its entries are kept.
    async fn changed(&mut self, json: &str) -> Result<Admission, Closed> {
        let reduced = match self.reduce(json) {
            Ok(reduced) => reduced,
            Err(error) => {
                self.unreadable(json, &error).await?;
                // A listing would leave the object out, so a change must do the same: what is known must not depend on
                // how it arrived.
                self.forget(json).await?;
                return Ok(Admission::Kept);
            }
        };
        self.faults(json, reduced.faults).await?;
        for (key, value) in reduced.entries {
            let Some(value) = value else {
                self.gone(key).await?;
                continue;
            };
            match self.kept.admit(&key, K::namespace(&key), K::bytes(&key, &value, json.len()), None) {
                Admission::Kept => {
                    self.note_excess(&key, reduced.excess.as_deref()).await?;
                    self.context.reporter.cluster(self.kind.event(Update::Set(key, value))).await?;
                }
                Admission::Crowded => {
                    self.note_crowd().await?;
                    // What is known of it is no longer so.
                    self.gone(key).await?;
                }
                Admission::Full(limit) => return Ok(Admission::Full(limit)),
            }
        }
        Ok(Admission::Kept)
    }

    fn reduce(&mut self, json: &str) -> Result<Reduced<K::Key, K::Value>, Unreadable> {
        if json.len() > limits::OBJECT_BYTES {
            return Err(Unreadable::TooLarge);
        }
        self.kind.reduce(json)
    }

    async fn forget(&mut self, json: &str) -> Result<(), Closed> {
        let meta = serde_json::from_str::<Object>(json).ok().and_then(|object| object.metadata).unwrap_or_default();
        match self.kind.keys(&meta) {
            Ok(keys) => {
                for key in keys {
                    self.gone(key).await?;
                }
                Ok(())
            }
            Err(error) => self.unreadable(json, &error).await,
        }
    }

    async fn gone(&mut self, key: K::Key) -> Result<(), Closed> {
        if self.excess.remove(&key) && self.excess.is_empty() {
            self.context.reporter.notes([(Note::Excess(self.kind.resource()), None)]).await?;
        }
        if self.kept.remove(&key, K::namespace(&key), None) {
            self.context.reporter.cluster(self.kind.event(Update::Gone(key))).await
        } else {
            self.sign_of_life().await
        }
    }

    /// Notes in state which object contains more than is read, or that no object does any more.
    async fn note_excess(&mut self, key: &K::Key, excess: Option<&str>) -> Result<(), Closed> {
        let words = match excess {
            Some(words) => {
                self.excess.insert(key.clone());
                let more = self.excess.len() - 1;
                Some(if more == 0 { words.to_owned() } else { format!("{words} (and {more} more)") })
            }
            None if self.excess.remove(key) && self.excess.is_empty() => None,
            None => return Ok(()),
        };
        self.context.reporter.notes([(Note::Excess(self.kind.resource()), words)]).await
    }

    /// Notes, for state and for verdicts, which namespaces have more than is read.
    async fn note_crowd(&mut self) -> Result<(), Closed> {
        let crowded: BTreeSet<Arc<str>> = self.kept.crowded().cloned().collect();
        if self.crowded.as_ref() == Some(&crowded) {
            return Ok(());
        }
        self.tell_crowded(crowded).await?;
        self.note_words_on_crowd().await
    }

    async fn note_words_on_crowd(&self) -> Result<(), Closed> {
        let resource = self.kind.resource();
        self.context.reporter.notes([(Note::Crowded(resource), self.kept.words(resource))]).await
    }

    async fn tell_crowded(&mut self, namespaces: BTreeSet<Arc<str>>) -> Result<(), Closed> {
        if self.crowded.as_ref() == Some(&namespaces) {
            return Ok(());
        }
        self.crowded = Some(namespaces.clone());
        match self.kind.crowded(namespaces) {
            Some(event) => self.context.reporter.cluster(event).await,
            None => Ok(()),
        }
    }

    async fn sign_of_life(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        if self.alive.is_some_and(|last| now.duration_since(last) < ALIVE_INTERVAL) {
            return Ok(());
        }
        self.alive = Some(now);
        self.context.reporter.source(SourceEvent::Alive).await
    }

    async fn unreadable(&mut self, json: &str, error: &Unreadable) -> Result<(), Closed> {
        self.log_once(json, &chain(error));
        self.context.reporter.source(SourceEvent::Malformed).await
    }

    async fn faults(&mut self, json: &str, faults: u64) -> Result<(), Closed> {
        if faults > 0 {
            self.log_once(json, "a part of it cannot be read and was left out");
        }
        for _ in 0..faults.min(limits::FAULTS) {
            self.context.reporter.source(SourceEvent::Malformed).await?;
        }
        Ok(())
    }

    fn log_once(&mut self, json: &str, error: &str) {
        let meta = serde_json::from_str::<Object>(json).ok().and_then(|object| object.metadata).unwrap_or_default();
        let part = |part: Option<&str>| printable(part.unwrap_or_default(), 253);
        let object = format!("{}/{}", part(meta.namespace.as_deref()), part(meta.name.as_deref()));
        if self.logged.is_first(&object) {
            tracing::warn!(resource = self.kind.resource(), ?object, error, "object cannot be read");
        }
    }
}

/// Objects that were logged as unreadable, to log each of them once, and only so many.
#[derive(Debug, Default)]
struct Logged(FxHashSet<String>);

impl Logged {
    fn is_first(&mut self, object: &str) -> bool {
        self.0.len() < limits::LOGGED && self.0.insert(object.to_owned())
    }
}

fn kept<K: Kind>(memory: &Memory) -> Kept<K::Key> {
    Kept::new(K::MOST, K::MOST / limits::NAMESPACE_SHARE, memory.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_logged_once_and_not_more_objects_than_the_limit() {
        let mut logged = Logged::default();
        let names = || (0..limits::LOGGED + 100).map(|at| format!("shop/s{at}"));
        assert_eq!(names().filter(|name| logged.is_first(name)).count(), limits::LOGGED);
        assert_eq!(names().filter(|name| logged.is_first(name)).count(), 0);
        assert_eq!(logged.0.len(), limits::LOGGED);
    }
}
