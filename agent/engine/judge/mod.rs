//! Judges facts with pure functions: evidence, verdict, sentence, and the views made of them.
//!
//! `gather` collects the [`evidence`] about one VIP (announcers by `announcers`, next-hops by `next_hops` and `doubt`,
//! what services of one VIP have in common by `carriers`).
//! `verdict` is the table that judges it, and `detail` writes the sentence. `diagnosis` names the cause of what is not
//! up, from the state of the switch itself, and `explain` adds it to the views. `sole` and `without` work out what
//! depends on one node. `service`, `node`, `orphans` and `status` make the views.

pub(super) mod announcers;
mod carriers;
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
