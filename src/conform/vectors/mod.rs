//! Vectors: what one of Kafka's own functions returned for one input, a line of JSON each.
//!
//! The hash of keys and the partitioners of records without a key ([`partitioners`]), the assignors of the classic
//! protocol ([`client_assignors`]) and those of the consumer protocol ([`target_assignors`]).

mod client_assignors;
mod partitioners;
mod steps;
mod target_assignors;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::conform::{Difference, Outcome};

/// The longest line that is read, in bytes. The longest recorded one has 35 kB.
const LINE_MAX: u64 = 1 << 20;

/// Compares every line of the file; the number of facts compared, and how it came out.
pub fn compare(path: &Path) -> (u64, Outcome) {
    let mut compared = 0;
    let mut lines = 0u64;
    let mut differing = 0u64;
    let mut first = None;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return (0, Outcome::Unreadable(error.to_string())),
    };
    let mut reader = BufReader::new(file);
    loop {
        let mut line = Vec::new();
        // Not `lines()`: a file without an end of line must not fill the memory.
        let read = std::io::Read::take(&mut reader, LINE_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(0) => break,
            Ok(n) if n as u64 == LINE_MAX => {
                let what = format!("line {} is longer than {LINE_MAX} bytes", lines + 1);
                return (compared, Outcome::Unreadable(what));
            }
            Ok(_) => {}
            Err(error) => return (compared, Outcome::Unreadable(error.to_string())),
        }
        lines += 1;
        let at = |what: String| format!("line {lines}: {what}");
        match compare_line(&line, &mut compared) {
            Ok(()) => {}
            Err(Outcome::Differs(difference)) => {
                differing += 1;
                first.get_or_insert(Difference { path: at(difference.path), ..difference });
            }
            Err(Outcome::NotModelled(what)) => return (compared, Outcome::NotModelled(at(what))),
            Err(Outcome::Unreadable(what)) => return (compared, Outcome::Unreadable(at(what))),
            Err(Outcome::Agrees) => unreachable!("agreement is no error"),
        }
    }
    match first {
        Some(difference) => {
            let path = difference.path;
            let path = format!("{path} (first of {differing} differing lines of {lines})");
            (compared, Outcome::Differs(Difference { path, ..difference }))
        }
        None if lines == 0 => (0, Outcome::Unreadable("the file is empty".to_owned())),
        None => (compared, Outcome::Agrees),
    }
}

/// Tells the kind of line from its keys and compares it.
fn compare_line(line: &[u8], compared: &mut u64) -> Result<(), Outcome> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| Outcome::Unreadable(error.to_string()))?;
    if value.get("crc32").is_some() {
        return partitioners::compare_librdkafka(&read(value)?, compared);
    }
    if value.get("key_hex").is_some() {
        return partitioners::compare_key(&read(value)?, compared);
    }
    let of_client = value.pointer("/steps/0/generation").is_some();
    match (value.get("assignor").and_then(Value::as_str), of_client) {
        (Some("range" | "roundrobin" | "sticky" | "cooperative-sticky"), true) => {
            client_assignors::compare(&read(value)?, compared)
        }
        (Some("range" | "uniform"), false) => target_assignors::compare(&read(value)?, compared),
        (Some(name), _) => {
            let protocol = if of_client { "classic" } else { "consumer" };
            Err(Outcome::NotModelled(format!("the assignor {name} of the {protocol} protocol")))
        }
        (None, _) => match value.get("kind").and_then(Value::as_str) {
            Some("sticky" | "roundrobin") => {
                partitioners::compare_null_key(&read(value)?, compared)
            }
            Some(kind) => Err(Outcome::NotModelled(format!("vectors of the kind {kind}"))),
            None => Err(Outcome::Unreadable("neither a key, a kind nor an assignor".to_owned())),
        },
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Outcome> {
    T::deserialize(value).map_err(|error| Outcome::Unreadable(error.to_string()))
}

fn expect<T: PartialEq + std::fmt::Display>(
    path: impl FnOnce() -> String,
    expected: &T,
    got: &T,
    compared: &mut u64,
) -> Result<(), Outcome> {
    *compared += 1;
    if expected == got {
        return Ok(());
    }
    let (expected, got) = (expected.to_string(), got.to_string());
    Err(Outcome::Differs(Difference { path: path(), expected, got }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<(), Outcome> {
        compare_line(text.as_bytes(), &mut 0)
    }

    #[test]
    fn a_line_that_kafka_did_not_write_differs_or_is_refused() {
        let key = r#"{"kind":"ascii","key_hex":"6b30","murmur2":-704538303,"positive":1442945345,"partition":{"3":2}}"#;
        assert_eq!(line(key), Ok(()));
        let wrong = line(&key.replace(r#""3":2"#, r#""3":1"#));
        assert!(matches!(wrong, Err(Outcome::Differs(d)) if d.expected == "1" && d.got == "2"));
        for (refused, by) in [
            (key.replace(r#""3":2"#, r#""0":0"#), "no number of partitions"),
            (key.replace("6b30", "6b3"), "hexadecimal"),
            (key.replace("positive", "absolute"), "absolute"),
            ("[".to_owned(), "EOF"),
            ("{}".to_owned(), "neither"),
        ] {
            assert!(
                matches!(line(&refused), Err(Outcome::Unreadable(why)) if why.contains(by)),
                "{refused}"
            );
        }
        let other = r#"{"case":"x","assignor":"simple","steps":[{"generation":1}]}"#;
        assert!(matches!(line(other), Err(Outcome::NotModelled(_))));
    }
}
