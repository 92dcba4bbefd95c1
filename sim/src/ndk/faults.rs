//! Faults on demand, all off by default.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Which telemetry writes are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Refuse {
    /// None.
    #[default]
    Nothing,
    /// The next so many calls.
    Calls(u32),
    /// Every call until it is lifted.
    Everything,
    /// Every call that names a path with this text in it.
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

    /// Whether a call naming these paths is refused; counts it if so.
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
