//! Reads Kubernetes clusters: turns what their API servers send into events.
//!
//! There is one [`ClusterSource`] per configured cluster, supervised until the configuration drops it. It owns the link
//! to one API server and nothing else: it never judges, and knows neither the switch nor other clusters.
//!
//! ```text
//!   credentials ──▶ client ──▶ link ─┬─▶ services ────────┐
//!   (files, SIGHUP)   │              ├─▶ endpoint slices ─┤
//!                  /version          ├─▶ nodes ───────────┼─▶ Event ──▶ engine
//!                                    └─▶ the speaker's ───┘
//!                                        own resources
//! ```
//!
//! `source` maintains the link: it loads the credentials (`credentials`, `token`, `tls`), asks the server for its
//! version, and passes a client (`http`, `dial`) to three list-and-watch loops (`watch`, `stream`, `lines`). It does so
//! again when a file rotates, on SIGHUP, and when a loop fails. Objects are reduced on arrival (`objects`, `bounded`,
//! `reduce`) to what the engine reads. A listing is one `Update::All` per kind. `speaker` follows the speaker's own
//! resources, if they exist. In the other direction only what the operator turned on is sent: `notices` writes alarms
//! as Kubernetes Events, as many as `budget` allows.
//!
//! Nothing a server sends is unbounded: `limits` has every limit, with its reason; `kept` and `memory` hold those of all
//! objects together.

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
mod memory;
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
