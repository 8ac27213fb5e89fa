//! Cases: a scenario that re-enacts a recording, and what Kafka did.
//!
//! `<id>.ron` is a scenario; `<id>.json` says `{id, source, kafka_version, allowed: [{…}]}`, each entry of `allowed`
//! a set of facts. Every run must agree with one of the entries, whole. The scenario runs under several seeds,
//! because what Kafka did every time must not hang on our luck.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::conform::Outcome;
use crate::conform::facts::KEYS;

/// The largest `.json` that is read, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// What Kafka did.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The name of the pair of files.
    pub id: String,
    /// Where it comes from: the recording.
    pub source: String,
    /// The version of Kafka that was recorded.
    pub kafka_version: String,
    /// What may come out: one entry for a deterministic case, all that was ever seen otherwise.
    pub allowed: Vec<Map<String, Value>>,
}

impl Expected {
    /// Reads `<id>.json`.
    fn load(path: &Path) -> Result<Self, Outcome> {
        let unreadable = |what: String| Outcome::Unreadable(what);
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE_MAX + 1), &mut text)
            .map_err(|error| unreadable(error.to_string()))?;
        if text.len() as u64 > FILE_MAX {
            return Err(unreadable(format!("more than {FILE_MAX} bytes")));
        }
        let expected: Self =
            serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        if stem.as_deref() != Some(expected.id.as_str()) {
            return Err(unreadable(format!("its id is {:?}", expected.id)));
        }
        if expected.allowed.is_empty() || expected.allowed.iter().any(Map::is_empty) {
            return Err(unreadable(
                "allowed: an entry without facts agrees with anything".to_owned(),
            ));
        }
        let mut keys = expected.allowed.iter().flat_map(Map::keys);
        match keys.find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => {
                Err(unreadable(format!("allowed: {key:?} is none of {}", KEYS.join(", "))))
            }
            None => Ok(expected),
        }
    }
}

/// Runs the case and compares it: the number of facts compared, and how it came out.
pub fn compare(path: &Path) -> (u64, Outcome) {
    match Expected::load(path) {
        Ok(_) => (0, Outcome::NotModelled("cases are not re-enacted yet".to_owned())),
        Err(outcome) => (0, outcome),
    }
}
