//! Watches: streams of changes from a version on, until the client leaves or the server ends them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::error::ApiError;
use super::super::faults::Faults;
use super::super::json::set;
use super::super::selector::Selection;
use super::super::store::{Change, ChangeKind, Compacted, Stored};
use super::answer::{self, Body};
use super::context::Context;
use super::media::Shape;
use super::{read, table};

/// Without `timeoutSeconds` a watch ends after half an hour, the shortest time that the real server draws.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);
/// Time between bookmarks while nothing else happens.
const BOOKMARK_EVERY: Duration = Duration::from_secs(30);
/// A last bookmark is sent this long before the timeout.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Maximum number of changes sent in one piece.
const BATCH: usize = 512;

struct Watch {
    context: Context,
    selection: Selection,
    /// Position in the log.
    position: u64,
    /// The client knows the changes up to this version.
    seen: u64,
    ready: VecDeque<Bytes>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Whether column definitions have yet to be sent.
    first_table: bool,
    changed: watch::Receiver<u64>,
    faults: watch::Receiver<Faults>,
    dropped: u64,
    expired: u64,
    ended: bool,
}

/// Opens a watch.
pub(crate) fn watch(context: Context) -> Result<Response<Body>, ApiError> {
    let watch = open(context)?;
    let chunks = stream::unfold(watch, |mut watch| async move { watch.next().await.map(|chunk| (chunk, watch)) });
    Ok(answer::stream(answer::JSON, chunks))
}

fn open(context: Context) -> Result<Watch, ApiError> {
    let streaming = context.query.is_true("sendInitialEvents");
    if streaming && context.query.get("resourceVersionMatch") != "NotOlderThan" {
        return Err(ApiError::Invalid {
            kind: "ListOptions".to_owned(),
            name: String::new(),
            cause: "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to \
                    NotOlderThan"
                .to_owned(),
        });
    }
    let timeout = match context.query.get("timeoutSeconds") {
        "" | "0" => DEFAULT_TIMEOUT,
        text => {
            let seconds = text.parse();
            Duration::from_secs(seconds.map_err(|_| ApiError::BadRequest(format!("timeoutSeconds: {text:?}")))?)
        }
    };
    let from = read::version_parameter(&context)?;
    let now = Instant::now();
    let faults = context.inner.faults.subscribe();
    // Borrowed once: a second borrow waits for a writer that waits for the first to end.
    let (dropped, expired) = {
        let faults = faults.borrow();
        (faults.watches_dropped, faults.watches_expired)
    };
    let mut watch = Watch {
        selection: read::selection(&context)?,
        position: 0,
        seen: from.unwrap_or_default(),
        ready: VecDeque::new(),
        bookmarks: context.query.is_true("allowWatchBookmarks"),
        next_bookmark: now + BOOKMARK_EVERY.min(timeout.saturating_sub(BOOKMARK_BEFORE_END)),
        deadline: now + timeout,
        first_table: true,
        changed: context.inner.version.subscribe(),
        faults,
        dropped,
        expired,
        ended: false,
        context,
    };
    watch.begin(from, streaming);
    Ok(watch)
}

impl Watch {
    /// Finds the position in the log, and sends the current objects if the client asked for them.
    fn begin(&mut self, from: Option<u64>, streaming: bool) {
        let inner = Arc::clone(&self.context.inner);
        let state = inner.lock();
        let collection = state.collection(self.context.id);
        if let Some(from) = from.filter(|_| !streaming) {
            match collection.position(from) {
                Ok(position) => self.position = position,
                Err(compacted) => self.expire(compacted, from),
            }
            return;
        }
        self.position = collection.end();
        self.seen = state.version;
        let asked_all = from.is_none();
        let mut objects = Vec::new();
        if asked_all || streaming {
            // The current version is never compacted.
            let _ = collection.at(state.version, &self.context.target.namespace, None, |stored| {
                if self.selection.matches(&stored.value) {
                    objects.push(Arc::clone(stored));
                }
                true
            });
        }
        let version = state.version;
        drop(state);
        for objects in objects.chunks(BATCH) {
            let mut chunk = BytesMut::new();
            objects.iter().for_each(|stored| self.event(&mut chunk, "ADDED", stored));
            self.ready.push_back(chunk.freeze());
        }
        if streaming && self.bookmarks {
            let bookmark = self.bookmark(version, true);
            self.ready.push_back(bookmark);
        }
    }

    /// Returns the next piece, or `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.audible().await?;
            if let Some(chunk) = self.ready.pop_front() {
                return Some(chunk);
            }
            if self.ended {
                return None;
            }
            if let Some(chunk) = self.changes() {
                return Some(chunk);
            }
            if self.ended {
                continue;
            }
            let bookmark = self.next_bookmark;
            let (deadline, bookmarks) = (self.deadline, self.bookmarks);
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                changed = self.faults.changed() => changed.ok()?,
                () = tokio::time::sleep_until(deadline) => return None,
                () = tokio::time::sleep_until(bookmark), if bookmarks && bookmark < deadline => {
                    if let Some(chunk) = self.due_bookmark() {
                        return Some(chunk);
                    }
                }
            }
        }
    }

    /// Waits while the server must be silent. Returns `None` if the watch must end.
    async fn audible(&mut self) -> Option<()> {
        let faults = self.faults.wait_for(|faults| !faults.half_open).await.ok()?.clone();
        if faults.watches_dropped > self.dropped {
            return None;
        }
        if faults.watches_expired > self.expired && !self.ended {
            self.ready.clear();
            let oldest = *self.context.inner.version.borrow();
            self.expire(Compacted { oldest }, self.seen);
        }
        Some(())
    }

    /// Returns what has happened since the last piece, as one piece.
    fn changes(&mut self) -> Option<Bytes> {
        let changes = {
            let state = self.context.inner.lock();
            state.collection(self.context.id).changes(self.position, BATCH)
        };
        let changes = match changes {
            Ok(changes) => changes,
            Err(compacted) => {
                self.expire(compacted, self.seen);
                return None;
            }
        };
        let mut chunk = BytesMut::new();
        for change in changes {
            self.position += 1;
            if change.object.version > self.seen {
                self.seen = change.object.version;
                self.change(&mut chunk, &change);
            }
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    fn change(&mut self, chunk: &mut BytesMut, change: &Change) {
        if !self.context.target.namespace.is_empty() && *change.key.namespace != *self.context.target.namespace {
            return;
        }
        let matches = |stored: &Stored| self.selection.matches(&stored.value);
        let before = change.previous.as_deref().is_some_and(matches);
        let now = change.kind != ChangeKind::Deleted && matches(&change.object);
        match (before, now) {
            (false, true) => self.event(chunk, "ADDED", &change.object),
            (true, true) => self.event(chunk, "MODIFIED", &change.object),
            (true, false) if change.kind == ChangeKind::Deleted => self.event(chunk, "DELETED", &change.object),
            (true, false) => {
                // The object left the selection: the client receives what it knew, at the version of the change.
                let mut last = change.previous.as_deref().map(|stored| (*stored.value).clone()).unwrap_or_default();
                set(&mut last, &["metadata", "resourceVersion"], change.object.version.to_string());
                self.event(chunk, "DELETED", &Stored::new(last, change.object.version));
            }
            (false, false) => {}
        }
    }

    fn event(&mut self, chunk: &mut BytesMut, kind: &str, stored: &Stored) {
        chunk.put_slice(b"{\"type\":\"");
        chunk.put_slice(kind.as_bytes());
        chunk.put_slice(b"\",\"object\":");
        match self.context.shape {
            Shape::Whole => {
                chunk.put_slice(answer::head(&self.context.resource, &self.context.target.version).as_bytes());
                chunk.put_slice(stored.tail());
            }
            Shape::Table => {
                let list = json!({"resourceVersion": stored.version.to_string()});
                let columns = std::mem::take(&mut self.first_table);
                let table = table::table(&self.context, [stored].into_iter(), list, columns);
                chunk.put_slice(table.to_string().as_bytes());
            }
            Shape::Metadata => {
                let object = answer::metadata_only(&stored.value, "PartialObjectMetadata");
                chunk.put_slice(object.to_string().as_bytes());
            }
        }
        chunk.put_slice(b"}\n");
    }

    fn due_bookmark(&mut self) -> Option<Bytes> {
        let version = {
            let state = self.context.inner.lock();
            let current = state.collection(self.context.id).end() == self.position;
            current.then_some(state.version)
        };
        let now = Instant::now();
        let last = self.deadline.checked_sub(BOOKMARK_BEFORE_END).filter(|last| *last > now);
        self.next_bookmark = last.map_or(self.deadline, |last| last.min(now + BOOKMARK_EVERY));
        version.map(|version| self.bookmark(version, false))
    }

    fn bookmark(&self, version: u64, initial_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut object = json!({
            "kind": &*self.context.resource.kind, "apiVersion": self.context.resource.api_version(&self.context.target.version),
            "metadata": metadata,
        });
        // The real server writes an empty object of the kind, with its fields that lack omitempty.
        if &*self.context.resource.kind == "EndpointSlice" {
            object["addressType"] = "".into();
            object["endpoints"] = Value::Null;
            object["ports"] = Value::Null;
        } else if !self.context.resource.custom && self.context.resource.status {
            object["spec"] = json!({});
            object["status"] = json!({});
        }
        Bytes::from(format!("{}\n", json!({"type": "BOOKMARK", "object": object})))
    }

    /// Ends the watch as the server does if the version is gone.
    fn expire(&mut self, compacted: Compacted, from: u64) {
        let error = ApiError::Expired(format!("too old resource version: {from} ({})", compacted.oldest));
        let event = json!({"type": "ERROR", "object": error.status()});
        self.ready.push_back(Bytes::from(format!("{event}\n")));
        self.ended = true;
    }
}
