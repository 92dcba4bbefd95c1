//! Makes text from elsewhere safe for state, alarms and logs.
//!
//! Text that an API server, a proxy in front of it or a tenant writes is quoted in sentences that an operator reads on
//! a terminal. It must not forge lines, control the terminal, change the direction of writing, or fill the switch with
//! a web page.

/// The longest quotation of text from elsewhere, in characters: a sentence, not a page.
pub const LONGEST: usize = 200;

/// Returns the first line that is not blank, without unprintable characters, cut with `…` at `max` characters.
///
/// Control and format characters (bidirectional marks, zero-width ones) and code points that YANG strings must not
/// contain (RFC 7950, section 14) become a blank; consecutive blanks become one. Reads no more of the text than it
/// returns.
///
/// ```
/// use srl_k8s_services::model::text::printable;
/// assert_eq!(printable("\r\n  Bad\tGateway\u{1b}[31m \nmore", 40), "Bad Gateway [31m");
/// assert_eq!(printable("0123456789", 5), "0123…");
/// ```
pub fn printable(text: &str, max: usize) -> String {
    let line = text.trim_start_matches(|c| !prints(c) || c.is_whitespace());
    let mut kept = String::new();
    let mut count = 0;
    let mut blank = false;
    for c in line.chars().take_while(|c| !ends_line(*c)) {
        if !prints(c) || c.is_whitespace() {
            blank = true;
            continue;
        }
        let needed = 1 + usize::from(blank);
        if count + needed > max {
            return cut(kept, max);
        }
        if std::mem::take(&mut blank) {
            kept.push(' ');
        }
        kept.push(c);
        count += needed;
    }
    kept
}

/// Returns whether a name can be an object's in Kubernetes: at most 253 characters that names there may have.
///
/// This is wider than the rules of any single kind
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>), and narrow enough for such a name to
/// be harmless in a sentence, a path and a terminal.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    (1..=253).contains(&name.len()) && name.bytes().all(allowed)
}

fn cut(mut kept: String, max: usize) -> String {
    while kept.chars().count() >= max.max(1) {
        kept.pop();
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn prints(c: char) -> bool {
    let format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    let nonchar = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    !c.is_control() && !format && !nonchar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_nonblank_line_is_kept() {
        for (text, kept) in [
            ("one\ntwo", "one"),
            ("\n\r\n \t one \r\ntwo", "one"),
            ("one\u{2028}two", "one"),
            ("one\u{85}two", "one"),
            ("", ""),
            (" \n\u{7}\n", ""),
        ] {
            assert_eq!(printable(text, 20), kept, "{text:?}");
        }
    }

    #[test]
    fn unprintable_characters_become_one_blank() {
        for (text, kept) in [
            ("a\u{1b}[2Jb", "a [2Jb"),
            ("a \u{0}\u{7} b", "a b"),
            ("user\u{202e}gpj", "user gpj"),
            ("x\u{2066}y\u{2069}z", "x y z"),
            ("x\u{fffe}y", "x y"),
            ("x\u{e0041}y", "x y"),
            ("Grüße 日本", "Grüße 日本"),
        ] {
            assert_eq!(printable(text, 20), kept, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_the_limit_in_characters() {
        assert_eq!(printable("12345", 5), "12345");
        assert_eq!(printable("123456", 5), "1234…");
        assert_eq!(printable("123 56", 5), "123…");
        assert_eq!(printable("éééééé", 5), "éééé…");
        assert_eq!(printable("ab", 0), "…");
        let page = "x".repeat(1 << 20);
        assert_eq!(printable(&page, LONGEST).chars().count(), LONGEST);
    }

    #[test]
    fn names_are_valid_only_if_an_api_server_can_have_them() {
        for name in ["web", "a.b-c_d", "kube-system", "system:node", "N1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "a\nb", "a/b", "\u{1b}[2J", "née", &"x".repeat(254)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
