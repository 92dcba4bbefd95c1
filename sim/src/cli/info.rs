//! The command `info`: prints state, the running configuration or a candidate.

use jiff::Timestamp;

use super::error::CliError;
use super::json;
use super::lex::Token;
use super::pipe::{Format, Pipes};
use super::table;
use super::target::Target;
use super::text::{self, Style};
use super::tree::{Body, Value};
use super::{InfoStyle, Session};
use crate::datastore::Source;
use crate::schema::{NodeId, Schema};

/// Where data is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    State,
    Running,
    Candidate,
}

/// A parsed `info` command.
#[derive(Debug)]
struct Info {
    from: From,
    flat: bool,
    detail: bool,
    with_context: bool,
    depth: Option<usize>,
    target: Target,
}

pub(super) const OPTIONS: [&str; 5] = ["depth", "detail", "flat", "from", "with-context"];

impl Session {
    /// Runs `info` with its arguments.
    pub(super) fn info(&self, words: &[Token], pipes: &Pipes) -> Result<String, CliError> {
        let info = self.read_info(words)?;
        let mut body = self.select(info.from, &info.target);
        self.shape(&info, pipes, &mut body);
        Ok(self.show_info(&info, pipes, &body))
    }

    fn read_info(&self, words: &[Token]) -> Result<Info, CliError> {
        let mut info = Info {
            from: self.mode.source(),
            flat: false,
            detail: false,
            with_context: false,
            depth: None,
            target: Target::default(),
        };
        let mut rest = words;
        while let Some(word) = rest.first().and_then(Token::word) {
            let argument = rest.get(1).and_then(Token::word);
            let used = match word {
                "flat" => {
                    info.flat = true;
                    1
                }
                "detail" => {
                    info.detail = true;
                    1
                }
                "with-context" => {
                    info.with_context = true;
                    1
                }
                "depth" => {
                    info.depth = Some(depth(argument)?);
                    2
                }
                "from" => {
                    info.from = from(argument)?;
                    2
                }
                _ => break,
            };
            rest = &rest[used..];
        }
        let schema = self.store.schema();
        let (target, rest) = Target::read(schema, &self.context, rest)?;
        if let Some(token) = rest.first() {
            return Err(CliError::unknown(token.text(), super::target::child_names(schema, target.node())));
        }
        info.target = target;
        Ok(info)
    }

    /// Returns what is at a target, and the containers that lead there.
    pub(super) fn select(&self, from: From, target: &Target) -> Body {
        let candidate = self.candidate();
        let source = match from {
            From::State => Source::State,
            From::Running => Source::Running,
            From::Candidate => Source::Candidate(&candidate),
        };
        let mut body = self.store.read(source, |schema, tree| Body::select(schema, tree, target.steps()));
        if from == From::State {
            set_clock(self.store.schema(), &mut body);
        }
        body
    }

    fn shape(&self, info: &Info, pipes: &Pipes, body: &mut Body) {
        let schema = self.store.schema();
        let steps = info.target.steps();
        if info.detail {
            body.add_defaults(schema, NodeId::ROOT, steps, info.from == From::State);
        } else {
            body.drop_unimportant(schema, &info.target);
        }
        if let Some(depth) = info.depth {
            body.limit_depth(steps, depth);
        }
        if !pipes.fields.is_empty() {
            body.keep_fields(schema, steps, &pipes.fields);
        }
    }

    fn show_info(&self, info: &Info, pipes: &Pipes, body: &Body) -> String {
        let schema: &Schema = self.store.schema();
        let now = (!info.detail).then(Timestamp::now);
        let style = Style { schema, now };
        if body.is_empty() {
            return String::new();
        }
        if pipes.format == Format::Table {
            return table::of_body(style, body, !pipes.fields.is_empty());
        }
        if info.flat {
            let lead = if info.from == From::State { "/ " } else { "set / " };
            return text::flat(style, body, lead);
        }
        let skip = if info.with_context {
            0
        } else if self.options.style == InfoStyle::Wrapped {
            self.context.steps().len().min(info.target.plain_steps(schema))
        } else {
            info.target.plain_steps(schema)
        };
        let Some(shown) = body.descend(&info.target.steps()[..skip]) else { return String::new() };
        match pipes.format {
            Format::Json => json::body(style, shown).print(),
            Format::Yaml => json::body(style, shown).to_yaml(),
            Format::Text | Format::Table => text::info(style, shown),
        }
    }
}

/// Replaces the time of day, which is that of the query and not of the last write.
fn set_clock(schema: &Schema, body: &mut Body) {
    let system = schema.child(NodeId::ROOT, "system");
    let information = system.and_then(|system| schema.child(system, "information"));
    let (Some(system), Some(information)) = (system, information) else { return };
    let Some(clock) = schema.child(information, "current-datetime") else { return };
    let entries = body.children.get_mut(&system).into_iter().flatten();
    let entries = entries.filter_map(|entry| entry.body.children.get_mut(&information)).flatten();
    for value in entries.filter_map(|entry| entry.body.leaves.get_mut(&clock)) {
        *value = Value::Leaf(format!("{:.3}", Timestamp::now()));
    }
}

fn depth(argument: Option<&str>) -> Result<usize, CliError> {
    let Some(argument) = argument else { return Err(CliError::incomplete(["<depth>"])) };
    argument.parse().map_err(|_| CliError::WrongValue {
        leaf: "depth".to_owned(),
        value: argument.to_owned(),
        expected: "0..255".to_owned(),
    })
}

fn from(argument: Option<&str>) -> Result<From, CliError> {
    const SOURCES: [&str; 3] = ["candidate", "running", "state"];
    match argument {
        Some("state") => Ok(From::State),
        Some("running") => Ok(From::Running),
        Some("candidate") => Ok(From::Candidate),
        Some(other) => Err(CliError::unknown(other, SOURCES)),
        None => Err(CliError::incomplete(SOURCES)),
    }
}
