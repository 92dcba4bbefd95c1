//! The interactive prompt: line editing, history and completion.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use reedline::{
    ColumnarMenu, Completer, CompletionResult, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Prompt,
    PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span,
    default_emacs_keybindings,
};

use super::remote::Client;

/// Number of lines kept in the history.
const HISTORY: usize = 2000;
const MENU: &str = "completion";

/// Why a prompt ended early.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The terminal cannot be used.
    #[error("the terminal cannot be used for a prompt")]
    Terminal(#[source] io::Error),
    /// The history file cannot be used.
    #[error("the history file cannot be used")]
    History(#[source] reedline::ReedlineError),
    /// The switch is gone.
    #[error("the connection to the switch is lost")]
    Switch(#[source] io::Error),
}

impl Client {
    /// Reads and runs lines until `quit` or the end of input. The history is kept in a file.
    ///
    /// # Errors
    /// [`PromptError`] if the terminal, the history file or the switch fails.
    pub fn prompt(self, history: &Path) -> Result<(), PromptError> {
        print!("{}", self.banner());
        let client = Arc::new(Mutex::new(self));
        let mut editor = editor(client.clone(), history)?;
        loop {
            let prompt = TwoLines(lock(&client).prompt_text().to_owned());
            match editor.read_line(&prompt).map_err(PromptError::Terminal)? {
                Signal::Success(line) => {
                    let output = lock(&client).execute(&line).map_err(PromptError::Switch)?;
                    print!("{}", output.text);
                    if output.quit {
                        return Ok(());
                    }
                }
                Signal::CtrlD => return Ok(()),
                _ => {}
            }
        }
    }
}

fn lock(client: &Mutex<Client>) -> std::sync::MutexGuard<'_, Client> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

fn editor(client: Arc<Mutex<Client>>, history: &Path) -> Result<Reedline, PromptError> {
    let history = FileBackedHistory::with_file(HISTORY, history.to_owned()).map_err(PromptError::History)?;
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete.clone());
    for modifiers in [KeyModifiers::NONE, KeyModifiers::SHIFT] {
        keys.add_binding(modifiers, KeyCode::Char('?'), complete.clone());
    }
    let menu = ColumnarMenu::default().with_name(MENU);
    Ok(Reedline::create()
        .with_history(Box::new(history))
        .with_completer(Box::new(Words(client)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_partial_completions(true)
        .with_quick_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys))))
}

struct Words(Arc<Mutex<Client>>);

impl Completer for Words {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        // If the switch is gone, running the line reports it.
        let completion = lock(&self.0).complete(line, position).unwrap_or_default();
        let suggestions = completion.suggestions.into_iter().map(|it| reedline::Suggestion {
            value: it.value,
            description: it.description,
            span: Span::new(completion.start.min(position), position),
            append_whitespace: true,
            ..reedline::Suggestion::default()
        });
        CompletionResult::fresh(suggestions.collect::<Vec<_>>())
    }
}

/// A prompt that consists of the two lines of the switch only.
struct TwoLines(String);

impl Prompt for TwoLines {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("... ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search '{}') ", search.term))
    }
}
