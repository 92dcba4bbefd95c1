//! An emulated SR Linux leaf, a fabric of them, and a small Kubernetes API server.

pub mod cluster;
pub mod fabric;
pub mod tables;
