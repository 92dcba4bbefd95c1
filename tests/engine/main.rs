//! The engine against its specification, from outside: events in, published state out.
//!
//! `world` keeps what events said, `oracle` recomputes everything from it the slow and obvious way, `property` holds the
//! engine to the oracle over random event sequences, and the table tests say what an operator should read.

mod alarm_rules;
mod alarms;
mod announcers;
mod causes;
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
mod sources;
mod speakers;
mod touched;
mod why;
mod without;
mod world;
mod wrong_words;
