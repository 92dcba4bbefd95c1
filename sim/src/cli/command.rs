//! Reads a line and runs the command it names.

use super::error::CliError;
use super::lex::{Token, split};
use super::pipe::Pipes;
use super::target::{Target, child_names};
use super::{CandidateKind, Mode, Output, SHARED, Session, own};
use crate::datastore::{Candidate, Exclusive};

/// Commands of every mode.
pub(super) const COMMANDS: [&str; 14] = [
    "back", "date", "enter", "exit", "help", "history", "info", "ping", "pwc", "quit", "save", "show", "tools", "tree",
];
/// Commands of candidate mode.
pub(super) const CANDIDATE_COMMANDS: [&str; 5] = ["commit", "delete", "diff", "discard", "set"];

/// Kinds of candidates.
pub(super) const CANDIDATES: [&str; 3] = ["exclusive", "private", "shared"];
pub(super) const ENTER: [&str; 4] = ["candidate", "running", "show", "state"];

impl Session {
    /// Runs one line. An error is returned as output with status 1.
    pub async fn execute(&mut self, line: &str) -> Output {
        if let Some(text) = self.help(line).await {
            return Output { text, ..Output::default() };
        }
        self.remember(line);
        match self.run(line).await {
            Ok(output) => output,
            Err(error) => Output { text: format!("{error}\n"), status: 1, quit: false },
        }
    }

    async fn run(&mut self, line: &str) -> Result<Output, CliError> {
        if self.options.busy.as_ref().is_some_and(|busy| *busy.borrow()) {
            return Err(CliError::Refused(
                "the management server is not available: yang reload in progress".to_owned(),
            ));
        }
        let tokens = split(line)?;
        let (command, pipes) = Pipes::read(&tokens)?;
        let unslashed = without_slash(command);
        let command = unslashed.as_deref().unwrap_or(command);
        let Some((first, arguments)) = command.split_first() else { return Ok(Output::default()) };
        let editing = matches!(self.mode, Mode::Candidate { .. });
        let text = match first.text() {
            "info" => self.info(arguments, &pipes)?,
            "show" => self.show(arguments, &pipes).await?,
            "tools" => self.tools(arguments).await?,
            "back" => self.back(),
            "date" => own::date(),
            "help" => self.overview(),
            "history" => self.history(),
            "ping" => self.ping(arguments)?,
            "tree" => self.tree(arguments)?,
            "enter" => self.enter(arguments)?,
            "exit" => self.exit(arguments)?,
            "pwc" => format!("/ {}\n", self.context.text(self.store.schema())),
            "save" => self.save(arguments)?,
            "quit" => return Ok(Output { quit: true, ..Output::default() }),
            "set" if editing => self.set(arguments)?,
            "delete" if editing => self.delete(arguments)?,
            "diff" if editing => self.diff(arguments)?,
            "commit" if editing => self.commit(arguments).await?,
            "discard" if editing => self.discard(arguments)?,
            _ => self.navigate(command)?,
        };
        Ok(Output { text: pipes.apply(text), status: 0, quit: false })
    }

    fn enter(&mut self, arguments: &[Token]) -> Result<String, CliError> {
        let words: Vec<&str> = arguments.iter().map(Token::text).collect();
        let mode = match words.as_slice() {
            ["candidate"] | ["candidate", "shared", ..] => Mode::Candidate { kind: CandidateKind::Shared },
            ["candidate", "exclusive", ..] => Mode::Candidate { kind: CandidateKind::Exclusive },
            ["candidate", "private", ..] => Mode::Candidate { kind: CandidateKind::Private },
            ["running"] => Mode::Running,
            ["state"] => Mode::State,
            ["show"] => Mode::Show,
            ["candidate", other, ..] => return Err(CliError::unknown(other, CANDIDATES)),
            [other, ..] => return Err(CliError::unknown(other, ENTER)),
            [] => return Err(CliError::incomplete(ENTER)),
        };
        (self.private, self.exclusive) = match mode {
            Mode::Candidate { kind } => self.claim(kind)?,
            _ => (None, None),
        };
        self.mode = mode;
        Ok(String::new())
    }

    /// Returns what holds a candidate of this kind: a private candidate, or a lock on the shared one.
    fn claim(&mut self, kind: CandidateKind) -> Result<(Option<Candidate>, Option<Exclusive>), CliError> {
        let held = self.exclusive.take();
        if held.is_none() && self.store.is_locked() {
            return Err(CliError::Refused("the candidate is locked: another session edits it exclusively".to_owned()));
        }
        Ok(match kind {
            CandidateKind::Shared => (None, None),
            CandidateKind::Private => (Some(self.store.private_candidate()), None),
            CandidateKind::Exclusive if held.is_some() => (None, held),
            CandidateKind::Exclusive if self.store.shared_candidate(SHARED).is_changed() => {
                let why = "the shared candidate has changes: commit or discard them before it is locked";
                return Err(CliError::Refused(why.to_owned()));
            }
            CandidateKind::Exclusive => (None, self.store.lock_candidates()),
        })
    }

    fn exit(&mut self, arguments: &[Token]) -> Result<String, CliError> {
        let before = self.context.clone();
        match arguments.first().map(Token::text) {
            None => self.context.pop(),
            Some("all") => self.context = Target::default(),
            Some(other) => return Err(CliError::unknown(other, ["all"])),
        }
        self.left = before;
        Ok(String::new())
    }

    /// Enters the context of a path. In candidate mode, sets the path if a value follows it.
    fn navigate(&mut self, words: &[Token]) -> Result<String, CliError> {
        let schema = self.store.schema();
        let mut named = words.iter().map(|word| word.text().trim_start_matches('/')).filter(|word| !word.is_empty());
        if let Some(why) = named.next().and_then(own::not_emulated) {
            return Err(why);
        }
        let (target, rest) = Target::read(schema, &self.context, words).map_err(|error| self.with_commands(error))?;
        let editing = matches!(self.mode, Mode::Candidate { .. });
        if editing && schema.leaf(target.node()).is_some() {
            return self.set(words);
        }
        if let Some(token) = rest.first() {
            return Err(CliError::unknown(token.text(), child_names(schema, target.node())));
        }
        if schema.leaf(target.node()).is_some() {
            return Err(CliError::Refused("a leaf cannot be entered".to_owned()));
        }
        if editing && target.is_single() && schema.node(target.node()).config && !target.is_root() {
            self.create(&target)?;
        }
        self.left = std::mem::replace(&mut self.context, target);
        Ok(String::new())
    }

    /// Adds the commands to the options of an error at the beginning of a line.
    fn with_commands(&self, error: CliError) -> CliError {
        let at_start = child_names(self.store.schema(), self.context.node());
        match error {
            CliError::UnknownToken { token, options } if options.len() == at_start.len() => {
                CliError::unknown(&token, options.into_iter().chain(self.commands().map(str::to_owned)))
            }
            other => other,
        }
    }

    /// Returns the commands of the current mode.
    pub(super) fn commands(&self) -> impl Iterator<Item = &'static str> {
        let editing = matches!(self.mode, Mode::Candidate { .. });
        COMMANDS.into_iter().chain(CANDIDATE_COMMANDS.into_iter().filter(move |_| editing))
    }
}

/// Turns `/ tools ...` and `/tools ...` into `tools ...`; paths keep their slash. Returns `None` for other lines.
fn without_slash(words: &[Token]) -> Option<Vec<Token>> {
    let known = |word: &str| COMMANDS.contains(&word) || CANDIDATE_COMMANDS.contains(&word);
    match words {
        [Token::Word(slash), Token::Word(command), ..] if slash == "/" && known(command) => Some(words[1..].to_vec()),
        [Token::Word(command), rest @ ..] => {
            let bare = command.strip_prefix('/').filter(|command| known(command))?;
            Some([&[Token::Word(bare.to_owned())], rest].concat())
        }
        _ => None,
    }
}
