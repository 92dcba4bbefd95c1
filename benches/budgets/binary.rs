//! The size of the program as it is shipped.

use std::path::{Path, PathBuf};

use crate::report::Line;

/// Static builds where there are some, else what this run was built with.
pub(crate) fn size() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = ["x86_64", "aarch64"].into_iter().filter_map(|machine| {
        let places = [
            root.join(format!("dist/k8s-services-{machine}")),
            root.join(format!("target/{machine}-unknown-linux-musl/release/k8s-services")),
        ];
        let found = places.into_iter().find(|place| place.is_file())?;
        Some((format!("{machine}, static"), found))
    });
    let mut found: Vec<(String, PathBuf)> = shipped.collect();
    if found.is_empty() {
        found.push(("this machine's, not static".to_owned(), env!("CARGO_BIN_EXE_k8s-services").into()));
    }
    found.into_iter().map(|(what, path)| Line::megabytes(what, length(&path), 10)).collect()
}

fn length(path: &Path) -> u64 {
    path.metadata().map(|metadata| metadata.len()).unwrap_or(u64::MAX)
}
