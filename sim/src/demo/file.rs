//! The demo file: what is broken and healed, and what each leaf must report.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::lab::{Action, LabFileError, read_yaml};

const DEMO_FILE: &str = "demo.yaml";

/// A scripted demo.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Demo {
    /// The entry to which the steps refer.
    pub watch: String,
    /// What every leaf reports when nothing is broken, relative to `watch`.
    pub(crate) healthy: Expectations,
    /// Maximum time to reach the healthy state at the start, in seconds.
    #[serde(default = "start_bound", deserialize_with = "seconds")]
    pub start_within: Duration,
    /// Command lines per leaf whose output is shown before anything breaks.
    #[serde(default)]
    pub show: Vec<Show>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A command whose output is shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Show {
    /// Name of the leaf.
    pub leaf: String,
    /// The command line.
    pub command: String,
}

/// Something that breaks and is healed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// What happens, in a few words.
    pub title: String,
    /// The actions that break it.
    #[serde(rename = "do")]
    pub actions: Vec<Action>,
    /// What each leaf must report then.
    pub(crate) expect: Expectations,
    /// The actions that heal it. The runner waits for the healthy state after them.
    #[serde(default)]
    pub heal: Vec<Action>,
    /// Differences from the healthy state after healing.
    #[serde(default)]
    pub(crate) healed: Expectations,
    /// Maximum time of each of the two waits, in seconds.
    #[serde(default = "step_bound", deserialize_with = "seconds")]
    pub within: Duration,
}

/// Expectations by leaf. `*` stands for every leaf that is not named.
pub(crate) type Expectations = BTreeMap<String, Expectation>;

/// Expectations of one leaf: paths (relative to the demo's `watch`, or from the root) and the expected values.
pub(crate) type Expectation = BTreeMap<String, Expected>;

/// A value expected at a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", from = "RawExpected")]
pub(crate) enum Expected {
    /// Exactly this value.
    Is(String),
    /// A text that contains this one.
    Contains(String),
    /// Any value.
    Present,
    /// No value.
    Absent,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawExpected {
    Contains { contains: String },
    Presence { present: bool },
    Plain(Value),
}

impl From<RawExpected> for Expected {
    fn from(raw: RawExpected) -> Self {
        match raw {
            RawExpected::Contains { contains } => Self::Contains(contains),
            RawExpected::Presence { present: true } => Self::Present,
            RawExpected::Presence { present: false } | RawExpected::Plain(Value::Null) => Self::Absent,
            RawExpected::Plain(Value::String(text)) => Self::Is(text),
            RawExpected::Plain(value) => Self::Is(value.to_string()),
        }
    }
}

impl Expected {
    /// Returns whether a leaf's value meets the expectation.
    pub(crate) fn holds(&self, got: Option<&str>) -> bool {
        match (self, got) {
            (Self::Is(text), Some(got)) => got == text,
            (Self::Contains(text), Some(got)) => got.contains(text.as_str()),
            (Self::Present, got) => got.is_some(),
            (Self::Absent, got) => got.is_none(),
            (Self::Is(_) | Self::Contains(_), None) => false,
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(text) => formatter.write_str(text),
            Self::Contains(text) => write!(formatter, "text that contains '{text}'"),
            Self::Present => formatter.write_str("present"),
            Self::Absent => formatter.write_str("absent"),
        }
    }
}

impl Demo {
    /// Multiplies all time limits.
    pub(crate) fn slow_down(&mut self, times: f64) {
        self.start_within = self.start_within.mul_f64(times);
        self.steps.iter_mut().for_each(|step| step.within = step.within.mul_f64(times));
    }

    /// Reads the demo of a lab.
    ///
    /// # Errors
    /// Returns an error if the file is missing, is not YAML, or is not a demo.
    pub fn read(lab: &Path) -> Result<Self, LabFileError> {
        read_yaml(&lab.join(DEMO_FILE))
    }
}

fn start_bound() -> Duration {
    Duration::from_secs(30)
}

fn step_bound() -> Duration {
    Duration::from_secs(10)
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// Returns the expectation of one leaf: its own, or that of `*`.
pub(crate) fn of_leaf<'a>(expectations: &'a Expectations, leaf: &str) -> Option<&'a Expectation> {
    expectations.get(leaf).or_else(|| expectations.get("*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(text: &str) -> Expected {
        let value: Value = serde_norway::from_str(text).expect("YAML");
        serde_json::from_value(value).expect("an expectation")
    }

    #[test]
    fn expectations_can_be_values_substrings_or_absence() {
        assert!(expected("up").holds(Some("up")));
        assert!(!expected("up").holds(Some("down")));
        assert!(!expected("up").holds(None));
        assert!(expected("3").holds(Some("3")));
        assert!(expected("{ contains: cluster1 }").holds(Some("session of cluster1 is down")));
        assert!(!expected("{ contains: cluster1 }").holds(None));
        assert!(expected("null").holds(None));
        assert!(!expected("null").holds(Some("")));
        assert!(expected("{ present: true }").holds(Some("")));
        assert!(expected("{ present: false }").holds(None));
    }

    #[test]
    fn every_demo_file_in_the_repository_parses() {
        let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab");
        for entry in std::fs::read_dir(labs).expect("the lab folder") {
            let folder = entry.expect("an entry").path();
            if folder.join(DEMO_FILE).exists() {
                let demo = Demo::read(&folder).unwrap_or_else(|error| panic!("{error}: {:?}", error));
                assert!(!demo.steps.is_empty());
            }
        }
    }
}
