//! Collects what sources find out about this switch.

use tokio::sync::watch;

use crate::model::adaptation::Adaptation;

/// A handle for reporting; clones report to the same receiver.
#[derive(Clone, Debug)]
pub struct Adapted(watch::Sender<Adaptation>);

impl Adapted {
    /// Creates a handle, with nothing reported, and the receiver.
    pub fn new() -> (Self, watch::Receiver<Adaptation>) {
        let (sender, seen) = watch::channel(Adaptation::default());
        (Self(sender), seen)
    }

    /// Changes what is known; receivers are only notified if it differs.
    pub fn report(&self, change: impl FnOnce(&mut Adaptation)) {
        self.0.send_if_modified(|known| {
            let before = known.clone();
            change(known);
            *known != before
        });
    }
}

impl Default for Adapted {
    /// Creates a handle without a receiver.
    fn default() -> Self {
        Self::new().0
    }
}
