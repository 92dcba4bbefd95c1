//! The report: results of measurements, and whether they are within their budgets.

use std::fmt;

/// One line of the report.
#[derive(Debug)]
pub(crate) struct Line {
    what: String,
    value: String,
    verdict: Option<(String, bool)>,
}

impl Line {
    /// A figure without a budget.
    pub(crate) fn figure(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self { what: what.into(), value: value.into(), verdict: None }
    }

    /// A ratio and its maximum.
    pub(crate) fn budget(what: impl Into<String>, value: f64, most: f64) -> Self {
        let verdict = Some((format!("<= {most:.2} x"), value <= most));
        Self { what: what.into(), value: format!("{value:.2} x"), verdict }
    }

    /// A share of the whole and its maximum.
    pub(crate) fn share(what: impl Into<String>, value: f64, most: f64) -> Self {
        let verdict = Some((format!("<= {:.0} %", most * 100.0), value <= most));
        Self { what: what.into(), value: format!("{:.2} %", value * 100.0), verdict }
    }

    /// A size in megabytes (10^6 bytes) and its maximum.
    pub(crate) fn megabytes(what: impl Into<String>, bytes: u64, most: u64) -> Self {
        let verdict = Some((format!("<= {most} MB"), bytes <= most * 1_000_000));
        Self { what: what.into(), value: format!("{:.1} MB", bytes as f64 / 1e6), verdict }
    }

    /// A count and its maximum.
    pub(crate) fn count(what: impl Into<String>, value: u64, most: u64) -> Self {
        let verdict = Some((format!("<= {most}"), value <= most));
        Self { what: what.into(), value: value.to_string(), verdict }
    }

    /// Returns whether the line is within its budget, or has none.
    pub(crate) fn holds(&self) -> bool {
        self.verdict.as_ref().is_none_or(|(_, holds)| *holds)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<58} {:>12}", self.what, self.value)?;
        match &self.verdict {
            Some((budget, true)) => write!(f, "   {budget:<10} ok"),
            Some((budget, false)) => write!(f, "   {budget:<10} MISSED"),
            None => Ok(()),
        }
    }
}

/// Returns `whole` divided by `part`.
pub(crate) fn ratio(whole: f64, part: f64) -> f64 {
    whole / part.max(f64::MIN_POSITIVE)
}
