//! Where words go: one buffered standard output, whose closing by the reader is no error; standard error for talk;
//! files that appear whole or not at all. Nothing that came from outside reaches a terminal with control characters
//! in it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::scenario::diagnostics;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// Bad usage, scenario or file: exit code 2, with what to say about it.
    Bad(String),
    /// The reader of standard output has gone: exit code 0 and silence.
    PipeClosed,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Bad(format!("cannot write to standard output: {error}")),
        }
    }
}

/// Standard output.
pub type Out = BufWriter<StdoutLock<'static>>;

/// Standard output, locked and buffered.
pub fn stdout() -> Out {
    BufWriter::new(io::stdout().lock())
}

/// Says something on standard error. That nobody listens is no reason to fail.
pub fn say(text: &str) {
    let mut text = printable(text);
    text.push('\n');
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// `text` with everything that a terminal would act on, or that hides the order of characters, written as an escape.
/// Line ends stay.
pub fn printable(text: &str) -> String {
    let lines = text.split('\n').map(diagnostics::printable);
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes `path` through a temporary file beside it, so that a full disk or a crash leaves the old file or none.
///
/// # Errors
/// [`Failure::Bad`], naming the path.
pub fn write_file(path: &Path, contents: &[u8], may_replace: bool) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::Bad(format!("cannot write {}: {error}", path.display()));
    if !may_replace && path.exists() {
        return Err(Failure::Bad(format!(
            "{} exists already; it is left as it is",
            path.display()
        )));
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", process::id()));
    let temporary = path.with_file_name(name);
    let written = write_synced(&temporary, contents).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}

fn write_synced(path: &PathBuf, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_acts_on_is_printed() {
        let hostile = "a\u{1b}[31mb\u{202e}c\u{9b}d\r\ne\u{200d}";
        assert_eq!(printable(hostile), "a\\u{1b}[31mb\\u{202e}c\\u{9b}d\\u{d}\ne\u{200d}");
    }

    #[test]
    fn a_file_appears_whole_and_replaces_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ron");
        write_file(&path, b"one", false).unwrap();
        assert!(matches!(write_file(&path, b"two", false), Err(Failure::Bad(_))));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_file(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        let nowhere = folder.path().join("no/such/folder");
        assert!(matches!(write_file(&nowhere, b"", true), Err(Failure::Bad(_))));
    }
}
