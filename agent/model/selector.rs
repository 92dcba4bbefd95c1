//! Defines labels and label selectors.

use std::fmt;
use std::sync::Arc;

/// The labels of an object, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Returns the names and values, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

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
    pub operator: Operator,
}

/// The kinds of requirement on a label, with the names of the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It has one of these values.
    In(Box<[Arc<str>]>),
    /// It has none of these values, or is absent.
    NotIn(Box<[Arc<str>]>),
    /// It is present.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl fmt::Display for Selector {
    /// Writes the selector in the form `kubectl --selector` accepts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, Requirement { label, operator }) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match operator {
                Operator::In(values) if values.len() == 1 => write!(f, "{label}={}", values[0])?,
                Operator::NotIn(values) if values.len() == 1 => write!(f, "{label}!={}", values[0])?,
                Operator::In(values) => write!(f, "{label} in ({})", values.join(","))?,
                Operator::NotIn(values) => write!(f, "{label} notin ({})", values.join(","))?,
                Operator::Exists => write!(f, "{label}")?,
                Operator::DoesNotExist => write!(f, "!{label}")?,
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
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|value| values.iter().any(|known| **known == *value)),
                Operator::NotIn(values) => value.is_none_or(|value| values.iter().all(|known| **known != *value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(label: &str, operator: Operator) -> Selector {
        Selector([Requirement { label: label.into(), operator }].into())
    }

    #[test]
    fn requirements_match_present_and_absent_labels_as_in_kubernetes() {
        let labels: Labels = [("tier", "edge"), ("rack", "1"), ("tier", "core")].into_iter().collect();
        let values = |values: &[&str]| values.iter().map(|value| Arc::from(*value)).collect();
        for (label, operator, selected) in [
            ("tier", Operator::In(values(&["core", "spine"])), true),
            ("tier", Operator::In(values(&["edge"])), false),
            ("zone", Operator::In(values(&["a"])), false),
            ("tier", Operator::NotIn(values(&["core"])), false),
            ("zone", Operator::NotIn(values(&["a"])), true),
            ("rack", Operator::Exists, true),
            ("zone", Operator::Exists, false),
            ("rack", Operator::DoesNotExist, false),
            ("zone", Operator::DoesNotExist, true),
        ] {
            let selector = selector(label, operator);
            assert_eq!(selector.selects(|name| labels.get(name)), selected, "{selector:?}");
        }
        assert!(Selector::default().selects(|_| None), "without requirements it selects everything");
    }
}
