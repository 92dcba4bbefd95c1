//! `k8s-services`: an NDK agent that says, for every Kubernetes LoadBalancer VIP, whether traffic that enters this
//! switch reaches a usable endpoint, and why not.
//!
//! Data goes one way: sources -> events ([`model`]) -> [`engine`] ->
//! changes -> publish. `run` wires them.

pub mod endpoint;
pub mod engine;
pub mod gnmi;
pub mod model;
pub mod ndk;
pub mod proto;
pub mod publish;
pub mod state_file;
pub mod supervise;
