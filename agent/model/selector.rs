//! Defines labels and label selectors.

use std::fmt;
use std::sync::Arc;

/// The labels of an object, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Returns the value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }
}

impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for Labels {
    /// If a name occurs several times, its last label counts.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut labels: Vec<(Arc<str>, Arc<str>)> =
            labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        labels.reverse();
        labels.sort_by(|(one, _), (other, _)| one.cmp(other));
        labels.dedup_by(|(one, _), (other, _)| one == other);
        Self(labels.into())
    }
}

/// A label selector. An object must meet every requirement, so that a selector without requirements selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Box<[Requirement]>);

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The name of the label.
    pub label: Arc<str>,
    /// What is required of it.
    pub must: Must,
}

/// The kinds of requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Must {
    /// It has one of these values.
    BeIn(Box<[Arc<str>]>),
    /// It has none of these values, or is absent.
    NotBeIn(Box<[Arc<str>]>),
    /// It is present.
    Exist,
    /// It is absent.
    NotExist,
}

impl fmt::Display for Selector {
    /// Writes the selector in the form `kubectl --selector` accepts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Requirement { label, must }) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match must {
                Must::BeIn(values) if values.len() == 1 => write!(f, "{label}={}", values[0])?,
                Must::NotBeIn(values) if values.len() == 1 => write!(f, "{label}!={}", values[0])?,
                Must::BeIn(values) => write!(f, "{label} in ({})", values.join(","))?,
                Must::NotBeIn(values) => write!(f, "{label} notin ({})", values.join(","))?,
                Must::Exist => write!(f, "{label}")?,
                Must::NotExist => write!(f, "!{label}")?,
            }
        }
        Ok(())
    }
}

impl Selector {
    /// Returns whether it selects an object; `label` returns the value of a label.
    pub fn selects<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = label(&requirement.label);
            match &requirement.must {
                Must::BeIn(values) => value.is_some_and(|value| values.iter().any(|known| **known == *value)),
                Must::NotBeIn(values) => value.is_none_or(|value| values.iter().all(|known| **known != *value)),
                Must::Exist => value.is_some(),
                Must::NotExist => value.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(label: &str, must: Must) -> Selector {
        Selector([Requirement { label: label.into(), must }].into())
    }

    #[test]
    fn requirements_match_present_and_absent_labels_as_in_kubernetes() {
        let labels: Labels = [("tier", "edge"), ("rack", "1"), ("tier", "core")].into_iter().collect();
        let values = |values: &[&str]| values.iter().map(|value| Arc::from(*value)).collect();
        for (label, must, selected) in [
            ("tier", Must::BeIn(values(&["core", "spine"])), true),
            ("tier", Must::BeIn(values(&["edge"])), false),
            ("zone", Must::BeIn(values(&["a"])), false),
            ("tier", Must::NotBeIn(values(&["core"])), false),
            ("zone", Must::NotBeIn(values(&["a"])), true),
            ("rack", Must::Exist, true),
            ("zone", Must::Exist, false),
            ("rack", Must::NotExist, false),
            ("zone", Must::NotExist, true),
        ] {
            let selector = selector(label, must);
            assert_eq!(selector.selects(|name| labels.get(name)), selected, "{selector:?}");
        }
        assert!(Selector::default().selects(|_| None), "without requirements it selects everything");
    }
}
