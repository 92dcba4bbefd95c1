//! Patterns of names in which `*` stands for any text.

/// Returns whether a name matches a pattern in which `*` stands for any text.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|&at| rest.is_char_boundary(at)).any(|at| glob(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_a_pattern_matches_any_text() {
        assert!(glob("*", "x") && glob("ethernet-*", "ethernet-1/1") && glob("a*b*c", "a1b2c"));
        assert!(!glob("a*c", "ab") && !glob("a", "ab"));
    }
}
