//! Compiles the protocol files in `proto/` without a `protoc` on the machine, and stamps the version.

use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files = proto_files(Path::new("proto/ndk"))?;
    files.extend(proto_files(Path::new("proto/gnmi"))?);
    let descriptors = protox::compile(&files, ["proto"])?;

    // The wire test reads the compiled descriptors back.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    let mut config = tonic_prost_build::Config::new();
    // Addresses are slices of the received frame, not copies: a route stream carries millions of them.
    config.bytes(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;

    println!("cargo:rerun-if-changed=proto");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    println!("cargo:rustc-env=K8S_SERVICES_VERSION={}", version());
    Ok(())
}

fn proto_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The package version, and the commit where the build happens in a checkout.
fn version() -> String {
    let package = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match git(&["rev-parse", "--short=9", "HEAD"]) {
        Some(commit) => format!("{package}+{commit}"),
        None => package,
    }
}

/// What git says; none outside a checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
