//! The wire formats: code compiled from `proto/`, and its descriptors.

#![allow(missing_docs, unreachable_pub, clippy::all)]

/// NDK 0.5.0, package `srlinux.sdk`.
pub mod ndk {
    tonic::include_proto!("srlinux.sdk");
}

/// gNMI 0.10.
pub mod gnmi {
    tonic::include_proto!("gnmi");
}

/// gNMI extensions.
pub mod gnmi_ext {
    tonic::include_proto!("gnmi_ext");
}

/// The compiled `FileDescriptorSet` of everything above.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
