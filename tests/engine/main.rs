//! Tests the engine from outside: events in, published state out.
//!
//! `world` keeps what events said, `oracle` recomputes everything from it in a slow and obvious way, `property`
//! compares the engine with the oracle over random event sequences, and the table tests check what an operator reads.

mod alarm_rules;
mod alarms;
mod announcers;
mod causes;
mod clusters;
mod dump;
mod field;
mod findings;
mod l2;
mod nodes;
mod oracle;
mod persistent;
mod property;
mod resources;
mod rows;
mod said;
mod scenario;
mod seeds;
mod sharing;
mod sources;
mod speakers;
mod touched;
mod why;
mod without;
mod world;
mod wrong_words;
