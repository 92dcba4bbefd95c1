//! Reads files with credentials and configuration, and checks them when they are opened.
//!
//! Anyone who can write these files can send the agent to a server of their own, and opening something other than a
//! regular file can block a thread indefinitely. So the open file is checked, not its name: it must be regular, belong
//! to root or to the agent's own user, be writable by nobody else, and not be larger than it can be. Everything here
//! blocks: callers run it outside the runtime.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

/// Who besides the owner may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Anybody: for a certificate, or a configuration without secrets.
    Anybody,
    /// The group: for a secret.
    Group,
}

/// The purpose of a file, and what it may be.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// The purpose in words: `kubeconfig`, `token`.
    pub what: &'static str,
    /// Its maximum size, in bytes.
    pub most: u64,
    /// Who may read it.
    pub readers: Readers,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file does not exist.
    #[error("{what} {} does not exist", path.display())]
    Missing {
        /// The purpose of the file.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("cannot read {what} {}", path.display())]
    Read {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the system.
        #[source]
        cause: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{what} {} is a {found}, not a file", path.display())]
    NoFile {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// The file is larger than such a file can be.
    #[error("{what} {} is larger than {most} bytes: is it the right file?", path.display())]
    TooLarge {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// Its maximum size.
        most: u64,
    },
    /// The file belongs to another user.
    #[error("{what} {} belongs to user {owner}, who could change it: chown root {}", path.display(), path.display())]
    Owner {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The user's id.
        owner: u32,
    },
    /// Others may write the file.
    #[error("{what} {} can be written by others (mode {mode:04o}): chmod go-w {}", path.display(), path.display())]
    Writable {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The folder of the file belongs to another user.
    #[error(
        "{what}: its folder {} belongs to user {owner}, who could replace the file: chown {own} {}",
        path.display(), path.display()
    )]
    FolderOwner {
        /// The purpose of the file.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// The user's id.
        owner: u32,
        /// The agent's own user.
        own: u32,
    },
    /// Others may write the folder of the file.
    #[error(
        "{what}: its folder {} can be written by others (mode {mode:04o}): chmod go-w {}", path.display(), path.display()
    )]
    FolderWritable {
        /// The purpose of the file.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file contains a secret, but everyone on the switch may read it.
    #[error("{what} {} holds a secret and can be read by everyone (mode {mode:04o}): chmod o= {}", path.display(), path.display())]
    Exposed {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is empty.
    #[error("{what} {} is empty", path.display())]
    Empty {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The file is not text.
    #[error("{what} {} is not text", path.display())]
    NoText {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The file is not where credentials must be.
    #[error("{what} {} is not below {}, where credentials belong: move it there", path.display(), folder.display())]
    Elsewhere {
        /// The purpose of the file.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The folder where it should be.
        folder: PathBuf,
    },
}

impl FileError {
    /// Returns the command that helps, if there is one.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Owner { path, .. } => Some(format!("sudo chown root {}", path.display())),
            Self::FolderOwner { path, own, .. } => Some(format!("sudo chown {own} {}", path.display())),
            Self::Writable { path, .. } | Self::FolderWritable { path, .. } => {
                Some(format!("sudo chmod go-w {}", path.display()))
            }
            Self::Exposed { path, .. } => Some(format!("sudo chmod o= {}", path.display())),
            Self::Read { path, cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("sudo chown srlinux: {}", path.display()))
            }
            _ => None,
        }
    }

    /// Returns whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// The bytes of a file, and whether it may contain a secret.
#[derive(Debug)]
pub struct Contents {
    /// The content of the file.
    pub bytes: Vec<u8>,
    mode: u32,
    what: &'static str,
    path: PathBuf,
}

/// Permission to write for the group and for others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Permission to read for those who are neither owner nor group.
const READABLE_BY_OTHERS: u32 = 0o004;

/// Returns the content of a file. Blocks.
///
/// # Errors
/// [`FileError`] with the remedy.
pub fn read(path: &Path, purpose: Purpose) -> Result<Contents, FileError> {
    let Purpose { what, most, readers } = purpose;
    let unreadable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => FileError::Missing { what, path: path.to_owned() },
        _ => FileError::Read { what, path: path.to_owned(), cause },
    };
    // Without O_NONBLOCK, opening a pipe would wait until somebody writes into it.
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
    // The size in the metadata is not reliable: a file may grow, and files of the kernel have none.
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

/// Opens a folder in which the agent keeps a file, if nobody else can put another file there. Blocks.
///
/// # Errors
/// [`FileError`] with the remedy.
pub fn folder(path: &Path, purpose: Purpose) -> Result<File, FileError> {
    let what = purpose.what;
    let unreadable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => FileError::Missing { what, path: path.to_owned() },
        _ => FileError::Read { what, path: path.to_owned(), cause },
    };
    let flags = i32::try_from(OFlags::DIRECTORY.bits()).unwrap_or_default();
    let folder = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = folder.metadata().map_err(unreadable)?;
    let (own, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
    if owner != 0 && owner != own {
        return Err(FileError::FolderOwner { what, path: path.to_owned(), owner, own });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(FileError::FolderWritable { what, path: path.to_owned(), mode });
    }
    Ok(folder)
}

/// Returns the text of a file, without surrounding blanks. Blocks.
///
/// # Errors
/// [`FileError`] with the remedy.
pub fn text(path: &Path, purpose: Purpose) -> Result<String, FileError> {
    read(path, purpose)?.text()
}

impl Contents {
    /// Creates the content of a private file.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(bytes: Vec<u8>, purpose: Purpose, path: &Path) -> Self {
        Self { bytes, mode: 0o600, what: purpose.what, path: path.to_owned() }
    }

    /// Checks that not everyone may read the file, for a file that turns out to contain a secret.
    ///
    /// # Errors
    /// [`FileError::Exposed`].
    pub fn check_private(&self) -> Result<(), FileError> {
        if self.mode & READABLE_BY_OTHERS == 0 {
            return Ok(());
        }
        Err(FileError::Exposed { what: self.what, path: self.path.clone(), mode: self.mode })
    }

    /// Returns the content as text, without surrounding blanks.
    ///
    /// # Errors
    /// If it is empty or not UTF-8.
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

/// Returns whether a path is below a folder, by its text alone: links are the responsibility of their owner.
pub fn is_below(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) && path.components().all(|part| part != Component::ParentDir)
}

/// Metadata of some files: it differs if a file was written, replaced, created or removed, or changed its permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<[i64; 5]>>);

impl Fingerprint {
    /// Returns the current metadata. Blocks.
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
    fn a_file_is_read_only_if_others_can_neither_write_nor_read_it() {
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
    fn non_files_and_empty_or_oversized_files_are_refused_at_once() {
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
    fn a_folder_is_opened_only_if_others_can_neither_own_nor_write_it() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("kept");
        fs::create_dir(&path).expect("made");
        for (mode, words) in [(0o750, None), (0o755, None), (0o775, Some("chmod go-w")), (0o1777, Some("chmod go-w"))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
            let error = folder(&path, TOKEN).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), words.is_some(), "{mode:o}: {error:?}");
            assert!(error.is_none_or(|error| error.contains(words.unwrap_or_default())));
        }
        assert!(folder(&parent.path().join("nowhere"), TOKEN).is_err_and(|error| error.is_missing()));
        let (_kept, file) = file(0o600, "abc");
        assert!(matches!(folder(&file, TOKEN), Err(FileError::Read { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).expect("permissions");
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
            println!("skipped: only root can make a folder another user's");
            return;
        }
        let error = folder(&path, TOKEN).expect_err("refused").to_string();
        assert!(error.contains("belongs to user 65534") && error.contains("chown 0 "), "{error}");
    }

    #[test]
    fn a_path_is_checked_to_be_below_a_folder_by_components() {
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
