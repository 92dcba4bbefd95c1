//! Commands about the session itself, and commands of devices that are not emulated.

use jiff::Timestamp;

use super::Session;
use super::error::CliError;
use super::help::meaning;
use super::lex::Token;
use super::target::{Target, child_names};
use crate::schema::{NodeId, Schema};

/// Number of lines that `history` keeps.
const REMEMBERED: usize = 1000;

/// Commands of devices that are not emulated: how their lines begin, and what to use instead.
const NOT_EMULATED: &[(&str, &str)] = &[
    ("bash", "this leaf has no operating system of its own; type it in a shell of your machine"),
    ("environment", "the session cannot be changed"),
    ("monitor", "print it again, or subscribe by gNMI"),
    ("traceroute", "look at the route table of the network instance"),
    ("commit checkpoint", "commit confirmed can be taken back"),
    ("show acl", "use info from state acl"),
    ("show platform", "use show version"),
    ("show system aaa", "this leaf has one user"),
    ("show system logging", "logs of this leaf are files in the folder of the lab"),
    ("show system ntp", "the clock is that of your machine"),
    ("show system sync", "the clock is that of your machine"),
    ("show tunnel", "the route table shows tunnels as next-hops"),
];

/// Returns why a line cannot be run if it is a command of devices that is not emulated; `None` otherwise.
pub(super) fn not_emulated(line: &str) -> Option<CliError> {
    let begins = |with: &str| line.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    let (command, instead) = NOT_EMULATED.iter().find(|(command, _)| begins(command))?;
    Some(CliError::Refused(format!("{command} is not emulated: {instead}")))
}

/// `date`
pub(super) fn date() -> String {
    Timestamp::now().strftime("%a %b %e %H:%M:%S UTC %Y\n").to_string()
}

impl Session {
    /// Adds a line to `history`.
    pub(super) fn remember(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == REMEMBERED {
            self.lines.pop_front();
        }
        self.lines.push_back(line.trim().to_owned());
    }

    /// `history`: prints the lines of this session.
    pub(super) fn history(&self) -> String {
        self.lines.iter().enumerate().map(|(at, line)| format!("{:>5}  {line}\n", at + 1)).collect()
    }

    /// `back`: returns to the previous context.
    pub(super) fn back(&mut self) -> String {
        std::mem::swap(&mut self.context, &mut self.left);
        String::new()
    }

    /// `help`: lists the commands of this mode.
    pub(super) fn overview(&self) -> String {
        let row = |name: &str| format!("  {name:<8}  {}\n", meaning(name).unwrap_or_default());
        let commands: String = self.commands().map(row).collect();
        format!(
            "{commands}\nA path is entered by typing it. Tab completes a word, ? prints what may come next.\n\
             | as json, yaml or table, | grep and | filter shape what is printed.\n"
        )
    }

    /// `tree [PATH]`: prints the names below a context.
    pub(super) fn tree(&self, words: &[Token]) -> Result<String, CliError> {
        let schema = self.store.schema();
        let (target, rest) = Target::read(schema, &self.context, words)?;
        if let Some(token) = rest.first() {
            return Err(CliError::unknown(token.text(), child_names(schema, target.node())));
        }
        let name = if target.is_root() { "<root>" } else { &*schema.node(target.node()).name };
        let mut text = format!("{name}\n");
        branches(&mut text, schema, target.node(), "");
        Ok(text)
    }
}

/// Prints the containers and lists below a node, one per line.
fn branches(text: &mut String, schema: &Schema, node: NodeId, lead: &str) {
    let children = schema.node(node).children.iter().filter(|child| schema.leaf(**child).is_none());
    for child in children {
        text.push_str(&format!("{lead}+-- {}\n", schema.node(*child).name));
        branches(text, schema, *child, &format!("{lead}|   "));
    }
}
