//! Formats what was found as lines for an operator and as one file for support.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{Check, Examination};
use crate::model::time::Timestamp;

/// The width of the first word of a line.
const WORD: usize = 9;

/// Returns one line per check, with its remedy below it.
pub fn lines(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let _ = writeln!(text, "{:<WORD$}{}: {}", check.outcome.as_str(), check.name, check.finding);
        for line in &check.remedy {
            let _ = writeln!(text, "{:WORD$}{line}", "");
        }
    }
    text
}

/// Writes the report: versions, every check with the time it took, and the answers that the checks are based on. It
/// contains no secrets, because its inputs do not.
///
/// # Errors
/// If writing fails.
pub fn write(mut to: impl Write, version: &str, found: &Examination) -> io::Result<()> {
    let system = rustix::system::uname();
    writeln!(to, "k8s-services doctor {version}, {:.0}", Timestamp::now())?;
    let parts = [system.sysname(), system.release(), system.machine()].map(|part| part.to_string_lossy().into_owned());
    writeln!(to, "{}", parts.join(" "))?;
    writeln!(to, "outcome: {}\n", found.outcome().as_str())?;
    to.write_all(lines(&found.checks).as_bytes())?;
    writeln!(to, "\ntimes in ms")?;
    for check in &found.checks {
        writeln!(to, "{:>8} {}", check.took.as_millis(), check.name)?;
    }
    for (title, answer) in &found.answers {
        writeln!(to, "\n{title}\n{answer:#}")?;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_check_is_printed_as_a_line_with_its_remedy_below() {
        let bad = Check::failure("NDK", "is off").remedy(["one", "two"]);
        let checks = [Check::ok("release", "v25.3.1"), bad];
        assert_eq!(lines(&checks), "ok       release: v25.3.1\nfailure  NDK: is off\n         one\n         two\n");
    }

    #[test]
    fn the_report_contains_the_worst_outcome_the_times_and_the_answers() {
        let checks = vec![Check::ok("a", "x"), Check::warning("b", "y").after(Duration::from_millis(7))];
        let found = Examination { checks, answers: vec![("application manager", json!({ "pid": 1 }))] };
        assert_eq!((found.outcome(), found.outcome().exit_status()), (Outcome::Warning, 1));
        let mut text = Vec::new();
        write(&mut text, "0.1.0", &found).expect("written");
        let text = String::from_utf8(text).expect("text");
        for part in ["k8s-services doctor 0.1.0, ", "outcome: warning\n", "       7 b\n", "\napplication manager\n{\n"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
