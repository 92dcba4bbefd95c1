//! What an API server, a tenant or a file can do to the agent: everything here is an input nobody sends who means well. It
//! must be named in state, cost little memory, and touch no other cluster.
//!
//! The server is raw sockets, so that it can send what no library would; the source is the real one, in this process, with
//! its real patience and limits.

mod answers;
mod cluster;
mod damage;
mod files;
mod memory;
mod mutated;
mod process;
mod server;
mod tenants;
