//! Draws tables.

use std::collections::{BTreeMap, BTreeSet};

use super::text::Style;
use super::tree::{Body, Entry, Value};
use crate::schema::{Importance, LeafType, NodeId, Schema};

/// Minimum width of a column of text.
const TEXT_WIDTH: usize = 19;

/// A column: its header, width and alignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) header: String,
    pub(super) width: Width,
    pub(super) right: bool,
}

/// How wide the text of a column may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// The width of the widest text, but at least this.
    AtLeast(usize),
    /// This width; longer text is wrapped.
    Fixed(usize),
}

impl Column {
    pub(super) fn fitted(header: &str) -> Self {
        Self { header: header.to_owned(), width: Width::AtLeast(0), right: false }
    }

    pub(super) fn fixed(header: &str, width: usize) -> Self {
        Self { header: header.to_owned(), width: Width::Fixed(width), right: false }
    }
}

/// Draws a table. A cell of several lines makes its row as high.
pub(super) fn draw(columns: &[Column], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(position, column)| match column.width {
            Width::Fixed(width) => width,
            Width::AtLeast(width) => {
                let cells = rows.iter().filter_map(|row| row.get(position)).flat_map(|cell| cell.lines());
                let widest = cells.chain([column.header.as_str()]).map(|line| line.chars().count()).max();
                widest.unwrap_or(0).max(width)
            }
        })
        .collect();
    let rule = |line: char| {
        let parts: Vec<String> = widths.iter().map(|width| line.to_string().repeat(width + 2)).collect();
        format!("+{}+\n", parts.join("+"))
    };
    let mut text = rule('-');
    let headers: Vec<String> = columns.iter().map(|column| column.header.clone()).collect();
    draw_row(&mut text, &headers, &widths, |_, cell, width| center(cell, width));
    text.push_str(&rule('='));
    for row in rows {
        draw_row(&mut text, row, &widths, |position, cell, width| {
            if columns[position].right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
    }
    text + &rule('-')
}

fn draw_row(text: &mut String, row: &[String], widths: &[usize], place: impl Fn(usize, &str, usize) -> String) {
    let cells: Vec<Vec<String>> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| cell.lines().flat_map(|line| wrap(line, *width)).collect())
        .collect();
    for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0).max(1) {
        for (position, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let part = cell.get(line).map_or("", String::as_str);
            text.push_str(&format!("| {} ", place(position, part, *width)));
        }
        text.push_str("|\n");
    }
}

fn center(cell: &str, width: usize) -> String {
    let room = width.saturating_sub(cell.chars().count());
    format!("{}{cell}{}", " ".repeat(room / 2), " ".repeat(room - room / 2))
}

/// Breaks text at blanks and between the words of hyphenated names. Pieces longer than a line are broken anywhere.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for piece in pieces(text) {
        let mut piece: Vec<char> = piece.chars().collect();
        loop {
            let room = width - line.chars().count();
            if piece.len() <= room {
                line.extend(piece);
                break;
            }
            if piece.len() > width {
                line.extend(piece.drain(..room));
            }
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            if piece.first().is_some_and(|c| c.is_whitespace()) {
                break;
            }
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Splits text into words, the blanks between them, and the parts of words with a hyphen between letters.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let letter = |position: Option<usize>| position.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphabetic());
    let mut pieces: Vec<String> = Vec::new();
    let mut begins = true;
    for (at, c) in chars.iter().enumerate() {
        begins |= at > 0 && c.is_whitespace() != chars[at - 1].is_whitespace();
        if begins {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(*c);
        }
        let before = letter(at.checked_sub(1)) && letter(at.checked_sub(2));
        begins = *c == '-' && before && letter(Some(at + 1)) && letter(Some(at + 2));
    }
    pieces
}

/// `| as table`: one table per list or container that has leaves to show. The columns are the keys of all lists on the
/// way, then the leaves: those of high importance if there are any, or all that a filter has kept.
pub(super) fn of_body(style: Style<'_>, body: &Body, filtered: bool) -> String {
    let mut tables = Vec::new();
    visit(style, &mut tables, NodeId::ROOT, body, &mut Vec::new());
    tables.iter().map(|table| table.draw(style.schema, filtered)).collect()
}

struct Table {
    node: NodeId,
    lists: Vec<NodeId>,
    rows: Vec<(Vec<String>, BTreeMap<NodeId, String>)>,
}

fn visit(style: Style<'_>, tables: &mut Vec<Table>, node: NodeId, body: &Body, above: &mut Vec<(NodeId, Vec<String>)>) {
    let is_list = !style.schema.keys(node).is_empty();
    if !body.leaves.is_empty() || (body.is_empty() && is_list) {
        let position = tables.iter().position(|table| table.node == node).unwrap_or_else(|| {
            let lists = above.iter().map(|(list, _)| *list).collect();
            tables.push(Table { node, lists, rows: Vec::new() });
            tables.len() - 1
        });
        let cell = |(leaf, value): (&NodeId, &Value)| match value {
            Value::Leaf(value) => (*leaf, style.value(*leaf, value)),
            Value::List(values) => (*leaf, values.join("\n")),
        };
        let keys = above.iter().flat_map(|(_, keys)| keys.clone()).collect();
        tables[position].rows.push((keys, body.leaves.iter().map(cell).collect()));
    }
    for (child, entries) in &body.children {
        for Entry { keys, body } in entries {
            let is_entry = !keys.is_empty();
            if is_entry {
                above.push((*child, keys.clone()));
            }
            visit(style, tables, *child, body, above);
            if is_entry {
                above.pop();
            }
        }
    }
}

impl Table {
    fn draw(&self, schema: &Schema, filtered: bool) -> String {
        let high = |leaf: &NodeId| schema.node(*leaf).importance == Importance::High;
        let marked = schema.node(self.node).children.iter().any(high);
        let present: BTreeSet<NodeId> = self.rows.iter().flat_map(|(_, cells)| cells.keys().copied()).collect();
        let leaves: Vec<NodeId> = present.into_iter().filter(|leaf| filtered || !marked || high(leaf)).collect();
        let mut columns: Vec<Column> = self.lists.iter().flat_map(|list| key_columns(schema, *list)).collect();
        columns.extend(leaves.iter().map(|leaf| column(schema, &schema.node(*leaf).name, *leaf)));
        if columns.is_empty() {
            return String::new();
        }
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|(keys, cells)| {
                let cells = leaves.iter().map(|leaf| cells.get(leaf).cloned().unwrap_or_default());
                keys.iter().cloned().chain(cells).collect()
            })
            .collect();
        draw(&columns, &rows)
    }
}

/// Returns the columns of a list's keys. A single key has the name of the list, several keys have their own names.
fn key_columns(schema: &Schema, list: NodeId) -> Vec<Column> {
    match schema.keys(list) {
        [key] => vec![column(schema, &schema.node(list).name, *key)],
        keys => keys.iter().map(|key| column(schema, &schema.node(*key).name, *key)).collect(),
    }
}

fn column(schema: &Schema, name: &str, leaf: NodeId) -> Column {
    let mut letters = name.chars();
    let header = letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    let kind = schema.leaf(leaf).map(|info| &info.kind);
    let width = match kind {
        Some(LeafType::Unsigned(64) | LeafType::Signed(64)) => 20,
        Some(LeafType::Unsigned(32) | LeafType::Signed(32)) => 11,
        Some(LeafType::Boolean | LeafType::Unsigned(_) | LeafType::Signed(_)) => 5,
        Some(LeafType::Enumeration(names)) => names.iter().map(String::len).max().unwrap_or(0),
        _ => TEXT_WIDTH,
    };
    let right = kind.is_some_and(LeafType::is_number);
    Column { header, width: Width::AtLeast(width), right }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cells_are_wrapped_as_on_the_switch() {
        assert_eq!(wrap("192.168.1.0/24 (indirect/local)", 11), ["192.168.1.0", "/24 (indire", "ct/local)"]);
        assert_eq!(wrap("10.0.1.2/32 (indirect/vxlan)", 16), ["10.0.1.2/32", "(indirect/vxlan)"]);
        assert_eq!(wrap("ip-vrf-1", 7), ["ip-", "vrf-1"]);
        assert_eq!(wrap("ipv4-unicast", 9), ["ipv4-unic", "ast"]);
        assert_eq!(wrap("Peer-AS", 6), ["Peer-", "AS"]);
        assert_eq!(wrap("Origin Network Instance", 7), ["Origin", "Network", "Instanc", "e"]);
        assert_eq!(wrap("fe80::1849:9ff:feff:31%ethernet-1/3.0", 27), ["fe80::1849:9ff:feff:31%ethe", "rnet-1/3.0"]);
        assert_eq!(wrap("", 7), [""]);
    }

    #[test]
    fn headers_are_centered_and_numbers_right_aligned() {
        let columns = [
            Column { header: "Interface".into(), width: Width::AtLeast(19), right: false },
            Column { header: "Out-mirror-octets".into(), width: Width::AtLeast(20), right: true },
        ];
        let text = draw(&columns, &[vec!["ethernet-1/50".into(), "400112".into()]]);
        assert_eq!(
            text,
            "\
+---------------------+----------------------+
|      Interface      |  Out-mirror-octets   |
+=====================+======================+
| ethernet-1/50       |               400112 |
+---------------------+----------------------+
"
        );
    }
}
