//! Talks to the NDK: registration, notification streams, configuration delivery, state.
//!
//! ```text
//! Session ── one registration after another, each with one connection of its own
//!   ├─ keepalive      every 10 s ................. Event::Source(Ndk, Alive)
//!   ├─ stream         network instances, routes, next-hop groups, applications, BFD
//!   │    │            ── decode ── batches ....... Event::Switch, Event::Source(Ndk, ...)
//!   │    └─ configuration, gathered to commits ... Commit, answered by AcknowledgeConfig
//!   └─ Registration   (watch) .................... Telemetry, for the publisher
//! ```
//!
//! There is one stream with every subscription, all added before it is opened: a second stream of the same agent was
//! seen refused, and a subscription added to an open stream was never seen to work.
//!
//! A stream that ends while calls still work is reopened at once. A call that fails, or a lost connection, ends the
//! registration: the NDK may have been restarted and have forgotten everything, so the agent registers again and the
//! generation grows. This module never writes state itself, and never decides what configuration means.

mod agent_name;
mod ask;
mod client;
mod config;
mod convert;
mod decode;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inline;
mod pace;
mod recreate;
mod session;
mod stream;
mod telemetry;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::ask::{AskError, ask};
pub use self::config::Commit;
pub use self::session::{Registration, Session};
pub use self::telemetry::{Telemetry, TelemetryError};
use crate::server_addr::ServerAddr;

/// The agent's name in app_mgr, by which the NDK knows it.
pub const AGENT_NAME: &str = "k8s-services";

/// How the NDK is reached and used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the NDK is.
    pub endpoint: ServerAddr,
    /// Whether the NDK distinguishes creation from update and sends data on delete. The agent understands both modes;
    /// off uses less of the switch.
    pub enable_cache: bool,
    /// Without a keepalive for this long, the NDK has the agent killed.
    pub liveliness: Duration,
    /// How often a keepalive is sent.
    pub keepalive: Duration,
    /// How long the stream must be quiet before its dump counts as complete, if nothing counts its routes: the NDK does
    /// not mark the end.
    pub quiet: Duration,
}

impl Options {
    /// Returns options for the NDK at `endpoint`, with the times that SR Linux agents use.
    pub fn new(endpoint: ServerAddr) -> Self {
        Self {
            endpoint,
            enable_cache: false,
            liveliness: Duration::from_secs(30),
            keepalive: Duration::from_secs(10),
            quiet: Duration::from_secs(1),
        }
    }
}
