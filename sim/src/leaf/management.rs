//! The management server behind CLI and gNMI. It is away while the application manager loads YANG.

use tokio::sync::watch;

use crate::datastore::Datastore;
use crate::gnmi::Gnmi;
use crate::profile::Reload;

/// Handle of a switch's management server.
#[derive(Clone)]
pub(super) struct Management {
    store: Datastore,
    gnmi: Gnmi,
    reload: Reload,
    busy: watch::Sender<bool>,
}

impl Management {
    pub(super) fn new(store: Datastore, gnmi: Gnmi, reload: Reload) -> Self {
        Self { store, gnmi, reload, busy: watch::Sender::new(false) }
    }

    /// Returns whether YANG is being loaded.
    pub(super) fn busy(&self) -> watch::Receiver<bool> {
        self.busy.subscribe()
    }

    /// Starts loading YANG. CLI and gNMI are away until that is done.
    pub(super) fn reload(&self) {
        if self.reload == Reload::default() || self.busy.send_replace(true) {
            return;
        }
        self.gnmi.stop();
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(this.reload.away).await;
            if this.reload.loses_unsaved
                && let Err(error) = this.store.load_startup().await
            {
                tracing::warn!(%error, "the startup configuration was refused");
            }
            if let Err(error) = this.gnmi.start().await {
                tracing::warn!(%error, "cannot start gNMI again");
            }
            this.busy.send_replace(false);
        });
    }
}
