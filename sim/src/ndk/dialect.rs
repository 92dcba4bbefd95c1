//! The telemetry that an NDK accepts, as far as releases differ: the spelling of paths, the form of enumerations, and
//! which nodes have their own path.

use serde_json::Value;

use super::{AcceptedPaths, Enumerations, Inner, Misspelled};
use crate::path::{Path, bare};
use crate::schema::{Kind, LeafType, NodeId, Schema};

impl Inner {
    /// Returns the path of a write; `None` if its spelling makes the write ineffective.
    ///
    /// # Errors
    /// Returns an error if the write is refused.
    pub(super) fn read_path(&self, text: &str) -> Result<Option<Path>, String> {
        let path = Path::from_js(text).map_err(|error| error.to_string())?;
        let refused = match self.switches.telemetry_paths {
            AcceptedPaths::Both => return Ok(Some(path)),
            AcceptedPaths::Hyphen => '_',
            AcceptedPaths::Underscore => '-',
        };
        let unknown = {
            let mut names =
                path.steps().iter().flat_map(|step| step.keys.iter().map(|(key, _)| key).chain([&step.name]));
            names.find(|name| name.contains(refused)).cloned()
        };
        match (unknown, self.switches.misspelled) {
            (None, _) => Ok(Some(path)),
            (Some(_), Misspelled::NotShown) => Ok(None),
            (Some(name), Misspelled::Refused) => Err(format!("unknown element '{name}' in path '{text}'")),
        }
    }

    /// Checks what the schema leaves open: whether the node has its own path, and the form of its enumerations.
    ///
    /// # Errors
    /// Returns an error if the write is refused.
    pub(super) fn check_form(&self, path: &Path, value: &Value) -> Result<(), String> {
        let schema = self.store.schema();
        // A path that the schema does not know is refused later, by the datastore.
        let Ok(target) = schema.resolve(path) else { return Ok(()) };
        let below_root = path.steps().len() > 1 && matches!(schema.node(target.node()).kind, Kind::Container { .. });
        if below_root && !self.switches.containers_below_root {
            return Err(format!("'{path}' is neither a root nor a list entry: it cannot be written by itself"));
        }
        match self.switches.enumerations {
            Enumerations::Either => Ok(()),
            form => check_members(schema, target.node(), value, form),
        }
    }
}

fn check_members(schema: &Schema, parent: NodeId, value: &Value, form: Enumerations) -> Result<(), String> {
    match value {
        Value::Array(entries) => entries.iter().try_for_each(|entry| check_members(schema, parent, entry, form)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            let Some(child) = schema.child(parent, bare(name)) else { return Ok(()) };
            match schema.leaf(child).map(|leaf| &leaf.kind) {
                None => check_members(schema, child, value, form),
                Some(LeafType::Enumeration(words)) => check_words(&schema.node(child).name, words, value, form),
                Some(_) => Ok(()),
            }
        }),
        _ => Ok(()),
    }
}

fn check_words(leaf: &str, words: &[String], value: &Value, form: Enumerations) -> Result<(), String> {
    let text = match value {
        Value::Array(values) => return values.iter().try_for_each(|value| check_words(leaf, words, value, form)),
        Value::Object(wrapped) => wrapped.get("value").and_then(Value::as_str),
        plain => plain.as_str(),
    };
    let Some(text) = text else { return Ok(()) };
    let prefix = leaf.replace('-', "_").to_uppercase();
    let spelled = |word: &String| match form {
        Enumerations::Either | Enumerations::Plain => word.clone(),
        Enumerations::Prefixed => format!("{prefix}_{word}"),
        Enumerations::PrefixedUnderscores => format!("{prefix}_{}", word.replace('-', "_")),
    };
    if words.iter().any(|word| spelled(word) == text) {
        return Ok(());
    }
    Err(format!("invalid enumeration value '{text}' for field '{leaf}'"))
}
