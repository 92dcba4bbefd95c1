//! Runs programs with the fixed paths of a switch on emulated leaves: each has its own mount namespace with these
//! paths, which ends with it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use srl_sim::lab::{LabApp, LabContent};
use srl_sim::ndk::Switches;

use crate::bench::{AGENT, Bench};

/// An application that is not part of this project.
pub(crate) struct Foreign<'a> {
    /// Name in app_mgr.
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    /// YAML file for app_mgr.
    pub(crate) definition: PathBuf,
    /// Folder of its YANG modules.
    pub(crate) yang: PathBuf,
    /// Shell assignments before its command line, in which `$1` is the folder of the leaf.
    pub(crate) environment: &'static str,
}

/// Returns whether such programs can run here.
pub(crate) fn allowed() -> Result<(), String> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err("the sockets of a switch have fixed places: needs root".to_owned()),
    }
}

/// Returns the folder named by an environment variable if it contains these files, or else the reason why not.
pub(crate) fn folder(variable: &str, files: [&str; 2]) -> Result<PathBuf, String> {
    let [program, module] = files;
    let folder = std::env::var_os(variable);
    let folder =
        PathBuf::from(folder.ok_or_else(|| format!("{variable} names no folder with {program} and {module}"))?);
    match files.iter().find(|file| !folder.join(file).is_file()) {
        Some(missing) => Err(format!("{variable}: there is no {}", folder.join(missing).display())),
        None => allowed().map(|()| folder),
    }
}

/// Creates a folder of programs: the agent, and a script with this name.
pub(crate) fn programs(files: &Path, name: &str, script: &str) -> PathBuf {
    let programs = files.join("programs");
    std::fs::create_dir(&programs).expect("a new folder");
    symlink(env!("CARGO_BIN_EXE_k8s-services"), programs.join(AGENT)).expect("a link");
    std::fs::write(programs.join(name), script).expect("written");
    std::fs::set_permissions(programs.join(name), PermissionsExt::from_mode(0o755)).expect("it is ours");
    programs
}

/// Starts a lab with an application on its leaves. The application finds its files where they are on a switch: sockets,
/// and a system log, which is the socket `log` in the folder `files`.
pub(crate) async fn lab_with(lab: &str, app: Foreign<'_>, files: &Path, change: impl FnOnce(&mut LabContent)) -> Bench {
    // The folder of the program may be hidden by a mount.
    let copy = files.join(format!("{}.program", app.name));
    std::fs::copy(app.program, &copy).expect("copied");
    // sr_gnmi_server is the name of the gNMI socket before SR Linux 24.3.
    let start = format!(
        "#!/bin/sh\nexec unshare --mount --propagation private sh -c '\nset -e\n\
         for hidden in /opt /run /var/log; do mount -t tmpfs tmpfs $hidden; done\n\
         mkdir -p /opt/srlinux/var/run\nmount --bind \"$1\" /opt/srlinux/var/run\nln -s {} /run/log\n\
         ln -sf sr_grpc_server_insecure-mgmt /opt/srlinux/var/run/sr_gnmi_server\n\
         {} exec {}\n' sh \"$1\"\n",
        files.join("log").display(),
        app.environment,
        copy.display()
    );
    let programs = programs(files, app.name, &start);
    let added = LabApp {
        definition: app.definition,
        yang: app.yang,
        cli_plugins: None,
        arguments: vec!["${folder}".to_owned()],
    };
    let change = |lab: &mut LabContent| {
        lab.apps.push(added);
        change(lab);
    };
    // The path must be short, because sockets are in it.
    Bench::running(&programs, &std::env::temp_dir(), lab, Switches::default(), change).await
}
