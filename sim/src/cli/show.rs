//! `show`: reports over the state.

use jiff::Timestamp;

use super::Session;
use super::error::CliError;
use super::info::From;
use super::json::Json;
use super::lex::Token;
use super::pipe::{Format, Pipes};
use super::routes::{self, Family};
use super::table::{Column, draw};
use super::target::Target;
use super::tree::{Body, Entry, Value, glob};
use crate::schema::{NodeId, Schema};

/// The rows of words that `show` knows, for completion; `<...>` stands for a name out of the data.
pub(super) const COMMANDS: &[&[&str]] = &[
    &["version"],
    &["system", "application", "<application>"],
    &["network-instance", "<network-instance>", "route-table", "all"],
    &["network-instance", "<network-instance>", "route-table", "ipv4-unicast", "prefix", "<prefix>", "detail"],
    &["network-instance", "<network-instance>", "route-table", "ipv6-unicast", "prefix", "<prefix>", "detail"],
    &["network-instance", "<network-instance>", "protocols", "bgp", "neighbor", "<neighbor>"],
];

/// A report: text, and the tables in it for `| as json`.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) text: String,
    pub(super) tables: Vec<(String, Vec<Column>, Vec<Vec<String>>)>,
}

impl Report {
    /// Adds a table to the text and to the data.
    pub(super) fn table(&mut self, name: &str, columns: Vec<Column>, rows: Vec<Vec<String>>) {
        self.text.push_str(&draw(&columns, &rows));
        self.tables.push((name.to_owned(), columns, rows));
    }

    fn data(&self) -> Json {
        let row = |columns: &[Column], row: &Vec<String>| {
            let members = columns.iter().zip(row);
            Json::Object(members.map(|(column, cell)| (column.header.clone(), Json::Text(cell.clone()))).collect())
        };
        let tables = self.tables.iter().map(|(name, columns, rows)| {
            (name.clone(), Json::Array(rows.iter().map(|cells| row(columns, cells)).collect()))
        });
        Json::Object(tables.collect())
    }

    fn print(self, format: Format) -> String {
        match format {
            Format::Json => self.data().print(),
            Format::Yaml => self.data().to_yaml(),
            Format::Table => self.tables.iter().map(|(_, columns, rows)| draw(columns, rows)).collect(),
            Format::Text => self.text,
        }
    }
}

/// Names that stand in a body, for reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) schema: &'a Schema,
    pub(super) node: NodeId,
    pub(super) keys: &'a [String],
    pub(super) body: &'a Body,
}

impl<'a> View<'a> {
    /// The value of a leaf or key at a path such as `indirect/resolved`; empty where there is none.
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

    /// The entries of a list, or a container as the only one.
    pub(super) fn list(&self, name: &str) -> Vec<View<'a>> {
        let Some(node) = self.schema.child(self.node, name) else { return Vec::new() };
        let entries = self.body.children.get(&node).into_iter().flatten();
        let schema = self.schema;
        entries.map(|Entry { keys, body }| View { schema, node, keys, body }).collect()
    }

    /// A container.
    pub(super) fn container(&self, name: &str) -> Option<View<'a>> {
        self.list(name).into_iter().next()
    }
}

impl Session {
    pub(super) fn show(&self, words: &[Token], pipes: &Pipes) -> Result<String, CliError> {
        let words: Vec<&str> = words.iter().map(Token::text).collect();
        let report = match words.as_slice() {
            ["version"] => self.show_version()?,
            ["system", "application"] => self.show_applications("*")?,
            ["system", "application", name] => self.show_applications(name)?,
            ["network-instance", name, rest @ ..] => self.show_network_instance(name, rest)?,
            _ => return Err(wrong_words(COMMANDS, &words)),
        };
        Ok(report.print(pipes.format))
    }

    /// All state at a path that needs no keys, or keys spelled in it.
    fn state(&self, path: &str) -> Result<Body, CliError> {
        let words = super::lex::split(path)?;
        let (target, _) = Target::read(self.store.schema(), &Target::default(), &words)?;
        Ok(self.select(From::State, &target))
    }

    fn show_version(&self) -> Result<Report, CliError> {
        let body = self.state("/ system information")?;
        let schema = self.store.schema();
        let root = View { schema, node: NodeId::ROOT, keys: &[], body: &body };
        let information = root.container("system").and_then(|system| system.container("information"));
        let leaf = |name| information.map_or("", |it| it.leaf(name)).to_owned();
        let version = Some(leaf("version")).filter(|it| !it.is_empty()).unwrap_or_else(|| self.options.release.clone());
        let (release, build) = version.split_once('-').unwrap_or((&version, "0"));
        let lines = [
            ("Hostname", self.options.hostname.clone()),
            ("Chassis Type", "7220 IXR-D2L".to_owned()),
            ("Part Number", "Sim Part No.".to_owned()),
            ("Serial Number", "Sim Serial No.".to_owned()),
            ("OS", "SR Linux".to_owned()),
            ("Software Version", format!("v{}", release.trim_start_matches('v'))),
            ("Build Number", build.to_owned()),
            ("Architecture", std::env::consts::ARCH.to_owned()),
            ("Last Booted", leaf("last-booted")),
        ];
        let rule = "-".repeat(50);
        let mut report = Report { text: format!("{rule}\n"), ..Report::default() };
        for (name, value) in &lines {
            report.text.push_str(format!("{name:<21}: {value}").trim_end());
            report.text.push('\n');
        }
        report.text.push_str(&format!("{rule}\n"));
        let columns = lines.iter().map(|(name, _)| Column::fitted(name)).collect();
        report.tables.push(("basic system info".to_owned(), columns, vec![lines.map(|(_, value)| value).to_vec()]));
        Ok(report)
    }

    fn show_applications(&self, name: &str) -> Result<Report, CliError> {
        let body = self.state("/ system app-management application *")?;
        let schema = self.store.schema();
        let root = View { schema, node: NodeId::ROOT, keys: &[], body: &body };
        let management = root.container("system").and_then(|system| system.container("app-management"));
        let applications = management.map(|it| it.list("application")).unwrap_or_default();
        let rows: Vec<Vec<String>> = applications
            .iter()
            .filter(|application| glob(name, application.leaf("name")))
            .map(|it| ["name", "pid", "state", "version", "last-change"].map(|leaf| it.leaf(leaf).to_owned()).to_vec())
            .collect();
        let columns = ["Name", "PID", "State", "Version", "Last Change"].map(Column::fitted).to_vec();
        let mut report = Report::default();
        if !rows.is_empty() {
            report.table("Application", columns, rows);
            report.text = report.text.lines().map(|line| format!("  {line}\n")).collect();
        }
        Ok(report)
    }

    fn show_network_instance(&self, name: &str, words: &[&str]) -> Result<Report, CliError> {
        let body = match words {
            ["route-table", ..] => self.state(&format!("/ network-instance \"{name}\" route-table"))?,
            _ => self.state(&format!("/ network-instance \"{name}\" protocols bgp"))?,
        };
        let schema = self.store.schema();
        let root = View { schema, node: NodeId::ROOT, keys: &[], body: &body };
        let mut report = Report::default();
        for instance in root.list("network-instance") {
            match words {
                ["route-table"] | ["route-table", "all"] => {
                    routes::table(&mut report, instance, Family::V4, None);
                    if routes::has_routes(instance, Family::V6) {
                        routes::table(&mut report, instance, Family::V6, None);
                    }
                }
                ["route-table", family, rest @ ..] if Family::read(family).is_some() => {
                    let family = Family::read(family).unwrap_or(Family::V4);
                    match rest {
                        [] | ["summary"] => routes::table(&mut report, instance, family, None),
                        ["prefix", prefix] => routes::table(&mut report, instance, family, Some(prefix)),
                        ["prefix", prefix, "detail"] => routes::detail(&mut report, instance, family, prefix),
                        _ => return Err(wrong_show(name, words)),
                    }
                }
                ["protocols", "bgp", "neighbor"] => routes::neighbors(&mut report, instance, "*", Timestamp::now()),
                ["protocols", "bgp", "neighbor", peer] => {
                    routes::neighbors(&mut report, instance, peer, Timestamp::now());
                }
                _ => return Err(wrong_show(name, words)),
            }
        }
        if report.text.is_empty() {
            match words {
                ["route-table", ..] | ["protocols", "bgp", "neighbor", ..] => {}
                _ => return Err(wrong_show(name, words)),
            }
        }
        Ok(report)
    }
}

fn wrong_show(name: &str, words: &[&str]) -> CliError {
    wrong_words(COMMANDS, &[&["network-instance", name], words].concat())
}

/// The first word that fits none of the rows, with those that would have.
pub(super) fn wrong_words(commands: &[&[&str]], words: &[&str]) -> CliError {
    let mut fitting: Vec<&[&str]> = commands.to_vec();
    for (position, word) in words.iter().enumerate() {
        let options: Vec<&str> = fitting.iter().filter_map(|row| row.get(position)).copied().collect();
        fitting.retain(|row| row.get(position).is_some_and(|known| known.starts_with('<') || known == word));
        if fitting.is_empty() {
            return CliError::unknown(word, unique(options));
        }
    }
    let options = fitting.iter().filter_map(|row| row.get(words.len())).copied().collect();
    CliError::incomplete(unique(options))
}

fn unique(mut words: Vec<&str>) -> Vec<&str> {
    words.sort_unstable();
    words.dedup();
    words
}

/// A line with a name and a value, as detailed reports have it.
pub(super) fn line(text: &mut String, name: &str, width: usize, value: &str) {
    text.push_str(format!("{name:<width$}: {value}").trim_end());
    text.push('\n');
}
