//! Where sources report what they found out about this switch.

use tokio::sync::watch;

use crate::model::adaptation::Adaptation;

/// A way to report; clones report to the same place.
#[derive(Clone, Debug)]
pub struct Adapted(watch::Sender<Adaptation>);

impl Adapted {
    /// A place where nothing is known yet, and where it is seen.
    pub fn new() -> (Self, watch::Receiver<Adaptation>) {
        let (sender, seen) = watch::channel(Adaptation::default());
        (Self(sender), seen)
    }

    /// Changes what is known; nobody is woken where it is the same.
    pub fn report(&self, change: impl FnOnce(&mut Adaptation)) {
        self.0.send_if_modified(|known| {
            let before = known.clone();
            change(known);
            *known != before
        });
    }
}

impl Default for Adapted {
    /// A place nobody looks at.
    fn default() -> Self {
        Self::new().0
    }
}
