//! Paths and times of native state.

use jiff::Timestamp;

use crate::path::Path;

/// Returns the current time as `date-and-time`: UTC with milliseconds.
pub(crate) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Returns the path of these steps, each a name with its keys.
pub(crate) fn at(steps: &[(&str, &[(&str, &str)])]) -> Path {
    let mut path = Path::root();
    for (name, keys) in steps {
        path = path.child_with_keys(*name, keys.iter().map(|(key, value)| (*key, *value)));
    }
    path
}

/// Returns the path of an application.
pub(crate) fn app_path(name: &str) -> Path {
    at(&[("system", &[]), ("app-management", &[]), ("application", &[("name", name)])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_end_in_z() {
        let now = now();
        assert_eq!(now.len(), "2026-06-12T16:29:35.500Z".len(), "{now}");
        assert!(now.ends_with('Z'), "{now}");
    }
}
