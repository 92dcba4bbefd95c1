//! What this switch was found to want: `/k8s-services/statistics/adaptation`.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Refused paths and features that are listed at most: enough to see what a release lacks.
const MOST: usize = 16;

/// How the agent adapted to the switch. What is `None` or empty is not known yet, or was not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adaptation {
    /// `streams`: notification streams of the NDK in use, "one" or "two".
    pub streams: Option<&'static str>,
    /// `end-of-dump`: how the end of the dump of routes is known, "counted" or "quiet".
    pub end_of_dump: Option<&'static str>,
    /// `gnmi-encoding`: "json-ietf" or "proto".
    pub gnmi_encoding: Option<&'static str>,
    /// `release` of SR Linux.
    pub release: Option<Arc<str>>,
    /// `refused-path`.
    pub refused_paths: BTreeSet<Arc<str>>,
    /// `refused-feature`.
    pub refused_features: BTreeSet<Arc<str>>,
}

impl Adaptation {
    /// The gNMI server refused a path; it is listed as asked. Returns whether that is new.
    pub fn refuse_path(&mut self, path: &str) -> bool {
        add(&mut self.refused_paths, path)
    }

    /// The gNMI server refused a feature, such as `updates_only`. Returns whether that is new.
    pub fn refuse_feature(&mut self, feature: &str) -> bool {
        add(&mut self.refused_features, feature)
    }
}

fn add(list: &mut BTreeSet<Arc<str>>, text: &str) -> bool {
    list.len() < MOST && !list.contains(text) && list.insert(Arc::from(text))
}
