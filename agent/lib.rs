//! `k8s-services`: an NDK agent that reports, for every Kubernetes LoadBalancer VIP, whether traffic that enters this
//! switch reaches a usable endpoint, and if not, why.
//!
//! Data flows in one direction: sources ([`ndk`], [`gnmi`], [`kubernetes`], [`config`]) -> events ([`model`]) ->
//! [`engine`] -> changes -> [`publish`]. [`run`](mod@run) wires them.

pub mod adapted;
#[cfg(test)]
mod cases;
pub mod config;
pub mod doctor;
pub mod engine;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gnmi;
pub mod harden;
pub mod kubernetes;
pub mod model;
pub mod ndk;
pub mod path;
pub mod publish;
mod read_back;
pub mod run;
pub mod server_addr;
pub mod state_file;
pub mod supervise;
pub mod syslog;
pub mod tree;

/// The package version, and the commit it was built from.
pub const VERSION: &str = env!("K8S_SERVICES_VERSION");
