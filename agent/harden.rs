//! Drops most of the process's rights on the switch before it reads anything.
//!
//! The process parses what others send. If one of them takes it over, only this is left: files of credentials to read,
//! one folder to write, and sockets. Everything here must run before the first thread is started, because a thread
//! inherits the rights of the thread that creates it.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities, set_keep_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// What is read for resolving names, verifying certificates and entering network namespaces. Libraries are included for
/// builds that load the name service at run time.
const SYSTEM: [&str; 17] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/lib",
    "/lib64",
    "/usr",
    "/run/netns",
    "/run/systemd/resolve",
    "/dev/null",
    "/dev/urandom",
    "/proc",
];

/// The newest Landlock ABI that is used: later ones add nothing that is needed here.
const LANDLOCK: ABI = ABI::V3;

/// Why the process cannot drop a right.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// The kernel refuses.
    #[error("cannot {0}")]
    System(&'static str, #[source] std::io::Error),
    /// Landlock refuses.
    #[error("cannot restrict the files in reach")]
    Files(#[from] RulesetError),
}

/// How far the kernel restricts files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confined {
    /// Only the files that are needed are accessible.
    Files,
    /// The kernel has no Landlock: every file that the user may read is accessible.
    No,
}

/// Prevents the process from gaining rights by executing programs, from dumping memory (which contains secrets), and
/// from accessing files other than these: `read`, and what is below, may be read; `write`, and what is below, may be
/// read and written.
///
/// # Errors
/// [`HardenError`]; the process then has the same rights as before, or fewer.
pub fn confine(read: &[PathBuf], write: &Path) -> Result<Confined, HardenError> {
    let failed = |what| move |error: rustix::io::Errno| HardenError::System(what, error.into());
    set_no_new_privs(true).map_err(failed("give up new rights"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("give up dumps of memory"))?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(failed("give up core files"))?;
    files(read, write)
}

fn files(read: &[PathBuf], write: &Path) -> Result<Confined, HardenError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = reading | AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let mut rules = rules.handle_access(AccessFs::from_all(LANDLOCK))?.create()?;
    for path in read.iter().map(PathBuf::as_path).chain(SYSTEM.iter().map(Path::new)) {
        rules = allow(rules, path, reading)?;
    }
    // If the folder cannot be created now, the agent itself may create it later.
    let (folder, making) = match write.ancestors().find(|folder| folder.is_dir()) {
        Some(folder) if folder != write => (folder, writing | AccessFs::MakeDir),
        _ => (write, writing),
    };
    let status = allow(rules, folder, making)?.restrict_self()?;
    Ok(if status.ruleset == RulesetStatus::NotEnforced { Confined::No } else { Confined::Files })
}

/// Allows access below a path. A path that does not exist now remains inaccessible.
fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(fd) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK) };
    rules.add_rule(PathBeneath::new(fd, access))
}

/// Becomes another user, for this thread and all threads that it creates. Of root's capabilities, only the one to enter
/// namespaces is kept, if that user may have it.
///
/// # Errors
/// [`HardenError::System`], also if the process is not root.
pub fn become_user(uid: u32, gid: u32, groups: &[u32], may_enter: bool) -> Result<(), HardenError> {
    let failed = |error: rustix::io::Errno| HardenError::System("become the agent's user", error.into());
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    set_keep_capabilities(true).map_err(failed)?;
    set_thread_groups(&groups).map_err(failed)?;
    set_thread_res_gid(gid, gid, gid).map_err(failed)?;
    set_thread_res_uid(uid, uid, uid).map_err(failed)?;
    let permitted = if may_enter { CapabilitySet::SYS_ADMIN } else { CapabilitySet::empty() };
    let left = CapabilitySets { effective: CapabilitySet::empty(), permitted, inheritable: CapabilitySet::empty() };
    set_capabilities(None, left).map_err(failed)
}

/// Drops the capability to enter namespaces, for this thread and all threads that it creates.
///
/// # Errors
/// [`HardenError::System`].
pub fn give_up_namespaces() -> Result<(), HardenError> {
    let failed = |error: rustix::io::Errno| HardenError::System("give up capabilities", error.into());
    clear_ambient_capability_set().map_err(failed)?;
    let CapabilitySets { effective, permitted, .. } = capabilities(None).map_err(failed)?;
    let left = CapabilitySets {
        effective: effective - CapabilitySet::SYS_ADMIN,
        permitted: permitted - CapabilitySet::SYS_ADMIN,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, left).map_err(failed)
}

/// Keeps the capability to enter namespaces for [`with_namespaces`], but disables it until then.
///
/// # Errors
/// [`HardenError::System`].
pub(crate) fn keep_namespaces_for_later() -> Result<(), HardenError> {
    let failed = |error: rustix::io::Errno| HardenError::System("drop capabilities", error.into());
    let CapabilitySets { effective, permitted, .. } = capabilities(None).map_err(failed)?;
    let kept = CapabilitySets {
        effective: effective - CapabilitySet::SYS_ADMIN,
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, kept).map_err(failed)
}

/// Enables the capability to enter namespaces for one call, if this thread has it, and drops it again.
pub(crate) fn with_namespaces<T>(what: impl FnOnce() -> T) -> T {
    // If it cannot be enabled, the call fails with the kernel's error.
    if let Ok(sets) = capabilities(None) {
        let effective = sets.effective | (sets.permitted & CapabilitySet::SYS_ADMIN);
        let _ = set_capabilities(None, CapabilitySets { effective, ..sets });
    }
    let result = what();
    if let Err(error) = give_up_namespaces() {
        tracing::debug!(%error, "a thread keeps its capabilities until it ends");
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::ErrorKind;

    /// Runs `what` on a thread of its own, because dropped rights cannot be regained.
    fn apart<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(what).join().expect("it does not panic")
    }

    #[test]
    fn only_the_named_folders_stay_accessible() {
        let folder = tempfile::tempdir().expect("a folder");
        let [secrets, state, other] = ["secrets", "state", "other"].map(|name| folder.path().join(name));
        for folder in [&secrets, &state, &other] {
            fs::create_dir(folder).expect("made");
            fs::write(folder.join("file"), "text").expect("written");
        }
        let reached = apart(move || {
            let confined = files(&[secrets.clone(), folder.path().join("not-there")], &state).expect("restricted");
            let new = state.join("new");
            let replaced = fs::write(&new, "text").and_then(|()| fs::rename(&new, state.join("file")));
            let denied = |result: std::io::Result<()>| result.map_err(|error| error.kind());
            (
                confined,
                fs::read(secrets.join("file")).is_ok(),
                replaced.is_ok(),
                denied(fs::read(other.join("file")).map(drop)),
                denied(fs::write(secrets.join("file"), "x")),
            )
        });
        let no = Err(ErrorKind::PermissionDenied);
        match reached.0 {
            Confined::Files => assert_eq!(reached, (Confined::Files, true, true, no, no)),
            Confined::No => println!("skipped: this kernel has no Landlock"),
        }
    }

    #[test]
    fn every_folder_that_stays_readable_is_documented() {
        let page = include_str!("../docs/security.md");
        for path in SYSTEM.iter().filter(|path| !path.starts_with("/etc/") && !path.starts_with("/dev/")) {
            assert!(page.contains(&format!("`{path}`")), "{path}");
        }
    }

    #[test]
    fn the_capability_is_kept_until_used_once_and_then_dropped() {
        let has = |sets: fn(CapabilitySets) -> CapabilitySet| {
            sets(capabilities(None).expect("capabilities")).contains(CapabilitySet::SYS_ADMIN)
        };
        let (before, kept, used, after) = apart(move || {
            let before = has(|sets| sets.permitted);
            keep_namespaces_for_later().expect("kept");
            let kept = (has(|sets| sets.effective), has(|sets| sets.permitted));
            let used = with_namespaces(|| has(|sets| sets.effective));
            (before, kept, used, (has(|sets| sets.effective), has(|sets| sets.permitted)))
        });
        assert_eq!((kept, used, after), ((false, before), before, (false, false)));
    }
}
