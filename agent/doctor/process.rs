//! Finds the running agent: the flags it was started with, its user and its capabilities.
//!
//! The doctor uses the agent's own flags and user. Otherwise it would find other sockets, and could read files that the
//! agent cannot.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::Check;

/// The name of the agent's process.
const NAME: &str = "k8s-services";
/// The bit of CAP_SYS_ADMIN.
const SYS_ADMIN: u64 = 1 << 21;

/// The agent's process, if it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Its process id; `None` if no process with the name, or more than one, was found.
    pub pid: Option<u32>,
    /// Flags from its environment and its command line, in an order in which later ones take precedence.
    pub flags: Vec<OsString>,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its further groups.
    pub groups: Vec<u32>,
    /// Whether it may enter network namespaces.
    pub may_enter: bool,
}

/// An environment variable, and the flag that it sets.
pub type Variable = (OsString, String);

/// Finds the agent's process: the one with this id, or the only one there is.
pub fn running(pid: Option<u32>, variables: &[Variable]) -> Running {
    if let Some(pid) = pid {
        return read(pid, &folder(pid), variables).unwrap_or_default();
    }
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid != own);
    let mut agents = pids.filter_map(|pid| read(pid, &folder(pid), variables));
    match (agents.next(), agents.next()) {
        (Some(agent), None) => agent,
        _ => Running::default(),
    }
}

fn folder(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn read(pid: u32, folder: &Path, variables: &[Variable]) -> Option<Running> {
    if fs::read_to_string(folder.join("comm")).ok()?.trim_end() != NAME {
        return None;
    }
    let words = split(&fs::read(folder.join("cmdline")).ok()?);
    let arguments = words.get(1..).unwrap_or_default();
    if arguments.iter().any(|word| word == "doctor") {
        return None;
    }
    // The environment of another user's process cannot be read, but its command line has most flags.
    let environment = split(&fs::read(folder.join("environ")).unwrap_or_default());
    let from_environment = environment.iter().filter_map(|set| flag(set, variables));
    let flags = from_environment.chain(arguments.iter().cloned()).collect();
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let (uids, gids) = (numbers(&status, "Uid:"), numbers(&status, "Gid:"));
    let permitted = field(&status, "CapPrm:").and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    Some(Running {
        pid: Some(pid),
        flags,
        uid: *uids.first()?,
        gid: *gids.first()?,
        groups: numbers(&status, "Groups:"),
        may_enter: permitted.is_some_and(|permitted| permitted & SYS_ADMIN != 0),
    })
}

fn split(bytes: &[u8]) -> Vec<OsString> {
    bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

/// Converts `K8S_SERVICES_GNMI_USERNAME=x` to `--gnmi-username=x`.
fn flag(set: &OsStr, variables: &[Variable]) -> Option<OsString> {
    let (name, value) = set.to_str()?.split_once('=')?;
    let (_, flag) = variables.iter().find(|(variable, _)| variable == name)?;
    Some(format!("--{flag}={value}").into())
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

fn numbers(status: &str, name: &str) -> Vec<u32> {
    field(status, name).into_iter().flat_map(str::split_whitespace).filter_map(|word| word.parse().ok()).collect()
}

/// Checks whether the doctor runs as the agent's own user.
pub(super) fn user(running: &Running) -> Check {
    const CHECK: &str = "agent";
    let own = rustix::process::geteuid().as_raw();
    match running.pid {
        None => Check::warning(
            CHECK,
            "no running agent was found: defaults and the flags given here are checked, as this user",
        )
        .remedy([super::typed("show system application k8s-services")]),
        Some(pid) if own != running.uid => {
            let words = format!(
                "it runs as process {pid} of user {}, and this is user {own}: files and namespaces may look otherwise to it",
                running.uid
            );
            Check::warning(CHECK, words).remedy(["sudo k8s-services doctor"])
        }
        Some(pid) => Check::ok(CHECK, format!("it runs as process {pid} of user {own}{}", with_flags(running))),
    }
}

fn with_flags(running: &Running) -> String {
    let flags: Vec<_> = running.flags.iter().map(|flag| flag.to_string_lossy()).collect();
    if flags.is_empty() { String::new() } else { format!(", with {}", flags.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    const STATUS: &str = "Name:\tk8s-services\nUid:\t1002\t1002\t1002\t1002\nGid:\t1003\t1003\t1003\t1003\n\
                          Groups:\t1003 27 \nCapPrm:\t0000000000200000\nCapEff:\t0000000000000000\n";

    fn variables() -> Vec<Variable> {
        ["gnmi-username", "state-file"]
            .map(|flag| {
                (format!("K8S_SERVICES_{}", flag.to_ascii_uppercase().replace('-', "_")).into(), flag.to_owned())
            })
            .to_vec()
    }

    #[test]
    fn flags_are_read_from_the_agents_environment_and_command_line() {
        let folder = process(&[
            ("comm", "k8s-services\n"),
            ("cmdline", "./k8s-services\0--gnmi-username\0reader\0"),
            (
                "environ",
                "PATH=/bin\0K8S_SERVICES_GNMI_USERNAME=first\0K8S_SERVICES_STATE_FILE=/s\0K8S_SERVICES_OF_OLD=x\0",
            ),
            ("status", STATUS),
        ]);
        let found = read(7, folder.path(), &variables()).expect("the agent");
        let flags = ["--gnmi-username=first", "--state-file=/s", "--gnmi-username", "reader"];
        assert_eq!(found.flags, flags.map(OsString::from));
        assert_eq!((found.pid, found.uid, found.gid, &*found.groups), (Some(7), 1002, 1003, &[1003, 27][..]));
        assert!(found.may_enter);
    }

    #[test]
    fn a_doctor_or_another_program_is_not_taken_for_the_agent() {
        let status = ("status", STATUS);
        let doctor = [("comm", "k8s-services\n"), ("cmdline", "k8s-services\0doctor\0"), status];
        let other = [("comm", "sr_bgp_mgr\n"), ("cmdline", "sr_bgp_mgr\0"), status];
        for files in [doctor, other] {
            assert_eq!(read(7, process(&files).path(), &variables()), None);
        }
        let without = STATUS.replace("0000000000200000", "0000000000000000");
        let agent = [("comm", "k8s-services\n"), ("cmdline", "k8s-services\0"), ("status", without.as_str())];
        assert!(!read(7, process(&agent).path(), &[]).expect("the agent").may_enter);
    }
}
