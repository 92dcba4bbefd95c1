//! The on-box gNMI server: BGP neighbors and FIB programming.
//!
//! ```text
//! Source ── one connection after another
//!   ├─ Subscribe 1   neighbors of all network instances, counters of routes the FIB refused; the clock, sampled: a
//!   │                server that does not say what time it is any more is gone
//!   ├─ Subscribe 2   FIB programming in the network instances clusters use, changes only
//!   └─ Subscribe 3   the same with what stands, where a counter says that something failed before
//!        ── leaves ── tables .... Event::Neighbors, Event::Fib, Event::Source(Gnmi, ...)
//! ```
//!
//! Servers limit requests (60 a minute by default), so there are never more RPCs than these; 2 and 3 are made anew only
//! when the set of network instances changes, or when a counter tells of failures that no change told of. A leaf the server
//! does not know is left out from then on. Nothing here writes.

mod client;
mod fib;
mod get;
mod leaf;
mod neighbors;
mod path;
mod source;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use self::client::{Credentials, PasswordFile};
pub use self::get::{GetError, get};
pub use self::path::PathError;
pub use self::source::{Options, Source};
