//! What all reports of `show` are made of: views of the state they read, and the text and tables they fill.

use super::Session;
use super::error::CliError;
use super::info::From;
use super::json::Json;
use super::pipe::Format;
use super::table::{Column, draw};
use super::target::Target;
use super::tree::{Body, Entry, Value};
use crate::datastore::Source;
use crate::schema::{NodeId, Schema};

/// A report: text, and its tables for `| as json`.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) text: String,
    pub(super) tables: Vec<(String, Vec<Column>, Vec<Vec<String>>)>,
    /// Data of a plugin, in place of tables.
    data: Option<Json>,
}

impl Report {
    /// Adds a table to the text and to the data.
    pub(super) fn table(&mut self, name: &str, columns: Vec<Column>, rows: Vec<Vec<String>>) {
        self.text.push_str(&draw(&columns, &rows));
        self.tables.push((name.to_owned(), columns, rows));
    }

    /// Creates a report from text and data.
    pub(super) fn of_data(text: String, data: Json) -> Self {
        Self { text, data: Some(data), ..Self::default() }
    }

    fn data(&self) -> Json {
        if let Some(data) = &self.data {
            return data.clone();
        }
        let row = |columns: &[Column], row: &Vec<String>| {
            let members = columns.iter().zip(row);
            Json::Object(members.map(|(column, cell)| (column.header.clone(), Json::Text(cell.clone()))).collect())
        };
        let tables = self.tables.iter().map(|(name, columns, rows)| {
            (name.clone(), Json::Array(rows.iter().map(|cells| row(columns, cells)).collect()))
        });
        Json::Object(tables.collect())
    }

    pub(super) fn print(self, format: Format) -> String {
        match format {
            Format::Json => self.data().print(),
            Format::Yaml => self.data().to_yaml(),
            Format::Table if self.data.is_some() => {
                self.data().tables().into_iter().map(|(columns, rows)| draw(&columns, &rows)).collect()
            }
            Format::Table => self.tables.iter().map(|(_, columns, rows)| draw(columns, rows)).collect(),
            Format::Text => self.text,
        }
    }
}

/// A container or entry with its schema, for access by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) schema: &'a Schema,
    pub(super) node: NodeId,
    pub(super) keys: &'a [String],
    pub(super) body: &'a Body,
}

impl<'a> View<'a> {
    /// Creates a view of all the state that was selected.
    pub(super) fn root(schema: &'a Schema, body: &'a Body) -> Self {
        Self { schema, node: NodeId::ROOT, keys: &[], body }
    }

    /// Returns all entries at a path of containers and lists, such as `ipv4/address`.
    pub(super) fn all(&self, path: &str) -> Vec<View<'a>> {
        match path.split_once('/') {
            None => self.list(path),
            Some((first, rest)) => self.list(first).iter().flat_map(|view| view.all(rest)).collect(),
        }
    }

    /// Returns the value of a leaf or key at a path such as `indirect/resolved`; empty if absent.
    pub(super) fn leaf(&self, path: &str) -> &'a str {
        if let Some((container, rest)) = path.split_once('/') {
            return self.list(container).first().map_or("", |view| view.leaf(rest));
        }
        let Some(node) = self.schema.child(self.node, path) else { return "" };
        if let Some(position) = self.schema.keys(self.node).iter().position(|key| *key == node) {
            return self.keys.get(position).map_or("", String::as_str);
        }
        match self.body.leaves.get(&node) {
            Some(Value::Leaf(value)) => value,
            _ => "",
        }
    }

    /// Returns the values of a leaf-list.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let value = self.schema.child(self.node, name).and_then(|node| self.body.leaves.get(&node));
        match value {
            Some(Value::List(values)) => values.clone(),
            _ => Vec::new(),
        }
    }

    /// Returns the entries of a list, or a container as a single entry.
    pub(super) fn list(&self, name: &str) -> Vec<View<'a>> {
        let Some(node) = self.schema.child(self.node, name) else { return Vec::new() };
        let entries = self.body.children.get(&node).into_iter().flatten();
        let schema = self.schema;
        entries.map(|Entry { keys, body }| View { schema, node, keys, body }).collect()
    }

    /// Returns a container, if present.
    pub(super) fn container(&self, name: &str) -> Option<View<'a>> {
        self.list(name).into_iter().next()
    }
}

impl Session {
    /// Returns all state at a path. Keys, if any, are part of the path.
    pub(super) fn state(&self, path: &str) -> Result<Body, CliError> {
        let words = super::lex::split(path)?;
        let (target, _) = Target::read(self.store.schema(), &Target::default(), &words)?;
        Ok(self.select(From::State, &target))
    }

    /// Visits the state at a path below every network instance whose name matches.
    ///
    /// # Errors
    /// Returns an error if no network instance has this name.
    pub(super) fn each_instance(&self, name: &str, path: &str, mut each: impl FnMut(View<'_>)) -> Result<(), CliError> {
        let schema = self.store.schema();
        let words = super::lex::split("/ network-instance *")?;
        let (all, _) = Target::read(schema, &Target::default(), &words)?;
        let names = self.store.read(Source::State, |schema, tree| all.entries_in(schema, tree, all.node(), 0));
        if !name.contains('*') && !names.iter().any(|it| it == name) {
            return Err(CliError::unknown(name, names.into_iter().chain(["summary".to_owned()])));
        }
        let body = self.state(&format!("/ network-instance \"{name}\" {path}"))?;
        View::root(schema, &body).list("network-instance").into_iter().for_each(&mut each);
        Ok(())
    }
}

/// Adds a line with a name and a value, as in detailed reports.
pub(super) fn line(text: &mut String, name: &str, width: usize, value: &str) {
    text.push_str(format!("{name:<width$}: {value}").trim_end());
    text.push('\n');
}
