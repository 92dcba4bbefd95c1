//! Kubernetes clusters: what their API servers say, as events.
//!
//! One [`ClusterSource`] per configured cluster, supervised forever. It owns the link to one API server and nothing
//! else: it never judges, and knows neither the switch nor other clusters.
//!
//! ```text
//!   credentials ──▶ client ──▶ link ─┬─▶ services ────────┐
//!   (files, SIGHUP)   │              ├─▶ endpoint slices ─┤
//!                  /version          ├─▶ nodes ───────────┼─▶ Event ──▶ engine
//!                                    └─▶ the speaker's ───┘
//!                                        own resources
//! ```
//!
//! `source` keeps the link: it loads the credentials (`credentials`, `token`, `tls`), asks the server for its version, and hands
//! a client (`http`, `dial`) to three list-and-watch loops (`watch`, `stream`, `lines`); it does so again when a file rotates,
//! on SIGHUP and when a loop fails. Objects are reduced on arrival (`objects`, `bounded`, `reduce`) to what the engine reads. A
//! listing is one `Update::All` per kind. `speaker` follows what is there of the speaker's own resources. The other way goes
//! only what the operator turned on: `notices` writes alarms as Kubernetes Events, as many as `budget` allows.
//!
//! Nothing a server sends is unbounded: `limits` has every limit, with its reason.

mod bounded;
mod budget;
mod condition;
mod credentials;
mod dial;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod http;
mod kept;
mod limits;
mod lines;
mod link;
mod notices;
mod objects;
mod probe;
mod reason;
mod reduce;
mod reporter;
mod source;
mod speaker;
mod stream;
mod timings;
mod tls;
mod token;
mod watch;

#[cfg(test)]
mod tests;

pub use dial::Dialers;
pub use notices::Notices;
pub use probe::{Fault, Stage, Step, probe};
pub use source::{ClusterSource, ConnectOptions};
