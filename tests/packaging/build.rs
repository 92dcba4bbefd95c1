//! Builds packages.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::root::Root;
use crate::{repository, said, succeed};

/// A version older than all released ones, to upgrade from.
pub(crate) const OLD: &str = "0.0.1";
/// The version under test.
pub(crate) const NEW: &str = env!("CARGO_PKG_VERSION");

/// Architecture of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    pub(crate) const BOTH: [Self; 2] = [Self::X86_64, Self::Aarch64];

    fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Returns the architecture of this machine, whose binaries can run here.
    pub(crate) fn own() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }

    /// Returns the machine number in an ELF header.
    fn machine(self) -> u8 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }
}

/// Returns the package of a version, which is built only once.
pub(crate) fn package(version: &str, arch: Arch) -> PathBuf {
    static OLD_ONES: OnceLock<TempDir> = OnceLock::new();
    static NEW_ONES: OnceLock<TempDir> = OnceLock::new();
    let finished = std::env::var_os("K8S_SERVICES_PACKAGES").filter(|_| version == NEW);
    let folder = finished.map_or_else(
        || {
            let folder = if version == OLD { &OLD_ONES } else { &NEW_ONES };
            folder.get_or_init(|| build_all(version)).path().to_owned()
        },
        |folder| repository().join(folder),
    );
    let path = folder.join(file_name(version, arch));
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

fn file_name(version: &str, arch: Arch) -> String {
    format!("srl-k8s-services_{version}-1_{}.deb", arch.debian())
}

/// Returns the file name of the bill of materials next to a package.
fn bill_name(version: &str, arch: Arch) -> String {
    file_name(version, arch).replace(".deb", ".cdx.json")
}

fn build_all(version: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arch in Arch::BOTH {
        let binary = binary(folder.path(), arch);
        succeed(builder(arch, &binary, folder.path()).args(["--version", version]));
    }
    folder
}

fn builder(arch: Arch, binary: &Path, out: &Path) -> Command {
    let mut command = Command::new(repository().join("packaging/build"));
    command.args(["--development", "--arch", arch.name(), "--binary"]).arg(binary).arg("--out").arg(out);
    command.env("SOURCE_DATE_EPOCH", "1767225600");
    command
}

/// Returns the path of this build's agent without debug information, or, for another architecture, of an empty
/// executable.
fn binary(folder: &Path, arch: Arch) -> PathBuf {
    let path = folder.join(format!("k8s-services-{}", arch.name()));
    if arch == Arch::own() {
        succeed(Command::new("strip").arg("-o").arg(&path).arg(env!("CARGO_BIN_EXE_k8s-services")));
    } else {
        std::fs::write(&path, elf_header(arch)).expect("written");
    }
    path
}

/// Returns the header of an empty static executable of an architecture.
fn elf_header(arch: Arch) -> [u8; 64] {
    let mut header = [0; 64];
    header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    header[16] = 2;
    header[18] = arch.machine();
    header[20] = 1;
    header[52] = 64;
    header
}

#[test]
fn package_builds_are_reproducible() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = folder.path().join("agent");
    std::fs::write(&binary, elf_header(Arch::Aarch64)).expect("written");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    succeed(&mut builder(Arch::Aarch64, &binary, &first));
    // Another time, other modes, another path.
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o700)).expect("changed");
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(&binary, &elsewhere).expect("moved");
    let mut again = builder(Arch::Aarch64, &elsewhere, &second);
    succeed(again.env("TZ", "Asia/Tokyo").env("LC_ALL", "C").current_dir(folder.path()));
    for name in [file_name(NEW, Arch::Aarch64), bill_name(NEW, Arch::Aarch64)] {
        let read = |folder: &Path| std::fs::read(folder.join(&name)).expect("the file is there");
        assert!(read(&first) == read(&second), "{name} differs from one build to the next");
    }
}

#[test]
fn the_bill_of_materials_lists_linked_crates_with_checksums_and_licences() {
    let path = package(NEW, Arch::own()).with_file_name(bill_name(NEW, Arch::own()));
    let text = std::fs::read_to_string(path).expect("beside the package");
    let bill: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    assert_eq!(bill["metadata"]["component"]["name"], "srl-k8s-services");
    let components = bill["components"].as_array().expect("a list");
    let tokio = components.iter().find(|it| it["name"] == "tokio").expect("it is linked");
    assert_eq!(tokio["licenses"][0]["expression"], "MIT");
    assert_eq!(tokio["hashes"][0]["content"].as_str().map(str::len), Some(64));
    assert!(components.iter().all(|it| it["name"] != "proptest"), "what tests need is not linked");
}

#[test]
fn only_small_static_binaries_of_the_architecture_are_packaged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = |command: &mut Command, why: &str| {
        let output = command.output().expect("it runs");
        let text = said(&output);
        assert!(!output.status.success() && text.contains(why), "{text}");
    };
    let binary = folder.path().join("agent");
    std::fs::write(&binary, elf_header(Arch::X86_64)).expect("written");
    refused(&mut builder(Arch::Aarch64, &binary, folder.path()), "is not for aarch64");
    let release = |binary: &Path| {
        let mut command = Command::new(repository().join("packaging/build"));
        command.args(["--arch", "x86_64", "--binary"]).arg(binary).arg("--out").arg(folder.path());
        command
    };
    let mut large = elf_header(Arch::X86_64).to_vec();
    large.resize(10_000_001, 0);
    std::fs::write(&binary, large).expect("written");
    refused(&mut release(&binary), "has 10000001 bytes, more than 10000000");
    std::fs::write(&binary, "#!/bin/sh\n").expect("written");
    refused(&mut release(&binary), "is not an ELF file");
    refused(&mut release(Path::new("/nowhere/agent")), "make release");
    if Arch::own() == Arch::X86_64 {
        let built = Path::new(env!("CARGO_BIN_EXE_k8s-services"));
        refused(&mut release(built), "is not stripped");
        succeed(Command::new("strip").arg("-o").arg(&binary).arg(built));
        refused(&mut release(&binary), "is not static");
    }
}

#[test]
fn packages_name_their_architecture_and_have_no_dependencies() {
    for arch in Arch::BOTH {
        let deb = package(NEW, arch);
        let fields = succeed(Command::new("dpkg-deb").arg("--field").arg(&deb));
        assert!(fields.contains(&format!("Architecture: {}\n", arch.debian())), "{fields}");
        assert!(!fields.contains("Depends:"), "{fields}");
    }
}

#[test]
fn a_package_of_the_other_architecture_installs_if_forced() {
    let other = if Arch::own() == Arch::X86_64 { Arch::Aarch64 } else { Arch::X86_64 };
    let root = Root::new();
    root.install(&package(NEW, other));
    assert!(root.path("/usr/local/bin/k8s-services").is_file());
}

#[test]
fn licences_of_everything_linked_are_permissive_and_their_texts_included() {
    let text =
        succeed(Command::new(repository().join("packaging/third-party-licenses")).arg("x86_64-unknown-linux-musl"));
    for part in ["tokio ", "musl ", "Permission is hereby granted", "Redistribution and use in source and binary forms"]
    {
        assert!(text.contains(part), "'{part}' is missing");
    }
}

#[test]
fn a_licence_expression_is_permissive_if_permissive_choices_satisfy_it() {
    let judge = "import runpy, sys; judge = runpy.run_path(sys.argv[1])['is_permissive']; print(judge(sys.argv[2]))";
    for (expression, expected) in [
        ("MIT", "True"),
        ("MIT/Apache-2.0", "True"),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", "True"),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", "True"),
        ("GPL-3.0-only", "False"),
        ("MIT AND GPL-3.0-only", "False"),
        ("(GPL-3.0-only OR LGPL-3.0-only) AND MIT", "False"),
        ("Apache-2.0 WITH Some-exception", "False"),
        ("", "False"),
    ] {
        let mut python = Command::new("python3");
        python.args(["-B", "-c", judge]).arg(repository().join("packaging/third-party-licenses")).arg(expression);
        assert_eq!(succeed(&mut python).trim(), expected, "{expression}");
    }
}
