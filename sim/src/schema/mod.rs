//! The YANG of a switch: loaded by libyang, then kept as a compact immutable tree for everything else.
//!
//! libyang compiles the modules and checks values whose types are restricted. What its binding lacks (the order of
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

/// Why a schema cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A folder cannot be searched.
    #[error("libyang cannot search {folder}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The error of libyang.
        #[source]
        source: Box<yang5::Error>,
    },
    /// libyang itself cannot start.
    #[error("cannot start libyang")]
    Libyang(#[source] Box<yang5::Error>),
    /// A module is missing or invalid.
    #[error("cannot load YANG module '{module}'")]
    Module {
        /// Name of the module.
        module: String,
        /// The error of libyang.
        #[source]
        source: Box<yang5::Error>,
    },
}

/// Identifies a node of a [`Schema`]. Identifiers are in the order in which nodes are defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The node above all top-level nodes.
    pub const ROOT: Self = Self(0);
}

/// Kind of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container {
        /// Whether its existence has a meaning.
        presence: bool,
    },
    /// A list.
    List {
        /// Its key leaves, in the order of their definition, in which the CLI shows them.
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
    /// `medium`, or unspecified.
    #[default]
    Medium,
    /// `high`: also a column of `| as table`.
    High,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Name of the node.
    pub name: Box<str>,
    /// Module whose namespace contains the node.
    pub module: Arc<str>,
    /// Parent of the node; `None` for the root.
    pub parent: Option<NodeId>,
    /// Kind of the node.
    pub kind: Kind,
    /// Whether it is configuration and not only state.
    pub config: bool,
    /// Whether it is a key of its list.
    pub key: bool,
    /// Where the node is shown.
    pub importance: Importance,
    /// Seconds between samples, if a TARGET_DEFINED subscription samples the node instead of sending it on change.
    pub sample_seconds: Option<u32>,
    /// Description of the node.
    pub description: Option<Box<str>>,
    /// Children in the order of their definition.
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

/// An implemented module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Name of the module.
    pub name: String,
    /// Namespace, such as `urn:nokia.com:srlinux:bgp:bgp`.
    pub namespace: String,
    /// Revision of the module.
    pub revision: String,
    /// Organization of the module.
    pub organization: String,
    /// Whether it is one of the switch's own modules.
    pub native: bool,
}

impl Schema {
    /// Loads the native modules and those of applications. `modules` are the names of the latter. They and their
    /// imports are looked up in `folders`, besides the native modules.
    ///
    /// # Errors
    /// [`SchemaError`] if a module is missing or invalid.
    pub fn load(folders: &[PathBuf], modules: &[String]) -> Result<Arc<Self>, SchemaError> {
        build::load(folders, modules).map(Arc::new)
    }

    /// Returns a node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Returns the child with this name. Underscores in the name may stand for hyphens.
    pub fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let children = &self.node(parent).by_name;
        children.get(name).or_else(|| children.get(name.replace('_', "-").as_str())).copied()
    }

    /// Returns whether the node is defined by one of the switch's own modules.
    pub fn is_native(&self, id: NodeId) -> bool {
        native::TEXTS.iter().any(|(name, _)| **name == *self.node(id).module)
    }

    /// Returns whether two nodes are from different modules, so that JSON_IETF prefixes the lower one.
    pub fn crosses_module(&self, parent: NodeId, child: NodeId) -> bool {
        parent == NodeId::ROOT || self.node(parent).module != self.node(child).module
    }

    /// Returns the nodes from the top to this one.
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

    /// Returns the implemented modules, in the order in which they were loaded.
    pub fn modules(&self) -> &[ModuleInfo] {
        &self.modules
    }

    /// Returns the type of a leaf or leaf-list; `None` for other nodes.
    pub fn leaf(&self, id: NodeId) -> Option<&LeafInfo> {
        match &self.node(id).kind {
            Kind::Leaf(info) | Kind::LeafList(info) => Some(info),
            Kind::Container { .. } | Kind::List { .. } => None,
        }
    }

    /// Returns the keys of a list in the order of their definition; empty for other nodes.
    pub fn keys(&self, id: NodeId) -> &[NodeId] {
        match &self.node(id).kind {
            Kind::List { keys } => keys,
            _ => &[],
        }
    }

    /// Returns the path of a node in the schema, for messages: `/a/b`.
    pub fn path_of(&self, id: NodeId) -> String {
        let names = self.lineage(id).into_iter().map(|id| format!("/{}", self.node(id).name));
        names.collect::<String>()
    }

    /// Returns the modules that define an identity.
    pub(crate) fn modules_of_identity(&self, name: &str) -> &[String] {
        self.identities.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}
