//! List and watch one kind of objects, for ever.
//!
//! A listing is a transaction: pages are reduced as they arrive, and the whole is told at once. Then every namespace is
//! watched from where the listing was. A watch that ends is made again from the last version seen, quietly; one that
//! cannot be made again is a failure, told with its reason and retried with growing pauses. When the server no longer
//! knows that version (410), when retrying does not help, and once an hour in any case, everything is listed again.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::Client;
use kube::api::ListParams;
use rustc_hash::FxHashSet;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::client::RetryAfter;
use super::condition::{Conditions, Part};
use super::objects::{List, Object};
use super::reason::{self, Request};
use super::reduce::{Kind, Reduced, Unreadable};
use super::stream::{Item, NamespaceWatch};
use crate::model::event::{ClusterEvent, Event, SourceEvent, SourceId, Update};
use crate::model::names::ClusterName;
use crate::model::speaker::ResourceState;
use crate::supervise::{Backoff, chain};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timings {
    /// To connect.
    pub(super) connect: Duration,
    /// For an answer: a page of a listing, the beginning of a watch, the version.
    pub(super) answer: Duration,
    /// A watch without a sign of life (servers send a bookmark about every minute) is made anew.
    pub(super) idle: Duration,
    /// After this the server ends a watch.
    pub(super) watch: Duration,
    /// Everything is listed again: a watch that lost something is not believed for ever.
    pub(super) relist: Duration,
    /// The first pause after a failure.
    pub(super) first_pause: Duration,
    /// The longest.
    pub(super) longest_pause: Duration,
    /// Between looks at the credential files.
    pub(super) look: Duration,
    /// Between looks for resources of the speaker that are absent, or that we may not read.
    pub(super) look_again: Duration,
    /// A watch that lost something is listed again after this; each time in a row after twice as long.
    pub(super) distrust: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(130),
            watch: Duration::from_secs(290),
            relist: Duration::from_secs(3600),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(15),
            look: Duration::from_secs(2),
            look_again: Duration::from_secs(300),
            distrust: Duration::from_secs(5),
        }
    }
}

impl Timings {
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.first_pause, self.longest_pause)
    }
}

/// Somewhere between three quarters of a time and all of it, so that many switches do not ask at once.
pub(super) fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1024;
    time.mul_f64(0.75 + 0.25 * (random as f64 / 1024.0))
}

/// Nobody takes the events any more: the agent is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is shutting down")]
pub(super) struct Closed;

/// Tells the engine.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    cluster: ClusterName,
    events: mpsc::Sender<Event>,
    conditions: Arc<Mutex<Conditions>>,
}

impl Reporter {
    pub(super) fn new(cluster: ClusterName, events: mpsc::Sender<Event>, conditions: Conditions) -> Self {
        Self { cluster, events, conditions: Arc::new(Mutex::new(conditions)) }
    }

    /// The cluster it tells of.
    pub(super) fn cluster_name(&self) -> &ClusterName {
        &self.cluster
    }

    /// Something in the cluster changed.
    pub(super) async fn cluster(&self, event: ClusterEvent) -> Result<(), Closed> {
        self.events.send(Event::Cluster(self.cluster.clone(), event)).await.map_err(|_| Closed)
    }

    pub(super) async fn source(&self, event: SourceEvent) -> Result<(), Closed> {
        let source = SourceId::Kubernetes(self.cluster.clone());
        self.events.send(Event::Source(source, event)).await.map_err(|_| Closed)
    }

    /// A part changed its condition.
    pub(super) async fn part(&self, name: &str, part: Part) -> Result<(), Closed> {
        let news = self.conditions.lock().unwrap_or_else(PoisonError::into_inner).set(name, part);
        self.tell(news).await
    }

    /// A part is no more.
    pub(super) async fn no_part(&self, name: &str) -> Result<(), Closed> {
        let news = self.conditions.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.tell(news).await
    }

    async fn tell(&self, news: Option<SourceEvent>) -> Result<(), Closed> {
        let Some(event) = news else { return Ok(()) };
        match &event {
            SourceEvent::Lost(reason) => tracing::warn!(cluster = %self.cluster, %reason, "cluster out of reach"),
            SourceEvent::Synced => tracing::info!(cluster = %self.cluster, "cluster synced"),
            _ => {}
        }
        self.source(event).await
    }
}

/// The way to the API server.
#[derive(Clone)]
pub(super) struct Link {
    /// What requests are made with.
    pub(super) client: Client,
    /// Grows when there is a reason to use this client at once: other credentials, or the server is back.
    pub(super) fresh: u64,
}

/// Follows the way to the API server.
#[derive(Clone)]
pub(super) struct LinkReceiver {
    links: watch::Receiver<Option<Link>>,
    asked: RetryAfter,
}

impl LinkReceiver {
    /// Follows these; `asked` is what the server asks for.
    pub(super) fn new(links: watch::Receiver<Option<Link>>, asked: RetryAfter) -> Self {
        Self { links, asked }
    }

    /// The link, as soon as there is one.
    pub(super) async fn get(&mut self) -> Result<Link, Closed> {
        let link = self.links.wait_for(Option::is_some).await.map_err(|_| Closed)?;
        link.clone().ok_or(Closed)
    }

    /// Returns when there is a fresher link than that.
    pub(super) async fn fresher(&mut self, fresh: u64) {
        let fresher = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.fresh > fresh);
        if self.links.wait_for(fresher).await.is_err() {
            std::future::pending::<Infallible>().await;
        }
    }

    /// Waits a while, and as long as the server wants, or until there is a fresher link.
    pub(super) async fn pause(&mut self, fresh: u64, pause: Duration) {
        let pause = jittered(pause).max(self.asked.remaining());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.fresher(fresh) => {}
        }
    }
}

/// Why a listing failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Arc<str>,
    pub(super) kind: FailureKind,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The server is out of reach, answers nonsense, or does not accept us.
    Server,
    /// The server answers, and cannot list this.
    Listing,
    /// The server does not have the resource.
    Absent,
    /// The server does not let us see it.
    Forbidden,
    /// There is more of it than is read.
    TooMany,
}

/// Which failures end a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// None: the cluster cannot be judged without it.
    Required,
    /// Absent and forbidden: something else stands in.
    Replaceable,
    /// All but those of the server as a whole: it is done without.
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

/// What a loop works with.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) link: LinkReceiver,
    /// Notified when a request failed: the link may have to be made anew.
    pub(super) trouble: Arc<Notify>,
    pub(super) reporter: Reporter,
    pub(super) timings: Timings,
    /// One none for all namespaces.
    pub(super) namespaces: Arc<[Option<Arc<str>>]>,
}

/// At most so many objects that cannot be read are remembered as logged.
const LOGGED: usize = 1024;
/// An object that says nothing new is a sign of life worth telling this often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Lists and watches one kind.
pub(super) struct Watcher<K: Kind> {
    kind: K,
    namespaces: Arc<[Option<Arc<str>>]>,
    around: Surroundings,
    /// Keys that were told of and not taken back.
    known: FxHashSet<K::Key>,
    /// Objects that were logged as unreadable.
    logged: FxHashSet<String>,
    alive: Option<Instant>,
    /// Pauses before what a watch lost is listed again.
    distrust: Backoff,
    /// The watch lost something that was not listed again yet.
    lossy: bool,
    /// A listing was completed.
    listed: bool,
}

impl<K: Kind> Watcher<K> {
    pub(super) fn new(kind: K, around: Surroundings) -> Self {
        let namespaces = if K::NAMESPACED { Arc::clone(&around.namespaces) } else { Arc::new([None]) };
        let distrust = Backoff::new(around.timings.distrust, around.timings.relist);
        Self {
            kind,
            namespaces,
            around,
            known: FxHashSet::default(),
            logged: FxHashSet::default(),
            alive: None,
            distrust,
            lossy: false,
            listed: false,
        }
    }

    /// A listing was completed.
    pub(super) fn has_listed(&self) -> bool {
        self.listed
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) -> Result<Infallible, Closed> {
        loop {
            let resource = self.kind.resource();
            let failure = self.run_until(resource, Tolerance::Required).await?;
            tracing::debug!(reason = %failure.reason, resource, "refused");
        }
    }

    /// Runs until a failure that is to end it. `part` is the name its condition goes by.
    pub(super) async fn run_until(&mut self, part: &str, tolerance: Tolerance) -> Result<Failure, Closed> {
        let mut backoff = self.around.timings.backoff();
        loop {
            let link = self.around.link.get().await?;
            let failure = match self.list(&link.client).await? {
                Ok(versions) => {
                    self.listed = true;
                    if let Some(resource) = self.kind.speaker_resource() {
                        let event = ClusterEvent::SpeakerResource(resource, ResourceState::Watched);
                        self.around.reporter.cluster(event).await?;
                    }
                    self.around.reporter.part(part, Part::Live).await?;
                    let begun = Instant::now();
                    let ended = self.watch(part, versions, tolerance).await?;
                    if ended == Ended::TooOld {
                        self.around.reporter.part(part, Part::Listing).await?;
                    }
                    // A server that forgets at once what it has just listed must not be asked without end.
                    if ended == Ended::TooOld && begun.elapsed() < self.around.timings.longest_pause {
                        self.around.link.pause(link.fresh, backoff.pause()).await;
                    } else {
                        backoff.reset();
                    }
                    match ended {
                        Ended::TooMany => self.too_many(None),
                        Ended::Forbidden(reason) => Failure { reason, kind: FailureKind::Forbidden },
                        Ended::Due | Ended::TooOld => continue,
                    }
                }
                Err(failure) => failure,
            };
            if tolerance.ends_at(failure.kind) {
                return Ok(failure);
            }
            self.around.reporter.part(part, Part::Failed(failure.reason)).await?;
            self.around.trouble.notify_one();
            self.around.link.pause(link.fresh, backoff.pause()).await;
        }
    }

    fn too_many(&self, count: Option<u64>) -> Failure {
        let (resource, most) = (self.kind.resource(), K::MOST);
        let there = count.map_or_else(|| format!("more than {most}"), |count| count.to_string());
        let reason = format!("there are {there} {resource}, and at most {most} of them are read");
        Failure { reason: reason.into(), kind: FailureKind::TooMany }
    }

    fn path(&self, namespace: Option<&str>) -> String {
        let (api, resource) = (self.kind.api(), self.kind.resource());
        match namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{resource}"),
            None => format!("{api}/{resource}"),
        }
    }

    /// Lists everything and tells it; gives the version to watch each namespace from.
    async fn list(&mut self, client: &Client) -> Result<Result<Vec<String>, Failure>, Closed> {
        let mut entries = Vec::new();
        let mut versions = Vec::new();
        for namespace in Arc::clone(&self.namespaces).iter() {
            match self.list_namespace(client, namespace.as_deref(), &mut entries).await? {
                Ok(version) => versions.push(version),
                Err(failure) => return Ok(Err(failure)),
            }
        }
        self.known = entries.iter().map(|(key, _)| K::Key::clone(key)).collect();
        self.around.reporter.cluster(self.kind.event(Update::All(entries))).await?;
        self.kind.tidy();
        Ok(Ok(versions))
    }

    async fn list_namespace(
        &mut self,
        client: &Client,
        namespace: Option<&str>,
        entries: &mut Vec<(K::Key, K::Value)>,
    ) -> Result<Result<String, Failure>, Closed> {
        let request = Request { verb: "list", resource: self.kind.resource(), namespace };
        let (begin, mut next, mut begun_again) = (entries.len(), None, false);
        loop {
            let pages = ListParams {
                label_selector: self.kind.label_selector().map(str::to_owned),
                limit: Some(K::PAGE),
                continue_token: next.take(),
                ..ListParams::default()
            };
            let again = pages.continue_token.is_some() && !begun_again;
            match page(client, &self.path(namespace), &pages, request, self.around.timings.answer).await {
                Err(PageError::Expired) if again => {
                    entries.truncate(begin);
                    begun_again = true;
                }
                Err(PageError::Expired) => {
                    let reason =
                        format!("the API server forgot the listing of {} half-way", self.kind.resource()).into();
                    return Ok(Err(Failure { reason, kind: FailureKind::Listing }));
                }
                Err(PageError::Failed(failure)) => return Ok(Err(failure)),
                Ok(text) => {
                    let list = match serde_json::from_str::<List<'_>>(&text) {
                        Ok(list) => list,
                        Err(error) => return Ok(Err(no_listing(self.kind.resource(), &chain(&error)))),
                    };
                    for item in list.items.unwrap_or_default() {
                        self.take(item.get(), entries).await?;
                    }
                    self.sign_of_life().await?;
                    let metadata = list.metadata.unwrap_or_default();
                    let rest = metadata.remaining_item_count.unwrap_or_default();
                    let count = entries.len() as u64 + rest;
                    if count > K::MOST as u64 {
                        return Ok(Err(self.too_many((rest > 0).then_some(count))));
                    }
                    next = metadata.next.filter(|next| !next.is_empty());
                    if next.is_none() {
                        let version = metadata.resource_version.filter(|version| !version.is_empty());
                        return Ok(version.ok_or_else(|| no_listing(self.kind.resource(), "it has no resourceVersion")));
                    }
                }
            }
        }
    }

    /// Takes an object of a listing.
    async fn take(&mut self, json: &str, entries: &mut Vec<(K::Key, K::Value)>) -> Result<(), Closed> {
        match self.kind.reduce(json) {
            Ok(reduced) => {
                self.faults(json, reduced.faults).await?;
                entries.extend(reduced.entries.into_iter().filter_map(|(key, value)| Some((key, value?))));
                Ok(())
            }
            Err(error) => self.unreadable(json, &error).await,
        }
    }

    /// Watches every namespace until a listing is due.
    async fn watch(&mut self, part: &str, versions: Vec<String>, tolerance: Tolerance) -> Result<Ended, Closed> {
        let several = versions.len() > 1;
        let part_of = |namespace: Option<&str>| match namespace {
            Some(namespace) if several => format!("{part}/{namespace}"),
            _ => part.to_owned(),
        };
        let mut watches = FuturesUnordered::new();
        for (namespace, version) in self.namespaces.iter().zip(versions) {
            let labels = self.kind.label_selector().map(str::to_owned);
            let watch = NamespaceWatch::new(
                self.kind.resource(),
                self.path(namespace.as_deref()),
                namespace.clone(),
                labels,
                version,
                self.around.link.clone(),
                self.around.timings,
            );
            watches.push(watch.next());
        }
        let due = tokio::time::sleep(jittered(self.around.timings.relist));
        tokio::pin!(due);
        let ended = loop {
            let (watch, item) = tokio::select! {
                next = watches.next() => match next {
                    Some(next) => next,
                    None => break Ended::TooOld,
                },
                () = &mut due => {
                    if !std::mem::take(&mut self.lossy) {
                        self.distrust.reset();
                    }
                    break Ended::Due;
                }
            };
            let part = part_of(watch.namespace());
            match item {
                Item::Opened => {
                    self.around.reporter.part(&part, Part::Live).await?;
                    self.sign_of_life().await?;
                }
                Item::Changed(object) => self.changed(&object).await?,
                Item::Deleted(object) => self.deleted(&object).await?,
                Item::Bookmark => self.around.reporter.source(SourceEvent::Alive).await?,
                Item::Malformed(what) => {
                    self.around.reporter.source(SourceEvent::Malformed).await?;
                    if !std::mem::replace(&mut self.lossy, true) {
                        let again = jittered(self.distrust.pause());
                        let resource = self.kind.resource();
                        tracing::warn!(resource, %what, ?again, "watch line left out: everything is listed again");
                        let again = due.deadline().min(Instant::now() + again);
                        due.as_mut().reset(again);
                    }
                }
                // Others notice when the server is in trouble; when only this is, the next listing says how.
                Item::Failed(_) if tolerance == Tolerance::Optional => {}
                // The next listing would be allowed.
                Item::Forbidden(reason) if tolerance == Tolerance::Optional => break Ended::Forbidden(reason),
                Item::Failed(reason) | Item::Forbidden(reason) => {
                    self.around.reporter.part(&part, Part::Failed(reason)).await?;
                    self.around.trouble.notify_one();
                }
                Item::TooOld => break Ended::TooOld,
                Item::Closed => return Err(Closed),
            }
            if self.known.len() > K::MOST {
                break Ended::TooMany;
            }
            watches.push(watch.next());
        };
        if several {
            for namespace in self.namespaces.iter() {
                self.around.reporter.no_part(&part_of(namespace.as_deref())).await?;
            }
        }
        Ok(ended)
    }

    async fn changed(&mut self, json: &str) -> Result<(), Closed> {
        match self.kind.reduce(json) {
            Ok(Reduced { entries, faults }) => {
                self.faults(json, faults).await?;
                for (key, value) in entries {
                    match value {
                        Some(value) => {
                            self.known.insert(key.clone());
                            self.around.reporter.cluster(self.kind.event(Update::Set(key, value))).await?;
                        }
                        None => self.gone(key).await?,
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.unreadable(json, &error).await?;
                // As a listing would leave it out, so must a change: what is known never depends on the way it came.
                self.forget(json).await
            }
        }
    }

    async fn deleted(&mut self, json: &str) -> Result<(), Closed> {
        self.forget(json).await
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
        if self.known.remove(&key) {
            self.around.reporter.cluster(self.kind.event(Update::Gone(key))).await
        } else {
            self.sign_of_life().await
        }
    }

    async fn sign_of_life(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        if self.alive.is_some_and(|last| now.duration_since(last) < ALIVE_INTERVAL) {
            return Ok(());
        }
        self.alive = Some(now);
        self.around.reporter.source(SourceEvent::Alive).await
    }

    async fn unreadable(&mut self, json: &str, error: &Unreadable) -> Result<(), Closed> {
        self.log_once(json, &chain(error));
        self.around.reporter.source(SourceEvent::Malformed).await
    }

    async fn faults(&mut self, json: &str, faults: u64) -> Result<(), Closed> {
        if faults > 0 {
            self.log_once(json, "a part of it cannot be read and was left out");
        }
        for _ in 0..faults {
            self.around.reporter.source(SourceEvent::Malformed).await?;
        }
        Ok(())
    }

    fn log_once(&mut self, json: &str, error: &str) {
        let meta = serde_json::from_str::<Object>(json).ok().and_then(|object| object.metadata).unwrap_or_default();
        let namespace = meta.namespace.unwrap_or_default();
        let object = format!("{namespace}/{}", meta.name.as_deref().unwrap_or("(no name)"));
        if self.logged.len() < LOGGED && self.logged.insert(object.clone()) {
            tracing::warn!(resource = self.kind.resource(), %object, %error, "object cannot be read");
        }
    }
}

/// Why watching ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// What is known is too old to go on from.
    TooOld,
    /// It is time to look at everything again.
    Due,
    /// There is more than is read.
    TooMany,
    /// It may be listed and not watched, with the reason.
    Forbidden(Arc<str>),
}

fn no_listing(resource: &str, why: &str) -> Failure {
    let reason = format!("the answer is no listing of {resource} ({why}): is this the URL of an API server?");
    Failure { reason: reason.into(), kind: FailureKind::Server }
}

enum PageError {
    /// 410: the listing is too old to be continued.
    Expired,
    Failed(Failure),
}

async fn page(
    client: &Client,
    path: &str,
    pages: &ListParams,
    request: Request<'_>,
    patience: Duration,
) -> Result<String, PageError> {
    let failed = |reason: String, kind| PageError::Failed(Failure { reason: reason.into(), kind });
    let built = kube::core::Request::new(path).list(pages);
    let built = built.map_err(|error| {
        failed(format!("cannot ask for {}: {}", request.resource, chain(&error)), FailureKind::Server)
    })?;
    match timeout(patience, client.request_text(built)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => Err(PageError::Expired),
        Ok(Err(error)) => {
            let kind = match &error {
                kube::Error::Api(status) => match status.code {
                    401 | 429 => FailureKind::Server,
                    403 => FailureKind::Forbidden,
                    404 => FailureKind::Absent,
                    _ => FailureKind::Listing,
                },
                _ => FailureKind::Server,
            };
            Err(failed(reason::explain(&error, request), kind))
        }
        Err(_) => Err(failed(reason::silent(request, patience), FailureKind::Server)),
    }
}
