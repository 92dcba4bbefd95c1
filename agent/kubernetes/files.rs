//! Files that hold credentials: who may read them, and whether they changed.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Not there, not readable, not text.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A secret everyone on the switch may read.
    #[error("{} holds a secret and can be read by everyone (mode {mode:04o}): chmod o= {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Nothing in it.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Permission of those who are neither owner nor group to read.
const READABLE_BY_OTHERS: u32 = 0o004;

/// The text of a file, without surrounding blanks.
pub(super) fn text(path: &Path) -> Result<String, FileError> {
    let text = fs::read_to_string(path).map_err(|cause| FileError::Read { path: path.to_owned(), cause })?;
    match text.trim() {
        "" => Err(FileError::Empty { path: path.to_owned() }),
        text => Ok(text.to_owned()),
    }
}

/// Refuses a file with a secret that others may read.
pub(super) fn check_private(path: &Path) -> Result<(), FileError> {
    let metadata = fs::metadata(path).map_err(|cause| FileError::Read { path: path.to_owned(), cause })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & READABLE_BY_OTHERS == 0 { Ok(()) } else { Err(FileError::Exposed { path: path.to_owned(), mode }) }
}

/// What some files looked like: differs when one was written, replaced, came or went, or changed its permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Option<[i64; 5]>>);

impl Fingerprint {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let look = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            let (inode, size) = (file.ino().cast_signed(), file.size().cast_signed());
            Some([file.mtime(), file.mtime_nsec(), file.ctime_nsec(), inode, size])
        };
        Self(paths.iter().map(look).collect())
    }
}
