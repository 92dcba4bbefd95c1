//! Tests the agent with third-party software. Most of them need root, and are skipped with a message otherwise.
//!
//! The emulated leaf shows what a real BGP implementation does: `net` creates hosts as network namespaces, `daemons`
//! runs FRR on them, `site` connects a leaf and three nodes, `routing` breaks and heals them, `packets` sends flows to
//! pods meanwhile, and `causes` checks the reported causes. `apiserver` runs a real control plane on another host,
//! `admin` creates objects in it, and `kubernetes` tests the agent with it. `gnmi` has clients of a leaf, `bindings`
//! NDK programs in Python, `ndk` applications in Go, and `predecessor` kButler; `foreign` runs such programs with the
//! paths of a switch. `peers` finds the software built for these tests.

mod admin;
mod apiserver;
#[allow(dead_code, reason = "shared with the tests of labs")]
#[path = "../lab/bench.rs"]
mod bench;
mod bindings;
mod causes;
mod daemons;
mod foreign;
mod gnmi;
#[path = "../lab/heard.rs"]
mod heard;
mod kubernetes;
mod metallb;
mod ndk;
mod net;
mod packets;
mod peers;
mod predecessor;
#[path = "../chaos/process.rs"]
mod process;
mod routing;
mod site;
#[allow(dead_code, reason = "shared with the tests of what is recorded")]
#[path = "../telemetry/stack.rs"]
mod telemetry_stack;
#[path = "../tools/mod.rs"]
mod tools;
