//! Splits a line into words.

use super::error::CliError;

/// One word, bracket or bar of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word without its quotes.
    Word(String),
    /// `|`
    Pipe,
    /// `[`
    Open,
    /// `]`
    Close,
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Returns the token as it is written in a line, for messages.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Pipe => "|",
            Self::Open => "[",
            Self::Close => "]",
        }
    }
}

/// Splits a line into tokens. A line that begins with `#` has none.
///
/// # Errors
/// Returns an error if a quote is not closed.
pub(super) fn split(line: &str) -> Result<Vec<Token>, CliError> {
    let mut tokens = Vec::new();
    if line.trim_start().starts_with('#') {
        return Ok(tokens);
    }
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None => return Ok(tokens),
            Some('|') => {
                chars.next();
                tokens.push(Token::Pipe);
            }
            Some(_) => tokens.push(word(&mut chars)?),
        }
    }
}

fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, CliError> {
    let mut text = String::new();
    let mut quoted = false;
    // Inside the brackets of a path's keys, blanks and bars belong to the word.
    let mut brackets = 0_u32;
    while let Some(&c) = chars.peek() {
        if brackets == 0 && (c.is_whitespace() || c == '|') {
            break;
        }
        chars.next();
        match c {
            '"' => {
                quoted = true;
                quoted_part(chars, &mut text)?;
            }
            '\\' => text.extend(chars.next()),
            '[' if !text.is_empty() => {
                brackets += 1;
                text.push(c);
            }
            ']' if brackets > 0 => {
                brackets -= 1;
                text.push(c);
            }
            _ => text.push(c),
        }
    }
    Ok(match text.as_str() {
        "[" if !quoted => Token::Open,
        "]" if !quoted => Token::Close,
        _ => Token::Word(text),
    })
}

fn quoted_part(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, text: &mut String) -> Result<(), CliError> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => text.extend(chars.next()),
            Some(c) => text.push(c),
            None => return Err(CliError::Syntax("a quote is not closed")),
        }
    }
}

/// Formats a value as the CLI shows it: in quotes only if needed.
pub(super) fn quote(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:%@+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).expect(line).iter().map(|token| token.text().to_owned()).collect()
    }

    #[test]
    fn words_quotes_brackets_and_pipes_are_tokenized() {
        assert_eq!(
            words("set / a \"b \\\"c\" [ d e ]|as json"),
            ["set", "/", "a", "b \"c", "[", "d", "e", "]", "|", "as", "json"]
        );
        assert_eq!(split("\"[\"").expect("a word"), [Token::Word("[".into())]);
        assert_eq!(words("/a[k=v w]/b c"), ["/a[k=v w]/b", "c"]);
        assert_eq!(words("  # a remark"), Vec::<String>::new());
        assert!(split("set a \"b").is_err());
    }

    #[test]
    fn values_are_quoted_only_if_necessary() {
        for bare in
            ["v25.10.1-399-g90c1dbe35ef", "target:65000:123", "fe80::1%ethernet-1/1.0", "0451", "wait=10", "1.1.1.0/24"]
        {
            assert_eq!(quote(bare), bare);
        }
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("tag-value = 0x7b"), "\"tag-value = 0x7b\"");
        assert_eq!(quote("DC-Left \"1\""), "\"DC-Left \\\"1\\\"\"");
    }
}
