//! Turns the raw configuration that the NDK delivers into a validated one.
//!
//! [`Assembler`] owns the raw tree. A commit arrives as the delivery nodes it changed, in any order. The resulting tree
//! is validated as a whole, and every problem is reported at once with the path of its leaf. An invalid commit leaves
//! no trace, because the device rolls it back.

mod form;
mod raw;
mod selector;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path as FilePath;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::commit::{ConfigChange, Operation, Problem};
use crate::model::config::Config;
use crate::path::{Path, Spelling};
use crate::tree as product;
use raw::Tree;

/// A valid configuration, and what will have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// The configuration to put in force.
    pub config: Config,
    /// Leaves that have no effect as configured.
    pub warnings: Vec<Problem>,
}

/// Turns commits into configurations.
#[derive(Debug)]
pub struct Assembler {
    tree: Tree,
    credentials: Arc<FilePath>,
}

impl Assembler {
    /// Creates an assembler that has received nothing, so that the configuration is all defaults. Files with
    /// credentials must be below the folder.
    pub fn new(credentials: Arc<FilePath>) -> Self {
        Self { tree: Tree::default(), credentials }
    }

    /// Applies one commit, and returns the configuration with warnings. `sequence` is the number in `.commit.end`: 0
    /// marks the replay at registration, which replaces everything.
    ///
    /// # Errors
    /// Every problem of the commit. The last valid configuration stays in force. The changes of a commit are forgotten,
    /// because the device rolls them back. A replay is what the device runs with, so it is kept: the next commit
    /// contains only what differs from it.
    pub fn apply(&mut self, sequence: u64, changes: &[ConfigChange]) -> Result<Valid, Vec<Problem>> {
        let replay = sequence == 0;
        let mut tree = if replay { Tree::default() } else { self.tree.clone() };
        let mut problems = Vec::new();
        take_in(&mut tree, changes, &mut problems);
        let mut warnings = Vec::new();
        let config = validate::validate(&tree, &self.credentials, &mut problems, &mut warnings);
        if problems.is_empty() || replay {
            self.tree = tree;
        }
        if problems.is_empty() {
            return Ok(Valid { config, warnings });
        }
        problems.sort();
        problems.dedup();
        Err(problems)
    }
}

/// Converts a whole configuration as one JSON object, which is how gNMI returns it, to the changes of a commit with all
/// of it.
pub fn delivered(whole: &Value) -> Vec<ConfigChange> {
    let mut changes = Vec::new();
    if whole.is_object() {
        deliver(&product::root(), &product::ROOT, whole, &mut changes);
    }
    changes
}

/// Adds a delivery node with its leaves. Containers and list entries below it are nodes of their own.
fn deliver(path: &Path, node: &'static product::Node, value: &Value, changes: &mut Vec<ConfigChange>) {
    let mut own = Map::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match node.child(name).map(|child| (child, child.kind)) {
            Some((child, product::Kind::Container)) => deliver(&path.clone().child(child.name), child, value, changes),
            Some((child, product::Kind::List(keys))) => {
                for entry in value.as_array().into_iter().flatten() {
                    let text = |key: &str| entry[key].as_str().map_or_else(|| entry[key].to_string(), str::to_owned);
                    let texts: Vec<String> = keys.iter().map(|key| text(key)).collect();
                    let keys: Vec<(&'static str, &dyn Display)> =
                        keys.iter().zip(&texts).map(|(key, text)| (*key, text as &dyn Display)).collect();
                    deliver(&path.clone().entry(child.name, &keys), child, entry, changes);
                }
            }
            _ => drop(own.insert(name.clone(), value.clone())),
        }
    }
    let json = Value::Object(own).to_string();
    changes.push(ConfigChange { op: Operation::Set, path: path.js(Spelling::Hyphens), json });
}

/// Applies a commit to the tree. The last change of a path counts. Deletions are applied first, so that an entry that
/// is created again in the commit that deletes its parent is kept, in whatever order the two arrive.
fn take_in(tree: &mut Tree, changes: &[ConfigChange], problems: &mut Vec<Problem>) {
    let mut last: BTreeMap<Path, &ConfigChange> = BTreeMap::new();
    for change in changes {
        match Path::from_js(&change.path) {
            Ok(path) => {
                last.insert(path, change);
            }
            Err(error) => problems.push(Problem {
                path: product::root(),
                message: format!(
                    "the path {:?} cannot be read ({error}); this is a defect, please report it",
                    change.path
                ),
            }),
        }
    }
    let (gone, there): (Vec<_>, Vec<_>) = last.into_iter().partition(|(_, change)| change.op == Operation::Delete);
    for (path, _) in gone {
        problems.extend(tree.delete(&path).err());
    }
    for (path, change) in there {
        problems.extend(tree.set(&path, &change.json).err());
    }
}
