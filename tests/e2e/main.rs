//! The agent against software that is not ours. Most of it needs root, and says so.
//!
//! Here the emulated leaf shows what a real BGP implementation does: `net` makes hosts of network namespaces, `daemons` runs
//! FRR on them, `site` puts a leaf and three nodes together, `routing` breaks and heals them, `packets` sends flows to pods
//! meanwhile, `causes` has the agent say why.
//! `apiserver` runs a real control plane on another host, `admin` makes objects in it, `kubernetes` is what the agent makes
//! of it. `gnmi` has clients of a leaf, `bindings` has NDK programs in Python, `ndk` applications in Go, and `predecessor`
//! kButler; `foreign` has them find themselves on a switch. `peers` finds what was built.

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
