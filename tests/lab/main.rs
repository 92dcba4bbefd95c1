//! The agent as a process of its own, on emulated leaves of the anycast lab: what an operator reads there, through
//! everything between a cluster and YANG state.
//!
//! `bench` starts labs and waits for what leaves should say; a test that fails keeps its lab's folder and names the
//! agent's log.

mod bad_input;
mod bench;
mod config;
mod outcomes;
mod restarts;
mod subscription;
mod writing;
