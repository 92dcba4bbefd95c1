//! Publishes the engine's changes as YANG state on the switch.
//!
//! One task owns all writing. It keeps the desired state and a digest of what it last wrote, and writes only the
//! entries that differ, in batches, one call at a time. A change that arrives during a call is written by the next
//! call, or, if so much is due that the next batch was already prepared, by the one after. Nothing here decides
//! anything.
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
