//! A prompt on a leaf of a running lab: history, completion, lines sent to the lab and answered there.

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use reedline::{
    ColumnarMenu, Completer, CompletionResult, Emacs, KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode,
    PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span, Suggestion, default_emacs_keybindings,
};
use srl_sim::lab::control::{Client, Request, Response};

const MENU: &str = "completions";

/// Reads lines until the session ends.
pub(crate) fn converse(client: Client, leaf: &str) -> Result<ExitCode> {
    let client = Arc::new(Mutex::new(client));
    let ask = |request: &Request| client.lock().unwrap_or_else(PoisonError::into_inner).ask(request);
    // An empty line tells the prompt to begin with.
    let mut shown = match ask(&Request::Cli { leaf: leaf.to_owned(), line: String::new() })? {
        Response::Cli { prompt, .. } => prompt,
        other => return super::unexpected(other),
    };
    let mut editor = editor(Remote { client: client.clone(), leaf: leaf.to_owned() });
    loop {
        let line = match editor.read_line(&Shown(shown.clone()))? {
            Signal::Success(line) => line,
            Signal::CtrlC => continue,
            _ => return Ok(ExitCode::SUCCESS),
        };
        if matches!(line.trim(), "quit" | "exit") && !shown.contains('*') {
            return Ok(ExitCode::SUCCESS);
        }
        match ask(&Request::Cli { leaf: leaf.to_owned(), line })? {
            Response::Cli { output, prompt, .. } => {
                if !output.is_empty() {
                    println!("{}", output.trim_end_matches('\n'));
                }
                shown = prompt;
            }
            other => return super::unexpected(other),
        }
    }
}

fn editor(completer: Remote) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    let menu = ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU)));
    Reedline::create().with_completer(Box::new(completer)).with_menu(menu).with_edit_mode(Box::new(Emacs::new(keys)))
}

/// Completion by the leaf's own CLI.
struct Remote {
    client: Arc<Mutex<Client>>,
    leaf: String,
}

impl Completer for Remote {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let before = line.get(..position).unwrap_or(line);
        let request = Request::Complete { leaf: self.leaf.clone(), line: before.to_owned() };
        let answer = self.client.lock().unwrap_or_else(PoisonError::into_inner).ask(&request);
        let Ok(Response::Completions(words)) = answer else { return CompletionResult::fresh(Vec::new()) };
        let start = before.rfind(' ').map_or(0, |space| space + 1);
        let suggestion = |value| Suggestion {
            value,
            span: Span::new(start, position),
            append_whitespace: true,
            ..Suggestion::default()
        };
        CompletionResult::fresh(words.into_iter().map(suggestion).collect::<Vec<_>>())
    }
}

/// The prompt as the leaf gives it.
struct Shown(String);

impl Prompt for Shown {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search '{}') ", search.term))
    }
}
