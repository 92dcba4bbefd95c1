//! The watch of one kind in one namespace (or in all), made again and again from the last version seen.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncBufRead;
use kube::api::WatchParams;
use tokio::time::{Instant, timeout};

use super::lines::{LONGEST, Line, Lines};
use super::objects::{Object, Status, WatchLine};
use super::reason::{self, Request};
use super::watch::{LinkReceiver, Timings, jittered};
use crate::supervise::{Backoff, chain};

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Item {
    /// It is open: what it does not tell has not happened.
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

type Reader = Pin<Box<dyn AsyncBufRead + Send>>;

/// One watch.
pub(super) struct NamespaceWatch {
    resource: &'static str,
    path: String,
    namespace: Option<Arc<str>>,
    labels: Option<String>,
    version: String,
    link: LinkReceiver,
    fresh: u64,
    timings: Timings,
    backoff: Backoff,
    open: Option<(Lines<Reader>, Instant)>,
    failures: u32,
    pause: Option<Duration>,
}

enum OpenError {
    TooOld,
    Failed(String),
    Forbidden(String),
    Closed,
}

impl NamespaceWatch {
    pub(super) fn new(
        resource: &'static str,
        path: String,
        namespace: Option<Arc<str>>,
        labels: Option<String>,
        version: String,
        link: LinkReceiver,
        timings: Timings,
    ) -> Self {
        let backoff = timings.backoff();
        Self {
            resource,
            path,
            namespace,
            labels,
            version,
            link,
            fresh: 0,
            timings,
            backoff,
            open: None,
            failures: 0,
            pause: None,
        }
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The next item. Owns the watch meanwhile, so that many can be waited for at once.
    pub(super) async fn next(mut self) -> (Self, Item) {
        let item = self.step().await;
        (self, item)
    }

    async fn step(&mut self) -> Item {
        loop {
            if let Some(pause) = self.pause.take() {
                self.link.pause(self.fresh, pause).await;
            }
            let Some((lines, since)) = &mut self.open else {
                match self.open().await {
                    Ok(lines) => {
                        self.open = Some((lines, Instant::now()));
                        return Item::Opened;
                    }
                    Err(OpenError::TooOld) => return Item::TooOld,
                    Err(OpenError::Closed) => return Item::Closed,
                    Err(OpenError::Failed(reason)) => match self.failed(reason) {
                        Some(item) => return item,
                        None => continue,
                    },
                    Err(OpenError::Forbidden(reason)) => {
                        self.pause = Some(self.backoff.pause());
                        return Item::Forbidden(reason.into());
                    }
                }
            };
            let since = *since;
            let line = tokio::select! {
                line = timeout(self.timings.idle, lines.next()) => line,
                () = self.link.fresher(self.fresh) => {
                    self.open = None;
                    continue;
                }
            };
            match line {
                Ok(Ok(Some(Line::Text(line)))) => {
                    let item = self.read(&line);
                    if matches!(item, Some(Item::Changed(_) | Item::Deleted(_) | Item::Bookmark)) {
                        self.failures = 0;
                        self.backoff.reset();
                    }
                    if let Some(item) = item {
                        return item;
                    }
                }
                Ok(Ok(Some(Line::TooLong))) => return Item::Malformed("an object is too large"),
                // Silent for too long: most likely nobody is there, so that the next failure is not the first.
                Err(_) => {
                    self.open = None;
                    self.failures = self.failures.max(1);
                }
                // Ended or broken: made again from the last version seen.
                Ok(Ok(None) | Err(_)) => {
                    self.open = None;
                    if since.elapsed() < SHORTEST {
                        self.pause = Some(self.backoff.pause());
                    }
                }
            }
        }
    }

    async fn open(&mut self) -> Result<Lines<Reader>, OpenError> {
        let link = self.link.get().await.map_err(|_| OpenError::Closed)?;
        self.fresh = link.fresh;
        let request = self.request();
        let params = WatchParams {
            label_selector: self.labels.clone(),
            timeout: Some(u32::try_from(jittered(self.timings.watch).as_secs().max(1)).unwrap_or(u32::MAX)),
            bookmarks: true,
            ..WatchParams::default()
        };
        let built = kube::core::Request::new(self.path.as_str())
            .watch(&params, &self.version)
            .map_err(|error| OpenError::Failed(format!("cannot watch {}: {}", self.resource, chain(&error))))?;
        match timeout(self.timings.answer, link.client.request_stream(built)).await {
            Ok(Ok(reader)) => Ok(Lines::new(Box::pin(reader) as Reader, LONGEST)),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => Err(OpenError::TooOld),
            Ok(Err(error)) => {
                let reason = reason::explain(&error, request);
                let forbidden = matches!(&error, kube::Error::Api(status) if status.code == 403);
                Err(if forbidden { OpenError::Forbidden(reason) } else { OpenError::Failed(reason) })
            }
            Err(_) => Err(OpenError::Failed(reason::silent(request, self.timings.answer))),
        }
    }

    fn request(&self) -> Request<'_> {
        Request { verb: "watch", resource: self.resource, namespace: self.namespace.as_deref() }
    }

    /// The first failure in a row is not told: connections end, and the next attempt works.
    fn failed(&mut self, reason: String) -> Option<Item> {
        self.open = None;
        self.failures += 1;
        self.pause = Some(self.backoff.pause());
        if self.failures >= FAILURES_UNTIL_LISTING {
            return Some(Item::TooOld);
        }
        (self.failures > 1).then(|| Item::Failed(reason.into()))
    }

    fn read(&mut self, line: &[u8]) -> Option<Item> {
        let Ok(event) = serde_json::from_slice::<WatchLine<'_>>(line) else {
            return Some(Item::Malformed("a line is no watch event"));
        };
        let object = event.object.get();
        match event.change.as_str() {
            "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" => self.follow(object),
            "ERROR" => return self.error(object),
            _ => return Some(Item::Malformed("a watch event of unknown type")),
        }
        Some(match event.change.as_str() {
            "DELETED" => Item::Deleted(object.to_owned()),
            "BOOKMARK" => Item::Bookmark,
            _ => Item::Changed(object.to_owned()),
        })
    }

    fn follow(&mut self, object: &str) {
        let meta = serde_json::from_str::<Object>(object).ok().and_then(|object| object.metadata);
        if let Some(version) = meta.and_then(|meta| meta.resource_version).filter(|version| !version.is_empty()) {
            self.version = version;
        }
    }

    fn error(&mut self, object: &str) -> Option<Item> {
        let status: Status = serde_json::from_str(object).unwrap_or_default();
        let reason = status.reason.as_deref().unwrap_or_default();
        if status.code == Some(410) || reason == "Expired" || reason == "Gone" {
            return Some(Item::TooOld);
        }
        let message = status.message.as_deref().unwrap_or_default();
        let text = reason::refused(status.code.unwrap_or(500), message, reason, self.request());
        self.failed(text)
    }
}
