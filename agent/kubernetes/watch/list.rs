//! Lists one kind, page by page.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::core::params::ListParams;

use super::super::bounded::Items;
use super::super::http::{Answer, Client, RequestError};
use super::super::kept::{Admission, Kept, Limit};
use super::super::limits;
use super::super::objects::{List, ListMeta};
use super::super::reason::{self, Request};
use super::super::reduce::Kind;
use super::super::reporter::{Closed, Note};
use super::{Failure, FailureKind, Watcher, kept};
use crate::model::event::Update;
use crate::supervise::chain;

/// The result of a listing.
pub(super) enum Listing {
    /// Everything was listed; each namespace must be watched from its version.
    Complete {
        /// Versions by namespace, in order.
        versions: Vec<String>,
    },
    /// The listing failed.
    Failed(Failure),
}

/// The result of listing one namespace.
enum Listed {
    /// The version to watch from.
    At(String),
    Failed(Failure),
}

/// Why a page could not be read.
enum PageError {
    /// 410: the listing is too old to be continued.
    Expired,
    /// The page is larger than the limit.
    TooLarge(usize),
    Failed(Failure),
}

/// What has been listed so far.
struct Harvest<K: Kind> {
    entries: Vec<(K::Key, K::Value)>,
    kept: Kept<K::Key>,
}

impl<K: Kind> Harvest<K> {
    /// Removes the entries after the first `begin`; `replaced` are those that the harvest replaces.
    fn truncate(&mut self, begin: usize, replaced: &Kept<K::Key>) {
        for (key, _) in self.entries.drain(begin..) {
            self.kept.remove(&key, K::namespace(&key), Some(replaced));
        }
    }
}

/// The progress of a listing.
struct Progress {
    next: Option<String>,
    /// Objects requested per page.
    limit: u32,
    pages: usize,
    begun_again: bool,
}

impl<K: Kind> Watcher<K> {
    /// Lists everything and sends it to the engine.
    pub(super) async fn list(&mut self, client: &Client) -> Result<Listing, Closed> {
        let mut harvest = Harvest { entries: Vec::new(), kept: kept::<K>(&self.context.memory) };
        let mut versions = Vec::new();
        self.excess.clear();
        for namespace in self.namespaces.clone().iter() {
            match self.list_namespace(client, namespace.as_deref(), &mut harvest).await? {
                Listed::At(version) => versions.push(version),
                Listed::Failed(failure) => return Ok(Listing::Failed(failure)),
            }
        }
        let crowded: BTreeSet<Arc<str>> = harvest.kept.crowded().cloned().collect();
        // What was not read before is known only with the whole listing.
        let or_before: BTreeSet<Arc<str>> = self.crowded.iter().flatten().chain(&crowded).cloned().collect();
        if !or_before.is_empty() {
            self.tell_crowded(or_before).await?;
        }
        self.kept = harvest.kept;
        self.kept.settle();
        let resource = self.kind.resource();
        if self.excess.is_empty() {
            self.context.reporter.notes([(Note::Excess(resource), None)]).await?;
        }
        self.note_words_on_crowd().await?;
        self.context.reporter.cluster(self.kind.event(Update::All(harvest.entries))).await?;
        self.tell_crowded(crowded).await?;
        Ok(Listing::Complete { versions })
    }

    async fn list_namespace(
        &mut self,
        client: &Client,
        namespace: Option<&str>,
        harvest: &mut Harvest<K>,
    ) -> Result<Listed, Closed> {
        let request = Request { verb: "list", resource: self.kind.resource(), namespace };
        let (path, begin) = (self.path(namespace), harvest.entries.len());
        let mut progress = Progress { next: None, limit: K::PAGE, pages: 0, begun_again: false };
        loop {
            if progress.pages >= most_pages::<K>(progress.limit) {
                return Ok(Listed::Failed(self.endless("does not end")));
            }
            match self.page(client, &path, &progress, request).await {
                Err(PageError::Expired) if progress.next.is_some() && !progress.begun_again => {
                    harvest.truncate(begin, &self.kept);
                    progress = Progress { next: None, pages: 0, begun_again: true, ..progress };
                }
                Err(PageError::Expired) => return Ok(Listed::Failed(self.forgotten())),
                Err(PageError::TooLarge(_)) if progress.limit > 1 => progress.limit = (progress.limit / 8).max(1),
                Err(PageError::TooLarge(most)) => {
                    let resource = request.resource;
                    let reason = format!("a listing of {resource} holds an object of more than {most} bytes");
                    return Ok(Listed::Failed(Failure { reason: reason.into(), kind: FailureKind::Listing }));
                }
                Err(PageError::Failed(failure)) => return Ok(Listed::Failed(failure)),
                Ok(answer) => {
                    progress.pages += 1;
                    if let Some(listed) = self.take_page(answer, &mut progress, harvest).await? {
                        return Ok(listed);
                    }
                }
            }
        }
    }

    async fn page(
        &self,
        client: &Client,
        path: &str,
        progress: &Progress,
        request: Request<'_>,
    ) -> Result<Answer, PageError> {
        let params = ListParams {
            label_selector: self.kind.label_selector().map(str::to_owned),
            limit: Some(progress.limit),
            continue_token: progress.next.clone(),
            ..ListParams::default()
        };
        let failed = |reason: String, kind| PageError::Failed(Failure { reason: reason.into(), kind });
        let built = kube::core::Request::new(path).list(&params).map_err(|error| {
            failed(format!("cannot ask for {}: {}", request.resource, chain(&error)), FailureKind::Server)
        })?;
        client.ask(built, limits::PAGE_BYTES, self.context.timings.answer).await.map_err(|error| {
            if let RequestError::TooLarge { most } = error {
                return PageError::TooLarge(most);
            }
            let kind = match error.code() {
                Some(410) => return PageError::Expired,
                None | Some(401 | 429) => FailureKind::Server,
                Some(403) => FailureKind::Forbidden,
                Some(404) => FailureKind::Absent,
                Some(_) => FailureKind::Listing,
            };
            failed(reason::explain(&error, request), kind)
        })
    }

    /// Reads a page; returns the result of the listing after the last page.
    async fn take_page(
        &mut self,
        answer: Answer,
        progress: &mut Progress,
        harvest: &mut Harvest<K>,
    ) -> Result<Option<Listed>, Closed> {
        let (items, metadata) = match read(&answer.bytes) {
            Ok(page) => page,
            Err(why) => return Ok(Some(Listed::Failed(self.no_listing(&why)))),
        };
        for item in items.0 {
            if let Admission::Full(limit) = self.take(item.get(), harvest).await? {
                return Ok(Some(Listed::Failed(self.too_many(limit, None))));
            }
        }
        self.sign_of_life().await?;
        let rest = metadata.remaining_item_count.unwrap_or_default();
        let count = rest.saturating_add(harvest.entries.len() as u64);
        if K::EVERY_OBJECT_COUNTS && count > K::MOST as u64 {
            return Ok(Some(Listed::Failed(self.too_many(Limit::Count, Some(count)))));
        }
        let next = metadata.next.filter(|next| !next.is_empty());
        if next.is_none() {
            let version = metadata.resource_version.filter(|version| !version.is_empty());
            return Ok(Some(match version {
                Some(version) => Listed::At(version),
                None => Listed::Failed(self.no_listing("it has no resourceVersion")),
            }));
        }
        if next == progress.next {
            return Ok(Some(Listed::Failed(self.endless("does not get on"))));
        }
        progress.next = next;
        Ok(None)
    }

    /// Reads an object of a listing; returns whether its entries are kept.
    async fn take(&mut self, json: &str, harvest: &mut Harvest<K>) -> Result<Admission, Closed> {
        let reduced = match self.reduce(json) {
            Ok(reduced) => reduced,
            Err(error) => {
                self.unreadable(json, &error).await?;
                return Ok(Admission::Kept);
            }
        };
        self.faults(json, reduced.faults).await?;
        for (key, value) in reduced.entries {
            // A server that lists an object twice must not make the agent keep it twice.
            let Some(value) = value.filter(|_| !harvest.kept.contains(&key)) else { continue };
            let bytes = K::bytes(&key, &value, json.len());
            match harvest.kept.admit(&key, K::namespace(&key), bytes, Some(&self.kept)) {
                Admission::Kept => {
                    self.note_excess(&key, reduced.excess.as_deref()).await?;
                    harvest.entries.push((key, value));
                }
                Admission::Crowded => {}
                Admission::Full(limit) => return Ok(Admission::Full(limit)),
            }
        }
        Ok(Admission::Kept)
    }

    fn no_listing(&self, why: &str) -> Failure {
        let resource = self.kind.resource();
        let reason = format!("the answer is not a listing of {resource} ({why}): is this the URL of an API server?");
        Failure { reason: reason.into(), kind: FailureKind::Server }
    }

    fn forgotten(&self) -> Failure {
        let reason = format!("the API server forgot the listing of {} half-way", self.kind.resource());
        Failure { reason: reason.into(), kind: FailureKind::Listing }
    }

    fn endless(&self, what: &str) -> Failure {
        let reason = format!("the listing of {} {what}: is this an API server?", self.kind.resource());
        Failure { reason: reason.into(), kind: FailureKind::Server }
    }
}

/// Returns how many pages a listing may have.
fn most_pages<K: Kind>(limit: u32) -> usize {
    K::MOST.saturating_mul(limits::PAGES_FACTOR) / limit.max(1) as usize + limits::PAGES_SLACK
}

/// Reads a page, or says why it is none. An error of `serde_json` contains the whole string that is in a wrong place,
/// and is built in any case: so nothing as large as a page is read as anything else than what it is.
fn read(page: &[u8]) -> Result<(Items<'_>, ListMeta), String> {
    if !page.trim_ascii_start().starts_with(b"{") {
        return Err("it is not a JSON object".to_owned());
    }
    let list: List<'_> = serde_json::from_slice(page).map_err(|error| reason::json(&error))?;
    let metadata = match list.metadata.map(|metadata| metadata.get()) {
        Some(metadata) if metadata.len() > limits::ANSWER_BYTES => {
            return Err(format!("its metadata is larger than {} bytes", limits::ANSWER_BYTES));
        }
        Some(metadata) => {
            serde_json::from_str(metadata).map_err(|error| format!("its metadata: {}", reason::json(&error)))?
        }
        None => ListMeta::default(),
    };
    Ok((list.items.unwrap_or_default(), metadata))
}
