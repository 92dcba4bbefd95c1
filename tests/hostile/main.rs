//! Tests what an API server, a tenant or a file can do to the agent. All inputs here are malicious. They must be named
//! in state, cost little memory, and not affect other clusters.
//!
//! The server uses raw sockets, so that it can send what no library would. The source is the real one, in this process,
//! with its real timeouts and limits. `whole` runs the whole agent, on an emulated leaf.

mod answers;
#[path = "../../agent/cases.rs"]
mod cases;
mod cluster;
mod damage;
mod files;
mod leaf;
mod memory;
mod mutated;
mod process;
mod server;
mod tenants;
mod whole;
