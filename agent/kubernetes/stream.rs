//! Runs the watch of one kind in one namespace (or in all), and opens it again from the last version seen.

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
    /// The watch is open: from now on, a change that it does not send has not happened.
    Opened,
    /// A new or changed object.
    Changed(String),
    /// A deleted object, in its last state.
    Deleted(String),
    /// There is nothing new up to here.
    Bookmark,
    /// The line is not a watch event.
    Malformed(&'static str),
    /// The watch cannot be opened again, for this reason; attempts continue.
    Failed(Arc<str>),
    /// The agent may not watch this, for this reason; attempts continue.
    Forbidden(Arc<str>),
    /// The server no longer knows the version, or all attempts fail: list again.
    TooOld,
    /// The agent is shutting down.
    Closed,
}

/// Number of consecutive failures after which the version itself is given up.
const FAILURES_UNTIL_LISTING: u32 = 5;
/// A watch that ended sooner counts as a failure.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is watched, and from which version.
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
    /// Consecutive failures since it last delivered something.
    failures: u32,
    /// The epoch of the link that it was last opened with.
    epoch: u64,
    phase: Phase,
}

/// The state of a watch.
enum Phase {
    /// To be opened after a pause, which is zero at the start.
    Waiting(Duration),
    /// Open.
    Open {
        lines: Box<Lines<Incoming>>,
        /// Since when it is open.
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

    /// Returns the next item. Takes ownership of the watch in the meantime, so that several watches can be awaited
    /// together.
    pub(super) async fn next(mut self) -> (Self, Item) {
        loop {
            if let Some(item) = self.step().await {
                return (self, item);
            }
        }
    }

    /// Makes one step; returns an item, if there is one.
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
                    // Most likely the server is gone, so that the next failure is not the first.
                    Err(_) => {
                        self.failures = self.failures.max(1);
                        self.phase = Phase::Waiting(Duration::ZERO);
                        None
                    }
                    // The watch ended or broke off: open it again from the last version seen.
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

    /// Notes a failure. The first of several consecutive ones is not reported, because connections do end, and the next
    /// attempt usually works.
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
