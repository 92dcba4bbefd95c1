//! Commits that are reverted after a time unless they are confirmed.

use std::time::Duration;

use super::config::{CommitError, Committed, Unconfirmed};
use super::{Candidate, Datastore, lock};

impl Datastore {
    /// Makes a candidate the running configuration, and reverts to the earlier one after `time` unless
    /// [`Datastore::confirm`] is called before.
    ///
    /// # Errors
    /// [`CommitError`] as for [`Datastore::commit`].
    pub async fn commit_for(&self, candidate: &Candidate, time: Duration) -> Result<Committed, CommitError> {
        let before = self.running();
        let committed = self.commit(candidate).await?;
        let store = self.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let Some(waiting) = lock(&store.inner.config.unconfirmed).take() else { return };
            if let Err(error) = store.load(&waiting.before).await {
                tracing::warn!(%error, "cannot revert the commit that was not confirmed");
            }
        });
        *lock(&self.inner.config.unconfirmed) = Some(Unconfirmed { before, timer: timer.abort_handle() });
        Ok(committed)
    }

    /// Keeps the commit that waits to be confirmed. Returns `false` if none waits.
    pub fn confirm(&self) -> bool {
        let waiting = lock(&self.inner.config.unconfirmed).take();
        waiting.inspect(|it| it.timer.abort()).is_some()
    }

    /// Reverts the commit that waits to be confirmed. Returns `false` if none waits.
    ///
    /// # Errors
    /// [`CommitError`] if a hook refuses the earlier configuration.
    pub async fn reject(&self) -> Result<bool, CommitError> {
        let Some(waiting) = lock(&self.inner.config.unconfirmed).take() else { return Ok(false) };
        waiting.timer.abort();
        self.load(&waiting.before).await.map(|_| true)
    }
}
