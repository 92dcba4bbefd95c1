//! Configures property tests: how many cases they try, and where those that failed are kept.

use proptest::test_runner::{Config, FileFailurePersistence};

/// Returns a configuration with as many cases as `PROPTEST_CASES` says, or `default`. Cases that fail are kept in the
/// file `regressions` of the repository, and are tried first from then on.
pub(crate) fn cases(default: u32, regressions: &'static str) -> Config {
    let set = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(regressions)) as _);
    Config { cases: set.unwrap_or(default), failure_persistence, ..Config::default() }
}
