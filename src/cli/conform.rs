//! `highwater conform`: a line a case, then the total.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::args::TextOrJson;
use crate::cli::output::{Failure, Out, printable, stdout};
use crate::conform::glob::Glob;
use crate::conform::{Case, Outcome, Total, compare};

/// Compares everything below `paths`. Exit code 0 when all of it agrees, 1 when something does not, 2 when a file
/// cannot be read or there was nothing to compare.
///
/// # Errors
/// A path that does not exist; a closed pipe.
pub fn run(paths: &[PathBuf], only: Option<&str>, format: TextOrJson) -> Result<u8, Failure> {
    let only = only.map(Glob::new);
    let mut out = stdout();
    let mut written = Ok(());
    let cases = compare(paths, only.as_ref(), |case| {
        if format == TextOrJson::Text && written.is_ok() {
            // Flushed at once: a case may take its time.
            written = write_case(&mut out, case).and_then(|()| out.flush());
        }
    });
    written?;
    let cases = cases.map_err(Failure::Bad)?;
    let total = Total::of(&cases);
    let exit = match total {
        Total { cases: 0, .. } => {
            return Err(Failure::Bad("there is nothing to compare".to_owned()));
        }
        Total { unreadable: 1.., .. } => 2,
        Total { differ: 0, not_modelled: 0, .. } => 0,
        _ => 1,
    };
    match format {
        TextOrJson::Text => writeln!(
            out,
            "total: {} of {} agree, {} differ, {} not modelled, {} unreadable",
            total.agree, total.cases, total.differ, total.not_modelled, total.unreadable
        )?,
        TextOrJson::Json => writeln!(out, "{}", as_json(&cases, total, exit))?,
    }
    out.flush()?;
    Ok(exit)
}

fn write_case(out: &mut Out, case: &Case) -> std::io::Result<()> {
    let (word, what) = match &case.outcome {
        Outcome::Agrees => ("agrees", format!("{} facts", case.compared)),
        Outcome::Differs(d) => {
            ("differs", format!("{}: expected {}, got {}", d.path, d.expected, d.got))
        }
        Outcome::NotModelled(what) => ("not modelled", what.clone()),
        Outcome::Unreadable(why) => ("unreadable", format!("{}: {why}", case.path.display())),
    };
    // One case is one line, whatever the message looked like.
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    writeln!(out, "{word:<12} {:<38} {}", printable(&case.id), printable(&what))
}

fn as_json(cases: &[Case], total: Total, exit: u8) -> Value {
    let cases: Vec<Value> = cases
        .iter()
        .map(|case| {
            let mut object = json!({
                "id": case.id,
                "path": case.path.to_string_lossy(),
                "compared": case.compared,
            });
            let (result, more) = match &case.outcome {
                Outcome::Agrees => ("agrees", None),
                Outcome::Differs(d) => {
                    let difference = json!({"path": d.path, "expected": d.expected, "got": d.got});
                    ("differs", Some(("difference", difference)))
                }
                Outcome::NotModelled(what) => ("not modelled", Some(("reason", json!(what)))),
                Outcome::Unreadable(why) => ("unreadable", Some(("reason", json!(why)))),
            };
            object["result"] = json!(result);
            if let Some((key, value)) = more {
                object[key] = value;
            }
            object
        })
        .collect();
    json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "cases": cases,
        "total": {
            "cases": total.cases,
            "agree": total.agree,
            "differ": total.differ,
            "not_modelled": total.not_modelled,
            "unreadable": total.unreadable,
        },
        "exit": exit,
    })
}
