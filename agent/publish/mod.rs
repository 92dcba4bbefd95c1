//! From the engine's changes to YANG state on the switch.
//!
//! One task owns the writing. It keeps the state as it should stand and a digest of what it last wrote, and writes only
//! the entries that differ, in batches, one call at a time; what changes while a call is under way goes with the next, or,
//! where so much is due that the next was prepared, with the one after it. Nothing here decides anything.
//!
//! ```text
//! Change -> desired (views) -> entry (JSON) -> difference to standing -> batch -> dialect -> sink
//!                                                    refused, deletes <- answers of the NDK
//! ```

mod alarm;
mod batch;
mod call;
mod deletes;
mod desired;
mod dialect;
mod entry;
mod first_sync;
mod item;
mod leftover;
mod publisher;
mod refused;
mod root;
mod sink;
mod standing;

pub use publisher::{Input, Publisher};
pub use sink::{Sink, WriteError};
