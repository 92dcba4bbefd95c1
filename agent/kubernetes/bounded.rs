//! Reads maps and lists in objects up to their limit: a larger one is an error before it is in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::limits;

/// Reads labels or annotations.
pub(super) fn map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<BTreeMap<String, T>>, D::Error> {
    from.deserialize_option(Map { what: PhantomData })
}

/// Reads a list of anything else.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Vec<T>>, D::Error> {
    from.deserialize_option(List { most: limits::ELEMENTS, what: PhantomData })
}

/// The objects on a page.
#[derive(Debug, Default)]
pub(super) struct Items<'a>(pub(super) Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let items = from.deserialize_option(List { most: limits::PAGE_OBJECTS, what: PhantomData })?;
        Ok(Self(items.unwrap_or_default()))
    }
}

struct Map<T> {
    what: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
    type Value = Option<BTreeMap<String, T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} labels or annotations", limits::LABELS)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            if all.len() >= limits::LABELS {
                return Err(Error::invalid_length(all.len() + 1, &self));
            }
            all.insert(name, value);
        }
        Ok(Some(all))
    }
}

struct List<T> {
    most: usize,
    what: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.most)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        // If a list is asked for, the error about a string contains all of it.
        from.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom("a string in place of a list"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = list.next_element()? {
            if all.len() >= self.most {
                return Err(Error::invalid_length(all.len() + 1, &self));
            }
            all.push(element);
        }
        Ok(Some(all))
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::{Meta, ServiceSpec};
    use super::*;

    fn labels(count: usize) -> String {
        let labels: Vec<String> = (0..count).map(|at| format!(r#""l{at}":"x""#)).collect();
        format!(r#"{{"labels":{{{}}}}}"#, labels.join(","))
    }

    #[test]
    fn an_object_with_more_labels_than_the_limit_is_refused() {
        let meta: Meta = serde_json::from_str(&labels(limits::LABELS)).expect("as many as are read");
        assert_eq!(meta.labels.map(|labels| labels.len()), Some(limits::LABELS));
        let error = serde_json::from_str::<Meta>(&labels(limits::LABELS + 1)).expect_err("one more").to_string();
        assert!(error.contains("at most 1024 labels"), "{error}");
    }

    #[test]
    fn a_list_longer_than_the_limit_is_refused() {
        let list = |count: usize| format!(r#"{{"externalIPs":[{}]}}"#, vec![r#""::1""#; count].join(","));
        let spec: ServiceSpec = serde_json::from_str(&list(limits::ELEMENTS)).expect("as many as are read");
        assert_eq!(spec.external_ips.map(|all| all.len()), Some(limits::ELEMENTS));
        assert!(serde_json::from_str::<ServiceSpec>(&list(limits::ELEMENTS + 1)).is_err());
    }

    #[test]
    fn an_error_about_a_string_in_place_of_a_list_does_not_contain_it() {
        let text = format!(r#"{{"externalIPs":"{}"}}"#, "\u{7f}".repeat(10_000));
        let error = serde_json::from_str::<ServiceSpec>(&text).expect_err("no list").to_string();
        assert!(error.len() < 100, "{error}");
    }

    #[test]
    fn missing_and_null_fields_are_none() {
        for text in ["{}", r#"{"labels":null,"annotations":null}"#] {
            let meta: Meta = serde_json::from_str(text).expect("metadata");
            assert!(meta.labels.is_none() && meta.annotations.is_none(), "{text}");
        }
        let spec: ServiceSpec = serde_json::from_str(r#"{"externalIPs":null}"#).expect("a spec");
        assert_eq!(spec.external_ips, None);
    }
}
