//! The path of a delivery node, as the NDK spells it: `.k8s_services.cluster{.name=="c1"}.node{.name=="n1"}`.

use std::fmt;
use std::str::FromStr;

/// A path of elements with ordered keys. Node names are held with hyphens, whichever spelling came in; key values are
/// held raw and are never touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsPath {
    /// From the root of the tree down.
    pub elements: Vec<Element>,
}

/// One step of a [`JsPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The node, as YANG names it.
    pub name: String,
    /// Name and value of each key, in the order they stood in.
    pub keys: Vec<(String, String)>,
}

/// Text that is no such path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path at offset {offset}: expected {expected}")]
pub struct PathError {
    /// Bytes of the text that could be read.
    pub offset: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

impl JsPath {
    /// The path as operators write it: `/k8s-services/cluster[name=c1]`.
    pub fn to_xpath(&self) -> String {
        let mut text = String::new();
        for element in &self.elements {
            text.push('/');
            text.push_str(&element.name);
            for (key, value) in &element.keys {
                text.push_str(&format!("[{key}={value}]"));
            }
        }
        text
    }
}

impl FromStr for JsPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, offset: 0 };
        let mut elements = Vec::new();
        while !reader.at_end() {
            elements.push(reader.element()?);
        }
        if elements.is_empty() { Err(reader.expected("'.'")) } else { Ok(Self { elements }) }
    }
}

impl fmt::Display for JsPath {
    /// With hyphens and quoted values; two keys are joined with `&&`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for element in &self.elements {
            write!(f, ".{}", element.name)?;
            for (i, (key, value)) in element.keys.iter().enumerate() {
                f.write_str(if i == 0 { "{" } else { "&&" })?;
                write!(f, ".{key}==\"")?;
                for c in value.chars() {
                    if matches!(c, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{c}")?;
                }
                f.write_str("\"")?;
            }
            if !element.keys.is_empty() {
                f.write_str("}")?;
            }
        }
        Ok(())
    }
}

/// A node name in YANG's spelling.
pub(crate) fn hyphenated(name: &str) -> String {
    name.replace('_', "-")
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn expected(&self, expected: &'static str) -> PathError {
        PathError { offset: self.offset, expected }
    }

    fn take(&mut self, token: &'static str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.offset += token.len();
        }
        found
    }

    fn require(&mut self, token: &'static str, expected: &'static str) -> Result<(), PathError> {
        if self.take(token) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn name(&mut self) -> Result<String, PathError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected("a name"));
        }
        self.offset += end;
        Ok(hyphenated(&rest[..end]))
    }

    fn element(&mut self) -> Result<Element, PathError> {
        self.require(".", "'.'")?;
        let name = self.name()?;
        let mut keys = Vec::new();
        while self.take("{") {
            loop {
                self.require(".", "'.' before the name of a key")?;
                let key = self.name()?;
                self.require("==", "'=='")?;
                keys.push((key, self.value()?));
                if self.take("}") {
                    break;
                }
                self.require("&&", "'&&' or '}'")?;
            }
        }
        Ok(Element { name, keys })
    }

    fn value(&mut self) -> Result<String, PathError> {
        if self.take("\"") { self.quoted() } else { self.unquoted() }
    }

    fn quoted(&mut self) -> Result<String, PathError> {
        let mut value = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.offset += at + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                _ => value.push(c),
            }
        }
        self.offset = self.text.len();
        Err(self.expected("a closing '\"'"))
    }

    fn unquoted(&mut self) -> Result<String, PathError> {
        let rest = self.rest();
        let end = [rest.find('}'), rest.find("&&")].into_iter().flatten().min();
        let end = end.ok_or_else(|| self.expected("'}'"))?;
        self.offset += end;
        Ok(rest[..end].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(elements: &[(&str, &[(&str, &str)])]) -> JsPath {
        let own = |(name, keys): &(&str, &[(&str, &str)])| Element {
            name: (*name).to_owned(),
            keys: keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        JsPath { elements: elements.iter().map(own).collect() }
    }

    #[test]
    fn both_spellings_and_every_key_form_are_read_and_values_are_left_alone() {
        let one = |value| path(&[("k8s-services", &[]), ("cluster", &[("name", value)])]);
        for (text, expected) in [
            (".k8s_services", path(&[("k8s-services", &[])])),
            (".k8s-services.alarm_policy", path(&[("k8s-services", &[]), ("alarm-policy", &[])])),
            (r#".k8s_services.cluster{.name=="web_1"}"#, one("web_1")),
            (r#".k8s-services.cluster{.name=="ethernet-1/1"}"#, one("ethernet-1/1")),
            (r#".k8s_services.cluster{.name=="2001:db8::1"}"#, one("2001:db8::1")),
            (r#".k8s_services.cluster{.name==plain_one}"#, one("plain_one")),
            (r#".k8s_services.cluster{.name=="a\"b\\c}&&.d"}"#, one(r#"a"b\c}&&.d"#)),
            (
                r#".x.service{.service_name=="web_1"&&.namespace=="y"}.vip"#,
                path(&[("x", &[]), ("service", &[("service-name", "web_1"), ("namespace", "y")]), ("vip", &[])]),
            ),
            (r#".l{.a=="1"}{.b=="2"}"#, path(&[("l", &[("a", "1"), ("b", "2")])])),
        ] {
            assert_eq!(text.parse::<JsPath>(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_path_is_refused_with_the_place() {
        for (text, offset) in
            [("", 0), ("k8s", 0), (".", 1), (".a{", 3), (".a{.n}", 5), (r#".a{.n=="x}"#, 10), (".a{.n==x", 7)]
        {
            assert_eq!(text.parse::<JsPath>().map_err(|error| error.offset), Err(offset), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(elements in prop::collection::vec(
            ("[a-z][a-z0-9-]{0,8}", prop::collection::vec(("[a-z][a-z0-9-]{0,8}", any::<String>()), 0..3)), 1..4)
        ) {
            let elements = elements.into_iter().map(|(name, keys)| Element { name, keys }).collect();
            let path = JsPath { elements };
            prop_assert_eq!(path.to_string().parse::<JsPath>(), Ok(path));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = text.parse::<JsPath>();
        }
    }
}
