//! Reads the expiry of a bound service account token.
//!
//! Such a token is a JWT (RFC 7519): its second part is JSON with `iat` and `exp` in seconds. It is only read here; the
//! API server verifies it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;

use crate::model::time::Timestamp;

/// How long before its expiry a token causes a warning, in seconds.
const WARN: i64 = 7 * 24 * 3600;
/// Warns no earlier than in the last 1/`LAST_PART` of the token's lifetime, because short-lived tokens are renewed
/// automatically.
const LAST_PART: i64 = 10;

/// When a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    /// When the warning starts.
    pub(super) warn: Timestamp,
    /// When it expires.
    pub(super) end: Timestamp,
}

impl Expiry {
    /// Returns the warning that is due at `now`, if any.
    pub(super) fn words(&self, now: Timestamp) -> Option<String> {
        let renew = "renew it (make-kubeconfig); its file is read again when it changes";
        let end = self.end.strftime("%Y-%m-%dT%H:%M:%SZ");
        if now >= self.end {
            return Some(format!("the token expired at {end}: {renew}"));
        }
        (now >= self.warn).then(|| format!("the token expires at {end}: {renew}"))
    }
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    iat: Option<i64>,
}

/// Returns when a token expires; `None` if it contains no readable expiry.
pub(super) fn expiry(token: &str, now: Timestamp) -> Option<Expiry> {
    let claims = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
    let end = Timestamp::from_second(claims.exp).ok()?;
    let life = claims.exp.saturating_sub(claims.iat.unwrap_or_else(|| now.as_second())).max(0);
    let warn = claims.exp.saturating_sub(WARN.min(life / LAST_PART));
    Some(Expiry { warn: Timestamp::from_second(warn).ok()?, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64.encode(claims))
    }

    const DAY: i64 = 24 * 3600;

    #[test]
    fn a_long_lived_token_warns_in_its_last_week() {
        let expiry = expiry(&token(&format!(r#"{{"iat":0,"exp":{}}}"#, 90 * DAY)), at(0)).expect("it ends");
        assert_eq!((expiry.warn, expiry.end), (at(83 * DAY), at(90 * DAY)));
        assert_eq!(expiry.words(at(83 * DAY - 1)), None);
        assert!(expiry.words(at(83 * DAY)).expect("words").contains("expires at 1970-04-01T00:00:00Z: renew it"));
        assert!(expiry.words(at(90 * DAY)).expect("words").contains("expired at 1970-04-01"));
    }

    #[test]
    fn a_short_lived_token_warns_only_in_its_last_tenth() {
        let expiry = expiry(&token(r#"{"iat":1000,"exp":4600}"#), at(1000)).expect("it ends");
        assert_eq!(expiry.warn, at(4600 - 360));
    }

    #[test]
    fn a_token_without_a_readable_expiry_has_none() {
        for token in ["abc", "a.b.c", "e30.e30.c", &token(r#"{"exp":"x"}"#), &token(r#"{"exp":99999999999999999}"#)] {
            assert_eq!(expiry(token, at(0)), None, "{token}");
        }
    }
}
