//! `tools`: operations of the application manager.

use super::Session;
use super::error::CliError;
use super::lex::Token;
use super::show::wrong_words;
use crate::appmgr::Operation;

/// The rows of words that `tools` knows.
pub(super) const COMMANDS: &[&[&str]] = &[
    &["system", "app-management", "application", "<application>", "start"],
    &["system", "app-management", "application", "<application>", "stop"],
    &["system", "app-management", "application", "<application>", "restart"],
    &["system", "app-management", "application", "<application>", "reload"],
    &["system", "app-management", "application", "<application>", "kill"],
    &["system", "app-management", "application", "<application>", "quit"],
];

impl Session {
    /// `tools system app-management application NAME OPERATION`
    pub(super) async fn tools(&self, words: &[Token]) -> Result<String, CliError> {
        let words: Vec<&str> = words.iter().map(|token| token.text().trim_start_matches('/')).collect();
        let words = words.strip_prefix(&[""]).unwrap_or(&words);
        let ["system", "app-management", "application", name, operation] = words else {
            return Err(wrong_words(COMMANDS, words));
        };
        if Operation::parse(operation).is_none() {
            return Err(wrong_words(COMMANDS, words));
        }
        let applications = self.applications.as_ref();
        let applications =
            applications.ok_or_else(|| CliError::Refused("this switch has no applications".to_owned()))?;
        let done = applications.operate(name, operation).await.map_err(CliError::Refused)?;
        let told = |line: &str| format!("/system/app-management/application[name={name}]:\n    {line}\n");
        Ok(done.lines().map(told).collect::<Vec<_>>().join("\n"))
    }
}
