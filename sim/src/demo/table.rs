//! Formats tables for people: aligned, no wider than the terminal, and plain if the output is not a terminal.

/// Properties of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// Width in columns; longer text is shortened.
    pub(crate) width: usize,
    /// Whether colours and bold are supported.
    pub(crate) colours: bool,
}

/// Default width.
const WIDTH: usize = 160;
/// Minimum width of the last column.
const LEAST: usize = 20;

impl Screen {
    /// Returns the properties of standard output.
    pub(crate) fn stdout() -> Self {
        use std::io::IsTerminal;
        let terminal = std::io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { width: columns.unwrap_or(WIDTH), colours }
    }

    /// Returns emphasized text.
    pub(crate) fn bold(self, text: &str) -> String {
        if self.colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Returns a state in its colour.
    pub(crate) fn state(self, padded: &str) -> String {
        let colour = match padded.trim() {
            "up" => "32",
            "degraded" => "33",
            "down" | "FAILED" => "31",
            "unknown" => "35",
            _ => return padded.to_owned(),
        };
        if self.colours { format!("\x1b[{colour}m{padded}\x1b[0m") } else { padded.to_owned() }
    }

    /// Formats rows below headings. Each column is as wide as its widest cell; the last one gets the remaining width.
    pub(crate) fn table(self, indent: usize, headings: &[&str], rows: &[Vec<String>]) -> String {
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
                cells.chain([headings[column].chars().count()]).max().unwrap_or_default()
            })
            .collect();
        let heading: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
        let lines = std::iter::once((&heading, true)).chain(rows.iter().map(|row| (row, false)));
        lines.map(|(row, bold)| self.line(indent, row, &widths, bold) + "\n").collect()
    }

    fn line(self, indent: usize, cells: &[String], widths: &[usize], heading: bool) -> String {
        let mut line = " ".repeat(indent);
        let mut used = indent;
        for (column, cell) in cells.iter().enumerate() {
            if column + 1 == widths.len() {
                line.push_str(&shorten(cell, self.width.saturating_sub(used).max(LEAST)));
                break;
            }
            let padded = format!("{cell:<width$}", width = widths[column]);
            line.push_str(&if heading { padded } else { self.state(&padded) });
            line.push_str("  ");
            used += widths[column] + 2;
        }
        let line = line.trim_end().to_owned();
        if heading { self.bold(&line) } else { line }
    }
}

/// Returns the text, or its beginning with dots at the end if it does not fit.
fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_aligned_and_the_last_is_truncated() {
        let screen = Screen { width: 44, colours: false };
        let table = screen.table(
            2,
            &["LEAF", "STATE", "DETAIL"],
            &rows(&[&["leaf1", "up", ""], &["leaf4", "degraded", "the session of cluster1 is down"]]),
        );
        assert_eq!(table, "  LEAF   STATE     DETAIL\n  leaf1  up\n  leaf4  degraded  the session of cluster...\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let screen = Screen { width: 80, colours: true };
        let table = screen.table(0, &["STATE", "X"], &rows(&[&["up", "a"], &["down", "b"]]));
        assert!(table.contains("\x1b[32mup   \x1b[0m  a"), "{table:?}");
        assert!(table.contains("\x1b[31mdown \x1b[0m  b"), "{table:?}");
    }
}
