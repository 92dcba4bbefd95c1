//! From the engine's changes to YANG state on the switch.
//!
//! One task owns the writing. It keeps the state as it should stand and a digest of what it last wrote, and writes only
//! the entries that differ, in batches, one call at a time; what changes while a call is under way goes with the next, or,
//! where so much is due that the next was made ahead, with the one after it. Nothing here decides anything.

mod alarm;
mod entry;
mod first_sync;
mod leftover;
mod path;
mod publisher;
mod sink;
mod tree;

pub(crate) use alarm::resource;
pub use publisher::{Input, Publisher};
pub use sink::{Sink, WriteError};
