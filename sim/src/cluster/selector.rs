//! Parses and matches label and field selectors of query parameters.

use serde_json::Value;

use super::error::ApiError;
use super::json::text;
use super::resource::Resource;

/// Selectors of a list or watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelTerm {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerm {
    pointer: String,
    value: String,
    equal: bool,
}

impl Selection {
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, ApiError> {
        Ok(Self { labels: label_terms(labels)?, fields: field_terms(resource, fields)? })
    }

    /// Returns whether everything matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|term| term.matches(object)) && self.fields.iter().all(|term| term.matches(object))
    }
}

impl LabelTerm {
    fn matches(&self, object: &Value) -> bool {
        let label = super::json::label(object, &self.key);
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => label.is_some_and(|label| values.iter().any(|value| value == label)),
            Test::NotIn(values) => label.is_none_or(|label| values.iter().all(|value| value != label)),
            Test::Exists => label.is_some(),
            Test::Absent => label.is_none(),
            Test::Greater(than) => number().is_some_and(|number| number > *than),
            Test::Less(than) => number().is_some_and(|number| number < *than),
        }
    }
}

impl FieldTerm {
    fn matches(&self, object: &Value) -> bool {
        let found = match object.pointer(&self.pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None if self.pointer == "/spec/unschedulable" => "false".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        (found == self.value) == self.equal
    }
}

/// Splits a text at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0i32);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn label_terms(selector: &str) -> Result<Vec<LabelTerm>, ApiError> {
    split(selector).into_iter().map(label_term).collect()
}

fn label_term(term: &str) -> Result<LabelTerm, ApiError> {
    let bad = || ApiError::BadRequest(format!("unable to parse requirement: {term:?} is not a label selector"));
    let make = |key: &str, test| LabelTerm { key: key.trim().to_owned(), test };
    if let Some(open) = term.find('(') {
        let set = term[open + 1..].strip_suffix(')').ok_or_else(bad)?;
        let values = set.split(',').map(|value| value.trim().to_owned()).collect();
        let mut head = term[..open].split_whitespace();
        return match (head.next(), head.next(), head.next()) {
            (Some(key), Some("in"), None) => Ok(make(key, Test::In(values))),
            (Some(key), Some("notin"), None) => Ok(make(key, Test::NotIn(values))),
            _ => Err(bad()),
        };
    }
    let one = |value: &str| vec![value.trim().to_owned()];
    let parsed = if let Some((key, value)) = term.split_once("!=") {
        make(key, Test::NotIn(one(value)))
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        make(key, Test::In(one(value)))
    } else if let Some((key, value)) = term.split_once('>') {
        make(key, Test::Greater(value.trim().parse().map_err(|_| bad())?))
    } else if let Some((key, value)) = term.split_once('<') {
        make(key, Test::Less(value.trim().parse().map_err(|_| bad())?))
    } else if let Some(key) = term.strip_prefix('!') {
        make(key, Test::Absent)
    } else {
        make(term, Test::Exists)
    };
    if parsed.key.is_empty() || parsed.key.contains(char::is_whitespace) { Err(bad()) } else { Ok(parsed) }
}

/// Returns the fields by which a kind can be selected, besides name and namespace.
fn fields_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "Node" => &["spec.unschedulable"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Namespace" => &["status.phase"],
        "Secret" => &["type"],
        "ReplicaSet" => &["status.replicas"],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "type",
        ],
        _ => &[],
    }
}

fn field_terms(resource: &Resource, selector: &str) -> Result<Vec<FieldTerm>, ApiError> {
    let term = |term: &str| {
        let (field, value, equal) = if let Some((field, value)) = term.split_once("!=") {
            (field, value, false)
        } else if let Some((field, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (field, value, true)
        } else {
            return Err(ApiError::BadRequest(format!(
                "invalid selector: '{term}'; can't understand '{term}': use field=value or field!=value"
            )));
        };
        let known = matches!(field, "metadata.name" | "metadata.namespace");
        if !known && (resource.custom || !fields_of(&resource.kind).contains(&field)) {
            return Err(ApiError::BadRequest(format!(
                "Unable to find {:?} that match label selector \"\", field selector {selector:?}: field label not \
                 supported: {field}",
                resource.qualified()
            )));
        }
        Ok(FieldTerm { pointer: format!("/{}", field.replace('.', "/")), value: value.to_owned(), equal })
    };
    split(selector).into_iter().map(term).collect()
}

/// Returns whether a `LabelSelector` object (matchLabels and matchExpressions) selects these labels. An empty one
/// selects everything.
pub(crate) fn label_selector_matches(selector: &Value, labels: &Value) -> bool {
    let get = |key: &str| labels.get(key).and_then(Value::as_str);
    let equal = selector.get("matchLabels").is_none_or(|wanted| labels_include(labels, wanted));
    equal
        && super::json::items(selector, "/matchExpressions").iter().all(|expression| {
            let label = get(text(expression, "/key"));
            let among = || super::json::items(expression, "/values").iter().any(|v| v.as_str() == label);
            match text(expression, "/operator") {
                "In" => label.is_some() && among(),
                "NotIn" => label.is_none() || !among(),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}

/// Returns whether `labels` has every member of `wanted`.
pub(crate) fn labels_include(labels: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::resource::Registry;

    fn selects(selector: &str, labels: Value) -> bool {
        let registry = Registry::new();
        let resource = registry.get(registry.by_name("Pod").expect("built in"));
        let selection = Selection::parse(resource, selector, "").expect("a selector");
        selection.matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn every_label_operator_is_supported() {
        let labels = || json!({"app": "web", "tier": "front", "weight": "7"});
        for yes in [
            "app=web",
            "app==web",
            "app!=db",
            "app in (db, web)",
            "app notin (db)",
            "app",
            "!gone",
            "weight>6",
            "weight<8",
            "app=web,tier in (front,back),!gone",
            "missing!=x",
            "missing notin (a,b)",
            "",
        ] {
            assert!(selects(yes, labels()), "{yes}");
        }
        for no in
            ["app=db", "app!=web", "app in (db)", "app notin (web,db)", "gone", "!app", "weight>7", "app=web,tier=back"]
        {
            assert!(!selects(no, labels()), "{no}");
        }
    }

    #[test]
    fn invalid_selectors_are_a_bad_request() {
        let registry = Registry::new();
        let resource = registry.get(registry.by_name("Service").expect("built in"));
        for (labels, fields) in
            [("a in b)", ""), ("a in (b", ""), ("x>y", ""), ("", "spec.ports=1"), ("", "metadata.name")]
        {
            assert_eq!(
                Selection::parse(resource, labels, fields).expect_err("refused").code(),
                400,
                "{labels} {fields}"
            );
        }
    }

    #[test]
    fn field_selectors_support_both_operators() {
        let registry = Registry::new();
        let resource = registry.get(registry.by_name("Pod").expect("built in"));
        let pod = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"nodeName": "n1"}});
        let selects = |fields: &str| Selection::parse(resource, "", fields).expect("fields").matches(&pod);
        assert!(selects("metadata.name=a,metadata.namespace==b,spec.nodeName!=n2"));
        assert!(!selects("spec.nodeName=n2"));
    }
}
