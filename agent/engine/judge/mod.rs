//! Pure functions of facts: evidence, verdict, sentence, and the views made of them.
//!
//! `gather` collects the [`evidence`] of one VIP (announcers by `announcers`, next-hops by `next_hops` and `doubt`), `verdict`
//! is the table that judges it, `detail` the sentence. `diagnosis` names the cause of what is not up, from the state of the
//! switch itself, and `explain` puts it into the views; `sole` and `without` work out what depends on one node. `service`,
//! `node`, `orphans` and `status` make the views.

pub(super) mod announcers;
mod detail;
mod diagnosis;
mod doubt;
pub(super) mod evidence;
pub(super) mod explain;
pub(super) mod gather;
mod l2;
mod next_hops;
pub(super) mod node;
pub(super) mod orphans;
pub(super) mod service;
pub(super) mod shared;
mod sole;
pub(super) mod status;
mod verdict;
mod without;
