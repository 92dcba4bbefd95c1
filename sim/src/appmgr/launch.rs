//! Turns the launch command of an application into a running process.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::spec::AppSpec;

/// Deviations of a start from the application's YAML file, so that one file serves every leaf of a lab.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Folder instead of the file's `path`.
    pub path: Option<PathBuf>,
    /// Arguments after those of the launch command.
    pub arguments: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
}

/// Starts an application's process and appends its output to the file `log`.
///
/// # Errors
/// Returns an error if the log cannot be opened, the launch command cannot be parsed, or the process cannot be started.
pub(crate) fn launch(spec: &AppSpec, overrides: &Overrides, log: &Path) -> io::Result<Child> {
    let line = command_line(spec, overrides).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(&line.program)
        .args(&line.arguments)
        .envs(&line.environment)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
}

#[derive(Debug, PartialEq, Eq)]
struct CommandLine {
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

/// Parses `VAR=x ./program arguments`: replaces `$VAR` and removes quotes. A program is looked up in the application's
/// folder if it begins with `./`, or if it has no folder and exists there.
fn command_line(spec: &AppSpec, overrides: &Overrides) -> Result<CommandLine, String> {
    let text = spec.launch_command();
    let mut environment = overrides.environment.clone();
    let mut words = words(&text, &environment)?.into_iter().peekable();
    while let Some((name, value)) = words.peek().and_then(|word| assignment(word)) {
        environment.entry(name).or_insert(value);
        words.next();
    }
    let program = words.next().ok_or_else(|| format!("launch-command '{text}' has no program"))?;
    let folder = overrides.path.as_ref().unwrap_or(&spec.path);
    let program = match program.strip_prefix("./") {
        Some(relative) => folder.join(relative),
        None if !program.contains('/') && folder.join(&program).is_file() => folder.join(&program),
        None => PathBuf::from(program),
    };
    Ok(CommandLine { program, arguments: words.chain(overrides.arguments.iter().cloned()).collect(), environment })
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

fn words(text: &str, environment: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            ('$', None | Some('"')) => {
                let braces = letters.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(letter) = letters.next_if(|it| it.is_ascii_alphanumeric() || *it == '_') {
                    name.push(letter);
                }
                if braces {
                    letters.next_if_eq(&'}').ok_or_else(|| format!("'${{{name}' is not closed in '{text}'"))?;
                }
                let value = environment.get(&name).cloned().or_else(|| std::env::var(&name).ok());
                word.get_or_insert_default().push_str(&value.unwrap_or_default());
            }
            (_, None) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(format!("unclosed quote in launch-command '{text}'"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(command: &str) -> AppSpec {
        serde_norway::from_str(&format!("path: /opt/app\nlaunch-command: {command:?}\n")).expect("well-formed")
    }

    #[test]
    fn assignments_variables_and_quotes_are_read_as_by_a_shell() {
        let overrides = Overrides {
            environment: BTreeMap::from([("LEAF".to_owned(), "leaf1".to_owned())]),
            arguments: vec!["--extra".to_owned()],
            path: None,
        };
        let line = command_line(&spec("A=b ./app --name $LEAF 'two words' \"${LEAF}x\""), &overrides)
            .expect("the command is well-formed");
        assert_eq!(line.program, PathBuf::from("/opt/app/app"));
        assert_eq!(line.arguments, ["--name", "leaf1", "two words", "leaf1x", "--extra"]);
        assert_eq!(line.environment.get("A").map(String::as_str), Some("b"));
    }

    #[test]
    fn the_folder_of_the_overrides_takes_precedence() {
        let overrides = Overrides { path: Some(PathBuf::from("/elsewhere")), ..Overrides::default() };
        let line = command_line(&spec("./app"), &overrides).expect("the command is well-formed");
        assert_eq!(line.program, PathBuf::from("/elsewhere/app"));
    }

    #[test]
    fn a_command_without_a_program_or_with_an_open_quote_is_refused() {
        assert!(command_line(&spec("A=b"), &Overrides::default()).is_err());
        assert!(command_line(&spec("./app 'x"), &Overrides::default()).is_err());
    }
}
