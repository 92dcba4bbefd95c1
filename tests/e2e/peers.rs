//! Finds third-party software that is built for these tests.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the folder of a peer that `peers/need` has built, or why it is not there.
pub(crate) fn peer(name: &str) -> Result<PathBuf, String> {
    let need = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/peers/need");
    let output = Command::new(&need).args(["--path", name]).output();
    let output = output.map_err(|error| format!("{}: {error}", need.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if folder.exists() { Ok(folder) } else { Err(format!("{name} is not built: tests/e2e/peers/need {name}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_peer_is_reported_with_the_command_that_builds_it() {
        let unknown = peer("kubernetes-0.1").expect_err("never was");
        assert!(unknown.contains("there is no peer kubernetes-0.1: "), "{unknown}");
        if let Err(unbuilt) = peer("kubernetes") {
            assert_eq!(unbuilt, "kubernetes is not built: tests/e2e/peers/need kubernetes");
        }
    }
}
