//! The switch's own modules: a small part of SR Linux's native model, rewritten.

use yang5::context::{EmbeddedModuleKey, EmbeddedModules};

macro_rules! texts {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every native module.
        pub(super) const TEXTS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../yang/", $name, ".yang")))),*];
    };
}

texts![
    "srl_nokia-extensions",
    "srl_nokia-features",
    "srl_nokia-common",
    "srl_nokia-interfaces",
    "srl_nokia-network-instance",
    "srl_nokia-bgp",
    "srl_nokia-ip-route-tables",
    "srl_nokia-bfd",
    "srl_nokia-system",
    "srl_nokia-system-name",
    "srl_nokia-system-info",
    "srl_nokia-app-mgmt",
    "srl_nokia-ndk",
    "srl_nokia-grpc",
    "srl_nokia-acl",
    "srl_nokia-bgp-rib",
    "srl_nokia-bgp-vpn",
    "srl_nokia-bridge-table",
    "srl_nokia-lldp",
    "srl_nokia-platform",
    "srl_nokia-tunnel-interfaces",
];

/// Returns the native modules in the form in which libyang looks for them.
pub(super) fn embedded() -> EmbeddedModules {
    TEXTS.iter().map(|(name, text)| (EmbeddedModuleKey::new(name, None, None, None), *text)).collect()
}
