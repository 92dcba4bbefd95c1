//! Tests of installing, upgrading, removing, reinstalling and purging.

use std::path::Path;
use std::process::Command;

use crate::build::{Arch, NEW, OLD, package};
use crate::root::{Entry, RELOAD, Root, START, STOP};
use crate::succeed;

const DEFINITION: &str = "/etc/opt/srlinux/appmgr/k8s-services.yml";
const STATE: &str = "/opt/k8s-services/state/state.json";
const PASSWORD: &str = "/etc/opt/srlinux/k8s-services/gnmi-password";
const APP_STATE: &str = "/var/log/app-state";

/// What the package installs, without shared folders and without documentation.
const INSTALLED: &[(&str, &str, &str)] = &[
    ("644", "root:root", "/etc/opt/srlinux/appmgr/k8s-services.yml"),
    ("644", "root:root", "/etc/opt/srlinux/cli/plugins/k8s_services.py"),
    ("750", "root:srlinux", "/etc/opt/srlinux/k8s-services"),
    ("644", "root:root", "/etc/opt/srlinux/snmp/scripts/K8S-SERVICES-MIB.txt"),
    ("644", "root:root", "/etc/opt/srlinux/snmp/scripts/k8s_services_traps.py"),
    ("644", "root:root", "/etc/opt/srlinux/snmp/scripts/k8s_services_traps.yaml"),
    ("755", "root:root", "/opt/k8s-services"),
    ("755", "root:root", "/opt/k8s-services/rbac"),
    ("644", "root:root", "/opt/k8s-services/rbac/bgppeers.yaml"),
    ("644", "root:root", "/opt/k8s-services/rbac/events.yaml"),
    ("644", "root:root", "/opt/k8s-services/rbac/k8s-services.yaml"),
    ("755", "root:root", "/opt/k8s-services/rbac/make-kubeconfig"),
    ("644", "root:root", "/opt/k8s-services/rbac/speakers.yaml"),
    ("755", "root:root", "/opt/k8s-services/snmp"),
    ("755", "root:root", "/opt/k8s-services/snmp/set-enterprise-number"),
    ("755", "root:root", "/opt/k8s-services/snmp/traps"),
    ("750", "srlinux:srlinux", "/opt/k8s-services/state"),
    ("755", "root:root", "/opt/k8s-services/yang"),
    ("644", "root:root", "/opt/k8s-services/yang/k8s-services.yang"),
    ("755", "root:root", "/usr/local/bin/k8s-services"),
];

/// Folders in which others install files too.
const SHARED: &[&str] = &[
    "/etc/opt",
    "/etc/opt/srlinux",
    "/etc/opt/srlinux/appmgr",
    "/etc/opt/srlinux/cli",
    "/etc/opt/srlinux/cli/plugins",
    "/etc/opt/srlinux/snmp",
    "/etc/opt/srlinux/snmp/scripts",
    "/opt",
    "/usr",
    "/usr/local",
    "/usr/local/bin",
    "/usr/share",
    "/usr/share/doc",
];

fn own(version: &str) -> std::path::PathBuf {
    package(version, Arch::own())
}

/// Returns what is in the root, except for shared folders.
fn left(root: &Root) -> Vec<Entry> {
    root.tree().into_iter().filter(|entry| entry.kind != "d" || !SHARED.contains(&&*entry.path)).collect()
}

fn paths(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.path).collect()
}

#[test]
fn files_are_installed_with_their_modes_and_owners() {
    let root = Root::new();
    root.install(&own(NEW));
    let documents = "/usr/share/doc/srl-k8s-services";
    let (documented, installed): (Vec<_>, Vec<_>) =
        left(&root).into_iter().partition(|entry| entry.path.starts_with(documents));
    let known = |owner: &'static str| if root.has_users() { owner } else { "anyone:anyone" };
    let expected: Vec<_> = INSTALLED.iter().map(|(mode, owner, path)| (*mode, known(owner), *path)).collect();
    let got: Vec<_> = installed.iter().map(|entry| (&*entry.mode, &*entry.owner, &*entry.path)).collect();
    assert_eq!(got, expected);
    let documented = paths(&documented);
    for name in ["copyright", "third-party-licenses.gz", "README.md", "docs/install.md", "docs/security.md"] {
        assert!(documented.contains(&&*format!("{documents}/{name}")), "{name} not in {documented:?}");
    }
    assert_eq!(root.verify(), "");
}

#[test]
fn the_installed_binary_runs() {
    let root = Root::new();
    root.install(&own(NEW));
    let version = succeed(Command::new(root.path("/usr/local/bin/k8s-services")).arg("--version"));
    assert!(version.starts_with(&format!("k8s-services {NEW}")), "{version}");
}

#[test]
fn installing_reloads_app_mgr() {
    let root = Root::new();
    root.install(&own(NEW));
    assert_eq!(root.asked(), [RELOAD]);
}

#[test]
fn installation_and_removal_work_without_a_switch() {
    let root = Root::without_switch();
    let said = root.install(&own(NEW));
    assert!(said.contains("app_mgr reads its applications when it starts"), "{said}");
    assert!(root.path(DEFINITION).is_file());
    root.remove();
    assert!(!root.path(DEFINITION).exists());
}

#[test]
fn if_the_switch_does_not_answer_the_command_to_run_is_printed() {
    // By its exit status, or only by its words.
    for file in ["/var/log/fails", "/var/log/refuses"] {
        let root = Root::new();
        root.write(file, "Error: app_mgr is not running\n");
        let said = root.install(&own(NEW));
        assert_eq!(said.contains("Error: app_mgr is not running"), file.ends_with("refuses"), "{said}");
        assert!(said.contains(&format!("when SR Linux runs: sr_cli '{RELOAD}'")), "{said}");
        root.remove();
    }
}

#[test]
fn a_restarting_management_server_is_waited_for() {
    let root = Root::new();
    root.write("/var/log/reloading", "1\n2\n3\n");
    let said = root.install(&own(NEW));
    assert_eq!(root.asked(), [RELOAD]);
    assert!(!said.contains("the switch did not take"), "{said}");
}

#[test]
fn waiting_for_a_management_server_that_does_not_return_ends() {
    let root = Root::new();
    root.write("/var/log/reloading", &"x\n".repeat(1000));
    let said = root.install(&own(NEW));
    assert!(said.contains(&format!("when SR Linux runs: sr_cli '{RELOAD}'")), "{said}");
}

#[test]
fn unsaved_configuration_causes_a_warning_before_the_reload() {
    let root = Root::new();
    let said = root.install(&own(NEW));
    assert!(said.contains("'save startup' first"), "{said}");
    let said = root.remove();
    assert!(said.contains("'save startup' first"), "{said}");
}

#[test]
fn if_the_agents_user_is_missing_the_chown_command_is_printed() {
    let root = Root::new();
    root.write("/etc/passwd", "root:x:0:0::/:/bin/sh\n");
    let said = root.install(&own(NEW));
    assert!(said.contains("on the switch: chown -h srlinux: /opt/k8s-services/state"), "{said}");
    assert_eq!(root.owner("/opt/k8s-services/state"), root.owner("/opt/k8s-services"));
}

#[test]
fn an_upgrade_keeps_state_credentials_and_edits_and_runs_the_new_binary() {
    let root = Root::new();
    root.install(&own(OLD));
    let edited = format!("{}  # edited\n", root.read(DEFINITION));
    root.write(DEFINITION, &edited);
    root.write(STATE, "{}\n");
    root.write(PASSWORD, "secret\n");
    root.asked();
    root.install(&own(NEW));
    assert_eq!(root.asked(), [RELOAD, STOP, START]);
    assert_eq!(root.read(DEFINITION), edited);
    assert_eq!(root.read(STATE), "{}\n");
    assert_eq!(root.read(PASSWORD), "secret\n");
    if root.has_users() {
        assert_eq!(root.owner("/opt/k8s-services/state"), (1002, 1002));
    }
}

#[test]
fn an_upgrade_changes_the_owner_of_the_state_and_of_nothing_that_is_linked_to_there() {
    const SECRET: &str = "/etc/opt/srlinux/secret";
    let folder = Path::new(STATE).parent().and_then(Path::to_str).expect("a folder");
    let root = Root::new();
    root.install(&own(OLD));
    for name in [SECRET, STATE] {
        root.write(name, "{}\n");
    }
    let before = (root.owner(SECRET), root.owner(STATE));
    root.link(SECRET, &format!("{folder}/hard"), &[]);
    root.link(SECRET, &format!("{folder}/soft"), &["--symbolic"]);
    let said = root.install(&own(NEW));
    assert!(!said.contains("keeps its owner"), "{said}");
    assert_eq!(root.owner(SECRET), before.0);
    if root.has_users() {
        assert_ne!(before.1, (1002, 1002));
        assert_eq!(root.owner(STATE), (1002, 1002));
    }
    for kind in [&[][..], &["--symbolic"]] {
        root.link(SECRET, STATE, kind);
        let said = root.install(&own(NEW));
        assert!(said.contains(&format!("{STATE} is not a file of its own, and keeps its owner")), "{said}");
        assert_eq!(root.owner(SECRET), before.0);
    }
}

#[test]
fn an_upgrade_gives_the_state_to_root_if_the_agent_runs_as_root() {
    let root = Root::new();
    root.install(&own(OLD));
    let edited =
        root.read(DEFINITION).replace("  capability-bounding-set:\n    - SYS_ADMIN\n", "  run-as-user: root\n");
    assert!(edited.contains("run-as-user: root"), "{edited}");
    root.write(DEFINITION, &edited);
    root.write(STATE, "{}\n");
    root.install(&own(NEW));
    if root.has_users() {
        assert_eq!((root.owner("/opt/k8s-services/state"), root.owner(STATE)), ((0, 1002), (0, 1002)));
    }
}

#[test]
fn an_upgrade_leaves_a_stopped_application_stopped() {
    let root = Root::new();
    root.install(&own(OLD));
    root.write(APP_STATE, "    state stopped\n");
    root.asked();
    let said = root.install(&own(NEW));
    assert_eq!(root.asked(), [RELOAD]);
    assert!(said.contains("k8s-services is stopped, and stays so"), "{said}");
}

#[test]
fn removal_stops_the_application_before_reloading_app_mgr() {
    let root = Root::new();
    root.install(&own(NEW));
    root.asked();
    root.remove();
    assert_eq!(root.asked(), [STOP, RELOAD]);
    assert!(!root.path(DEFINITION).exists(), "app_mgr would look for YANG that is gone");
}

#[test]
fn removal_warns_of_remaining_configuration_without_its_yang() {
    let root = Root::new();
    root.install(&own(NEW));
    root.write("/var/log/running", "    cluster c1 {\n    }\n");
    let said = root.remove();
    assert!(said.contains("/k8s-services is still configured"), "{said}");
}

#[test]
fn removal_takes_the_traps_off_the_list_of_the_snmp_server() {
    let map = "/etc/opt/srlinux/snmp/snmp_files_config.yaml";
    let root = Root::new();
    root.install(&own(NEW));
    root.write(map, "trap-definitions:\n  - scripts/other.yaml\n  - scripts/k8s_services_traps.yaml\n");
    root.remove();
    assert_eq!(root.read(map), "trap-definitions:\n  - scripts/other.yaml\n");
}

#[test]
fn removal_deletes_the_bytecode_of_the_cli_plugin() {
    let cache = "/etc/opt/srlinux/cli/plugins/__pycache__";
    let root = Root::new();
    root.install(&own(NEW));
    root.make_folder(cache);
    root.write(&format!("{cache}/k8s_services.cpython-311.pyc"), "");
    root.write(&format!("{cache}/other.cpython-311.pyc"), "");
    root.remove();
    let cached: Vec<_> = left(&root).into_iter().filter(|entry| entry.path.starts_with(cache)).collect();
    assert_eq!(paths(&cached), [cache.to_owned(), format!("{cache}/other.cpython-311.pyc")]);
}

#[test]
fn a_reinstalled_package_keeps_edits_and_state() {
    let root = Root::new();
    root.install(&own(OLD));
    let edited = format!("{}  # edited\n", root.read(DEFINITION));
    root.write(DEFINITION, &edited);
    root.write(STATE, "{}\n");
    root.remove();
    root.asked();
    root.install(&own(NEW));
    assert_eq!(root.asked(), [RELOAD]);
    assert_eq!(root.read(DEFINITION), edited);
    assert_eq!(root.read(STATE), "{}\n");
    root.install(&own(NEW));
    assert_eq!(root.asked(), [RELOAD, STOP, START]);
}

#[test]
fn a_purged_package_leaves_nothing() {
    for removed_before in [false, true] {
        let root = Root::new();
        root.install(&own(NEW));
        root.write(STATE, "{}\n");
        root.write(PASSWORD, "secret\n");
        if removed_before {
            root.remove();
        }
        root.purge();
        assert_eq!(left(&root), []);
    }
}
