//! Parses actions from words: `pull session-down leaf=leaf1 node=cluster1`.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use srl_sim::lab::Action;

/// Parses an action from its name, the name of its lever, if any, and `name=value` details.
pub(crate) fn action(words: &[String]) -> Result<Action> {
    let (names, details): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| !word.contains('='));
    let Some((inner, outer)) = names.split_last() else { bail!("an action is missing") };
    let mut value = if details.is_empty() {
        Value::String((*inner).clone())
    } else {
        let members = details.into_iter().map(|detail| {
            let (name, value) = detail.split_once('=').expect("partitioned by it");
            (name.to_owned(), scalar(value))
        });
        named(inner, Value::Object(members.collect()))
    };
    for name in outer.iter().rev() {
        value = named(name, value);
    }
    serde_json::from_value(value).with_context(|| format!("'{}' is not an action", words.join(" ")))
}

fn named(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// Parses numbers, Booleans and JSON as such, and anything else as text.
fn scalar(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(line: &str) -> Result<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        action(&words).map(|action| action.summary())
    }

    #[test]
    fn command_lines_are_parsed_into_actions() {
        let cases = [
            ("pull session-down leaf=leaf1 node=cluster1", "fabric: session-down leaf=leaf1 node=cluster1"),
            ("release overlay-down leaf=leaf4", "fabric: heal overlay-down leaf=leaf4"),
            ("release-all", "fabric: heal everything"),
            ("scale cluster=c1 name=web replicas=0", "kubectl scale deployment web --replicas=0"),
            ("ndk leaf=leaf1 to=stop", "leaf1: NDK stop"),
        ];
        for (line, expected) in cases {
            assert_eq!(summary(line).expect(line), expected);
        }
    }

    #[test]
    fn an_invalid_action_is_refused_with_the_reason() {
        let error = summary("pull session-dwn node=n1").expect_err("refused");
        assert!(format!("{error:#}").contains("unknown variant `session-dwn`"), "{error:#}");
        let error = summary("pull session-down").expect_err("refused");
        assert!(format!("{error:#}").contains("'pull session-down' is not an action"), "{error:#}");
    }
}
