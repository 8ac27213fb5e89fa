//! Re-enacting what was recorded of real Kafka and comparing facts.
//!
//! Two kinds of evidence: *vectors* (`*.jsonl`: input and output of one of Kafka's own functions a line, see
//! [`vectors`]) and *cases* (a pair `<id>.ron`, a scenario, and `<id>.json`, what Kafka did, see [`reenact`]).
//! `docs/conform.md` is the grammar of both. Times are never compared.

pub mod facts;
mod failures;
pub mod glob;
pub mod reenact;
mod rows;
pub mod vectors;

use std::path::{Path, PathBuf};

use glob::Glob;

/// What became of one file of vectors or of one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The name of the file without its extension.
    pub id: String,
    /// The file of vectors, or the `.json` of a case.
    pub path: PathBuf,
    /// How many facts were compared.
    pub compared: u64,
    /// How it came out.
    pub outcome: Outcome,
}

/// How a comparison came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Every fact is the same.
    Agrees,
    /// The first fact that differs.
    Differs(Difference),
    /// Something in it has no counterpart in the simulator; says what. Counts as disagreement.
    NotModelled(String),
    /// The file cannot be read as what it should be; says where and why.
    Unreadable(String),
}

/// A fact that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Where: `logs.final.orders-0.b1[3]`, or the line of a file of vectors.
    pub path: String,
    /// What Kafka did.
    pub expected: String,
    /// What the simulator did.
    pub got: String,
}

/// How many of each outcome.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Total {
    /// All cases.
    pub cases: usize,
    /// [`Outcome::Agrees`].
    pub agree: usize,
    /// [`Outcome::Differs`].
    pub differ: usize,
    /// [`Outcome::NotModelled`].
    pub not_modelled: usize,
    /// [`Outcome::Unreadable`].
    pub unreadable: usize,
}

impl Total {
    /// The sum over `cases`.
    pub fn of(cases: &[Case]) -> Self {
        let mut total = Self { cases: cases.len(), ..Self::default() };
        for case in cases {
            *match case.outcome {
                Outcome::Agrees => &mut total.agree,
                Outcome::Differs(_) => &mut total.differ,
                Outcome::NotModelled(_) => &mut total.not_modelled,
                Outcome::Unreadable(_) => &mut total.unreadable,
            } += 1;
        }
        total
    }
}

/// Compares everything below `paths`, in order of path, and hands each result to `done` as it is known. `only` selects
/// by the name of the file without its extension.
///
/// # Errors
/// A path that does not exist or cannot be listed, in words.
pub fn compare(
    paths: &[PathBuf],
    only: Option<&Glob>,
    mut done: impl FnMut(&Case),
) -> Result<Vec<Case>, String> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.dedup();
    let mut cases = Vec::new();
    for path in files {
        let id = stem(&path);
        if only.is_some_and(|only| !only.matches(&id)) {
            continue;
        }
        let is_vectors = path.extension().is_some_and(|e| e == "jsonl");
        let (compared, outcome) =
            if is_vectors { vectors::compare(&path) } else { reenact::compare(&path) };
        let case = Case { id, path, compared, outcome };
        done(&case);
        cases.push(case);
    }
    Ok(cases)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Adds the files of vectors and the `.json` files at or below `path`. A `.ron` without its `.json` stands for the case
/// that it is half of, so that a forgotten half is not passed over.
fn collect(path: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        into.push(if path.extension().is_some_and(|e| e == "ron") {
            path.with_extension("json")
        } else {
            path.to_owned()
        });
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let mut below: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(failed)?;
    below.sort();
    for path in below {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let is_case = matches!(extension, "json" | "jsonl")
            || extension == "ron" && !path.with_extension("json").exists();
        if is_case || path.is_dir() && !path.is_symlink() {
            collect(&path, into)?;
        }
    }
    Ok(())
}
