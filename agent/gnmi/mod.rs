//! The on-box gNMI server: BGP neighbors, counters of route tables and FIB programming.
//!
//! ```text
//! Source ── one connection after another, within a limit of requests
//!   └─ Connection
//!        ├─ Subscribe     neighbors and counters of all network instances; the clock, sampled: a server that does not
//!        │                say what time it is any more is gone
//!        └─ Programming   FIB programming in the network instances clusters use
//!             ├─ Subscribe   changes only, where the switch counts no failure
//!             └─ Subscribe   what stands, then changes, everywhere else
//!        ├─ Entries       who answers ARP or ND for VIPs that are announced so: Subscribe, sampled
//!        ├─ Investigator  a few Gets about what is not up, when the engine asks .. Event::Finding
//!        ── leaves ── tables .... Event::{Neighbors, ActiveRoutes, Fib, Coverage, Source(Gnmi, ...)}
//! ```
//!
//! Servers limit requests (60 a minute by default), so there are never more RPCs than these, whatever the number of VIPs.
//! A subscription that is refused is tried in its next simpler form before a leaf is left out, and what is left out, or
//! cannot be had at the moment, is unknown: [`Coverage`](crate::model::switch::Coverage) says what is not. Nothing here
//! writes.

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
pub use self::get::{GetError, get, get_config, unprefixed};
pub use self::probe::{ProbeError, Probed, probe};
pub use self::source::{Options, Source};
