//! Stores what must outlive the process in a small file, which is replaced atomically.
//!
//! If the file is absent or unreadable, only that state is lost. Writes are paced, because they wear flash memory. A
//! failed write is retried, and logged once.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::files::{self, FileError, Purpose, Readers};
use crate::model::alarm::{AlarmKey, AlarmRecord, AlarmView};
use crate::model::persistent::{Attachment, PersistentState};
use crate::supervise::{Backoff, chain};

/// The file is checked like credentials, because anyone who can write it can invent alarms. Tens of thousands of alarms
/// fit, and reading this many bytes at start needs little memory.
const STATE_FILE: Purpose = Purpose { what: "state file", most: 16 << 20, readers: Readers::Anybody };
/// The shortest time between two writes.
const PACE: Duration = Duration::from_secs(5);
/// Pauses before retries of a failed write: the first, doubled up to the longest.
const FIRST_RETRY: Duration = PACE;
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How long the start waits for the file: a file system that hangs must not keep the agent from its work.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the state is not saved.
#[derive(Debug, thiserror::Error)]
enum SaveError {
    /// The path has no file name.
    #[error("the path of the state file names a folder")]
    NoName,
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FileError),
    /// The state cannot be encoded.
    #[error(transparent)]
    Encode(#[from] serde_json::Error),
    /// The nodes alone are more than the file may hold.
    #[error("the state is larger than the {most} bytes that would be read again")]
    TooLarge {
        /// The maximum size.
        most: u64,
    },
    /// The system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The thread that writes failed.
    #[error(transparent)]
    Thread(#[from] tokio::task::JoinError),
}

impl From<Errno> for SaveError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// How much of the state fitted into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Everything.
    All,
    /// Not the history and, if necessary, not the least severe alarms.
    MostSevere,
}

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

    /// Returns the state that an earlier run saved; empty if there is no file, if it cannot be read, or if that takes
    /// too long.
    pub async fn load(&self) -> PersistentState {
        let path = self.path.clone();
        within(PATIENCE, move || read(&path)).await
    }

    /// Writes the newest state at a limited pace until the sender is dropped, and the last one without delay.
    pub async fn keep(self, mut states: watch::Receiver<PersistentState>) {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let (mut failing, mut shortened) = (false, false);
        let mut due = Instant::now();
        loop {
            // A failed write is retried also if nothing changes.
            if !failing && states.changed().await.is_err() {
                return;
            }
            let open = waited(due, &mut states).await;
            let state = states.borrow_and_update().clone();
            let path = self.path.clone();
            let saved = tokio::task::spawn_blocking(move || save(&path, &state)).await;
            match saved.map_err(SaveError::from).and_then(|saved| saved) {
                Ok(kept) => {
                    if std::mem::take(&mut failing) {
                        info!(path = %self.path.display(), "the state file is written again");
                    }
                    if !std::mem::replace(&mut shortened, kept == Kept::MostSevere) && shortened {
                        warn!(path = %self.path.display(), most = STATE_FILE.most, "the state file is full: a restart now would forget the history of alarms and the least severe alarms");
                    }
                    backoff.reset();
                    due = Instant::now() + PACE;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(path = %self.path.display(), error = chain(&error), "the state file cannot be written; a restart now would not know of alarms and of nodes whose sessions are down");
                    }
                    due = Instant::now() + backoff.pause();
                }
            }
            if !open {
                return;
            }
        }
    }
}

/// Waits until it is time to write, or until no further state comes; returns whether one can.
async fn waited(due: Instant, states: &mut watch::Receiver<PersistentState>) -> bool {
    let ended = async { while states.changed().await.is_ok() {} };
    tokio::time::timeout_at(due, ended).await.is_err()
}

/// Reads outside the runtime, for at most `patience`.
async fn within(patience: Duration, read: impl FnOnce() -> PersistentState + Send + 'static) -> PersistentState {
    let error = match tokio::time::timeout(patience, tokio::task::spawn_blocking(read)).await {
        Ok(Ok(state)) => return state,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer from its file system within {} s", patience.as_secs()),
    };
    warn!(error, "the state file cannot be read; starting without it");
    PersistentState::default()
}

/// Returns the saved state; empty if it cannot be read. Blocks.
fn read(path: &Path) -> PersistentState {
    let text = match folder_of(path).and_then(|_| files::read(path, STATE_FILE)) {
        Ok(contents) => contents.bytes,
        Err(error) if error.is_missing() => return PersistentState::default(),
        Err(error) => {
            warn!(error = chain(&error), "the state file cannot be read; starting without it");
            return PersistentState::default();
        }
    };
    legible(&text).unwrap_or_else(|error| {
        warn!(path = %path.display(), %error, "the state file is damaged; starting without it");
        PersistentState::default()
    })
}

/// Opens the folder of a state file, if the agent may keep the file there. Blocks.
pub(crate) fn folder_of(path: &Path) -> Result<File, FileError> {
    files::folder(folder(path), STATE_FILE)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Parses what this release understands: an unknown alarm of a later release must not lose the rest.
pub(crate) fn legible(text: &[u8]) -> serde_json::Result<PersistentState> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Legible {
        #[serde(deserialize_with = "known")]
        attachments: Vec<Attachment>,
        #[serde(deserialize_with = "known")]
        alarms: Vec<(AlarmKey, AlarmView)>,
        #[serde(deserialize_with = "known")]
        alarm_history: Vec<AlarmRecord>,
        last_sequence: u64,
    }
    let Legible { attachments, alarms, alarm_history, last_sequence } = serde_json::from_slice(text)?;
    Ok(PersistentState { attachments: attachments.into_iter().collect(), alarms, alarm_history, last_sequence })
}

/// Returns the entries of a list that can be parsed. All others are skipped one by one.
fn known<'de, T: DeserializeOwned, D: Deserializer<'de>>(list: D) -> Result<Vec<T>, D::Error> {
    struct Entries<T>(PhantomData<T>);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Entries<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element::<&RawValue>()? {
                entries.extend(serde_json::from_str::<T>(entry.get()));
            }
            Ok(entries)
        }
    }

    list.deserialize_seq(Entries(PhantomData))
}

/// Returns the content of the file. If that is more than would be read again, it has no history, and as many alarms as
/// fit, the most severe ones first.
fn encoded(state: &PersistentState, most: u64) -> Result<(Vec<u8>, Kept), SaveError> {
    let fits = |text: &Vec<u8>| text.len() as u64 <= most;
    let text = serde_json::to_vec(state)?;
    if fits(&text) {
        return Ok((text, Kept::All));
    }
    let mut less = PersistentState { alarm_history: Vec::new(), ..state.clone() };
    less.alarms.sort_by_key(|(_, alarm)| alarm.severity);
    loop {
        let text = serde_json::to_vec(&less)?;
        if fits(&text) {
            return Ok((text, Kept::MostSevere));
        }
        if less.alarms.is_empty() {
            return Err(SaveError::TooLarge { most });
        }
        less.alarms.truncate(less.alarms.len() / 2);
    }
}

/// Writes a new file and then renames it, so that a reader sees the complete old or new file. Blocks.
fn save(path: &Path, state: &PersistentState) -> Result<Kept, SaveError> {
    let name = path.file_name().ok_or(SaveError::NoName)?;
    let mut beside = name.to_owned();
    beside.push(".new");
    let (text, kept) = encoded(state, STATE_FILE.most)?;
    DirBuilder::new().recursive(true).mode(0o750).create(folder(path))?;
    // Names are looked up in the folder that was checked, whatever happens to its path meanwhile.
    let folder = folder_of(path)?;
    let written = write(&folder, &beside, &text).and_then(|()| Ok(renameat(&folder, &beside, &folder, name)?));
    // Without this, the file may be missing or old after a power cut.
    let written = written.and_then(|()| Ok(folder.sync_all()?));
    if written.is_err() {
        // An incomplete file is useless, and takes space on a disk that may be full.
        let _ = unlinkat(&folder, &beside, AtFlags::empty());
    }
    written.map(|()| kept)
}

fn write(folder: &File, name: &OsStr, text: &[u8]) -> Result<(), SaveError> {
    // The file may be a half-written one of an earlier run, or one that was put there for the agent to overwrite.
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(text)?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alarm::{AlarmType, Resource, Severity};
    use crate::model::source::SourceId;
    use crate::model::time::Timestamp;
    use crate::model::verdict::Owner;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;

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
        assert_eq!(read(&path), state());
    }

    #[test]
    fn an_oversized_state_file_loads_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        File::create(&path).and_then(|file| file.set_len(STATE_FILE.most + 1)).unwrap();
        assert_eq!(read(&path), PersistentState::default());
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
        assert_eq!(file.load().await, state());
    }

    #[tokio::test(start_paused = true)]
    async fn writes_are_paced_but_the_last_state_is_written_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let numbered = |last_sequence| PersistentState { last_sequence, ..state() };
        let (sender, receiver) = watch::channel(PersistentState::default());
        let keeper = tokio::spawn(StateFile::new(&path).keep(receiver));
        let begun = Instant::now();
        sender.send(numbered(1)).unwrap();
        while read(&path) != numbered(1) {
            tokio::task::yield_now().await;
        }
        for (at, sequence) in [(1, 2), (2, 3)] {
            tokio::time::sleep_until(begun + PACE / 4 * at).await;
            sender.send(numbered(sequence)).unwrap();
        }
        tokio::time::sleep_until(begun + PACE / 4 * 3).await;
        assert_eq!(read(&path), numbered(1), "too early");
        tokio::time::sleep_until(begun + PACE * 2).await;
        while read(&path) != numbered(3) {
            tokio::task::yield_now().await;
        }
        let written = Instant::now();
        sender.send(numbered(4)).unwrap();
        drop(sender);
        keeper.await.unwrap();
        assert_eq!(read(&path), numbered(4));
        assert!(written.elapsed() < PACE / 4, "{:?}", written.elapsed());
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_costs_only_the_state() {
        let (release, hanging) = mpsc::channel::<()>();
        let hang = move || {
            let _ = hanging.recv();
            state()
        };
        assert_eq!(within(Duration::from_millis(10), hang).await, PersistentState::default());
        drop(release);
        assert_eq!(within(PATIENCE, state).await, state());
    }

    #[test]
    fn a_folder_that_others_may_write_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        save(&path, &state()).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(read(&path), PersistentState::default());
        let error = save(&path, &state()).unwrap_err().to_string();
        let words = format!("folder {} can be written by others (mode 0770): chmod go-w", folder.path().display());
        assert!(error.contains(&words), "{error}");
    }

    #[test]
    fn a_state_too_large_for_the_file_keeps_nodes_and_the_most_severe_alarms() {
        let alarm = |cluster: usize, severity| {
            let source = SourceId::Kubernetes(format!("c{cluster}").as_str().into());
            let key = AlarmKey { kind: AlarmType::SourceStale, resource: Resource::Source(source) };
            let view = AlarmView {
                severity,
                owner: Owner::Cluster,
                text: "text".into(),
                affected: 1,
                raised: Timestamp::UNIX_EPOCH,
                last_change: Timestamp::UNIX_EPOCH,
                occurrences: 1,
                cause: None,
            };
            (key, view)
        };
        let severities = [Severity::Warning, Severity::Critical, Severity::Minor, Severity::Critical];
        let alarms: Vec<_> = severities.into_iter().enumerate().map(|(at, severity)| alarm(at, severity)).collect();
        let all = PersistentState { alarms, ..state() };
        let size = serde_json::to_vec(&all).unwrap().len() as u64;
        assert_eq!(encoded(&all, size).unwrap().1, Kept::All);
        let (text, kept) = encoded(&all, size - 1).unwrap();
        let less = legible(&text).unwrap();
        assert_eq!((kept, &less.attachments), (Kept::MostSevere, &all.attachments));
        assert!(less.alarms.iter().all(|(_, alarm)| alarm.severity == Severity::Critical) && less.alarms.len() == 2);
        assert!(matches!(encoded(&all, 10), Err(SaveError::TooLarge { most: 10 })));
    }

    #[test]
    fn the_documented_limit_is_that_of_the_file() {
        let page = include_str!("../docs/security.md");
        assert!(page.contains(&format!("The state file has at most {} MiB", STATE_FILE.most >> 20)));
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
                while read(&file.path) != state() {
                    tokio::task::yield_now().await;
                }
            }
            drop(sender);
            keeper.await.unwrap();
            assert_eq!(read(&file.path), state());
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
        assert_eq!(read(&path), PersistentState::default());
        std::fs::write(&path, b"{\"attachments\": [{\"cluster\"").unwrap();
        assert_eq!(read(&path), PersistentState::default());
    }

    #[test]
    fn unknown_members_in_the_state_file_of_a_later_release_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut json = serde_json::to_value(state()).unwrap();
        json["alarms"] = serde_json::json!([1, {"x": ["]"]}]);
        json["attachments"].as_array_mut().unwrap().push("of a later release".into());
        std::fs::write(&path, json.to_string()).unwrap();
        assert_eq!(read(&path), state());
    }
}
