//! Paths of data: steps with names and keys, and their notations in gNMI, in the NDK and on the CLI.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use srl_proto::gnmi as pb;

/// A path from the root. Names have no module prefix. Values of keys are raw; `*` stands for any value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    steps: Vec<Step>,
}

/// One step of a path: a node and, for a list entry, its keys in the given order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// Name of the node.
    pub name: String,
    /// Keys with their values.
    pub keys: Vec<(String, String)>,
}

/// A text is not a path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a path: {reason}")]
pub struct PathSyntaxError {
    /// The text.
    pub text: String,
    /// What is wrong with the text.
    pub reason: &'static str,
}

impl Step {
    /// Creates a step without keys.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), keys: Vec::new() }
    }
}

impl Path {
    /// Returns the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Creates a path from its steps.
    pub fn from_steps(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    /// Returns the steps, from the root.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns whether the path is the root.
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// Appends a step without keys.
    #[must_use]
    pub fn child(mut self, name: impl Into<String>) -> Self {
        self.steps.push(Step::new(name));
        self
    }

    /// Appends a list entry.
    #[must_use]
    pub fn child_with_keys<'a>(
        mut self,
        name: impl Into<String>,
        keys: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.steps.push(Step { name: name.into(), keys });
        self
    }

    /// Appends the steps of another path.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.steps.extend_from_slice(&other.steps);
        self
    }

    /// Returns the path without its last step; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.steps.split_last()?;
        Some(Self { steps: parents.to_vec() })
    }

    /// Parses the NDK's notation: `.a.b{.k=="v"&&.k2=="w"}`. Names keep their hyphens or underscores.
    ///
    /// # Errors
    /// [`PathSyntaxError`] if the text does not have that form.
    pub fn from_js(text: &str) -> Result<Self, PathSyntaxError> {
        JsReader { rest: text }
            .path()
            .map(|steps| Self { steps })
            .map_err(|reason| PathSyntaxError { text: text.to_owned(), reason })
    }

    /// Formats the path with keys in the NDK's notation. If `underscores`, hyphens in names are written as underscores.
    pub fn to_js(&self, underscores: bool) -> String {
        let mut text = String::new();
        for step in &self.steps {
            push_js_name(&mut text, &step.name, underscores);
            for (position, (key, value)) in step.keys.iter().enumerate() {
                text.push_str(if position == 0 { "{" } else { "&&" });
                push_js_name(&mut text, key, underscores);
                let _ = write!(text, "==\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            }
            if !step.keys.is_empty() {
                text.push('}');
            }
        }
        text
    }

    /// Formats the path without keys, as that of a schema node, in the NDK's notation.
    pub fn to_js_schema(&self, underscores: bool) -> String {
        let mut text = String::new();
        self.steps.iter().for_each(|step| push_js_name(&mut text, &step.name, underscores));
        text
    }

    /// Converts a path of gNMI, relative to a prefix. Module prefixes of names are dropped.
    pub fn from_gnmi(prefix: Option<&pb::Path>, path: Option<&pb::Path>) -> Self {
        let elems = prefix.into_iter().chain(path).flat_map(|path| &path.elem);
        let steps = elems.filter(|elem| !elem.name.is_empty()).map(|elem| {
            let mut keys: Vec<_> = elem.key.iter().map(|(key, value)| (bare(key).to_owned(), value.clone())).collect();
            keys.sort();
            Step { name: bare(&elem.name).to_owned(), keys }
        });
        Self { steps: steps.collect() }
    }

    /// Converts the path to gNMI. Names are not changed.
    pub fn to_gnmi(&self) -> pb::Path {
        let elem = |step: &Step| pb::PathElem { name: step.name.clone(), key: step.keys.iter().cloned().collect() };
        pb::Path { elem: self.steps.iter().map(elem).collect(), ..pb::Path::default() }
    }
}

/// Returns a name without its module prefix.
pub(crate) fn bare(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, name)| name)
}

fn push_js_name(text: &mut String, name: &str, underscores: bool) {
    text.push('.');
    if underscores { text.extend(name.chars().map(|c| if c == '-' { '_' } else { c })) } else { text.push_str(name) }
}

impl fmt::Display for Path {
    /// Formats the path in gNMI's notation: `/a/b[k=v]`, with `]` and `\` in values escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("/");
        }
        for step in &self.steps {
            write!(f, "/{}", step.name)?;
            for (key, value) in &step.keys {
                write!(f, "[{key}={}]", value.replace('\\', "\\\\").replace(']', "\\]"))?;
            }
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = PathSyntaxError;

    /// Parses gNMI's notation. Module prefixes of names are dropped.
    fn from_str(text: &str) -> Result<Self, PathSyntaxError> {
        let mut reader = XpathReader { rest: text.chars().peekable() };
        reader.path().map(|steps| Self { steps }).map_err(|reason| PathSyntaxError { text: text.to_owned(), reason })
    }
}

struct XpathReader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

impl XpathReader<'_> {
    fn path(&mut self) -> Result<Vec<Step>, &'static str> {
        let mut steps = Vec::new();
        loop {
            while self.rest.next_if_eq(&'/').is_some() {}
            if self.rest.peek().is_none() {
                return Ok(steps);
            }
            let name = self.until(|c| c == '/' || c == '[');
            let mut step = Step::new(bare(&name));
            if step.name.is_empty() {
                return Err("a step has no name");
            }
            while self.rest.next_if_eq(&'[').is_some() {
                let key = self.until(|c| c == '=' || c == ']');
                if self.rest.next() != Some('=') {
                    return Err("a key has no value");
                }
                step.keys.push((bare(key.trim()).to_owned(), self.value()?));
            }
            steps.push(step);
        }
    }

    fn until(&mut self, end: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| !end(*c)) {
            text.push(c);
        }
        text
    }

    fn value(&mut self) -> Result<String, &'static str> {
        let mut value = String::new();
        loop {
            match self.rest.next() {
                Some('\\') => value.push(self.rest.next().ok_or("it ends in a backslash")?),
                Some(']') => return Ok(unquoted(value)),
                Some(c) => value.push(c),
                None => return Err("a key has no closing bracket"),
            }
        }
    }
}

fn unquoted(value: String) -> String {
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner.to_owned();
        }
    }
    value
}

struct JsReader<'a> {
    rest: &'a str,
}

impl JsReader<'_> {
    fn path(&mut self) -> Result<Vec<Step>, &'static str> {
        let mut steps = Vec::new();
        while !self.rest.is_empty() {
            let mut step = Step::new(self.name()?);
            if self.take("{") {
                loop {
                    let key = self.name()?.trim().to_owned();
                    if !self.take("==") {
                        return Err("a key has no '=='");
                    }
                    step.keys.push((key, self.value()?));
                    if self.take("}") {
                        break;
                    }
                    if !self.take("&&") {
                        return Err("keys must be joined by '&&' and ended by '}'");
                    }
                }
            }
            steps.push(step);
        }
        Ok(steps)
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn name(&mut self) -> Result<&str, &'static str> {
        if !self.take(".") {
            return Err("a step does not begin with '.'");
        }
        let end = self.rest.find(['.', '{', '=']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.is_empty() { Err("a step has no name") } else { Ok(name) }
    }

    fn value(&mut self) -> Result<String, &'static str> {
        if !self.take("\"") {
            let end = self.rest.find("&&").into_iter().chain(self.rest.find('}')).min();
            let (value, rest) = self.rest.split_at(end.ok_or("a key has no end")?);
            self.rest = rest;
            return Ok(value.trim().to_owned());
        }
        let mut value = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('\\') => value.push(chars.next().ok_or("it ends in a backslash")?),
                Some('"') => break,
                Some(c) => value.push(c),
                None => return Err("a value has no closing quote"),
            }
        }
        self.rest = chars.as_str();
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnmi_paths_round_trip_through_text() {
        for text in [
            "/",
            "/interface[name=ethernet-1/1]/admin-state",
            "/a/b[k=v][k2=w]/c",
            "/a[k=fe80::1%ethernet-1/1.0]",
            "/a[k=x\\]y]",
        ] {
            assert_eq!(text.parse::<Path>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn module_prefixes_and_quotes_are_dropped() {
        let path: Path = "/m:a/m2:b[k='v w']".parse().expect("a path");
        assert_eq!(path.to_string(), "/a/b[k=v w]");
    }

    #[test]
    fn malformed_paths_are_refused() {
        assert!("/a[k=v".parse::<Path>().is_err());
        assert!("/a[k]".parse::<Path>().is_err());
        assert!(Path::from_js("a.b").is_err());
        assert!(Path::from_js(".a{.k==\"v}").is_err());
        assert!(Path::from_js(".a{.k=\"v\"}").is_err());
    }

    #[test]
    fn ndk_paths_round_trip_through_text() {
        let text = ".k8s-services.service{.namespace==\"default\"&&.name==\"a.b{c}\"}.vip{.address==\"2001:db8::1\"}";
        let path = Path::from_js(text).expect("a path");
        assert_eq!(path.steps()[1].keys[1], ("name".to_owned(), "a.b{c}".to_owned()));
        assert_eq!(path.to_js(false), text);
        assert!(path.to_js(true).starts_with(".k8s_services.service{.namespace==\"default\""));
        assert_eq!(path.to_js_schema(true), ".k8s_services.service.vip");
    }

    #[test]
    fn ndk_values_may_lack_quotes() {
        let path = Path::from_js(".interface{.name==ethernet-1/1}.mtu").expect("a path");
        assert_eq!(path.to_string(), "/interface[name=ethernet-1/1]/mtu");
    }

    #[test]
    fn paths_round_trip_through_gnmi_messages() {
        let path: Path = "/a/b[k=v]/c".parse().expect("a path");
        assert_eq!(Path::from_gnmi(None, Some(&path.to_gnmi())), path);
    }
}
