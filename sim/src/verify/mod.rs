//! `srl-sim verify`: plays the demo of a lab on real leaves, and lists their differences from emulated ones.
//!
//! ```text
//! inventory   where the leaves are, how to type on them, what pulls a lever there
//! mirror      gNMI: one subscription a leaf keeps a copy of its /k8s-services
//! device      the stage the demo is played on: reads the mirrors, runs commands
//! ```
//!
//! The demo's expectations are what emulated leaves report, which tests check. An expectation that a device does not
//! meet is therefore a difference between device and emulator: it is listed, and the demo continues.

mod device;
mod inventory;
mod mirror;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::demo::{Demo, DemoError, Screen, Survey, survey};
use crate::lab::LabFileError;

use self::device::Devices;
pub use self::inventory::{Deed, Instead, Inventory, Target};

/// Time limit for the first values of all leaves.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Why leaves could not be compared with emulated ones.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The inventory, or its demo, cannot be read.
    #[error(transparent)]
    File(#[from] LabFileError),
    /// The password file cannot be read.
    #[error("cannot read password file {path}")]
    Password {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Why it cannot be read.
        #[source]
        source: io::Error,
    },
    /// A leaf does not send its state.
    #[error("cannot read the state of {leaf} at {target}: {why}")]
    Unread {
        /// The leaf.
        leaf: String,
        /// Address of its gNMI server.
        target: String,
        /// Why, as last reported.
        why: String,
    },
    /// The demo has no step with this number.
    #[error("the demo has no step {0}")]
    Step(usize),
    /// The demo could not be played.
    #[error(transparent)]
    Demo(#[from] DemoError),
}

/// Plays the demo of an inventory's lab on its leaves: the steps with these numbers, or all if `steps` is empty.
///
/// # Errors
/// [`VerifyError`] if the leaves could not be compared. Differences are not errors.
pub async fn run(inventory: &Path, steps: &[usize], out: &mut impl Write) -> Result<Survey, VerifyError> {
    let inventory = Inventory::read(inventory)?;
    let mut demo = Demo::read(&inventory.lab)?;
    demo.slow_down(inventory.patience);
    if let Some(unknown) = steps.iter().find(|number| !(1..=demo.steps.len()).contains(number)) {
        return Err(VerifyError::Step(*unknown));
    }
    let devices = Devices::connect(inventory, READ_WITHIN).await?;
    devices.introduce(out).map_err(DemoError::Output)?;
    Ok(survey(&devices, demo, steps, Screen::stdout(), out).await?)
}
