//! Records what applications wrote: counters and the newest calls, cheaply enough to be always on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

/// Maximum number of calls in the record, and of paths in all of them.
const REMEMBERED: usize = 4096;
const REMEMBERED_PATHS: usize = 65_536;

/// One telemetry call.
#[derive(Clone, Debug)]
pub struct TelemetryCall {
    /// Time at which its last byte had arrived.
    pub at: Instant,
    /// How long the switch took to apply it.
    pub took: Duration,
    /// Name of the calling application.
    pub app: String,
    /// Kind of the call.
    pub kind: TelemetryKind,
    /// The paths in the call, as sent.
    pub paths: Vec<String>,
    /// Bytes of paths and JSON.
    pub bytes: usize,
    /// Why it was refused; `None` if it was accepted.
    pub refused: Option<String>,
}

/// Kind of a telemetry call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryKind {
    /// `TelemetryAddOrUpdate`
    Update,
    /// `TelemetryDelete`
    Delete,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TelemetryTotals {
    /// Number of calls, including refused ones.
    pub calls: u64,
    /// Number of updated paths.
    pub updates: u64,
    /// Number of deleted paths.
    pub deletes: u64,
    /// Bytes of paths and JSON.
    pub bytes: u64,
    /// Number of refused calls.
    pub refused: u64,
}

/// The record of telemetry calls of one NDK, including its restarts.
#[derive(Debug)]
pub struct TelemetryRecord {
    calls: AtomicU64,
    updates: AtomicU64,
    deletes: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    newest: Mutex<Newest>,
    watchers: broadcast::Sender<Arc<TelemetryCall>>,
}

#[derive(Debug, Default)]
struct Newest {
    calls: VecDeque<Arc<TelemetryCall>>,
    paths: usize,
}

impl Newest {
    fn push(&mut self, call: Arc<TelemetryCall>) {
        self.paths += call.paths.len();
        self.calls.push_back(call);
        while self.calls.len() > REMEMBERED || self.paths > REMEMBERED_PATHS && self.calls.len() > 1 {
            self.paths -= self.calls.pop_front().map_or(0, |call| call.paths.len());
        }
    }
}

impl TelemetryRecord {
    pub(crate) fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            updates: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            newest: Mutex::default(),
            watchers: broadcast::Sender::new(REMEMBERED),
        }
    }

    /// Returns the totals since the start.
    pub fn totals(&self) -> TelemetryTotals {
        TelemetryTotals {
            calls: self.calls.load(Relaxed),
            updates: self.updates.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    /// Returns the newest calls, oldest first. Some thousands are kept, fewer if calls have many paths.
    pub fn calls(&self) -> Vec<Arc<TelemetryCall>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).calls.iter().cloned().collect()
    }

    /// Forgets the recorded calls. The totals are kept.
    pub fn clear(&self) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Newest::default();
    }

    /// Returns every call from now on. A receiver that is thousands of calls behind loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<TelemetryCall>> {
        self.watchers.subscribe()
    }

    pub(crate) fn add(&self, call: TelemetryCall) {
        let paths = call.paths.len() as u64;
        self.calls.fetch_add(1, Relaxed);
        self.bytes.fetch_add(call.bytes as u64, Relaxed);
        match (&call.refused, call.kind) {
            (Some(_), _) => self.refused.fetch_add(1, Relaxed),
            (None, TelemetryKind::Update) => self.updates.fetch_add(paths, Relaxed),
            (None, TelemetryKind::Delete) => self.deletes.fetch_add(paths, Relaxed),
        };
        let call = Arc::new(call);
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
        // Usually nobody subscribes.
        let _ = self.watchers.send(call);
    }
}
