//! What must outlive the process: a small file, replaced atomically.
//!
//! Absent or unreadable, it costs only that memory; a file that cannot be written is tried again and said once.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::model::memory::Memory;

/// How long after a failed write the next try is.
const RETRY: Duration = Duration::from_secs(30);

/// The state file.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What an earlier life remembered; nothing when there is no file, or none that can be read.
    pub fn load(&self) -> Memory {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Memory::default(),
            Err(error) => {
                warn!(path = %self.path.display(), %error, "the state file cannot be read; starting without it");
                return Memory::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            warn!(path = %self.path.display(), %error, "the state file is damaged; starting without it");
            Memory::default()
        })
    }

    /// Writes each new memory until the sender is gone.
    pub async fn keep(self, mut memories: watch::Receiver<Memory>) {
        let mut failing = false;
        while memories.changed().await.is_ok() {
            loop {
                let memory = memories.borrow_and_update().clone();
                let path = self.path.clone();
                let saved = tokio::task::spawn_blocking(move || save(&path, &memory)).await;
                let error = match saved {
                    Ok(Ok(())) => {
                        if failing {
                            info!(path = %self.path.display(), "the state file is written again");
                        }
                        failing = false;
                        break;
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                if !failing {
                    warn!(path = %self.path.display(), %error, "the state file cannot be written; a restart will not know which nodes were attached");
                }
                failing = true;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Writes beside the file, then puts it in its place: a reader sees the old one or the new one, whole.
fn save(path: &Path, memory: &Memory) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::File::create(&beside)?;
    serde_json::to_writer(&mut file, memory)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::memory::Attachment;

    fn memory() -> Memory {
        let attachment =
            Attachment { cluster: "c1".into(), node: "node1".into(), address: "192.168.1.11".parse().unwrap() };
        Memory { attachments: [attachment].into(), ..Memory::default() }
    }

    #[tokio::test]
    async fn what_is_kept_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(folder.path().join("deep/state.json"));
        let (sender, receiver) = watch::channel(Memory::default());
        let keeper = tokio::spawn(file.clone().keep(receiver));
        sender.send(memory()).unwrap();
        drop(sender);
        keeper.await.unwrap();
        assert_eq!(file.load(), memory());
    }

    #[test]
    fn an_absent_or_damaged_file_costs_only_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let file = StateFile::new(&path);
        assert_eq!(file.load(), Memory::default());
        std::fs::write(&path, b"{\"attachments\": [{\"cluster\"").unwrap();
        assert_eq!(file.load(), Memory::default());
    }

    #[test]
    fn a_file_of_a_later_release_is_read_for_what_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut json = serde_json::to_value(memory()).unwrap();
        json["alarms"] = serde_json::json!([1, 2]);
        std::fs::write(&path, json.to_string()).unwrap();
        assert_eq!(StateFile::new(&path).load(), memory());
    }
}
