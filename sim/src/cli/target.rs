//! What a line refers to: nodes of the schema with the keys of entries, which may be patterns.

use super::error::CliError;
use super::glob::glob;
use super::lex::{Token, quote};
use super::spelling::texts;
use crate::datastore::{EntryKey, Node};
use crate::path::{Path, Step};
use crate::schema::{NodeId, Schema};

/// A place in the data, or several if keys are patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Target {
    steps: Vec<TargetStep>,
}

/// One node on the way to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetStep {
    pub(super) node: NodeId,
    /// A pattern per key in the order of definition; empty for containers and leaves.
    pub(super) keys: Vec<Pattern>,
}

/// Values that a key may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// This one.
    Exact(String),
    /// Values that match one of these patterns, in which `*` stands for any text.
    AnyOf(Vec<String>),
    /// Any value: the line does not name the key.
    Missing,
}

impl Pattern {
    fn read(word: &str) -> Self {
        let alternatives = expand_ranges(word);
        match alternatives.as_slice() {
            [only] if !only.contains('*') => Self::Exact(only.clone()),
            _ => Self::AnyOf(alternatives),
        }
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == value,
            Self::AnyOf(patterns) => patterns.iter().any(|pattern| glob(pattern, value)),
            Self::Missing => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Exact(value) => quote(value),
            Self::AnyOf(patterns) => patterns.join(","),
            Self::Missing => "*".to_owned(),
        }
    }

    /// Returns the values that the pattern names itself, or `None` if they depend on the data.
    fn literals(&self) -> Option<Vec<&str>> {
        match self {
            Self::Exact(value) => Some(vec![value]),
            Self::AnyOf(patterns) if patterns.iter().all(|pattern| !pattern.contains('*')) => {
                Some(patterns.iter().map(String::as_str).collect())
            }
            _ => None,
        }
    }
}

/// Expands ranges: `ethernet-1/{1..3,5}` becomes four words. A word without braces is returned as it is.
fn expand_ranges(word: &str) -> Vec<String> {
    let Some((head, rest)) = word.split_once('{') else { return vec![word.to_owned()] };
    let Some((ranges, tail)) = rest.split_once('}') else { return vec![word.to_owned()] };
    let mut middles = Vec::new();
    for part in ranges.split(',').map(str::trim) {
        let bounds = part.split_once("..").map(|(first, last)| (first.parse::<u32>(), last.parse::<u32>()));
        match bounds {
            // No list has so many entries that a longer range would be worth the memory.
            Some((Ok(first), Ok(last))) if last.saturating_sub(first) <= 65_536 => {
                middles.extend((first..=last).map(|number| number.to_string()));
            }
            _ => middles.push(part.to_owned()),
        }
    }
    let tails = expand_ranges(tail);
    middles.iter().flat_map(|middle| tails.iter().map(move |tail| format!("{head}{middle}{tail}"))).collect()
}

impl TargetStep {
    pub(super) fn matches(&self, keys: &[String]) -> bool {
        self.keys.iter().zip(keys).all(|(pattern, key)| pattern.matches(key))
    }

    /// Returns whether the step can match only one container, entry or leaf.
    pub(super) fn is_single(&self) -> bool {
        self.keys.iter().all(|key| matches!(key, Pattern::Exact(_)))
    }

    /// Returns the key of the single entry it names, in the form of the datastore.
    pub(super) fn exact(&self, schema: &Schema) -> Option<EntryKey> {
        let values = schema.keys(self.node).iter().zip(&self.keys).map(|(key, pattern)| match pattern {
            Pattern::Exact(value) => Some(schema.key_value(*key, value)),
            Pattern::AnyOf(_) | Pattern::Missing => None,
        });
        values.collect::<Option<Vec<_>>>().filter(|values| !values.is_empty()).map(EntryKey::new)
    }

    /// Returns whether a key is not given.
    pub(super) fn is_unkeyed(&self) -> bool {
        self.keys.contains(&Pattern::Missing)
    }

    /// Returns the key values of all entries it names. Wildcards match the entries of the tree.
    fn entries(&self, schema: &Schema, tree: Option<&Node>) -> Vec<Vec<String>> {
        let literals: Option<Vec<Vec<&str>>> = self.keys.iter().map(Pattern::literals).collect();
        let Some(literals) = literals else {
            let entries =
                tree.and_then(|tree| tree.lists.get(&self.node)).into_iter().flat_map(|entries| entries.keys());
            return entries.map(|key| texts(schema, self.node, key)).filter(|keys| self.matches(keys)).collect();
        };
        let mut entries = vec![Vec::new()];
        for values in literals {
            let extended = |entry: &Vec<String>, value: &str| [entry.as_slice(), &[value.to_owned()]].concat();
            entries = entries.iter().flat_map(|entry| values.iter().map(move |value| extended(entry, value))).collect();
        }
        entries
    }
}

impl Target {
    /// Returns the target of a path, in whose keys `*` stands for any text, or `None` if the schema has no such node.
    pub(super) fn of_path(schema: &Schema, path: &Path) -> Option<Self> {
        let mut reader = Reader { schema, target: Self::default(), configured: false };
        path.steps().iter().try_for_each(|step| reader.whole_step(step)).ok()?;
        Some(reader.target)
    }

    pub(super) fn steps(&self) -> &[TargetStep] {
        &self.steps
    }

    /// Returns the node at the end.
    pub(super) fn node(&self) -> NodeId {
        self.steps.last().map_or(NodeId::ROOT, |step| step.node)
    }

    pub(super) fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn is_single(&self) -> bool {
        self.steps.iter().all(TargetStep::is_single)
    }

    pub(super) fn push(&mut self, node: NodeId, keys: Vec<Pattern>) {
        self.steps.push(TargetStep { node, keys });
    }

    /// Goes one level up: from an entry to the container of its list.
    pub(super) fn pop(&mut self) {
        self.steps.pop();
    }

    /// Returns how many steps from the root need no header: those to single containers and entries.
    pub(super) fn plain_steps(&self, schema: &Schema) -> usize {
        let leaf = usize::from(schema.leaf(self.node()).is_some());
        let single = self.steps.iter().take_while(|step| step.is_single()).count();
        single.min(self.steps.len() - leaf)
    }

    /// Returns the path in the datastore. Keys that are patterns become `*` and must be matched afterwards.
    pub(super) fn path(&self, schema: &Schema) -> Path {
        let step = |step: &TargetStep| {
            let names = schema.keys(step.node).iter().map(|key| schema.node(*key).name.to_string());
            let values = step.keys.iter().map(|key| match key {
                Pattern::Exact(value) => value.clone(),
                Pattern::AnyOf(_) | Pattern::Missing => "*".to_owned(),
            });
            Step { name: schema.node(step.node).name.to_string(), keys: names.zip(values).collect() }
        };
        Path::from_steps(self.steps.iter().map(step).collect())
    }

    /// Returns all paths it names. Ranges are expanded, and wildcards match the entries of a tree.
    pub(super) fn expand(&self, schema: &Schema, tree: &Node) -> Vec<Path> {
        let mut found = vec![(Vec::new(), Some(tree))];
        for step in &self.steps {
            let name = &*schema.node(step.node).name;
            found = found
                .into_iter()
                .flat_map(|(steps, tree)| {
                    step.entries(schema, tree).into_iter().map(move |values| {
                        let names = schema.keys(step.node).iter().map(|key| schema.node(*key).name.to_string());
                        let below = tree.and_then(|tree| entry(schema, tree, step.node, &values));
                        let mut steps: Vec<Step> = steps.clone();
                        steps.push(Step { name: name.to_owned(), keys: names.zip(values).collect() });
                        (steps, below)
                    })
                })
                .collect();
        }
        found.into_iter().map(|(steps, _)| Path::from_steps(steps)).collect()
    }

    /// Returns the values that one key has in a tree. `list` is the list at the end of the target.
    pub(super) fn entries_in(&self, schema: &Schema, tree: &Node, list: NodeId, position: usize) -> Vec<String> {
        let Ok(target) = schema.resolve(&self.path(schema)) else { return Vec::new() };
        let found = target.find(schema, tree).into_iter().filter_map(|(mut places, _)| places.pop()?.key);
        found.filter_map(|key| texts(schema, list, &key).into_iter().nth(position)).collect()
    }

    /// Formats it as the CLI does: `network-instance default protocols`.
    pub(super) fn text(&self, schema: &Schema) -> String {
        let step = |step: &TargetStep| {
            let values: Vec<_> = step.keys.iter().map(Pattern::text).collect();
            header(schema, step.node, &values)
        };
        self.steps.iter().map(step).collect::<Vec<_>>().join(" ")
    }

    /// Reads a target from the words at the beginning of a line, relative to a context. Returns the remaining words
    /// too.
    ///
    /// # Errors
    /// Returns an error if a word is unknown at its place.
    pub(super) fn read<'a>(
        schema: &Schema,
        context: &Self,
        words: &'a [Token],
    ) -> Result<(Self, &'a [Token]), CliError> {
        Reader { schema, target: context.clone(), configured: false }.read(words)
    }

    /// Like [`Target::read`], but knows only what can be configured, not state.
    ///
    /// # Errors
    /// Returns an error if a word names nothing at its place that can be configured.
    pub(super) fn read_configuration<'a>(
        schema: &Schema,
        context: &Self,
        words: &'a [Token],
    ) -> Result<(Self, &'a [Token]), CliError> {
        Reader { schema, target: context.clone(), configured: true }.read(words)
    }
}
/// Formats the head of a container or entry: its name, the value of the first key, then the other keys with their
/// names.
pub(super) fn header(schema: &Schema, node: NodeId, keys: &[impl AsRef<str>]) -> String {
    let mut text = schema.node(node).name.to_string();
    for (position, (key, value)) in schema.keys(node).iter().zip(keys).enumerate() {
        if position > 0 {
            text.push(' ');
            text.push_str(&schema.node(*key).name);
        }
        text.push(' ');
        text.push_str(value.as_ref());
    }
    text
}

struct Reader<'a> {
    schema: &'a Schema,
    target: Target,
    /// Whether only configuration is known, and no state.
    configured: bool,
}

impl Reader<'_> {
    fn read(mut self, words: &[Token]) -> Result<(Target, &[Token]), CliError> {
        let mut rest = words;
        while let Some((first, others)) = rest.split_first() {
            let Some(word) = first.word() else { break };
            rest = match word {
                ".." => {
                    self.target.pop();
                    others
                }
                _ if word.starts_with('/') && rest.len() == words.len() => {
                    self.target = Target::default();
                    self.slashed(word, others)?
                }
                _ if self.schema.leaf(self.target.node()).is_some() => break,
                _ => self.step(word, others)?,
            };
        }
        Ok((self.target, rest))
    }

    /// Reads `/`, `/name` or a whole path such as `/a/b[k=v]`.
    fn slashed<'w>(&mut self, word: &str, rest: &'w [Token]) -> Result<&'w [Token], CliError> {
        if word == "/" {
            return Ok(rest);
        }
        let path: Path = word.parse().map_err(|_| CliError::unknown(word, self.options()))?;
        let Some((last, parents)) = path.steps().split_last() else { return Ok(rest) };
        for step in parents {
            self.whole_step(step)?;
        }
        if last.keys.is_empty() { self.step(&last.name, rest) } else { self.whole_step(last).map(|()| rest) }
    }

    fn whole_step(&mut self, step: &Step) -> Result<(), CliError> {
        let node = self.child(&step.name)?;
        let names = self.schema.keys(node).iter().map(|key| &self.schema.node(*key).name);
        let pattern = |name: &str| step.keys.iter().find(|(key, _)| key == name).map(|(_, value)| Pattern::read(value));
        let keys = names.map(|name| pattern(name).unwrap_or(Pattern::Missing)).collect();
        self.target.push(node, keys);
        Ok(())
    }

    fn child(&self, name: &str) -> Result<NodeId, CliError> {
        let children = &self.schema.node(self.target.node()).children;
        let known = |child: &&NodeId| {
            let node = self.schema.node(**child);
            *node.name == *name && !node.key && (node.config || !self.configured)
        };
        let found = children.iter().find(known);
        found.copied().ok_or_else(|| CliError::unknown(name, self.options()))
    }

    fn options(&self) -> Vec<String> {
        let names = child_names(self.schema, self.target.node());
        names
            .into_iter()
            .filter(|name| !self.configured || is_configured(self.schema, self.target.node(), name))
            .collect()
    }

    fn step<'w>(&mut self, word: &str, rest: &'w [Token]) -> Result<&'w [Token], CliError> {
        let node = self.child(word)?;
        let mut keys: Vec<Option<Pattern>> = vec![None; self.schema.keys(node).len()];
        let rest = self.keys(node, rest, &mut keys);
        self.target.push(node, keys.into_iter().map(|key| key.unwrap_or(Pattern::Missing)).collect());
        Ok(rest)
    }

    /// Reads keys: the first without its name, the others with their names in any order. Absent keys match any value.
    fn keys<'w>(&self, node: NodeId, mut rest: &'w [Token], keys: &mut [Option<Pattern>]) -> &'w [Token] {
        let names: Vec<&str> = self.schema.keys(node).iter().map(|key| &*self.schema.node(*key).name).collect();
        while let Some(word) = rest.first().and_then(Token::word) {
            let named = names.iter().zip(keys.iter()).position(|(name, key)| *name == word && key.is_none());
            match (named, rest.get(1).and_then(Token::word)) {
                (Some(position), Some(value)) if position > 0 || self.schema.child(node, value).is_none() => {
                    keys[position] = Some(Pattern::read(value));
                    rest = &rest[2..];
                }
                _ if keys.first().is_some_and(Option::is_none) => {
                    keys[0] = Some(Pattern::read(word));
                    rest = &rest[1..];
                }
                _ => break,
            }
        }
        rest
    }
}

/// Returns the names of a node's children. Keys are not among them, because they are in the header.
pub(super) fn child_names(schema: &Schema, node: NodeId) -> Vec<String> {
    let children = schema.node(node).children.iter().map(|child| schema.node(*child)).filter(|child| !child.key);
    children.map(|child| child.name.to_string()).collect()
}

/// Returns whether a child is configuration.
pub(super) fn is_configured(schema: &Schema, node: NodeId, name: &str) -> bool {
    schema.child(node, name).is_some_and(|child| schema.node(child).config)
}

fn entry<'a>(schema: &Schema, tree: &'a Node, node: NodeId, keys: &[String]) -> Option<&'a Node> {
    match keys {
        [] => tree.containers.get(&node),
        keys => tree.lists.get(&node)?.iter().find(|(key, _)| texts(schema, node, key) == keys).map(|(_, below)| below),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_braces_expand_to_every_value() {
        assert_eq!(
            expand_ranges("ethernet-1/{1..3,5}"),
            ["ethernet-1/1", "ethernet-1/2", "ethernet-1/3", "ethernet-1/5"]
        );
        assert_eq!(expand_ranges("{a,b}{1..2}"), ["a1", "a2", "b1", "b2"]);
        assert_eq!(expand_ranges("plain"), ["plain"]);
    }
}
