//! Reads BGP neighbors, counters of route tables and FIB programming from the on-box gNMI server.
//!
//! ```text
//! Source ── one connection after another, within a limit of requests
//!   └─ Connection
//!        ├─ Subscribe     neighbors and counters of all network instances; the clock, sampled: a server that no
//!        │                longer sends it is gone
//!        └─ Programming   FIB programming in the network instances clusters use
//!             ├─ Subscribe   changes only, if the switch counts no failure
//!             └─ Subscribe   existing entries, then changes, otherwise
//!        ├─ Entries       who answers ARP or ND for VIPs that are announced that way: Subscribe, sampled
//!        ├─ Investigator  a few Gets about what is not up, when the engine asks .. Event::Finding
//!        ── leaves ── tables .... Event::{Neighbors, ActiveRoutes, Fib, Coverage, Source(Gnmi, ...)}
//! ```
//!
//! Servers limit requests (60 a minute by default), so there are never more RPCs than these, whatever the number of
//! VIPs. A refused subscription is tried in its next simpler form before a leaf is left out. What is left out, or
//! cannot be read at the moment, is unknown; [`Coverage`](crate::model::switch::Coverage) says what is known. Nothing
//! here writes.

mod client;
mod connection;
mod counters;
mod entries;
mod fib;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod get;
mod investigator;
mod leaf;
mod link;
mod neighbors;
mod notifications;
mod path;
mod probe;
mod programming;
mod published;
mod requests;
mod source;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use self::client::{Credentials, PasswordFile};
pub use self::get::{GetError, get, get_config, has_any, unprefixed};
pub use self::link::Options;
pub use self::probe::{ProbeError, Probed, probe};
pub use self::source::Source;
