//! The agent against software that is not ours. Needs root, and says so.
//!
//! Here the emulated leaf shows what a real BGP implementation does: `net` makes hosts of network namespaces, `daemons` runs
//! FRR on them, `site` puts a leaf and three nodes together, `routing` breaks and heals them.

mod admin;
mod apiserver;
#[allow(dead_code, reason = "shared with the tests of labs")]
#[path = "../lab/bench.rs"]
mod bench;
mod daemons;
mod kubernetes;
mod metallb;
mod net;
mod peers;
mod routing;
mod site;
