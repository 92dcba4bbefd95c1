//! Patterns of `grep`: basic regular expressions, with alternatives.

/// A parsed pattern that can search lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    alternatives: Vec<Vec<Piece>>,
    ignore_case: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    what: What,
    least: usize,
    many: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Char(char),
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
    Start,
    End,
}

impl Pattern {
    /// Parses a pattern. Any text is a valid pattern.
    pub(super) fn new(text: &str, ignore_case: bool) -> Self {
        let text = if ignore_case { text.to_lowercase() } else { text.to_owned() };
        let text = text.replace("\\|", "|");
        Self { alternatives: text.split('|').map(pieces).collect(), ignore_case }
    }

    /// Returns whether the pattern matches anywhere in a line.
    pub(super) fn is_in(&self, line: &str) -> bool {
        let line: Vec<char> =
            if self.ignore_case { line.to_lowercase().chars().collect() } else { line.chars().collect() };
        self.alternatives.iter().any(|pieces| (0..=line.len()).any(|start| matches(pieces, &line, start)))
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let what = match c {
            '*' | '+' | '?' if !pieces.is_empty() => {
                if let Some(last) = pieces.last_mut() {
                    (last.least, last.many) = (usize::from(c == '+'), c != '?');
                }
                continue;
            }
            '\\' => What::Char(chars.next().unwrap_or('\\')),
            '.' => What::Any,
            '^' if pieces.is_empty() => What::Start,
            '$' if chars.peek().is_none() => What::End,
            '[' => class(&mut chars),
            c => What::Char(c),
        };
        pieces.push(Piece { what, least: 1, many: false });
    }
    pieces
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> What {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while let Some(first) = chars.next().filter(|c| *c != ']') {
        let mut last = first;
        if chars.next_if_eq(&'-').is_some() {
            match chars.next_if(|c| *c != ']') {
                Some(end) => last = end,
                None => ranges.push(('-', '-')),
            }
        }
        ranges.push((first, last));
    }
    What::Class { negated, ranges }
}

fn matches(pieces: &[Piece], line: &[char], at: usize) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return true };
    match piece.what {
        What::Start => return at == 0 && matches(rest, line, at),
        What::End => return at == line.len() && matches(rest, line, at),
        _ => {}
    }
    let most = if piece.many { line.len() - at } else { 1 };
    let run = line[at..].iter().take(most).take_while(|c| piece.what.takes(**c)).count();
    (piece.least..=run).rev().any(|taken| matches(rest, line, at + taken))
}

impl What {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
            Self::Start | Self::End => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_anywhere_in_a_line() {
        for (pattern, line, expected) in [
            ("state", "oper-state up", true),
            ("^oper", "oper-state up", true),
            ("^state", "oper-state up", false),
            ("up$", "oper-state up", true),
            ("o.*up", "oper-state up", true),
            ("1[0-9]+", "192.168.1.11", true),
            ("[^a-z0-9.]", "192.168.1.11", false),
            ("down|up", "oper-state up", true),
            ("colou?r", "color", true),
            ("1\\.1", "1a1", false),
            ("", "anything", true),
        ] {
            assert_eq!(Pattern::new(pattern, false).is_in(line), expected, "{pattern} in {line}");
        }
        assert!(Pattern::new("UP", true).is_in("Up"));
    }
}
