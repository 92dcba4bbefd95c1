//! Errors of lines that the CLI cannot run.

/// Why a line is refused, in the switch's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CliError {
    /// Nothing here has this name.
    #[error("Parsing error: Unknown token '{token}'. Options are [{}]", listed(.options))]
    UnknownToken { token: String, options: Vec<String> },
    /// The line ends where more must follow.
    #[error("Parsing error: Unexpected end of the line. Options are [{}]", listed(.options))]
    Incomplete { options: Vec<String> },
    /// A value the leaf cannot have.
    #[error("Parsing error: While parsing '{leaf}': Wrong value for 'value': Got '{value}' expected {expected}")]
    WrongValue { leaf: String, value: String, expected: String },
    /// Quotes or brackets that do not match.
    #[error("Parsing error: {0}")]
    Syntax(&'static str),
    /// Words that a plugin does not accept, in the words of the plugin.
    #[error("Parsing error: {0}")]
    Words(String),
    /// An error printed by a plugin.
    #[error("{0}")]
    Printed(String),
    /// Anything else.
    #[error("Error: {0}")]
    Refused(String),
    /// A failed transaction: each path with what is wrong there.
    #[error("{}", problems(.0))]
    Commit(Vec<(String, String)>),
}

impl CliError {
    pub(super) fn unknown(token: &str, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut options: Vec<String> = options.into_iter().map(Into::into).collect();
        options.sort();
        Self::UnknownToken { token: token.to_owned(), options }
    }

    pub(super) fn incomplete(options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut options: Vec<String> = options.into_iter().map(Into::into).collect();
        options.sort();
        Self::Incomplete { options }
    }
}

fn listed(options: &[String]) -> String {
    options.iter().map(|option| format!("'{option}'")).collect::<Vec<_>>().join(", ")
}

fn problems(problems: &[(String, String)]) -> String {
    let mut text = String::new();
    for (path, message) in problems {
        text.push_str(&format!("Error in {path}:\n"));
        message.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text + "Error: Commit failed"
}
