//! `srl-sim verify`: the demo of a lab on real leaves, and where they differ from emulated ones.
//!
//! ```text
//! inventory   where the leaves are, how to type on them, what pulls a lever there
//! mirror      gNMI: one subscription a leaf keeps a copy of its /k8s-services
//! device      the stage the demo is played on: reads the mirrors, runs commands
//! ```
//!
//! The demo's expectations are what emulated leaves say, which tests hold. So an expectation that a device does not meet is
//! a difference between device and emulator: it is listed, and the demo goes on.

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

/// How long the first values of all leaves may take.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Why leaves were not compared with emulated ones.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The inventory, or the demo it names.
    #[error(transparent)]
    File(#[from] LabFileError),
    /// A secret in a file.
    #[error("cannot read password file {path}")]
    Password {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A leaf does not send its state.
    #[error("{leaf} at {target} does not tell its state: {why}")]
    Unread {
        /// The leaf.
        leaf: String,
        /// Where it was asked.
        target: String,
        /// The last that was heard.
        why: String,
    },
    /// What was asked for is none of the demo's steps.
    #[error("the demo has no step {0}")]
    Step(usize),
    /// The demo could not be played.
    #[error(transparent)]
    Demo(#[from] DemoError),
}

/// Plays the demo of an inventory's lab on its leaves; of all steps, or of those numbered.
///
/// # Errors
/// [`VerifyError`] where the leaves could not be compared; that they differ is no error.
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
