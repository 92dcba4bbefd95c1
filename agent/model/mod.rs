//! The words of the domain: plain values, no I/O, no clock.
//!
//! Sources speak in [`event`]s, the engine answers in [`view`]s, and both are made of the values here. Data goes one
//! way: sources -> [`event::Event`] -> engine -> [`view::Change`] -> publisher.

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
pub mod speaker;
pub mod switch;
pub mod text;
pub mod time;
pub mod verdict;
pub mod view;
mod words;
