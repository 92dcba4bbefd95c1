//! An emulated SR Linux leaf, a fabric of them, and a small Kubernetes API server.

pub mod appmgr;
pub mod cli;
pub mod cluster;
pub mod datastore;
pub mod demo;
pub mod fabric;
pub mod frr;
pub mod gnmi;
pub mod lab;
pub mod leaf;
mod native_state;
pub mod ndk;
pub mod path;
pub mod profile;
pub mod proxy;
pub mod schema;
pub mod tables;
pub mod truth;
pub mod verify;
