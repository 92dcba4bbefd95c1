//! An empty root to install into: a shell, a user table, and a stand-in for the switch's CLI that records its commands.
//!
//! Scripts run inside it, which requires the right to change root: by root, in a user namespace, or by sudo.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::succeed;

/// Name of the package.
pub(crate) const PACKAGE: &str = "srl-k8s-services";

/// Records its arguments, and answers according to files next to the record. `reloading` has one line per command that
/// is refused because the management server restarts.
const SR_CLI: &str = r#"#!/bin/sh
shift
if [ -s /var/log/reloading ]; then
    sed -i 1d /var/log/reloading
    echo "Error: commands are rejected, yang reload is in progress"
    exit 1
fi
echo "$1" >>/var/log/asked
case $1 in
    "info from state"*) if [ -f /var/log/app-state ]; then cat /var/log/app-state; fi ;;
    "info from running"*) if [ -f /var/log/running ]; then cat /var/log/running; fi ;;
esac
if [ -f /var/log/refuses ]; then cat /var/log/refuses; fi
if [ -f /var/log/fails ]; then exit 1; fi
"#;

/// The commands that the packages' scripts give to the CLI.
pub(crate) const RELOAD: &str = "/ tools system app-management application app_mgr reload";
pub(crate) const START: &str = "/ tools system app-management application k8s-services start";
pub(crate) const STOP: &str = "/ tools system app-management application k8s-services stop";

/// How commands get the right to change root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Root,
    Namespace,
    Sudo,
}

impl Right {
    fn of_this_process() -> Self {
        static RIGHT: OnceLock<Right> = OnceLock::new();
        let works = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            let status = command.args(arguments).arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        *RIGHT.get_or_init(|| {
            if rustix::process::geteuid().is_root() {
                Self::Root
            } else if works("unshare", &["--map-root-user"]) {
                Self::Namespace
            } else if works("sudo", &["--non-interactive"]) {
                Self::Sudo
            } else {
                panic!(
                    "packages are installed into an empty root, which needs root, sudo without a password, or user \
                     namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
                );
            }
        })
    }

    fn command(self, program: &str) -> Command {
        let mut command = match self {
            Self::Root => Command::new(program),
            Self::Namespace => {
                let mut command = Command::new("unshare");
                command.args(["--map-root-user", "--", program]);
                command
            }
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["--non-interactive", "--", program]);
                command
            }
        };
        // dpkg looks for system programs that may be missing in an ordinary user's path.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
        command
    }

    /// Returns the user and group id of `srlinux`. In a namespace there is only one.
    fn srlinux(self) -> u32 {
        if self == Self::Namespace { 0 } else { 1002 }
    }
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: String,
    pub(crate) owner: String,
    /// Type: `f` or `d`.
    pub(crate) kind: String,
    pub(crate) path: String,
}

/// The root, which is removed when it is dropped.
pub(crate) struct Root {
    right: Right,
    folder: Option<TempDir>,
}

impl Root {
    /// Creates the root of a switch, as far as packages see it.
    pub(crate) fn new() -> Self {
        let root = Self::without_switch();
        let cli = root.path("/opt/srlinux/bin/sr_cli");
        fs::create_dir_all(cli.parent().expect("it has a folder")).expect("made");
        fs::write(&cli, SR_CLI).expect("written");
        fs::set_permissions(&cli, fs::Permissions::from_mode(0o755)).expect("changed");
        root
    }

    /// Creates a root without SR Linux.
    pub(crate) fn without_switch() -> Self {
        let right = Right::of_this_process();
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The user srlinux must be able to enter it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("changed");
        let root = Self { right, folder: Some(folder) };
        for name in ["bin", "etc", "tmp", "var/log", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
            fs::create_dir_all(root.path(name)).expect("made");
        }
        fs::write(root.path("/var/lib/dpkg/status"), "").expect("written");
        let id = right.srlinux();
        fs::write(root.path("/etc/passwd"), format!("root:x:0:0::/:/bin/sh\nsrlinux:x:{id}:{id}::/:/bin/sh\n"))
            .expect("written");
        fs::write(root.path("/etc/group"), format!("root:x:0:\nsrlinux:x:{id}:\n")).expect("written");
        root.add_shell();
        root
    }

    fn add_shell(&self) {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).is_file());
        fs::copy(busybox.expect("busybox-static; `make deps-test` installs it"), self.path("/bin/busybox"))
            .expect("copied");
        let names = succeed(Command::new("busybox").arg("--list"));
        for name in names.lines().filter(|name| *name != "busybox" && *name != "sleep") {
            symlink("busybox", self.path("/bin").join(name)).expect("linked");
        }
        // Scripts that wait for the switch do not really sleep.
        fs::write(self.path("/bin/sleep"), "#!/bin/sh\n").expect("written");
        fs::set_permissions(self.path("/bin/sleep"), fs::Permissions::from_mode(0o755)).expect("changed");
    }

    /// Returns the path of a file of the switch on this machine.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.as_ref().expect("it lives").path().join(path.trim_start_matches('/'))
    }

    fn dpkg(&self) -> Command {
        let mut command = self.right.command("dpkg");
        command.arg("--root").arg(self.path("/")).arg("--force-architecture");
        command
    }

    /// Installs a package, or upgrades to it. Returns the output.
    pub(crate) fn install(&self, package: &Path) -> String {
        succeed(self.dpkg().arg("--install").arg(package))
    }

    /// Removes the package. Returns the output.
    pub(crate) fn remove(&self) -> String {
        succeed(self.dpkg().args(["--remove", PACKAGE]))
    }

    /// Purges what `remove` leaves. Returns the output.
    pub(crate) fn purge(&self) -> String {
        succeed(self.dpkg().args(["--purge", PACKAGE]))
    }

    /// Returns the package's files that differ from what was installed.
    pub(crate) fn verify(&self) -> String {
        succeed(self.dpkg().args(["--verify", PACKAGE]))
    }

    /// Returns the commands that the CLI received since the last call, except for queries.
    pub(crate) fn asked(&self) -> Vec<String> {
        let record = self.path("/var/log/asked");
        let text = fs::read_to_string(&record).unwrap_or_default();
        fs::write(&record, "").expect("written");
        text.lines().filter(|line| !line.starts_with("info ")).map(str::to_owned).collect()
    }

    /// Creates a folder.
    pub(crate) fn make_folder(&self, path: &str) {
        succeed(self.right.command("mkdir").arg(self.path(path)));
    }

    /// Writes a file, as its user or an operator would.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        let mut tee = self.right.command("tee");
        let mut process = tee.arg(file).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("tee runs");
        std::io::Write::write_all(&mut process.stdin.take().expect("piped"), text.as_bytes()).expect("written");
        assert!(process.wait().expect("it ends").success());
    }

    /// Makes a link, in place of what may be there.
    pub(crate) fn link(&self, target: &str, name: &str, kind: &[&str]) {
        succeed(self.right.command("ln").arg("--force").args(kind).arg(self.path(target)).arg(self.path(name)));
    }

    /// Returns the text of a file that may belong to another user.
    pub(crate) fn read(&self, path: &str) -> String {
        succeed(self.right.command("cat").arg(self.path(path)))
    }

    /// Returns every file and folder below /etc/opt, /opt and /usr except the stand-in's, by path.
    pub(crate) fn tree(&self) -> Vec<Entry> {
        let top = self.path("/");
        let folders: Vec<_> = ["etc/opt", "opt", "usr"].into_iter().filter(|name| top.join(name).exists()).collect();
        if folders.is_empty() {
            return Vec::new();
        }
        let mut find = self.right.command("find");
        find.current_dir(&top).args(folders).args(["-printf", "%m %U %G %y /%p\\n"]);
        let mut entries: Vec<_> = succeed(&mut find)
            .lines()
            .map(|line| self.entry(line))
            .filter(|entry| entry.path != "/opt/srlinux" && !entry.path.starts_with("/opt/srlinux/bin"))
            .collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        entries
    }

    fn entry(&self, line: &str) -> Entry {
        let mut words = line.splitn(5, ' ').map(str::to_owned);
        let mut word = || words.next().expect("find prints five words");
        let (mode, user, group, kind, path) = (word(), word(), word(), word(), word());
        let name = |id: String| match id.parse() {
            // In a namespace there is only one user, who owns everything.
            _ if self.right == Right::Namespace => "anyone".to_owned(),
            Ok(0) => "root".to_owned(),
            Ok(id) if id == self.right.srlinux() => "srlinux".to_owned(),
            _ => id,
        };
        Entry { mode, owner: format!("{}:{}", name(user), name(group)), kind, path }
    }

    /// Returns whether users can be distinguished here.
    pub(crate) fn has_users(&self) -> bool {
        self.right != Right::Namespace
    }

    /// Returns user and group of a file.
    pub(crate) fn owner(&self, path: &str) -> (u32, u32) {
        let metadata = fs::metadata(self.path(path)).expect("it is there");
        (metadata.uid(), metadata.gid())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.right == Right::Sudo
            && let Some(folder) = self.folder.take()
        {
            // This user cannot remove what belongs to root.
            let removed = self.right.command("rm").arg("-rf").arg(folder.keep()).status();
            drop(removed);
        }
    }
}
