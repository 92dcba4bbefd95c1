//! stub
#![allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<(String, Vec<(String, String)>)>);
impl Path {
    pub fn root() -> Self {
        Self(vec![])
    }
    pub fn child_with_keys<'a>(mut self, name: &str, keys: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        self.0.push((name.into(), keys.map(|(a, b)| (a.into(), b.into())).collect()));
        self
    }
}
