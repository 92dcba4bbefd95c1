//! Files that say where to go and by whose leave: credentials and configuration, checked when they are opened.
//!
//! Whoever can write such a file can send the agent to a server of their own, and a file that is no file can hold a thread
//! for ever. So the open file is looked at, not its name: regular, of root or of the agent's own user, written by nobody
//! else, no larger than it can be. Everything here blocks: callers run it beside the runtime.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

/// Who besides the owner may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Anybody: a certificate, a configuration without secrets.
    Anybody,
    /// The group: a secret.
    Group,
}

/// What a file is, and what it may be.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// In words: `kubeconfig`, `token`.
    pub what: &'static str,
    /// Its size at most, in bytes.
    pub most: u64,
    /// Who may read it.
    pub readers: Readers,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("{what} {} does not exist", path.display())]
    Missing {
        /// What it is.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be opened or read.
    #[error("cannot read {what} {}", path.display())]
    Read {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A folder, a pipe, a device.
    #[error("{what} {} is a {found}, not a file", path.display())]
    NoFile {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// Larger than such a file can be.
    #[error("{what} {} is larger than {most} bytes: is it the right file?", path.display())]
    TooLarge {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Its size at most.
        most: u64,
    },
    /// Somebody else's.
    #[error("{what} {} belongs to user {owner}, who could change it: chown root {}", path.display(), path.display())]
    Owner {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// Others may write it.
    #[error("{what} {} can be written by others (mode {mode:04o}): chmod go-w {}", path.display(), path.display())]
    Writable {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret that everyone on the switch may read.
    #[error("{what} {} holds a secret and can be read by everyone (mode {mode:04o}): chmod o= {}", path.display(), path.display())]
    Exposed {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Nothing in it.
    #[error("{what} {} is empty", path.display())]
    Empty {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// No text.
    #[error("{what} {} is not text", path.display())]
    NoText {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Not where credentials may be.
    #[error("{what} {} is not below {}, where credentials belong: move it there", path.display(), folder.display())]
    Elsewhere {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Where it should be.
        folder: PathBuf,
    },
}

impl FileError {
    /// What to type against it, where one command helps.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Owner { path, .. } => Some(format!("sudo chown root {}", path.display())),
            Self::Writable { path, .. } => Some(format!("sudo chmod go-w {}", path.display())),
            Self::Exposed { path, .. } => Some(format!("sudo chmod o= {}", path.display())),
            Self::Read { path, cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("sudo chown srlinux: {}", path.display()))
            }
            _ => None,
        }
    }

    /// The file is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// The bytes of a file, and whether a secret may be in it.
#[derive(Debug)]
pub struct Contents {
    /// What is in it.
    pub bytes: Vec<u8>,
    mode: u32,
    what: &'static str,
    path: PathBuf,
}

/// Permission to write for the group and for others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Permission to read for those who are neither owner nor group.
const READABLE_BY_OTHERS: u32 = 0o004;

/// What is in a file. Blocks.
///
/// # Errors
/// [`FileError`] with the remedy.
pub fn read(path: &Path, purpose: Purpose) -> Result<Contents, FileError> {
    let Purpose { what, most, readers } = purpose;
    let unreadable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => FileError::Missing { what, path: path.to_owned() },
        _ => FileError::Read { what, path: path.to_owned(), cause },
    };
    // Without O_NONBLOCK a pipe is waited for until somebody writes into it.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NoFile { what, path: path.to_owned(), found: kind(&metadata) });
    }
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != own {
        return Err(FileError::Owner { what, path: path.to_owned(), owner: metadata.uid() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(FileError::Writable { what, path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    // The size is not believed: a file may grow, and those of the kernel have none.
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(FileError::TooLarge { what, path: path.to_owned(), most });
    }
    let contents = Contents { bytes, mode, what, path: path.to_owned() };
    if readers == Readers::Group {
        contents.check_private()?;
    }
    Ok(contents)
}

/// The text in a file, without blanks around it. Blocks.
///
/// # Errors
/// [`FileError`] with the remedy.
pub fn text(path: &Path, purpose: Purpose) -> Result<String, FileError> {
    read(path, purpose)?.text()
}

impl Contents {
    /// What a private file would have in it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(bytes: Vec<u8>, purpose: Purpose, path: &Path) -> Self {
        Self { bytes, mode: 0o600, what: purpose.what, path: path.to_owned() }
    }

    /// Refuses it where everyone may read it: for a file that turns out to hold a secret.
    ///
    /// # Errors
    /// [`FileError::Exposed`].
    pub fn check_private(&self) -> Result<(), FileError> {
        if self.mode & READABLE_BY_OTHERS == 0 {
            return Ok(());
        }
        Err(FileError::Exposed { what: self.what, path: self.path.clone(), mode: self.mode })
    }

    /// It as text, without blanks around it.
    ///
    /// # Errors
    /// It is empty, or no UTF-8.
    pub fn text(&self) -> Result<String, FileError> {
        let (what, path) = (self.what, &self.path);
        let text = str::from_utf8(&self.bytes).map_err(|_| FileError::NoText { what, path: path.clone() })?;
        match text.trim() {
            "" => Err(FileError::Empty { what, path: path.clone() }),
            text => Ok(text.to_owned()),
        }
    }
}

fn kind(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "folder"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

/// Whether a path is below a folder, by its words alone: what links make of it is its owner's to say.
pub fn is_below(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) && path.components().all(|part| part != Component::ParentDir)
}

/// What some files looked like: differs when one was written, replaced, came or went, or changed its permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<[i64; 5]>>);

impl Fingerprint {
    /// How they look now. Blocks.
    pub fn of(paths: &[PathBuf]) -> Self {
        let look = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            let (inode, size) = (file.ino().cast_signed(), file.size().cast_signed());
            Some([file.mtime(), file.mtime_nsec(), file.ctime_nsec(), inode, size])
        };
        Self(paths.iter().map(look).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TOKEN: Purpose = Purpose { what: "token", most: 16, readers: Readers::Group };
    const CERTIFICATE: Purpose = Purpose { readers: Readers::Anybody, what: "certificate", ..TOKEN };

    fn file(mode: u32, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
        (folder, path)
    }

    #[test]
    fn a_file_is_read_only_if_nobody_else_can_write_or_read_it() {
        for (mode, token, certificate) in [
            (0o600, None, None),
            (0o640, None, None),
            (0o400, None, None),
            (0o601, None, None),
            (0o604, Some("chmod o="), None),
            (0o644, Some("chmod o="), None),
            (0o620, Some("chmod go-w"), Some("chmod go-w")),
            (0o602, Some("chmod go-w"), Some("chmod go-w")),
            (0o660, Some("chmod go-w"), Some("chmod go-w")),
            (0o666, Some("chmod go-w"), Some("chmod go-w")),
        ] {
            let (_folder, path) = file(mode, "abc\n");
            for (purpose, words) in [(TOKEN, token), (CERTIFICATE, certificate)] {
                let read = text(&path, purpose).map_err(|error| error.to_string());
                match (read, words) {
                    (Ok(text), None) => assert_eq!(text, "abc"),
                    (Err(error), Some(words)) => assert!(error.contains(words), "{mode:o}: {error}"),
                    (read, words) => panic!("{mode:o} {}: {read:?}, not {words:?}", purpose.what),
                }
            }
        }
    }

    #[test]
    fn what_is_no_file_of_that_size_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let (_kept, large) = file(0o600, &"x".repeat(17));
        let (_kept, blank) = file(0o600, " \n");
        for (path, words) in [
            (pipe.as_path(), "is a pipe, not a file"),
            (folder.path(), "is a folder, not a file"),
            (Path::new("/dev/zero"), "is a device, not a file"),
            (&folder.path().join("nowhere"), "does not exist"),
            (&large, "larger than 16 bytes"),
            (&blank, "is empty"),
        ] {
            let error = text(path, TOKEN).expect_err(words).to_string();
            assert!(error.contains(words) && error.starts_with("token /"), "{error}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let (_folder, path) = file(0o600, "abc");
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
            println!("skipped: only root can make a file another user's");
            return;
        }
        let error = text(&path, TOKEN).expect_err("refused").to_string();
        assert!(error.contains("belongs to user 65534") && error.contains("chown root"), "{error}");
    }

    #[test]
    fn a_path_is_below_a_folder_by_its_words() {
        let folder = Path::new("/etc/creds");
        for (path, below) in [
            ("/etc/creds/c1.kubeconfig", true),
            ("/etc/creds/c1/token", true),
            ("/etc/creds/../shadow", false),
            ("/etc/creds2/token", false),
            ("/etc/shadow", false),
            ("token", false),
        ] {
            assert_eq!(is_below(Path::new(path), folder), below, "{path}");
        }
    }
}
