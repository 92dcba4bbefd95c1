//! Implements paths of YANG data: elements with ordered keys, parsed and rendered in all spellings in use.
//!
//! | spelling | example | where |
//! |---|---|---|
//! | JS path | `.k8s-services.cluster{.name=="c1"}` | NDK: state, configuration, acknowledgements; hyphens or underscores |
//! | XPath-like | `/k8s-services/cluster[name=c1]` | gNMI clients, operators, the `resource` of alarms |
//!
//! Names of elements and keys are stored as in YANG, with hyphens; values of keys are stored unescaped.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

/// The name of a node or key.
pub type Name = Cow<'static, str>;

/// A path from the root of the data tree down. The empty path is the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    elements: Vec<Element>,
}

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The node.
    pub name: Name,
    /// Name and value of each key, in order.
    pub keys: Vec<(Name, String)>,
}

/// How a JS path spells the hyphens of YANG names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spelling {
    /// As in YANG: `.k8s-services`.
    Hyphens,
    /// `.k8s_services`.
    Underscores,
}

impl Spelling {
    /// Returns the word for the spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hyphens => "hyphens",
            Self::Underscores => "underscores",
        }
    }
}

/// A text that is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path at offset {offset}: expected {expected}")]
pub struct PathError {
    /// Number of bytes of the text that could be parsed.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl Element {
    /// Creates a step into a container, leaf or leaf-list.
    pub fn named(name: impl Into<Name>) -> Self {
        Self { name: name.into(), keys: Vec::new() }
    }

    /// Returns the value of a key.
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether the step allows this value of a key: it has the value, a wildcard, or no such key.
    pub fn allows(&self, name: &str, value: &str) -> bool {
        self.key(name).is_none_or(|key| key == "*" || key == value)
    }
}

impl Path {
    /// Creates a path of these elements.
    pub fn new(elements: Vec<Element>) -> Self {
        Self { elements }
    }

    /// Returns the elements, from the root down.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Returns the path of a container, leaf or leaf-list below this node.
    #[must_use]
    pub fn child(self, name: impl Into<Name>) -> Self {
        self.with(Element::named(name))
    }

    /// Returns the path of a list entry below this node; keys are in the order of the list's `key` statement.
    #[must_use]
    pub fn entry(self, list: &'static str, keys: &[(&'static str, &dyn Display)]) -> Self {
        let keys = keys.iter().map(|(key, value)| (Name::Borrowed(*key), value.to_string())).collect();
        self.with(Element { name: Name::Borrowed(list), keys })
    }

    fn with(mut self, element: Element) -> Self {
        self.elements.push(element);
        self
    }

    /// Parses a JS path, in either spelling of hyphens.
    ///
    /// # Errors
    /// The place at which the text is no longer a path.
    pub fn from_js(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, offset: 0 };
        let mut elements = Vec::new();
        while !reader.at_end() {
            elements.push(reader.js_element()?);
        }
        if elements.is_empty() { Err(reader.expected("'.'")) } else { Ok(Self { elements }) }
    }

    /// Renders the path for the NDK.
    pub fn js(&self, spelling: Spelling) -> String {
        let mut text = String::with_capacity(self.elements.len() * 32);
        for Element { name, keys } in &self.elements {
            text.push('.');
            push_name(&mut text, name, spelling);
            for (position, (key, value)) in keys.iter().enumerate() {
                text.push_str(if position == 0 { "{." } else { "&&." });
                push_name(&mut text, key, spelling);
                text.push_str("==\"");
                push_escaped(&mut text, value, '"');
                text.push('"');
            }
            if !keys.is_empty() {
                text.push('}');
            }
        }
        text
    }
}

impl Display for Path {
    /// Writes the XPath-like spelling. In a value, `]` and `\` are escaped by `\`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.elements.is_empty() {
            return f.write_char('/');
        }
        let mut text = String::new();
        for Element { name, keys } in &self.elements {
            write!(text, "/{name}")?;
            for (key, value) in keys {
                write!(text, "[{key}=")?;
                push_escaped(&mut text, value, ']');
                text.push(']');
            }
        }
        f.write_str(&text)
    }
}

impl FromStr for Path {
    type Err = PathError;

    /// Parses the XPath-like spelling.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, offset: 0 };
        let mut elements = Vec::new();
        while !reader.at_end() && reader.rest() != "/" {
            elements.push(reader.xpath_element()?);
        }
        Ok(Self { elements })
    }
}

/// Returns a node name in YANG's spelling.
pub fn hyphenated(name: &str) -> String {
    name.replace('_', "-")
}

fn push_name(text: &mut String, name: &str, spelling: Spelling) {
    match spelling {
        Spelling::Hyphens => text.push_str(name),
        Spelling::Underscores => text.extend(name.chars().map(|c| if c == '-' { '_' } else { c })),
    }
}

/// Appends a value; escapes `end`, which would end it, and `\`.
fn push_escaped(text: &mut String, value: &str, end: char) {
    for character in value.chars() {
        if character == end || character == '\\' {
            text.push('\\');
        }
        text.push(character);
    }
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

    /// Returns the text up to one of `ends`, or to the end of the path.
    fn until(&mut self, ends: &[char], expected: &'static str) -> Result<&'a str, PathError> {
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected(expected));
        }
        self.offset += end;
        Ok(&rest[..end])
    }

    fn xpath_element(&mut self) -> Result<Element, PathError> {
        self.require("/", "'/'")?;
        let name = Name::Owned(self.until(&['/', '['], "a name")?.to_owned());
        let mut keys = Vec::new();
        while self.take("[") {
            let key = self.until(&['='], "the name of a key")?.to_owned();
            self.require("=", "'='")?;
            keys.push((Name::Owned(key), self.value_up_to(']', "a closing ']'")?));
        }
        if !self.at_end() && !self.rest().starts_with('/') {
            return Err(self.expected("'/', '[' or the end"));
        }
        Ok(Element { name, keys })
    }

    fn js_name(&mut self) -> Result<Name, PathError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected("a name"));
        }
        self.offset += end;
        Ok(Name::Owned(hyphenated(&rest[..end])))
    }

    fn js_element(&mut self) -> Result<Element, PathError> {
        self.require(".", "'.'")?;
        let name = self.js_name()?;
        let mut keys = Vec::new();
        while self.take("{") {
            loop {
                self.require(".", "'.' before the name of a key")?;
                let key = self.js_name()?;
                self.require("==", "'=='")?;
                keys.push((key, self.js_value()?));
                if self.take("}") {
                    break;
                }
                self.require("&&", "'&&' or '}'")?;
            }
        }
        Ok(Element { name, keys })
    }

    fn js_value(&mut self) -> Result<String, PathError> {
        if self.take("\"") { self.value_up_to('"', "a closing '\"'") } else { self.unquoted() }
    }

    /// Parses a value up to `end`, in which `\` escapes the next character.
    fn value_up_to(&mut self, end: char, expected: &'static str) -> Result<String, PathError> {
        let mut value = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                _ if character == end => {
                    self.offset += at + character.len_utf8();
                    return Ok(value);
                }
                _ => value.push(character),
            }
        }
        self.offset = self.text.len();
        Err(self.expected(expected))
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

    fn path(elements: &[(&str, &[(&str, &str)])]) -> Path {
        let name = |name: &&str| Name::Owned((*name).to_owned());
        let own = |(node, keys): &(&str, &[(&str, &str)])| Element {
            name: name(node),
            keys: keys.iter().map(|(key, value)| (name(key), (*value).to_owned())).collect(),
        };
        Path::new(elements.iter().map(own).collect())
    }

    fn next_hop() -> Path {
        path(&[
            ("k8s-services", &[]),
            ("cluster", &[("name", "web-1")]),
            ("service", &[("namespace", "a_b"), ("name", "c-d")]),
            ("next-hop", &[("address", "fe80::1%ethernet-1/1.0")]),
        ])
    }

    #[test]
    fn keys_keep_their_text_in_every_spelling() {
        assert_eq!(
            next_hop().js(Spelling::Hyphens),
            r#".k8s-services.cluster{.name=="web-1"}.service{.namespace=="a_b"&&.name=="c-d"}.next-hop{.address=="fe80::1%ethernet-1/1.0"}"#
        );
        assert_eq!(
            next_hop().js(Spelling::Underscores),
            r#".k8s_services.cluster{.name=="web-1"}.service{.namespace=="a_b"&&.name=="c-d"}.next_hop{.address=="fe80::1%ethernet-1/1.0"}"#
        );
        assert_eq!(
            next_hop().to_string(),
            "/k8s-services/cluster[name=web-1]/service[namespace=a_b][name=c-d]/next-hop[address=fe80::1%ethernet-1/1.0]"
        );
    }

    #[test]
    fn characters_that_would_end_a_key_value_are_escaped() {
        let odd = Path::default().child("k8s-services").entry("cluster", &[("name", &r#"a"]\&&==b.-_"#)]);
        assert_eq!(odd.to_string(), r#"/k8s-services/cluster[name=a"\]\\&&==b.-_]"#);
        assert_eq!(odd.js(Spelling::Underscores), r#".k8s_services.cluster{.name=="a\"]\\&&==b.-_"}"#);
    }

    #[test]
    fn js_paths_are_parsed_in_both_spellings_with_every_form_of_key() {
        let one = |value| path(&[("k8s-services", &[]), ("cluster", &[("name", value)])]);
        for (text, expected) in [
            (".k8s_services", path(&[("k8s-services", &[])])),
            (".k8s-services.alarm_policy", path(&[("k8s-services", &[]), ("alarm-policy", &[])])),
            (r#".k8s_services.cluster{.name=="web_1"}"#, one("web_1")),
            (r#".k8s-services.cluster{.name=="ethernet-1/1"}"#, one("ethernet-1/1")),
            (r#".k8s_services.cluster{.name==plain_one}"#, one("plain_one")),
            (r#".k8s_services.cluster{.name=="a\"b\\c}&&.d"}"#, one(r#"a"b\c}&&.d"#)),
            (
                r#".x.service{.service_name=="web_1"&&.namespace=="y"}.vip"#,
                path(&[("x", &[]), ("service", &[("service-name", "web_1"), ("namespace", "y")]), ("vip", &[])]),
            ),
            (r#".l{.a=="1"}{.b=="2"}"#, path(&[("l", &[("a", "1"), ("b", "2")])])),
        ] {
            assert_eq!(Path::from_js(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_path_is_refused_with_the_offset() {
        for (text, offset) in
            [("", 0), ("k8s", 0), (".", 1), (".a{", 3), (".a{.n}", 5), (r#".a{.n=="x}"#, 10), (".a{.n==x", 7)]
        {
            assert_eq!(Path::from_js(text).map_err(|error| error.offset), Err(offset), "{text}");
        }
        for text in ["a", "/a//b", "/a[b]", "/a[b=c", "/a[b=c]d", r"/a[b=c\"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
        assert_eq!("/".parse(), Ok(Path::default()));
    }

    fn any_path() -> impl Strategy<Value = Path> {
        let keys = prop::collection::vec(("[a-z][a-z0-9-]{0,8}", any::<String>()), 0..3);
        prop::collection::vec(("[a-z][a-z0-9-]{0,8}", keys), 1..4).prop_map(|elements| {
            let name = Name::Owned;
            let element = |(node, keys): (String, Vec<(String, String)>)| Element {
                name: name(node),
                keys: keys.into_iter().map(|(key, value)| (name(key), value)).collect(),
            };
            Path::new(elements.into_iter().map(element).collect())
        })
    }

    proptest! {
        #[test]
        fn a_written_path_parses_to_itself_in_every_spelling(path in any_path()) {
            prop_assert_eq!(Path::from_js(&path.js(Spelling::Hyphens)), Ok(path.clone()));
            prop_assert_eq!(Path::from_js(&path.js(Spelling::Underscores)), Ok(path.clone()));
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = Path::from_js(&text);
            let _ = text.parse::<Path>();
        }
    }
}
