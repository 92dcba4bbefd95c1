//! Reads and applies what follows the bars of a line.

use super::error::CliError;
use super::lex::Token;
use super::pattern::Pattern;

/// How the result of a command is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
    Yaml,
    Table,
}

/// Everything after the first bar.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    pub(super) format: Format,
    /// Fields to keep, as paths relative to the target.
    pub(super) fields: Vec<Vec<String>>,
    filters: Vec<Filter>,
}

/// A filter over lines of text.
#[derive(Debug)]
enum Filter {
    Grep { pattern: Pattern, before: usize, after: usize, invert: bool, count: bool },
    Head(usize),
    Tail(usize),
    Count,
    Nothing,
}

pub(super) const COMMANDS: [&str; 8] = ["as", "count", "filter", "grep", "head", "more", "no-more", "tail"];

impl Pipes {
    /// Splits a line at its bars. Returns the command and what follows the first bar.
    ///
    /// # Errors
    /// Returns an error if a word there is not known.
    pub(super) fn read(tokens: &[Token]) -> Result<(&[Token], Self), CliError> {
        let mut parts = tokens.split(|token| *token == Token::Pipe);
        let command = parts.next().unwrap_or_default();
        let mut pipes = Self::default();
        for part in parts {
            let words: Vec<&str> = part.iter().map(Token::text).collect();
            pipes.add(&words)?;
        }
        Ok((command, pipes))
    }

    fn add(&mut self, words: &[&str]) -> Result<(), CliError> {
        let Some((command, arguments)) = words.split_first() else { return Err(CliError::incomplete(COMMANDS)) };
        match (*command, arguments) {
            ("as", ["json"]) => self.format = Format::Json,
            ("as", ["yaml"]) => self.format = Format::Yaml,
            ("as", ["table"]) => self.format = Format::Table,
            ("as", ["text"]) => self.format = Format::Text,
            ("as", [other, ..]) => return Err(CliError::unknown(other, ["json", "table", "text", "yaml"])),
            ("as", []) => return Err(CliError::incomplete(["json", "table", "text", "yaml"])),
            ("filter", ["fields", fields @ ..]) if !fields.is_empty() => {
                let names = fields.iter().filter(|field| !matches!(**field, "[" | "]"));
                self.fields.extend(names.map(|field| field.split('/').map(str::to_owned).collect()));
            }
            ("filter", [other, ..]) if *other != "fields" => return Err(CliError::unknown(other, ["fields"])),
            ("filter", _) => return Err(CliError::incomplete(["fields"])),
            ("grep", _) => self.filters.push(grep(arguments)?),
            ("head", _) => self.filters.push(Filter::Head(lines(arguments)?)),
            ("tail", _) => self.filters.push(Filter::Tail(lines(arguments)?)),
            ("count", _) => self.filters.push(Filter::Count),
            ("more" | "no-more", _) => self.filters.push(Filter::Nothing),
            (other, _) => return Err(CliError::unknown(other, COMMANDS)),
        }
        Ok(())
    }

    /// Returns the text after all filters.
    pub(super) fn apply(&self, text: String) -> String {
        self.filters.iter().fold(text, |text, filter| filter.apply(text))
    }
}

fn grep(arguments: &[&str]) -> Result<Filter, CliError> {
    let (mut before, mut after, mut invert, mut ignore_case, mut count) = (0, 0, false, false, false);
    let mut arguments = arguments.iter();
    let mut pattern = None;
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().copied().unwrap_or_default();
            value.parse::<usize>().map_err(|_| wrong_number(argument, value))
        };
        match *argument {
            "-A" => after = number()?,
            "-B" => before = number()?,
            "-C" => {
                before = number()?;
                after = before;
            }
            "-v" => invert = true,
            "-i" => ignore_case = true,
            "-c" => count = true,
            "-E" | "-e" => {}
            text => pattern = Some(text),
        }
    }
    let Some(pattern) = pattern else { return Err(CliError::Syntax("grep needs a pattern")) };
    Ok(Filter::Grep { pattern: Pattern::new(pattern, ignore_case), before, after, invert, count })
}

fn lines(arguments: &[&str]) -> Result<usize, CliError> {
    let number = match arguments {
        [] => return Ok(10),
        ["-n" | "lines", number, ..] => number,
        [number, ..] => number.trim_start_matches('-'),
    };
    number.parse().map_err(|_| wrong_number("lines", number))
}

fn wrong_number(of: &str, value: &str) -> CliError {
    CliError::WrongValue { leaf: of.to_owned(), value: value.to_owned(), expected: "a number of lines".to_owned() }
}

impl Filter {
    fn apply(&self, text: String) -> String {
        match self {
            Self::Grep { pattern, before, after, invert, count } => {
                let lines: Vec<&str> = text.lines().collect();
                let hits: Vec<usize> = (0..lines.len()).filter(|at| pattern.is_in(lines[*at]) != *invert).collect();
                if *count {
                    return format!("{}\n", hits.len());
                }
                let near = |at: &usize| hits.iter().any(|hit| *at + before >= *hit && *at <= hit + after);
                joined((0..lines.len()).filter(near).map(|at| lines[at]))
            }
            Self::Head(count) => joined(text.lines().take(*count)),
            Self::Tail(count) => joined(text.lines().skip(text.lines().count().saturating_sub(*count))),
            Self::Count => format!("Count: {} lines\n", text.lines().count()),
            Self::Nothing => text,
        }
    }
}

fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lex::split;

    fn piped(line: &str, text: &str) -> String {
        let tokens = split(line).expect(line);
        let (_, pipes) = Pipes::read(&tokens).expect(line);
        pipes.apply(text.to_owned())
    }

    #[test]
    fn lines_are_filtered_in_the_order_of_the_pipes() {
        let text = "one\ntwo\nthree\nfour\nfive\n";
        assert_eq!(piped("x | grep o", text), "one\ntwo\nfour\n");
        assert_eq!(piped("x | grep -v o", text), "three\nfive\n");
        assert_eq!(piped("x | grep -A 1 two", text), "two\nthree\n");
        assert_eq!(piped("x | grep -B 1 -i TWO", text), "one\ntwo\n");
        assert_eq!(piped("x | grep \"one\\\\|five\"", text), "one\nfive\n");
        assert_eq!(piped("x | grep -c o", text), "3\n");
        assert_eq!(piped("x | head -n 2 | tail 1", text), "two\n");
        assert_eq!(piped("x | more", text), text);
    }

    #[test]
    fn an_unknown_word_after_a_pipe_is_an_error() {
        let tokens = split("x | as xyz").expect("a line");
        let error = Pipes::read(&tokens).expect_err("xyz is no format").to_string();
        assert_eq!(error, "Parsing error: Unknown token 'xyz'. Options are ['json', 'table', 'text', 'yaml']");
    }
}
