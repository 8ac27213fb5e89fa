//! From what was typed to a loaded scenario: a file, a folder of files, or the id of a built-in one.

use std::fs::File;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use crate::base::fingerprint::Fingerprint;
use crate::cli::output::Failure;
use crate::scenario::{self, Limits, Scenario, builtin, builtins};

/// A scenario that was found and loaded.
#[derive(Clone, Debug)]
pub struct Source {
    /// The id of a built-in scenario, or the name of the file without its extension.
    pub id: String,
    /// What to type to get it again.
    pub reference: String,
    /// A hash of its bytes.
    pub hash: u64,
    /// What it says.
    pub scenario: Scenario,
}

/// The loader's limits with those of `--limit`.
///
/// # Errors
/// A limit that does not exist.
pub fn limits(raised: &[(String, u64)]) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    for (name, n) in raised {
        let limit = match name.as_str() {
            "bytes" => &mut limits.bytes,
            "brokers" => &mut limits.brokers,
            "partitions" => &mut limits.partitions,
            "consumers" => &mut limits.consumers,
            "messages" => &mut limits.messages,
            "events" => &mut limits.events,
            "seconds" => &mut limits.seconds,
            _ => {
                let names = [
                    "bytes",
                    "brokers",
                    "partitions",
                    "consumers",
                    "messages",
                    "events",
                    "seconds",
                ];
                return Err(Failure::Bad(unknown("limit", name, names)));
            }
        };
        *limit = *n;
    }
    Ok(limits)
}

/// The scenario called `reference`: a file where there is one or where it looks like one, else a built-in id.
///
/// # Errors
/// No such scenario, a file that cannot be read, everything wrong with it.
pub fn open(reference: &str, limits: &Limits) -> Result<Source, Failure> {
    let path = Path::new(reference);
    let looks_like_a_file = path.extension().is_some() || path.components().count() > 1;
    if let Some(text) = builtin(reference).filter(|_| !path.exists()) {
        return load(reference, reference, text.as_bytes(), limits);
    }
    if !looks_like_a_file && !path.exists() {
        let ids = builtins().iter().map(|builtin| builtin.id);
        let why = unknown("built-in scenario or file", reference, ids);
        return Err(Failure::Bad(format!("{why}; `highwater list` names all")));
    }
    let failed = |error: std::io::Error| Failure::Bad(format!("{reference}: {error}"));
    let file = File::open(path).map_err(failed)?;
    let bytes = scenario::read_bounded(file, limits).map_err(failed)?;
    let id = path.file_stem().unwrap_or_default().to_string_lossy();
    load(&id, reference, &bytes, limits)
}

fn load(id: &str, reference: &str, bytes: &[u8], limits: &Limits) -> Result<Source, Failure> {
    let scenario = scenario::load(reference, bytes, limits)
        .map_err(|errors| Failure::Bad(errors.render(false).trim_end().to_owned()))?;
    let mut hash = Fingerprint::default();
    hash.write(bytes);
    let (id, reference) = (id.to_owned(), reference.to_owned());
    Ok(Source { id, reference, hash: hash.value(), scenario })
}

/// Every `.ron` file at or below each of `paths`, in order of path; what is no folder stands for itself.
///
/// # Errors
/// A folder that cannot be listed, or has no scenario in it.
pub fn expand(paths: &[String]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        if !Path::new(path).is_dir() {
            all.push(path.clone());
            continue;
        }
        let before = all.len();
        walk(Path::new(path), &mut all)
            .map_err(|error| Failure::Bad(format!("{path}: {error}")))?;
        if all.len() == before {
            return Err(Failure::Bad(format!("{path}: there is no scenario (.ron) in it")));
        }
    }
    Ok(all)
}

fn walk(folder: &Path, into: &mut Vec<String>) -> std::io::Result<()> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            walk(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "ron") {
            into.push(path.display().to_string());
        }
    }
    Ok(())
}

/// `there is no WHAT "NAME"`, with the nearest of `known` where one is near.
pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    let nearest = known.into_iter().min_by_key(distance);
    let near = nearest.filter(|known| distance(known) <= 2.max(name.chars().count() / 3));
    let hint = near.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
    format!("there is no {what} {name:?}{hint}")
}
