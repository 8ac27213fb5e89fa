//! Cases: a scenario that re-enacts a recording, and what Kafka did.
//!
//! `<id>.ron` is a scenario; `<id>.json` says `{id, source, kafka_version, allowed: [{…}]}`, each entry of `allowed`
//! a set of facts. Every run must agree with one of the entries, whole. The scenario runs under several seeds,
//! because what Kafka did every time must not hang on our luck.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::conform::facts::{Facts, KEYS};
use crate::conform::{Difference, Outcome};
use crate::scenario::run::{self, Run};
use crate::scenario::{Limits, Scenario, load, read_bounded};

/// The largest `.json` that is read, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// The seeds that a case runs with.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

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
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
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
    let mut compared = 0;
    let outcome = match reenact(path, &mut compared) {
        Ok(()) => Outcome::Agrees,
        Err(outcome) => outcome,
    };
    (compared, outcome)
}

fn reenact(path: &Path, compared: &mut u64) -> Result<(), Outcome> {
    let expected = Expected::load(path)?;
    let limits = Limits::default();
    let scenario = Arc::new(load_scenario(&path.with_extension("ron"), &limits)?);
    let variant = scenario.variant_names()[0].to_owned();
    for seed in SEEDS {
        let run = Run::new(&scenario, &variant, seed, &limits);
        let mut run = run.expect("the scenario names its own variants");
        run.finish();
        let agreed = completed(&run).and_then(|()| agree(&run, &expected.allowed));
        *compared += agreed.map_err(|outcome| under_seed(seed, outcome))?;
    }
    Ok(())
}

fn load_scenario(path: &Path, limits: &Limits) -> Result<Scenario, Outcome> {
    let unreadable = |what: String| Outcome::Unreadable(what);
    if !path.exists() {
        return Err(Outcome::NotModelled(format!("there is no {}", path.display())));
    }
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let bytes = read_bounded(file, limits).map_err(|error| unreadable(error.to_string()))?;
    let name = path.display().to_string();
    load(&name, &bytes, limits).map_err(|errors| match errors.list.first() {
        Some(first) => {
            unreadable(format!("{name}:{}:{}: {}", first.line, first.column, first.message))
        }
        None => unreadable(name),
    })
}

/// A script that could not be played to its end differs from one that a recorder did play.
fn completed(run: &Run) -> Result<(), Outcome> {
    let got = match run.outcome() {
        run::Outcome::Completed => return Ok(()),
        run::Outcome::Running => unreachable!("a finished run has an outcome"),
        run::Outcome::Stuck { step, waited_for, reasons } => {
            format!(
                "stuck at {} s in step {step}, waiting for {waited_for}: {}",
                run.now(),
                reasons.join("; ")
            )
        }
        run::Outcome::OutOfBudget => "it spends its budget of events or time".to_owned(),
        run::Outcome::Refused(refusal) => {
            format!("{} is refused: {}", refusal.client, refusal.message)
        }
    };
    let (path, expected) = ("script".to_owned(), "it comes to its end".to_owned());
    Err(Outcome::Differs(Difference { path, expected, got }))
}

/// The number of facts compared when one of `allowed` agrees with the run; else what the first disagrees about.
fn agree(run: &Run, allowed: &[Map<String, Value>]) -> Result<u64, Outcome> {
    let mut observed = BTreeMap::new();
    for (name, fact) in run.observations() {
        let fact = serde_json::to_value(fact).expect("a fact is plain data");
        observed.insert(name.clone(), fact);
    }
    let simulation = run.simulation();
    let facts = Facts::of(run.names(), simulation.trace().events(), simulation.batches(), observed);
    let mut results = allowed.iter().map(|entry| facts.compare(entry));
    let first = results.next().expect("a case allows something");
    match first {
        Ok(compared) => Ok(compared),
        Err(disagreement) => results.find_map(Result::ok).ok_or(disagreement),
    }
}

fn under_seed(seed: u64, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Differs(difference) => {
            let path = format!("seed {seed}: {}", difference.path);
            Outcome::Differs(Difference { path, ..difference })
        }
        other => other,
    }
}
