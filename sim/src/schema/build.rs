//! Builds the compact tree from the modules that libyang has compiled.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use yang5::context::{Context, ContextFlags};
use yang5::schema::{
    DataValueType, SchemaLeafType, SchemaModule, SchemaNode, SchemaNodeKind, SchemaOutputFormat, SchemaPrinterFlags,
};

use super::statements::{Modules, Scoped};
use super::types::{self, LeafInfo, LeafType};
use super::{Importance, Kind, ModuleInfo, Node, NodeId, Schema, SchemaError, native};

pub(super) fn load(folders: &[PathBuf], modules: &[String]) -> Result<Schema, SchemaError> {
    let embedded = native::embedded();
    let mut context = Context::new(ContextFlags::NO_YANGLIBRARY | ContextFlags::DISABLE_SEARCHDIR_CWD)
        .map_err(|error| SchemaError::Libyang(Box::new(error)))?;
    for folder in folders {
        context
            .set_searchdir(folder)
            .map_err(|source| SchemaError::Folder { folder: folder.clone(), source: Box::new(source) })?;
    }
    context.set_embedded_modules(&embedded);
    let loaded =
        native::TEXTS.iter().map(|(name, _)| *name).chain(modules.iter().map(String::as_str)).try_for_each(|module| {
            match context.load_module(module, None, &["*"]) {
                Ok(_) => Ok(()),
                Err(source) => Err(SchemaError::Module { module: module.to_owned(), source: Box::new(source) }),
            }
        });
    context.unset_embedded_modules();
    loaded?;
    Ok(Builder::new(&context).build().into_schema(context))
}

struct Parts {
    nodes: Vec<Node>,
    identities: HashMap<String, Vec<String>>,
    modules: Vec<ModuleInfo>,
}

impl Parts {
    fn into_schema(self, context: Context) -> Schema {
        Schema { nodes: self.nodes, identities: self.identities, modules: self.modules, context }
    }
}

struct Builder<'a> {
    modules: Vec<SchemaModule<'a>>,
    texts: Modules,
    names: HashMap<String, Arc<str>>,
    nodes: Vec<Node>,
}

impl<'a> Builder<'a> {
    fn new(context: &'a Context) -> Self {
        let modules: Vec<_> = context.modules(true).collect();
        let mut texts = Modules::default();
        for module in &modules {
            if let Ok(text) = module.print_string(SchemaOutputFormat::YANG, SchemaPrinterFlags::empty()) {
                texts.add(module.name(), &text);
            }
        }
        Self { modules, texts, names: HashMap::new(), nodes: Vec::new() }
    }

    fn build(mut self) -> Parts {
        self.nodes.push(Node {
            name: "".into(),
            module: "".into(),
            parent: None,
            kind: Kind::Container { presence: true },
            config: true,
            key: false,
            importance: Importance::default(),
            sample_seconds: None,
            description: None,
            children: Vec::new(),
            by_name: HashMap::new(),
        });
        for module in self.modules.clone().iter().filter(|module| module.is_implemented()) {
            let texts = std::mem::take(&mut self.texts);
            let definitions = texts.root(module.name()).map_or_else(Vec::new, |root| texts.definitions(root, ""));
            self.add_children(&texts, NodeId::ROOT, module.data().collect(), &definitions, "");
            self.texts = texts;
        }
        let mut identities: HashMap<String, Vec<String>> = HashMap::new();
        for (identity, module) in self.texts.identities() {
            identities.entry(identity.to_owned()).or_default().push(module.to_owned());
        }
        let modules = self.modules.iter().filter(|module| module.is_implemented()).map(|module| ModuleInfo {
            name: module.name().to_owned(),
            namespace: module.namespace().to_owned(),
            revision: module.revision().unwrap_or_default().to_owned(),
            organization: module.organization().unwrap_or_default().to_owned(),
            native: native::TEXTS.iter().any(|(name, _)| *name == module.name()),
        });
        Parts { modules: modules.collect(), nodes: self.nodes, identities }
    }

    /// Adds nodes below a parent, including data nodes of choices, in the order of the text.
    fn add_children(
        &mut self,
        texts: &Modules,
        parent: NodeId,
        children: Vec<SchemaNode<'a>>,
        definitions: &[Scoped<'_>],
        path: &str,
    ) {
        let mut children = flatten(children);
        let position = |node: &SchemaNode<'_>| definitions.iter().position(|it| it.it.argument == node.name());
        children.sort_by_key(|node| position(node).unwrap_or(usize::MAX));
        for child in children {
            let definition = position(&child).map(|at| definitions[at]);
            self.add(texts, parent, &child, definition, path);
        }
    }

    fn add(
        &mut self,
        texts: &Modules,
        parent: NodeId,
        node: &SchemaNode<'a>,
        definition: Option<Scoped<'_>>,
        path: &str,
    ) {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("a schema has fewer nodes than u32 counts"));
        let name: Box<str> = node.name().into();
        let extension = |name| definition.and_then(|definition| definition.it.extension(name));
        let module = node.module().name().to_owned();
        let module = self.names.entry(module).or_insert_with_key(|name| name.as_str().into()).clone();
        self.nodes.push(Node {
            name: name.clone(),
            module,
            parent: Some(parent),
            kind: kind(texts, node, definition),
            config: node.is_config(),
            key: node.is_list_key(),
            importance: match extension("show-importance") {
                Some("low") => Importance::Low,
                Some("high") => Importance::High,
                _ => Importance::Medium,
            },
            sample_seconds: extension("stream-mode").and_then(|mode| mode.strip_prefix("sample")).map(sample_seconds),
            description: node.description().map(Into::into),
            children: Vec::new(),
            by_name: HashMap::new(),
        });
        let above = &mut self.nodes[parent.0 as usize];
        above.children.push(id);
        above.by_name.insert(name, id);
        if matches!(node.kind(), SchemaNodeKind::Container | SchemaNodeKind::List) {
            let path = format!("{path}/{}", node.name());
            let definitions = definition.map_or_else(Vec::new, |it| texts.definitions(it, &path));
            let children = node_children(node);
            self.add_children(texts, id, children, &definitions, &path);
        }
        if let Kind::List { .. } = self.nodes[id.0 as usize].kind {
            let keys = self.nodes[id.0 as usize].children.iter().copied();
            let keys = keys.filter(|child| self.nodes[child.0 as usize].key).collect();
            self.nodes[id.0 as usize].kind = Kind::List { keys };
        }
    }
}

/// Returns the children. They keep the lifetime of the context, as in the binding's iterator over a borrowed node.
fn node_children<'a>(node: &SchemaNode<'a>) -> Vec<SchemaNode<'a>> {
    node.children().collect()
}

fn flatten(nodes: Vec<SchemaNode<'_>>) -> Vec<SchemaNode<'_>> {
    let mut flat = Vec::new();
    for node in nodes {
        match node.kind() {
            SchemaNodeKind::Choice | SchemaNodeKind::Case => flat.extend(flatten(node_children(&node))),
            SchemaNodeKind::Container | SchemaNodeKind::List | SchemaNodeKind::Leaf | SchemaNodeKind::LeafList => {
                flat.push(node);
            }
            _ => {}
        }
    }
    flat
}

/// Returns the sample interval: `sample` alone means every second, `sample=5` every five.
fn sample_seconds(rest: &str) -> u32 {
    rest.trim_start_matches('=').parse().unwrap_or(1)
}

fn kind(texts: &Modules, node: &SchemaNode<'_>, definition: Option<Scoped<'_>>) -> Kind {
    match node.kind() {
        SchemaNodeKind::List => Kind::List { keys: Vec::new() },
        SchemaNodeKind::Leaf => Kind::Leaf(leaf_info(texts, node, definition)),
        SchemaNodeKind::LeafList => Kind::LeafList(leaf_info(texts, node, definition)),
        _ => Kind::Container { presence: !node.is_np_container() },
    }
}

fn leaf_info(texts: &Modules, node: &SchemaNode<'_>, definition: Option<Scoped<'_>>) -> LeafInfo {
    let statement = definition.and_then(|it| it.it.find("type").map(|inner| Scoped { it: inner, ..it }));
    let text = statement.map(|statement| types::read(texts, statement));
    let compiled = node.leaf_type().map_or(LeafType::Text, |it| compiled_type(&it));
    let typedef = statement.map(|it| crate::path::bare(&it.it.argument).to_owned());
    LeafInfo {
        restricted: text.as_ref().is_none_or(|text| text.restricted || text.kind.is_none()),
        range: text.as_ref().and_then(|text| text.range.clone()),
        kind: text.and_then(|text| text.kind).unwrap_or(compiled),
        typedef: typedef.unwrap_or_default(),
        // libyang returns an empty text if there is no default.
        default: node.default_value_canonical().ok().flatten().filter(|text| !text.is_empty()),
        units: node.units().map(str::to_owned),
    }
}

/// Returns the type that libyang determined, with leafrefs resolved.
fn compiled_type(it: &SchemaLeafType<'_>) -> LeafType {
    match it.base_type() {
        DataValueType::Bool => LeafType::Boolean,
        DataValueType::Empty => LeafType::Empty,
        DataValueType::Int8 => LeafType::Signed(8),
        DataValueType::Int16 => LeafType::Signed(16),
        DataValueType::Int32 => LeafType::Signed(32),
        DataValueType::Int64 => LeafType::Signed(64),
        DataValueType::Uint8 => LeafType::Unsigned(8),
        DataValueType::Uint16 => LeafType::Unsigned(16),
        DataValueType::Uint32 => LeafType::Unsigned(32),
        DataValueType::Uint64 => LeafType::Unsigned(64),
        DataValueType::Dec64 => LeafType::Decimal,
        DataValueType::Enum => LeafType::Enumeration(Vec::new()),
        DataValueType::IdentityRef => LeafType::Identity,
        DataValueType::LeafRef => it.leafref_real_type().map_or(LeafType::Text, |it| compiled_type(&it)),
        _ => LeafType::Text,
    }
}
