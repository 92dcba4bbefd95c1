//! Kinds of switches to emulate: the release, and behaviour of that release that is uncertain.
//!
//! If a behaviour of a release has been observed, its profile has it. The rest is chosen such that profiles differ, and
//! `strict` has the least convenient behaviour everywhere. The default refuses nothing.

use std::str::FromStr;
use std::time::Duration;

use crate::gnmi::GnmiSwitches;
use crate::ndk::{AcceptedPaths, Enumerations, Misspelled, Spelling, StaleState, Switches, TooLarge};

/// A kind of switch.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Release it claims to run, such as `v25.3.1`. The CLI's output depends on it.
    pub release: String,
    /// Behaviour of its NDK.
    pub ndk: Switches,
    /// Behaviour of its gNMI servers.
    pub gnmi: GnmiSwitches,
    /// Whether it has the factory's control-plane filter, which drops the answers of an API server on port 6443.
    pub cpm_filter: bool,
    /// Whether the NDK runs without configuration, as it does up to 24.10.
    pub ndk_always_on: bool,
    /// What happens when the application manager is reloaded.
    pub reload: Reload,
}

/// What happens while the application manager loads an application's YANG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Time for which CLI and gNMI are away.
    pub away: Duration,
    /// Whether the startup configuration is loaded again, so that unsaved configuration is lost.
    pub loses_unsaved: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            release: "v25.3.1".to_owned(),
            ndk: Switches::default(),
            gnmi: GnmiSwitches::default(),
            cpm_filter: false,
            ndk_always_on: true,
            reload: Reload::default(),
        }
    }
}

impl From<Switches> for Profile {
    fn from(ndk: Switches) -> Self {
        Self { ndk, ..Self::default() }
    }
}

/// The name of a profile is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown release '{0}' (known: {known})", known = Profile::NAMES.join(", "))]
pub struct UnknownProfile(String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "default" => Ok(Self::default()),
            "24.10" => Ok(Self::r24_10()),
            "25.3" => Ok(Self::r25_3()),
            "25.10" => Ok(Self::r25_10()),
            "26.3" => Ok(Self::r26_3()),
            "26.7" => Ok(Self::r26_7()),
            "strict" => Ok(Self::strict()),
            other => Err(UnknownProfile(other.to_owned())),
        }
    }
}

impl Profile {
    /// Names of all profiles.
    pub const NAMES: [&str; 7] = ["default", "24.10", "25.3", "25.10", "26.3", "26.7", "strict"];

    /// Returns what every device has: the factory's filter, an NDK that is off until it is configured, and a reload
    /// that takes time.
    fn device(release: &str, ndk: Switches, gnmi: GnmiSwitches) -> Self {
        Self {
            release: release.to_owned(),
            ndk,
            gnmi,
            cpm_filter: true,
            ndk_always_on: false,
            reload: Reload { away: Duration::from_secs(2), loses_unsaved: false },
        }
    }

    /// Enumerations with the leaf's name, as observed on 24.7 and 24.10; an NDK that is always on; plain JSON over
    /// gNMI.
    fn r24_10() -> Self {
        let ndk = Switches { enumerations: Enumerations::Prefixed, ..Switches::default() };
        let gnmi = GnmiSwitches { plain_json: true, ..GnmiSwitches::default() };
        Self { ndk_always_on: true, ..Self::device("v24.10.3", ndk, gnmi) }
    }

    /// No application for 25.3 that writes enumerations has been published. Assumes the form of 24.10, but without
    /// hyphens.
    fn r25_3() -> Self {
        let ndk = Switches { enumerations: Enumerations::PrefixedUnderscores, ..Switches::default() };
        Self::device("v25.3.1", ndk, GnmiSwitches::default())
    }

    /// Paths with hyphens, as observed on 25.10.
    fn r25_10() -> Self {
        let ndk = Switches {
            telemetry_paths: AcceptedPaths::Hyphen,
            enumerations: Enumerations::Plain,
            ..Switches::default()
        };
        let gnmi = GnmiSwitches { updates_only: false, ..GnmiSwitches::default() };
        Self::device("v25.10.1", ndk, gnmi)
    }

    /// Plain enumerations and first notifications that are all zero, as observed on 26.3; no defaults in delivered
    /// configuration, and a reload that loses unsaved configuration.
    fn r26_3() -> Self {
        let ndk = Switches {
            enumerations: Enumerations::Plain,
            zero_network_instances_first: true,
            deliver_defaults: false,
            config_path_spelling: Spelling::Hyphen,
            ..Switches::default()
        };
        let mut profile = Self::device("v26.3.1", ndk, GnmiSwitches::default());
        profile.reload.loses_unsaved = true;
        profile
    }

    /// One stream, underscores and prefixed enumerations, as observed on 26.7.
    fn r26_7() -> Self {
        let ndk = Switches {
            telemetry_paths: AcceptedPaths::Underscore,
            misspelled: Misspelled::NotShown,
            enumerations: Enumerations::Prefixed,
            one_stream: true,
            zero_network_instances_first: true,
            ..Switches::default()
        };
        let gnmi = GnmiSwitches { wildcards: false, ..GnmiSwitches::default() };
        Self::device("v26.7.2", ndk, gnmi)
    }

    /// The least convenient variant of every uncertain behaviour.
    fn strict() -> Self {
        let ndk = Switches {
            config_path_spelling: Spelling::Hyphen,
            telemetry_paths: AcceptedPaths::Underscore,
            misspelled: Misspelled::NotShown,
            enumerations: Enumerations::PrefixedUnderscores,
            containers_below_root: false,
            one_stream: true,
            subscribe_while_open: false,
            deliver_defaults: false,
            stale_state: StaleState::UntilDeleted,
            zero_network_instances_first: true,
            batch: 1,
            late_stream_headers: true,
            too_large: TooLarge::BreaksConnection,
            ..Switches::default()
        };
        let gnmi = GnmiSwitches { updates_only: false, wildcards: false, ..GnmiSwitches::default() };
        let mut profile = Self::device("v26.7.2", ndk, gnmi);
        profile.reload = Reload { away: Duration::from_secs(5), loses_unsaved: true };
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_is_a_profile_and_errors_list_the_names() {
        for name in Profile::NAMES {
            assert!(name.parse::<Profile>().is_ok(), "{name}");
        }
        let unknown = "25.4".parse::<Profile>().expect_err("unknown").to_string();
        assert!(unknown.contains("'25.4'") && unknown.contains("26.7, strict"), "{unknown}");
    }
}
