//! The size of the shipped program.

use std::path::{Path, PathBuf};

use crate::report::Line;

/// Returns the sizes of static builds, if there are any, or else of the program that this run was built with.
pub(crate) fn size() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = ["x86_64", "aarch64"].into_iter().filter_map(|machine| {
        let place = root.join(format!("dist/k8s-services-{machine}"));
        place.is_file().then(|| (format!("{machine}, static (dist/)"), place))
    });
    let mut found: Vec<(String, PathBuf)> = shipped.collect();
    if found.is_empty() {
        found.push(("this run's, not static (no dist/)".to_owned(), env!("CARGO_BIN_EXE_k8s-services").into()));
    }
    found.into_iter().map(|(what, path)| Line::megabytes(what, length(&path), 10)).collect()
}

fn length(path: &Path) -> u64 {
    path.metadata().map(|metadata| metadata.len()).unwrap_or(u64::MAX)
}
