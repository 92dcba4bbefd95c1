//! The NDK: registration, notification streams, configuration delivery, state.
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
//! There is one stream with every subscription, made before it is opened: a second one of the same agent was seen refused,
//! and a subscription added to an open one was never seen.
//!
//! A stream that ends while calls still work is reopened at once. A call that fails, or a lost connection, ends the
//! registration: the NDK may have been restarted and have forgotten everything, so the agent registers again and the
//! generation grows. It never writes state itself, and never decides what configuration means.

mod ask;
mod client;
mod config;
mod convert;
mod decode;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inline;
mod pace;
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
use crate::endpoint::Endpoint;

/// The name the agent has in app_mgr, and the NDK knows it by.
pub const AGENT_NAME: &str = "k8s-services";

/// How the NDK is reached and used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub endpoint: Endpoint,
    /// Have the NDK distinguish creation from update, and send data on delete. Both modes are understood; off costs the switch less.
    pub enable_cache: bool,
    /// The NDK has the agent killed when it hears no keepalive for this long.
    pub liveliness: Duration,
    /// How often a keepalive is sent.
    pub keepalive: Duration,
    /// How long the stream must be quiet for its dump to count as complete where nothing counts its routes: the NDK does
    /// not mark the end.
    pub quiet: Duration,
}

impl Options {
    /// The NDK at `endpoint`, with the times SR Linux agents use.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            enable_cache: false,
            liveliness: Duration::from_secs(30),
            keepalive: Duration::from_secs(10),
            quiet: Duration::from_secs(1),
        }
    }
}
