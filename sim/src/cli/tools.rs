//! The command `tools`: operations of the application manager, and on commits that wait to be confirmed.

use super::Session;
use super::config::not_committed;
use super::error::CliError;
use super::lex::Token;
use super::show::wrong_words;
use crate::appmgr::Operation;

/// The commands of `tools`, as rows of words.
pub(super) const COMMANDS: &[&[&str]] = &[
    &["system", "app-management", "application", "<application>", "start"],
    &["system", "app-management", "application", "<application>", "stop"],
    &["system", "app-management", "application", "<application>", "restart"],
    &["system", "app-management", "application", "<application>", "reload"],
    &["system", "app-management", "application", "<application>", "kill"],
    &["system", "app-management", "application", "<application>", "quit"],
    &["system", "configuration", "confirmed-accept"],
    &["system", "configuration", "confirmed-reject"],
];

impl Session {
    /// `tools system app-management application NAME OPERATION`, `tools system configuration confirmed-...`
    pub(super) async fn tools(&self, words: &[Token]) -> Result<String, CliError> {
        let words: Vec<&str> = words.iter().map(|token| token.text().trim_start_matches('/')).collect();
        let words = words.strip_prefix(&[""]).unwrap_or(&words);
        if let ["system", "configuration", answer @ ("confirmed-accept" | "confirmed-reject")] = words {
            return self.settle(*answer == "confirmed-accept").await;
        }
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

    /// Keeps the commit that waits to be confirmed, or reverts it.
    async fn settle(&self, keep: bool) -> Result<String, CliError> {
        let found = if keep { self.store.confirm() } else { self.store.reject().await.map_err(not_committed)? };
        let done =
            if keep { "The commit is confirmed" } else { "The commit is rejected, and its changes are taken back" };
        let none = || CliError::Refused("there is no commit to confirm or reject".to_owned());
        found.then(|| format!("/system/configuration:\n    {done}\n")).ok_or_else(none)
    }
}
