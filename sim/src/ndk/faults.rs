//! Faults of an NDK, all disabled by default.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Telemetry writes to be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Refuse {
    /// No calls.
    #[default]
    Nothing,
    /// This number of calls.
    Calls(u32),
    /// Every call until this is changed.
    Everything,
    /// Every call with a path that contains this text.
    Containing(String),
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    delay: Duration,
    refuse: Refuse,
}

impl Faults {
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(crate) fn set_refuse(&self, refuse: Refuse) {
        self.lock().refuse = refuse;
    }

    pub(crate) async fn delay(&self) {
        let delay = self.lock().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Returns whether a call with these paths is refused, and counts it if so.
    pub(crate) fn refuses(&self, paths: &[String]) -> bool {
        let mut inner = self.lock();
        match &mut inner.refuse {
            Refuse::Nothing | Refuse::Calls(0) => false,
            Refuse::Calls(left) => {
                *left -= 1;
                true
            }
            Refuse::Everything => true,
            Refuse::Containing(text) => paths.iter().any(|path| path.contains(text.as_str())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
