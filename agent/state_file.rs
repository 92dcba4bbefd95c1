//! Stores what must outlive the process in a small file, which is replaced atomically.
//!
//! If the file is absent or unreadable, only that state is lost. A failed write is retried, and logged once.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::files::{self, Purpose, Readers};
use crate::model::alarm::{AlarmKey, AlarmRecord, AlarmView};
use crate::model::persistent::PersistentState;
use crate::supervise::{Backoff, chain};

/// The file is checked like credentials, because anyone who can write it can invent alarms. Thousands of alarms fit
/// many times over.
const STATE_FILE: Purpose = Purpose { what: "state file", most: 64 << 20, readers: Readers::Anybody };
/// Pauses before retries of a failed write: the first, doubled up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The state file.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// Returns the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the state that an earlier run saved; empty if there is no file, or if it cannot be read.
    pub fn load(&self) -> PersistentState {
        let text = match files::read(&self.path, STATE_FILE) {
            Ok(contents) => contents.bytes,
            Err(error) if error.is_missing() => return PersistentState::default(),
            Err(error) => {
                warn!(error = chain(&error), "the state file cannot be read; starting without it");
                return PersistentState::default();
            }
        };
        legible(&text).unwrap_or_else(|error| {
            warn!(path = %self.path.display(), %error, "the state file is damaged; starting without it");
            PersistentState::default()
        })
    }

    /// Writes each new state until the sender is dropped, including the last one.
    pub async fn keep(self, mut states: watch::Receiver<PersistentState>) {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let mut failing = false;
        loop {
            // A failed write is retried after a pause, with the newest state, and once more at the end.
            let open = match failing {
                true => tokio::time::timeout(backoff.pause(), states.changed()).await.unwrap_or(Ok(())),
                false => states.changed().await,
            };
            if open.is_err() && !failing {
                return;
            }
            let state = states.borrow_and_update().clone();
            let path = self.path.clone();
            let saved = tokio::task::spawn_blocking(move || save(&path, &state)).await;
            match saved.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        info!(path = %self.path.display(), "the state file is written again");
                    }
                    backoff.reset();
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(path = %self.path.display(), %error, "the state file cannot be written; a restart now would not know of alarms and of nodes whose sessions are down");
                    }
                }
            }
            if open.is_err() {
                return;
            }
        }
    }
}

/// Parses what this release understands: an unknown alarm of a later release must not lose the rest.
pub(crate) fn legible(text: &[u8]) -> serde_json::Result<PersistentState> {
    fn keep<T: DeserializeOwned>(file: &mut serde_json::Value, member: &str) {
        if let Some(entries) = file.get_mut(member).and_then(|entries| entries.as_array_mut()) {
            entries.retain(|entry| T::deserialize(entry).is_ok());
        }
    }
    let mut file: serde_json::Value = serde_json::from_slice(text)?;
    keep::<(AlarmKey, AlarmView)>(&mut file, "alarms");
    keep::<AlarmRecord>(&mut file, "alarm_history");
    serde_json::from_value(file)
}

/// Writes a new file and then renames it, so that a reader sees the complete old or new file.
fn save(path: &Path, state: &PersistentState) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = write(Path::new(&beside), state).and_then(|()| std::fs::rename(&beside, path));
    // Without this, the file may be missing or old after a power cut.
    let written = written.and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // An incomplete file is useless, and takes space on a disk that may be full.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn write(path: &Path, state: &PersistentState) -> io::Result<()> {
    // The file may be a half-written one of an earlier run, or one that was put there for the agent to overwrite.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let mut text = serde_json::to_vec(state)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::persistent::Attachment;
    use std::os::unix::fs::PermissionsExt;

    fn state() -> PersistentState {
        let attachment =
            Attachment { cluster: "c1".into(), node: "node1".into(), address: "192.168.1.11".parse().unwrap() };
        PersistentState { attachments: [attachment].into(), ..PersistentState::default() }
    }

    #[test]
    fn a_symlink_in_the_way_is_replaced_and_its_target_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("state.json"), folder.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("state.json.new")).unwrap();
        save(&path, &state()).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        let written = std::fs::symlink_metadata(&path).unwrap();
        assert!(written.is_file());
        assert_eq!(written.permissions().mode() & 0o777, 0o600);
        assert_eq!(StateFile::new(&path).load(), state());
    }

    #[test]
    fn an_oversized_state_file_loads_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        File::create(&path).and_then(|file| file.set_len(STATE_FILE.most + 1)).unwrap();
        assert_eq!(StateFile::new(&path).load(), PersistentState::default());
    }

    #[tokio::test]
    async fn a_saved_state_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(folder.path().join("deep/state.json"));
        let (sender, receiver) = watch::channel(PersistentState::default());
        let keeper = tokio::spawn(file.clone().keep(receiver));
        sender.send(state()).unwrap();
        drop(sender);
        keeper.await.unwrap();
        assert_eq!(file.load(), state());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_retried_until_it_succeeds_and_once_more_at_the_end() {
        for at_the_end in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let in_the_way = folder.path().join("folder");
            std::fs::write(&in_the_way, "").unwrap();
            let file = StateFile::new(in_the_way.join("state.json"));
            let (sender, receiver) = watch::channel(PersistentState::default());
            let keeper = tokio::spawn(file.clone().keep(receiver));
            sender.send(state()).unwrap();
            tokio::time::sleep(LONGEST_RETRY * 3).await;
            std::fs::remove_file(&in_the_way).unwrap();
            if !at_the_end {
                tokio::time::sleep(LONGEST_RETRY).await;
                while file.load() != state() {
                    tokio::task::yield_now().await;
                }
            }
            drop(sender);
            keeper.await.unwrap();
            assert_eq!(file.load(), state());
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::create_dir(&path).unwrap();
        assert!(save(&path, &state()).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_or_damaged_state_file_loads_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let file = StateFile::new(&path);
        assert_eq!(file.load(), PersistentState::default());
        std::fs::write(&path, b"{\"attachments\": [{\"cluster\"").unwrap();
        assert_eq!(file.load(), PersistentState::default());
    }

    #[test]
    fn unknown_members_in_the_state_file_of_a_later_release_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut json = serde_json::to_value(state()).unwrap();
        json["alarms"] = serde_json::json!([1, 2]);
        std::fs::write(&path, json.to_string()).unwrap();
        assert_eq!(StateFile::new(&path).load(), state());
    }
}
