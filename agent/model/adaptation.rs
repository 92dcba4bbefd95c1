//! Defines what this switch was found to require: `/k8s-services/statistics/adaptation`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// How the agent adapted to the switch. Fields that are `None` or empty are not known yet, or were not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adaptation {
    /// `streams`: notification streams of the NDK in use.
    pub streams: Option<&'static str>,
    /// `end-of-dump`: how the end of the last dump of routes was known.
    pub end_of_dump: Option<DumpEnd>,
    /// `gnmi-encoding`: "json-ietf", "proto" or "json".
    pub gnmi_encoding: Option<&'static str>,
    /// `release` of SR Linux.
    pub release: Option<Arc<str>>,
    /// What the switch refused, by asker: each knows only its own requests.
    pub refused: BTreeMap<Asker, Refused>,
}

/// What ended a dump of routes. The numbers are prefixes in the network instances that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpEnd {
    /// At least as many prefixes were received as the switch counts active.
    Counted {
        /// Prefixes received.
        received: u64,
        /// Prefixes the switch counts active.
        active: u64,
    },
    /// Nothing more arrived.
    Quiet {
        /// The same two numbers, if the switch counts.
        numbers: Option<(u64, u64)>,
    },
}

/// A part of the agent that asks the switch for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// The session with the NDK.
    Ndk,
    /// The gNMI subscriptions, and the questions about what is not up.
    Gnmi,
    /// The reader of the agent's own state.
    ReadBack,
}

/// What was refused to one asker, which works without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Paths as an operator would write them.
    pub paths: BTreeSet<Arc<str>>,
    /// Features, such as `updates_only`.
    pub features: BTreeSet<Arc<str>>,
}

impl Adaptation {
    /// Returns `refused-path`.
    pub fn refused_paths(&self) -> BTreeSet<&str> {
        self.refused.values().flat_map(|refused| &refused.paths).map(|path| &**path).collect()
    }

    /// Returns `refused-feature`.
    pub fn refused_features(&self) -> BTreeSet<&str> {
        self.refused.values().flat_map(|refused| &refused.features).map(|feature| &**feature).collect()
    }
}

impl fmt::Display for DumpEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, numbers) = match self {
            Self::Counted { received, active } => ("counted", Some((*received, *active))),
            Self::Quiet { numbers } => ("quiet", *numbers),
        };
        f.write_str(word)?;
        match numbers {
            Some((received, active)) => write!(f, " ({received} prefixes received, {active} active)"),
            None => Ok(()),
        }
    }
}
