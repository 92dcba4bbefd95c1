//! Tests with Nokia's own Python bindings: an NDK server for the agent, and an application that runs on the emulated
//! leaf.

mod app;
mod server;

use std::path::{Path, PathBuf};

use crate::peers::peer;

/// Returns the folder of the Python programs.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/bindings")
}

/// Returns the Python interpreter with the bindings, or why there is none.
fn python() -> Result<PathBuf, String> {
    peer("python").map(|environment| environment.join("bin/python"))
}
