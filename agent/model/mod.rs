//! Defines the values of the domain: plain data, no I/O, no clock.
//!
//! Sources send [`event`]s, the engine returns [`view`]s, and both consist of the values here. Data flows in one
//! direction: sources -> [`event::Event`] -> engine -> [`view::Change`] -> publisher.

#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod adaptation;
pub mod alarm;
pub mod cluster;
pub mod commit;
pub mod config;
pub mod event;
pub mod inquiry;
pub mod names;
pub mod persistent;
pub mod selector;
pub mod source;
pub mod speaker;
pub mod switch;
pub mod text;
pub mod time;
pub mod verdict;
pub mod view;
mod words;
