//! Completes a line: finds the words that may follow.

use serde::{Deserialize, Serialize};

use super::command::{CANDIDATES, ENTER};
use super::config::{COMMIT, DISCARD, values_of};
use super::info::{self, From};
use super::lex::{Token, quote, split};
use super::plugin::{self, Argument, ArgumentKind};
use super::show;
use super::target::{Pattern, Target, child_names, is_configured};
use super::{Mode, Session, help, pipe, tools};
use crate::datastore::Source;
use crate::schema::NodeId;

/// One possible word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Suggestion {
    /// The word.
    pub value: String,
    /// What it means.
    pub description: Option<String>,
}

/// The possible words at a position in a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// Where the word to be replaced begins, in bytes.
    pub start: usize,
    /// The possible words, sorted.
    pub suggestions: Vec<Suggestion>,
}

impl Session {
    /// Returns the possible words at a position of a line, in bytes.
    pub async fn complete(&self, line: &str, position: usize) -> Completion {
        let Some(head) = line.get(..position.min(line.len())) else { return Completion::default() };
        let mut start = head.rfind(|c: char| c.is_whitespace() || c == '|').map_or(0, |at| at + 1);
        let mut tokens = split(&head[..start]).unwrap_or_default();
        if head[start..].starts_with('/') && !head[start + 1..].contains('/') {
            tokens.push(Token::Word("/".to_owned()));
            start += 1;
        }
        let prefix = head[start..].trim_start_matches('"');
        let mut suggestions = self.options_after(&tokens).await;
        suggestions.retain(|it| it.value.trim_start_matches('"').starts_with(prefix));
        suggestions.sort();
        suggestions.dedup();
        Completion { start, suggestions }
    }

    async fn options_after(&self, tokens: &[Token]) -> Vec<Suggestion> {
        if let Some(bar) = tokens.iter().rposition(|token| *token == Token::Pipe) {
            let words: Vec<&str> = tokens[bar + 1..].iter().map(Token::text).collect();
            return self.after_bar(&tokens[..bar], &words);
        }
        let Some((first, arguments)) = tokens.split_first() else {
            return explained(self.commands()).into_iter().chain(self.children(self.context.node())).collect();
        };
        match first.text() {
            "info" => self.after_info(arguments),
            "show" => {
                let mut found = self.after_words(&show::rows(), arguments);
                found.extend(self.after_show_of_plugin(arguments).await);
                found
            }
            "tools" => self.after_words(tools::COMMANDS, arguments),
            "enter" if arguments.is_empty() => explained(ENTER),
            "exit" if arguments.is_empty() => plain(["all"]),
            "commit" if arguments.is_empty() => explained(COMMIT),
            "discard" if arguments.is_empty() => explained(DISCARD),
            "commit" if arguments.len() == 1 && arguments[0].text() == "confirmed" => explained(["timeout"]),
            "enter" if arguments.len() == 1 && arguments[0].text() == "candidate" => explained(CANDIDATES),
            "ping" if arguments.len() == 1 => explained(["network-instance"]),
            "ping" if arguments.len() == 2 && arguments[1].text() == "network-instance" => {
                self.names_at("/ network-instance")
            }
            "tree" => self.after_path(arguments),
            "back" | "date" | "enter" | "exit" | "commit" | "discard" | "help" | "history" | "ping" | "quit"
            | "pwc" => Vec::new(),
            "set" | "delete" | "diff" => self.after_path_to(arguments, true),
            "save" if arguments.is_empty() => plain(["startup"]),
            "save" => Vec::new(),
            "/" if tokens.len() == 1 => {
                explained(self.commands()).into_iter().chain(self.children(NodeId::ROOT)).collect()
            }
            _ => self.after_path(tokens),
        }
    }

    fn after_bar(&self, command: &[Token], words: &[&str]) -> Vec<Suggestion> {
        match words {
            [] => explained(pipe::COMMANDS),
            ["as"] => plain(["json", "table", "text", "yaml"]),
            ["filter"] => plain(["fields"]),
            ["filter", "fields", ..] => {
                let path = command.iter().skip(1).skip_while(|token| is_info_word(token)).cloned().collect::<Vec<_>>();
                let target = Target::read(self.store.schema(), &self.context, &path).map(|(target, _)| target);
                target.map(|target| self.children(target.node())).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    fn after_info(&self, arguments: &[Token]) -> Vec<Suggestion> {
        if arguments.last().is_some_and(|token| token.text() == "from") {
            return plain(["candidate", "running", "state"]);
        }
        let words: Vec<Token> = arguments.iter().skip_while(|token| is_info_word(token)).cloned().collect();
        let mut suggestions = self.after_path(&words);
        if words.is_empty() {
            suggestions
                .extend(plain(info::OPTIONS.into_iter().filter(|it| arguments.iter().all(|at| at.text() != *it))));
        }
        suggestions
    }

    /// Returns what may follow a path: children, keys and their values, values of leaves.
    fn after_path(&self, words: &[Token]) -> Vec<Suggestion> {
        self.after_path_to(words, false)
    }

    /// Returns what may follow a path. If `configured`, only what can be configured.
    fn after_path_to(&self, words: &[Token], configured: bool) -> Vec<Suggestion> {
        let schema = self.store.schema();
        let Ok((target, rest)) = Target::read(schema, &self.context, words) else {
            return self.after_key_name(words);
        };
        let node = target.node();
        if let Some(info) = schema.leaf(node) {
            let editing = matches!(self.mode, Mode::Candidate { .. });
            return match rest {
                [] => plain(values_of(info)).into_iter().filter(|it| !it.value.starts_with('<')).collect(),
                _ if editing => {
                    schema.node(node).parent.map(|parent| self.children_to(configured, parent)).unwrap_or_default()
                }
                _ => Vec::new(),
            };
        }
        let Some(step) = target.steps().last() else { return self.children_to(configured, node) };
        if step.keys.first() == Some(&Pattern::Missing) {
            return self.key_values(&target, 0);
        }
        let missing = schema.keys(node).iter().zip(&step.keys).filter(|(_, pattern)| **pattern == Pattern::Missing);
        let names = missing.map(|(key, _)| schema.node(*key).name.to_string());
        plain(names).into_iter().chain(self.children_to(configured, node)).collect()
    }

    /// Returns the values of a key whose name is the last word.
    fn after_key_name(&self, words: &[Token]) -> Vec<Suggestion> {
        let schema = self.store.schema();
        let Some((last, before)) = words.split_last() else { return Vec::new() };
        let Ok((target, [])) = Target::read(schema, &self.context, before) else { return Vec::new() };
        let position = schema.keys(target.node()).iter().position(|key| *schema.node(*key).name == *last.text());
        position.map(|position| self.key_values(&target, position)).unwrap_or_default()
    }

    /// Returns the values that a key has in state or configuration.
    fn key_values(&self, target: &Target, position: usize) -> Vec<Suggestion> {
        let candidate = self.candidate();
        let source = match self.mode.source() {
            From::Candidate => Source::Candidate(&candidate),
            From::State | From::Running => Source::State,
        };
        let keys = |source| {
            let node = target.node();
            self.store.read(source, |schema, tree| target.entries_in(schema, tree, node, position))
        };
        let mut values = keys(source);
        values.extend(keys(Source::Running));
        let mut suggestions = plain(values.iter().map(|value| quote(value)));
        suggestions.push(Suggestion { value: "*".to_owned(), description: Some("all of them".to_owned()) });
        suggestions
    }

    fn children(&self, node: NodeId) -> Vec<Suggestion> {
        self.children_to(false, node)
    }

    fn children_to(&self, configured: bool, node: NodeId) -> Vec<Suggestion> {
        let schema = self.store.schema();
        let described = |name: String| {
            let child = schema.child(node, &name)?;
            let description = schema.node(child).description.as_deref().map(first_sentence);
            Some(Suggestion { value: name, description })
        };
        let names = child_names(schema, node).into_iter();
        names.filter(|name| !configured || is_configured(schema, node, name)).filter_map(described).collect()
    }

    /// Returns the words that may follow in commands without paths. Each command is a row of words; `<...>` stands for
    /// a name from the data.
    fn after_words(&self, commands: &[&[&str]], arguments: &[Token]) -> Vec<Suggestion> {
        let fits = |command: &&&[&str]| {
            let mut pairs = command.iter().zip(arguments);
            command.len() > arguments.len() && pairs.all(|(word, token)| word.starts_with('<') || *word == token.text())
        };
        let next = commands.iter().filter(fits).map(|command| command[arguments.len()]);
        let named = |word: &str| match word {
            "<application>" => self.names_at("/ system app-management application"),
            "<interface>" => self.names_at("/ interface"),
            "<subinterface>" => {
                let interface = arguments.get(3).map(|token| quote(token.text())).unwrap_or_default();
                self.names_at(&format!("/ interface {interface} subinterface"))
            }
            "<prefix>" => {
                let [instance, family] = [1, 3].map(|at| arguments.get(at).map(Token::text).unwrap_or_default());
                self.names_at(&format!("/ network-instance {} route-table {family} route", quote(instance)))
            }
            "<family>" => plain(show::FAMILIES),
            "<bgp-family>" => plain(show::BGP_FAMILIES),
            "<network-instance>" => self.names_at("/ network-instance"),
            "<neighbor>" => {
                let instance = arguments.get(1).map(|token| quote(token.text())).unwrap_or_default();
                self.names_at(&format!("/ network-instance {instance} protocols bgp neighbor"))
            }
            word if word.starts_with('<') => Vec::new(),
            word => vec![Suggestion { value: word.to_owned(), description: help::meaning(word).map(str::to_owned) }],
        };
        next.flat_map(named).collect()
    }

    /// Returns the words of plugins: commands, arguments not given yet, and values of the preceding argument.
    async fn after_show_of_plugin(&self, arguments: &[Token]) -> Vec<Suggestion> {
        let native = arguments.first().is_some_and(|first| show::rows().iter().any(|row| row[0] == first.text()));
        if native || self.options.plugins.is_empty() {
            return Vec::new();
        }
        // Without Python there is nothing to complete. Running the command reports the error.
        let Ok(mut command) = plugin::commands(self).await else { return Vec::new() };
        let mut words = arguments;
        while let Some((first, rest)) = words.split_first() {
            let Some(next) = command.commands.iter().position(|it| it.name == first.text()) else { break };
            command = command.commands.swap_remove(next);
            words = rest;
        }
        let named = |it: &&Argument| it.kind == ArgumentKind::Named;
        let mut places = command.arguments.iter().filter(|it| it.kind == ArgumentKind::Unnamed);
        let mut given: Vec<&str> = Vec::new();
        let mut rest = words.iter().map(Token::text);
        while let Some(word) = rest.next() {
            match command.arguments.iter().filter(named).find(|it| it.name == word) {
                Some(argument) if rest.next().is_none() => return self.values_of(argument),
                Some(argument) => given.push(&argument.name),
                None if command.arguments.iter().any(|it| it.name == word) => given.push(word),
                None => drop(places.next()),
            }
        }
        if let Some(argument) = places.next() {
            return self.values_of(argument);
        }
        let arguments = command.arguments.iter().filter(|it| it.kind != ArgumentKind::Unnamed);
        let arguments = arguments.filter(|it| !given.contains(&it.name.as_str())).map(|it| (&it.name, &it.help));
        let commands = command.commands.iter().filter(|_| words.is_empty()).map(|it| (&it.name, &it.help));
        let all = arguments.chain(commands);
        all.map(|(name, help)| Suggestion { value: name.clone(), description: Some(help.clone()) }).collect()
    }

    fn values_of(&self, argument: &Argument) -> Vec<Suggestion> {
        plain(plugin::values(self, argument).iter().map(|value| quote(value)))
    }

    fn names_at(&self, path: &str) -> Vec<Suggestion> {
        split(path).map(|words| self.after_path(&words)).unwrap_or_default()
    }
}

fn is_info_word(token: &Token) -> bool {
    let word = token.text();
    info::OPTIONS.contains(&word) || ["state", "running", "candidate"].contains(&word) || word.parse::<usize>().is_ok()
}

fn plain(words: impl IntoIterator<Item = impl Into<String>>) -> Vec<Suggestion> {
    words.into_iter().map(|word| Suggestion { value: word.into(), description: None }).collect()
}

/// Returns words of the CLI itself with their meanings.
fn explained(words: impl IntoIterator<Item = &'static str>) -> Vec<Suggestion> {
    let suggestion =
        |word: &str| Suggestion { value: word.to_owned(), description: help::meaning(word).map(str::to_owned) };
    words.into_iter().map(suggestion).collect()
}

fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split_once(". ").map_or(text.clone(), |(first, _)| first.to_owned())
}
