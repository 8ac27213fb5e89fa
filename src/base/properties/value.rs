//! Text to values, as `ConfigDef` parses and checks them. The errors say what the value should have been.

use crate::base::time::Duration;

/// The largest `int` of Java.
pub(super) const INT_MAX: u64 = i32::MAX as u64;
/// The largest `long` of Java.
pub(super) const LONG_MAX: u64 = i64::MAX as u64;

/// `metadata.recovery.strategy`.
pub(super) const REBOOTSTRAP: &[(&str, bool)] = &[("rebootstrap", true), ("none", false)];

/// A whole number from `low` to `high`.
pub(super) fn number(text: &str, low: u64, high: u64) -> Result<u64, String> {
    let Ok(n) = text.parse::<i128>() else {
        return Err("must be a whole number".to_owned());
    };
    if n < i128::from(low) {
        Err(format!("must be at least {low}"))
    } else if n > i128::from(high) {
        Err(format!("must be at most {high}"))
    } else {
        Ok(n as u64)
    }
}

/// An `int` of at least `low`.
pub(super) fn int(text: &str, low: u64) -> Result<u32, String> {
    number(text, low, INT_MAX).map(|n| n as u32)
}

/// Milliseconds in an `int`, at least `low`.
pub(super) fn int_millis(text: &str, low: u64) -> Result<Duration, String> {
    number(text, low, INT_MAX).map(Duration::from_millis)
}

/// Milliseconds in a `long`, at least `low`.
pub(super) fn long_millis(text: &str, low: u64) -> Result<Duration, String> {
    number(text, low, LONG_MAX).map(Duration::from_millis)
}

/// `true` or `false`, in any case.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// One of the words.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("must be one of {}", words.join(", "))
    })
}
