//! Paths of state, as the NDK spells them: `.k8s-services.cluster{.name=="c1"}.node{.name=="n1"}`.

use std::fmt::{Display, Write as _};

/// How the NDK at hand wants a hyphen in a path spelled. Both have been seen on devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As in YANG: `.k8s-services`.
    Hyphen,
    /// `.k8s_services`.
    Underscore,
}

impl Spelling {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Hyphen => Self::Underscore,
            Self::Underscore => Self::Hyphen,
        }
    }
}

/// A path, spelled as in YANG. Keys are strings and keep their text in either spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path(String);

impl Path {
    /// The container at the top of the module.
    pub(crate) fn root() -> Self {
        Self(".k8s-services".to_owned())
    }

    /// A container below this node.
    pub(crate) fn container(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    /// The entry of a list below this node; keys in the order of the list's `key` statement.
    pub(crate) fn entry(&self, list: &str, keys: &[(&str, &dyn Display)]) -> Self {
        let mut text = String::with_capacity(self.0.len() + list.len() + 24 * keys.len());
        text.push_str(&self.0);
        text.push('.');
        text.push_str(list);
        text.push('{');
        for (index, (name, value)) in keys.iter().enumerate() {
            if index > 0 {
                text.push_str("&&");
            }
            text.push('.');
            text.push_str(name);
            text.push_str("==\"");
            let start = text.len();
            write!(text, "{value}").expect("writing to a string does not fail");
            if text[start..].contains(['"', '\\']) {
                let escaped = text[start..].replace('\\', "\\\\").replace('"', "\\\"");
                text.truncate(start);
                text.push_str(&escaped);
            }
            text.push('"');
        }
        text.push('}');
        Self(text)
    }

    /// The same path as gNMI clients write it: `/k8s-services/cluster[name=c1]`.
    pub(crate) fn gnmi(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        let mut characters = self.0.chars().peekable();
        let mut value = false;
        while let Some(character) = characters.next() {
            match (value, character) {
                (false, '.') if text.ends_with('[') => {}
                (false, '.') => text.push('/'),
                (false, '{') => text.push('['),
                (false, '}') => text.push(']'),
                (false, '&') if characters.next_if_eq(&'&').is_some() => text.push_str("]["),
                (false, '=') if characters.next_if_eq(&'=').is_some() => text.push('='),
                (false, '"') => value = true,
                (true, '"') => value = false,
                (true, '\\') => match characters.next() {
                    Some('\\') => text.push_str("\\\\"),
                    escaped => text.extend(escaped),
                },
                (true, ']') => text.push_str("\\]"),
                _ => text.push(character),
            }
        }
        text
    }

    /// The text the NDK is given.
    pub(crate) fn spelled(&self, spelling: Spelling) -> String {
        match spelling {
            Spelling::Hyphen => self.0.clone(),
            Spelling::Underscore => {
                let mut quoted = false;
                let mut escaped = false;
                self.0
                    .chars()
                    .map(|character| {
                        match character {
                            _ if escaped => escaped = false,
                            '\\' if quoted => escaped = true,
                            '"' => quoted = !quoted,
                            '-' if !quoted => return '_',
                            _ => {}
                        }
                        character
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_hop() -> Path {
        Path::root()
            .entry("cluster", &[("name", &"web-1")])
            .entry("service", &[("namespace", &"a_b"), ("name", &"c-d")])
            .entry("next-hop", &[("address", &"fe80::1%ethernet-1/1.0")])
    }

    #[test]
    fn keys_keep_their_text_in_either_spelling() {
        assert_eq!(
            next_hop().spelled(Spelling::Hyphen),
            r#".k8s-services.cluster{.name=="web-1"}.service{.namespace=="a_b"&&.name=="c-d"}.next-hop{.address=="fe80::1%ethernet-1/1.0"}"#
        );
        assert_eq!(
            next_hop().spelled(Spelling::Underscore),
            r#".k8s_services.cluster{.name=="web-1"}.service{.namespace=="a_b"&&.name=="c-d"}.next_hop{.address=="fe80::1%ethernet-1/1.0"}"#
        );
    }

    #[test]
    fn a_gnmi_path_has_brackets_for_keys_and_escapes_what_would_end_them() {
        assert_eq!(
            next_hop().gnmi(),
            "/k8s-services/cluster[name=web-1]/service[namespace=a_b][name=c-d]/next-hop[address=fe80::1%ethernet-1/1.0]"
        );
        let odd = Path::root().entry("cluster", &[("name", &r#"a"]\&&==b."#)]);
        assert_eq!(odd.gnmi(), r#"/k8s-services/cluster[name=a"\]\\&&==b.]"#);
    }

    #[test]
    fn quotes_in_a_key_are_escaped_and_end_nothing() {
        let path = Path::root().entry("cluster", &[("name", &r#"a"-\b"#)]).container("next-hop");
        assert_eq!(path.spelled(Spelling::Underscore), r#".k8s_services.cluster{.name=="a\"-\\b"}.next_hop"#);
    }
}
