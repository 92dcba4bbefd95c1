//! Splits updates into leaves. A server sends a leaf as a scalar at its own path, as an object with one member at its
//! container or list entry, or as nested JSON at any height. Here all of these become the same leaves, which are merged
//! one by one.

use serde_json::Value;

use super::path::{bare, elems, entry};
use crate::path::Element;
use gnmi::typed_value::Value as Typed;
use srl_proto::gnmi;

/// The value of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    /// A string, an enumeration, or a number as text.
    Text(String),
    /// A number.
    Number(u64),
    /// A boolean.
    Boolean(bool),
}

impl Scalar {
    /// Returns an unsigned number, in whatever form it was sent.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Boolean(_) => None,
        }
    }

    /// Returns a boolean, in whatever form it was sent.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            Self::Text(text) => text.parse().ok(),
            Self::Number(_) => None,
        }
    }

    /// Returns a text as it was sent; an identity may have the prefix of its module.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Why an update, or part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpdateError {
    /// The value is not JSON.
    #[error("the value is not JSON")]
    Json(#[source] serde_json::Error),
    /// The value has a type that no leaf here has.
    #[error("the value has no readable type")]
    Type,
}

/// Calls `each` with every leaf of an update and its whole path.
pub(super) fn leaves(
    prefix: Option<&gnmi::Path>,
    update: &gnmi::Update,
    mut each: impl FnMut(&[Element], &Scalar),
) -> Result<(), UpdateError> {
    let mut path = elems(prefix, update.path.as_ref());
    let json = match update.val.as_ref().and_then(|value| value.value.as_ref()).ok_or(UpdateError::Type)? {
        Typed::JsonIetfVal(bytes) | Typed::JsonVal(bytes) => {
            serde_json::from_slice(bytes).map_err(UpdateError::Json)?
        }
        other => {
            each(&path, &typed(other)?);
            return Ok(());
        }
    };
    walk(&mut path, &json, &mut each);
    Ok(())
}

fn typed(value: &Typed) -> Result<Scalar, UpdateError> {
    Ok(match value {
        Typed::StringVal(text) | Typed::AsciiVal(text) => Scalar::Text(text.clone()),
        Typed::UintVal(number) => Scalar::Number(*number),
        Typed::IntVal(number) => {
            u64::try_from(*number).map_or_else(|_| Scalar::Text(number.to_string()), Scalar::Number)
        }
        Typed::BoolVal(boolean) => Scalar::Boolean(*boolean),
        _ => return Err(UpdateError::Type),
    })
}

fn walk(path: &mut Vec<Element>, value: &Value, each: &mut impl FnMut(&[Element], &Scalar)) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                member(path, bare(name), value, each);
            }
        }
        Value::String(text) => each(path, &Scalar::Text(text.clone())),
        Value::Bool(boolean) => each(path, &Scalar::Boolean(*boolean)),
        Value::Number(number) => {
            let scalar = number.as_u64().map_or_else(|| Scalar::Text(number.to_string()), Scalar::Number);
            each(path, &scalar);
        }
        // No leaf-list or empty leaf is read here.
        Value::Array(_) | Value::Null => {}
    }
}

fn member(path: &mut Vec<Element>, name: &str, value: &Value, each: &mut impl FnMut(&[Element], &Scalar)) {
    let Value::Array(entries) = value else {
        path.push(Element::named(name.to_owned()));
        walk(path, value, each);
        path.pop();
        return;
    };
    for value in entries {
        let Some(step) = value.as_object().and_then(|object| entry(name, object)) else { continue };
        path.push(step);
        walk(path, value, each);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::path::parse;
    use super::*;

    fn parsed(path: &str, value: Typed) -> Vec<(String, Scalar)> {
        let update = gnmi::Update {
            path: Some(parse(path).expect("a path")),
            val: Some(gnmi::TypedValue { value: Some(value) }),
            ..Default::default()
        };
        let mut all = Vec::new();
        leaves(None, &update, |path, value| {
            let mut text = String::new();
            for elem in path {
                text += &format!("/{}", elem.name);
                elem.keys.iter().for_each(|(key, value)| text += &format!("[{key}={value}]"));
            }
            all.push((text, value.clone()));
        })
        .expect("readable");
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn json(text: &'static str) -> Typed {
        Typed::JsonIetfVal(text.into())
    }

    #[test]
    fn a_leaf_is_read_alike_from_an_update_at_any_ancestor() {
        const AT: &str = "/srl_nokia-network-instance:network-instance[name=default]/protocols/srl_nokia-bgp:bgp";
        let expected = vec![(
            "/network-instance[name=default]/protocols/bgp/neighbor[peer-address=10.0.0.1]/session-state".to_owned(),
            Scalar::Text("active".to_owned()),
        )];
        let own = format!("{AT}/neighbor[peer-address=10.0.0.1]/session-state");
        assert_eq!(parsed(&own, Typed::StringVal("active".into())), expected);
        assert_eq!(parsed(&own, Typed::AsciiVal("active".into())), expected);
        assert_eq!(parsed(&own, json("\"active\"")), expected);
        let entry = format!("{AT}/neighbor[peer-address=10.0.0.1]");
        assert_eq!(parsed(&entry, json(r#"{"session-state":"active"}"#)), expected);
        let all =
            parsed(AT, json(r#"{"srl_nokia-bgp:neighbor":[{"peer-address":"10.0.0.1","session-state":"active"}]}"#));
        assert_eq!(all[1..], expected);
        let root = parsed(
            "/",
            json(
                r#"{"srl_nokia-network-instance:network-instance":[{"name":"default","protocols":{"srl_nokia-bgp:bgp":
            {"neighbor":[{"peer-address":"10.0.0.1","session-state":"active"}]}}}]}"#,
            ),
        );
        assert!(root.contains(&expected[0]), "{root:?}");
    }

    #[test]
    fn numbers_are_read_from_numbers_and_text() {
        assert_eq!(Scalar::Number(5).number(), Some(5));
        assert_eq!(Scalar::Text("18446744073709551615".into()).number(), Some(u64::MAX));
        assert_eq!(Scalar::Text("-1".into()).number(), None);
        assert_eq!(parsed("/a", json("-5")), [("/a".to_owned(), Scalar::Text("-5".into()))]);
        assert_eq!(parsed("/a", Typed::IntVal(5)), [("/a".to_owned(), Scalar::Number(5))]);
    }

    #[test]
    fn identities_in_keys_lose_their_prefix() {
        let leaves = parsed(
            "/neighbor[peer-address=::1]",
            json(r#"{"afi-safi":[{"afi-safi-name":"srl_nokia-common:ipv4-unicast","received-routes":3}]}"#),
        );
        assert!(leaves.iter().any(|(path, value)| path
            == "/neighbor[peer-address=::1]/afi-safi[afi-safi-name=ipv4-unicast]/received-routes"
            && *value == Scalar::Number(3)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let value = Some(gnmi::TypedValue { value: Some(Typed::JsonIetfVal(bytes.into())) });
            let _ = leaves(None, &gnmi::Update { val: value, ..Default::default() }, |_, _| {});
        }
    }
}
