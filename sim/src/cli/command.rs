//! From a line to the command it names.

use super::error::CliError;
use super::lex::{Token, split};
use super::pipe::Pipes;
use super::target::{Target, child_names};
use super::{Mode, Output, Session};

/// Commands of every mode.
pub(super) const COMMANDS: [&str; 8] = ["enter", "exit", "info", "pwc", "quit", "save", "show", "tools"];
/// Commands of candidate mode.
pub(super) const CANDIDATE_COMMANDS: [&str; 5] = ["commit", "delete", "diff", "discard", "set"];

pub(super) const ENTER: [&str; 4] = ["candidate", "running", "show", "state"];

impl Session {
    /// Runs one line. Errors are in the output, with status 1.
    pub async fn execute(&mut self, line: &str) -> Output {
        if let Some(text) = self.help(line).await {
            return Output { text, ..Output::default() };
        }
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
            ["candidate"] | ["candidate", "shared" | "exclusive", ..] => Mode::Candidate { private: false },
            ["candidate", "private", ..] => Mode::Candidate { private: true },
            ["running"] => Mode::Running,
            ["state"] => Mode::State,
            ["show"] => Mode::Show,
            ["candidate", other, ..] => return Err(CliError::unknown(other, ["exclusive", "private", "shared"])),
            [other, ..] => return Err(CliError::unknown(other, ENTER)),
            [] => return Err(CliError::incomplete(ENTER)),
        };
        match mode {
            Mode::Candidate { private: true } => self.private = Some(self.store.private_candidate()),
            _ => self.private = None,
        }
        self.mode = mode;
        Ok(String::new())
    }

    fn exit(&mut self, arguments: &[Token]) -> Result<String, CliError> {
        match arguments.first().map(Token::text) {
            None => self.context.pop(),
            Some("all") => self.context = Target::default(),
            Some(other) => return Err(CliError::unknown(other, ["all"])),
        }
        Ok(String::new())
    }

    /// A path alone is entered; with a value behind it, in candidate mode, it is set.
    fn navigate(&mut self, words: &[Token]) -> Result<String, CliError> {
        let schema = self.store.schema();
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
        self.context = target;
        Ok(String::new())
    }

    /// At the beginning of a line commands are options too.
    fn with_commands(&self, error: CliError) -> CliError {
        let at_start = child_names(self.store.schema(), self.context.node());
        match error {
            CliError::UnknownToken { token, options } if options.len() == at_start.len() => {
                CliError::unknown(&token, options.into_iter().chain(self.commands().map(str::to_owned)))
            }
            other => other,
        }
    }

    /// The commands of the mode.
    pub(super) fn commands(&self) -> impl Iterator<Item = &'static str> {
        let editing = matches!(self.mode, Mode::Candidate { .. });
        COMMANDS.into_iter().chain(CANDIDATE_COMMANDS.into_iter().filter(move |_| editing))
    }
}

/// `/ tools ...` and `/tools ...` are `tools ...`; paths keep their slash.
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
