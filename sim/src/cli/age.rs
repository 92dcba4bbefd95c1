//! Prints how long ago a time was, in words.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 365 * DAY;

/// Returns a time with its age: `2025-12-17T09:07:28.791Z (an hour ago)`. Returns text that is not a time unchanged.
pub(super) fn with_age(value: &str, now: Timestamp) -> String {
    match value.parse::<Timestamp>() {
        Ok(time) => format!("{value} ({})", phrase(now.as_second() - time.as_second())),
        Err(_) => value.to_owned(),
    }
}

fn phrase(seconds: i64) -> String {
    let age = seconds.abs();
    let words = match age {
        0..10 => return "now".to_owned(),
        10..45 => format!("{age} seconds"),
        45..90 => "a minute".to_owned(),
        90..2_700 => many(age, MINUTE, "minutes"),
        2_700..5_400 => "an hour".to_owned(),
        5_400..79_200 => many(age, HOUR, "hours"),
        79_200..129_600 => "a day".to_owned(),
        129_600..MONTH => many(age, DAY, "days"),
        MONTH..3_888_000 => "a month".to_owned(),
        3_888_000..29_808_000 => many(age, MONTH, "months"),
        29_808_000..47_304_000 => "a year".to_owned(),
        _ => many(age, YEAR, "years"),
    };
    if seconds < 0 { format!("in {words}") } else { format!("{words} ago") }
}

fn many(age: i64, unit: i64, name: &str) -> String {
    format!("{} {name}", (age / unit).max(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_printed_in_words() {
        let words = [
            (0, "now"),
            (60, "a minute ago"),
            (37 * MINUTE, "37 minutes ago"),
            (HOUR, "an hour ago"),
            (3 * HOUR, "3 hours ago"),
            (DAY, "a day ago"),
            (10 * DAY, "10 days ago"),
            (400 * DAY, "a year ago"),
            (-5 * MINUTE, "in 5 minutes"),
        ];
        for (seconds, text) in words {
            assert_eq!(phrase(seconds), text);
        }
    }

    #[test]
    fn only_timestamps_get_an_age() {
        let now = "2025-12-17T10:07:28.806Z".parse().expect("a time");
        assert_eq!(with_age("2025-12-17T09:07:28.806Z", now), "2025-12-17T09:07:28.806Z (an hour ago)");
        assert_eq!(with_age("never", now), "never");
    }
}
