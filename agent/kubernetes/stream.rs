//! The watch of one kind in one namespace (or in all), made again and again from the last version seen.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use kube::core::Status;
use kube::core::params::WatchParams;
use tokio::time::{Instant, timeout};

use super::limits;
use super::lines::{Line, Lines};
use super::link::LinkReceiver;
use super::objects::{Object, WatchLine};
use super::reason::{self, Request};
use super::timings::{Timings, jittered};
use crate::supervise::{Backoff, chain};

/// An item of a watch.
#[derive(Debug)]
pub(super) enum Item {
    /// It is open: what it does not send has not happened.
    Opened,
    /// An object, new or changed.
    Changed(String),
    /// An object that is gone, as it was last.
    Deleted(String),
    /// Nothing new up to here.
    Bookmark,
    /// Something that is no watch event.
    Malformed(&'static str),
    /// It cannot be made again, with the reason; it goes on trying.
    Failed(Arc<str>),
    /// We may not watch this, with the reason; it goes on trying.
    Forbidden(Arc<str>),
    /// The server does not know the version any more, or nothing helps: list again.
    TooOld,
    /// The agent is shutting down.
    Closed,
}

/// After so many failures in a row the version itself is distrusted.
const FAILURES_UNTIL_LISTING: u32 = 5;
/// A watch that ended sooner was no success.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is watched, and from where.
pub(super) struct Target {
    pub(super) resource: &'static str,
    pub(super) path: String,
    pub(super) namespace: Option<Arc<str>>,
    pub(super) labels: Option<String>,
    /// The last version seen.
    pub(super) version: String,
}

/// One watch.
pub(super) struct NamespaceWatch {
    target: Target,
    link: LinkReceiver,
    timings: Timings,
    backoff: Backoff,
    /// Failures since it last delivered something.
    failures: u32,
    /// The epoch of the link it was last opened with.
    epoch: u64,
    phase: Phase,
}

/// Where a watch is.
enum Phase {
    /// To be opened after a pause, zero at the start.
    Waiting(Duration),
    /// Open.
    Open {
        lines: Box<Lines<Incoming>>,
        /// Since then.
        since: Instant,
    },
}

enum OpenError {
    TooOld,
    Failed(String),
    Forbidden(String),
    Closed,
}

impl NamespaceWatch {
    pub(super) fn new(target: Target, link: LinkReceiver, timings: Timings) -> Self {
        let (backoff, phase) = (timings.backoff(), Phase::Waiting(Duration::ZERO));
        Self { target, link, timings, backoff, failures: 0, epoch: 0, phase }
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.target.namespace.as_deref()
    }

    /// The next item. Owns the watch meanwhile, so that many can be waited for at once.
    pub(super) async fn next(mut self) -> (Self, Item) {
        loop {
            if let Some(item) = self.step().await {
                return (self, item);
            }
        }
    }

    /// One step; returns an item, if there is one.
    async fn step(&mut self) -> Option<Item> {
        match &mut self.phase {
            Phase::Waiting(pause) => {
                if !pause.is_zero() {
                    self.link.pause(self.epoch, *pause).await;
                }
                self.open().await
            }
            Phase::Open { lines, since } => {
                let since = *since;
                let line = tokio::select! {
                    line = timeout(self.timings.idle, lines.next()) => line,
                    () = self.link.newer(self.epoch) => {
                        self.phase = Phase::Waiting(Duration::ZERO);
                        return None;
                    }
                };
                match line {
                    Ok(Ok(Some(Line::Text(line)))) => self.item(&line),
                    Ok(Ok(Some(Line::TooLong))) => Some(Item::Malformed("an object is too large")),
                    // Most likely nobody is there any more: the next failure is not the first.
                    Err(_) => {
                        self.failures = self.failures.max(1);
                        self.phase = Phase::Waiting(Duration::ZERO);
                        None
                    }
                    // Ended or broken: made again from the last version seen.
                    Ok(Ok(None) | Err(_)) => {
                        let short = since.elapsed() < SHORTEST;
                        let pause = if short { self.backoff.pause() } else { Duration::ZERO };
                        self.phase = Phase::Waiting(pause);
                        None
                    }
                }
            }
        }
    }

    async fn open(&mut self) -> Option<Item> {
        match self.request().await {
            Ok(body) => {
                let lines = Box::new(Lines::new(body, limits::LINE_BYTES));
                self.phase = Phase::Open { lines, since: Instant::now() };
                Some(Item::Opened)
            }
            Err(OpenError::TooOld) => Some(Item::TooOld),
            Err(OpenError::Closed) => Some(Item::Closed),
            Err(OpenError::Failed(reason)) => self.failed(reason),
            Err(OpenError::Forbidden(reason)) => {
                self.phase = Phase::Waiting(self.backoff.pause());
                Some(Item::Forbidden(reason.into()))
            }
        }
    }

    async fn request(&mut self) -> Result<Incoming, OpenError> {
        let link = self.link.get().await.map_err(|_| OpenError::Closed)?;
        self.epoch = link.epoch;
        let params = WatchParams {
            label_selector: self.target.labels.clone(),
            timeout: Some(u32::try_from(jittered(self.timings.watch).as_secs().max(1)).unwrap_or(u32::MAX)),
            bookmarks: true,
            ..WatchParams::default()
        };
        let resource = self.target.resource;
        let built = kube::core::Request::new(self.target.path.as_str())
            .watch(&params, &self.target.version)
            .map_err(|error| OpenError::Failed(format!("cannot watch {resource}: {}", chain(&error))))?;
        link.client.open(built, self.timings.answer).await.map_err(|error| {
            let reason = reason::explain(&error, self.asked());
            match error.code() {
                Some(410) => OpenError::TooOld,
                Some(403) => OpenError::Forbidden(reason),
                _ => OpenError::Failed(reason),
            }
        })
    }

    fn asked(&self) -> Request<'_> {
        Request { verb: "watch", resource: self.target.resource, namespace: self.target.namespace.as_deref() }
    }

    /// The first failure in a row is not reported: connections end, and the next attempt works.
    fn failed(&mut self, reason: String) -> Option<Item> {
        self.failures += 1;
        self.phase = Phase::Waiting(self.backoff.pause());
        if self.failures >= FAILURES_UNTIL_LISTING {
            return Some(Item::TooOld);
        }
        (self.failures > 1).then(|| Item::Failed(reason.into()))
    }

    fn item(&mut self, line: &[u8]) -> Option<Item> {
        let item = self.read(line);
        if matches!(item, Some(Item::Changed(_) | Item::Deleted(_) | Item::Bookmark)) {
            self.failures = 0;
            self.backoff.reset();
        }
        item
    }

    fn read(&mut self, line: &[u8]) -> Option<Item> {
        let Ok(event) = serde_json::from_slice::<WatchLine<'_>>(line) else {
            return Some(Item::Malformed("a line is not a watch event"));
        };
        let object = event.object.get();
        match event.change.as_str() {
            "ADDED" | "MODIFIED" => {
                self.follow(object);
                Some(Item::Changed(object.to_owned()))
            }
            "DELETED" => {
                self.follow(object);
                Some(Item::Deleted(object.to_owned()))
            }
            "BOOKMARK" => {
                self.follow(object);
                Some(Item::Bookmark)
            }
            "ERROR" => self.error(object),
            _ => Some(Item::Malformed("a watch event of unknown type")),
        }
    }

    fn follow(&mut self, object: &str) {
        let meta = serde_json::from_str::<Object>(object).ok().and_then(|object| object.metadata);
        if let Some(version) = meta.and_then(|meta| meta.resource_version).filter(|version| !version.is_empty()) {
            self.target.version = version;
        }
    }

    fn error(&mut self, object: &str) -> Option<Item> {
        let mut status: Status = serde_json::from_str(object).unwrap_or_default();
        if status.code == 410 || status.reason == "Expired" || status.reason == "Gone" {
            return Some(Item::TooOld);
        }
        if status.code == 0 {
            status.code = 500;
        }
        let text = reason::refused(&status, self.asked());
        self.failed(text)
    }
}
