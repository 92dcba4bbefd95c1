//! Nokia's own Python bindings on the other side of the wire: an NDK server the agent works with, and an application that
//! runs on the emulated leaf.

mod app;
mod server;

use std::path::{Path, PathBuf};

use crate::peers::peer;

/// Where the programs in Python are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/bindings")
}

/// The interpreter that has the bindings, or why there is none.
fn python() -> Result<PathBuf, String> {
    peer("python").map(|environment| environment.join("bin/python"))
}
