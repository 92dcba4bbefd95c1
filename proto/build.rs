//! Compiles the protocol files without `protoc`.

use std::path::{Path, PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files = proto_files(Path::new("ndk"))?;
    files.extend(proto_files(Path::new("gnmi"))?);
    let descriptors = protox::compile(&files, ["."])?;

    // The wire test reads the compiled descriptors.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    let mut config = tonic_prost_build::Config::new();
    // Bytes such as addresses are slices of the received frame, not copies: a route stream has millions of them.
    config.bytes(["."]);
    tonic_prost_build::configure()
        .build_server(std::env::var_os("CARGO_FEATURE_SERVER").is_some())
        .compile_fds_with_config(descriptors, config)?;

    println!("cargo:rerun-if-changed=ndk");
    println!("cargo:rerun-if-changed=gnmi");
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
