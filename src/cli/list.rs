//! `highwater list` and `highwater new`: what is built in, and a file to start from.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::cli::args::{Lang, TextOrJson};
use crate::cli::output::{Failure, stdout, write_file};
use crate::cli::source::{Source, open};
use crate::scenario::value::Texts;
use crate::scenario::{Limits, builtins, template};

/// The text in `lang`, or in English. A line break, and what indents the next line in the file, is one space.
pub fn text(texts: &Texts, lang: Lang) -> String {
    let text = texts.get(lang.code()).or_else(|| texts.get("en")).map_or("", String::as_str);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every built-in scenario, loaded.
///
/// # Errors
/// None in a binary that was tested.
pub fn all() -> Result<Vec<Source>, Failure> {
    builtins().iter().map(|builtin| open(builtin.id, &Limits::default())).collect()
}

/// Prints one built-in scenario a line: id, level, title.
///
/// # Errors
/// A closed pipe.
pub fn list(format: TextOrJson, lang: Lang) -> Result<u8, Failure> {
    let sources = all()?;
    let mut out = stdout();
    match format {
        TextOrJson::Text => {
            let width = sources.iter().map(|source| source.id.len()).max().unwrap_or_default();
            for Source { id, scenario, .. } in &sources {
                writeln!(out, "{id:<width$}  {}  {}", scenario.level, text(&scenario.title, lang))?;
            }
        }
        TextOrJson::Json => {
            let scenarios: Vec<_> = sources
                .iter()
                .map(|Source { id, hash, scenario, .. }| {
                    json!({
                        "id": id,
                        "level": scenario.level,
                        "title": text(&scenario.title, lang),
                        "variants": scenario.variant_names(),
                        "scenario_hash": format!("{hash:016x}"),
                    })
                })
                .collect();
            let version = env!("CARGO_PKG_VERSION");
            let list = json!({"schema": 1, "version": version, "scenarios": scenarios});
            writeln!(out, "{list}")?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// Prints the template, or writes it to a file that does not exist yet.
///
/// # Errors
/// The file exists or cannot be written; a closed pipe.
pub fn new(file: Option<&Path>) -> Result<u8, Failure> {
    if let Some(path) = file {
        write_file(path, template().as_bytes(), false)?;
        return Ok(0);
    }
    let mut out = stdout();
    out.write_all(template().as_bytes())?;
    out.flush()?;
    Ok(0)
}
