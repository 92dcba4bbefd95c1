//! The YANG of a switch: loaded by libyang, then kept as a compact immutable tree that everything else walks.
//!
//! libyang compiles the modules, and checks values that a type restricts. What its binding does not show (the order of
//! definition, extensions, names of enumerations) is read from the text of the modules.

mod build;
mod native;
mod statements;
#[cfg(test)]
pub(crate) mod tests;
mod types;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use yang5::context::Context;

pub use self::types::{LeafInfo, LeafType};

/// Why a schema cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A folder cannot be searched.
    #[error("libyang cannot search {folder}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// libyang's word on it.
        #[source]
        source: Box<yang5::Error>,
    },
    /// libyang itself does not start.
    #[error("libyang does not start")]
    Libyang(#[source] Box<yang5::Error>),
    /// A module is not found, or is wrong.
    #[error("YANG module '{module}' does not load")]
    Module {
        /// Its name.
        module: String,
        /// libyang's word on it.
        #[source]
        source: Box<yang5::Error>,
    },
}

/// Names a node of a [`Schema`]. They are ordered as the nodes are defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The node above all top-level nodes.
    pub const ROOT: Self = Self(0);
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container {
        /// Whether being there means something.
        presence: bool,
    },
    /// A list.
    List {
        /// Its key leaves, in the order of their definition, which is how the CLI shows them.
        keys: Vec<NodeId>,
    },
    /// A leaf.
    Leaf(LeafInfo),
    /// A leaf-list.
    LeafList(LeafInfo),
}

/// `show-importance`: where a node is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// `low`
    Low,
    /// `medium`, or not said.
    #[default]
    Medium,
    /// `high`: also a column of `| as table`.
    High,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: Box<str>,
    /// The module whose namespace it is in.
    pub module: Arc<str>,
    /// What it is in; `None` of the root.
    pub parent: Option<NodeId>,
    /// What it is.
    pub kind: Kind,
    /// Configuration, or state only.
    pub config: bool,
    /// Whether it is a key of the list it is in.
    pub key: bool,
    /// Where it is shown.
    pub importance: Importance,
    /// Seconds between samples when a TARGET_DEFINED subscription samples it; otherwise it is sent on change.
    pub sample_seconds: Option<u32>,
    /// Its description.
    pub description: Option<Box<str>>,
    /// Its children in the order of their definition.
    pub children: Vec<NodeId>,
    by_name: HashMap<Box<str>, NodeId>,
}

/// The YANG of a switch.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<Node>,
    identities: HashMap<String, Vec<String>>,
    modules: Vec<ModuleInfo>,
    context: Context,
}

/// One module that is implemented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Its name.
    pub name: String,
    /// Its namespace, `urn:nokia.com:srlinux:bgp:bgp`.
    pub namespace: String,
    /// Its revision.
    pub revision: String,
    /// Its organization.
    pub organization: String,
    /// Whether the switch itself has it.
    pub native: bool,
}

impl Schema {
    /// Loads the native modules and those of applications: `modules` are their names, `folders` is where they and what
    /// they import are looked for beside the native ones.
    ///
    /// # Errors
    /// [`SchemaError`] when a module is not found or wrong.
    pub fn load(folders: &[PathBuf], modules: &[String]) -> Result<Arc<Self>, SchemaError> {
        build::load(folders, modules).map(Arc::new)
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The child of this name; a name spelled with underscores stands for one with hyphens too.
    pub fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let children = &self.node(parent).by_name;
        children.get(name).or_else(|| children.get(name.replace('_', "-").as_str())).copied()
    }

    /// Whether the switch's own modules define this node, not an application's.
    pub fn is_native(&self, id: NodeId) -> bool {
        native::TEXTS.iter().any(|(name, _)| **name == *self.node(id).module)
    }

    /// Whether two nodes are of different modules, so that JSON_IETF prefixes the lower one.
    pub fn crosses_module(&self, parent: NodeId, child: NodeId) -> bool {
        parent == NodeId::ROOT || self.node(parent).module != self.node(child).module
    }

    /// The nodes from the top to this one, which is the last.
    pub fn lineage(&self, id: NodeId) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next.filter(|id| *id != NodeId::ROOT) {
            nodes.push(id);
            next = self.node(id).parent;
        }
        nodes.reverse();
        nodes
    }

    /// The implemented modules, in the order they were loaded.
    pub fn modules(&self) -> &[ModuleInfo] {
        &self.modules
    }

    /// What a leaf or leaf-list holds; `None` of other nodes.
    pub fn leaf(&self, id: NodeId) -> Option<&LeafInfo> {
        match &self.node(id).kind {
            Kind::Leaf(info) | Kind::LeafList(info) => Some(info),
            Kind::Container { .. } | Kind::List { .. } => None,
        }
    }

    /// The keys of a list in the order of their definition; `None` of other nodes.
    pub fn keys(&self, id: NodeId) -> &[NodeId] {
        match &self.node(id).kind {
            Kind::List { keys } => keys,
            _ => &[],
        }
    }

    /// The text of a path in the schema, for messages: `/a/b`.
    pub fn path_of(&self, id: NodeId) -> String {
        let names = self.lineage(id).into_iter().map(|id| format!("/{}", self.node(id).name));
        names.collect::<String>()
    }

    /// The modules that define an identity.
    pub(crate) fn modules_of_identity(&self, name: &str) -> &[String] {
        self.identities.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}
