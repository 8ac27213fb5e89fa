//! Errors in a file: where, what, and what to do about it. All of one file at once, at most twenty, in the order of
//! the file. Nothing of the file reaches a terminal unescaped.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::scenario::value::is_unprintable;

/// The most errors that are reported of one file.
pub const MAX_DIAGNOSTICS: usize = 20;

/// A line longer than this, in characters, is not shown.
const MAX_LINE: usize = 2_000;

/// One error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Where in the scenario: `producers.checkout.config`. Empty when the file as a whole is meant.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line, made printable; empty when it is too long to show.
    excerpt: String,
    /// The error within the excerpt, in bytes.
    mark: Range<usize>,
}

/// Everything wrong with one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostics {
    source: String,
    /// The errors, in the order of the file.
    pub list: Vec<Diagnostic>,
    /// How many more there are.
    pub more: usize,
}

/// An error on its way into [`Diagnostics`]: a range of bytes of the file and words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) at: Range<usize>,
    pub(super) path: String,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// `text` with everything a terminal could act upon written as an escape.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

impl Diagnostics {
    /// A file that cannot be read at all.
    pub fn unreadable(source_name: &str, message: &str) -> Self {
        let problem =
            Problem { at: 0..0, path: String::new(), message: message.to_owned(), help: None };
        Self::new(source_name, "", vec![problem])
    }

    pub(super) fn new(source_name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|p| (p.at.start, p.at.end));
        problems.dedup();
        let more = problems.len().saturating_sub(MAX_DIAGNOSTICS);
        problems.truncate(MAX_DIAGNOSTICS);
        let list = problems.into_iter().map(|p| locate(text, p)).collect();
        Self { source: printable(source_name), list, more }
    }

    /// The errors as text, with colours when asked for. Ends with a line break.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(&diagnostic.render(&self.source, &renderer));
            out.push_str("\n\n");
        }
        let more = match self.more {
            0 => String::new(),
            n => format!(" ({n} more not shown)"),
        };
        let total = self.list.len() + self.more;
        let errors = if total == 1 { "1 error" } else { &format!("{total} errors") };
        format!("{out}{}: {errors}{more}\n", self.source)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostic {
    fn render(&self, source: &str, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(&self.message);
        let mut group = if self.excerpt.is_empty() {
            title.element(Origin::path(source).line(self.line).char_column(self.column))
        } else {
            let label = (!self.path.is_empty()).then(|| format!("in {}", self.path));
            let mark = AnnotationKind::Primary.span(self.mark.clone()).label(label);
            let snippet = Snippet::source(&self.excerpt).path(source);
            title.element(snippet.line_start(self.line).annotation(mark))
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

/// Finds line and column of a problem and cuts the excerpt out of the file.
fn locate(text: &str, problem: Problem) -> Diagnostic {
    let start = floor(text, problem.at.start);
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let end = floor(text, problem.at.end).clamp(start, line_end);
    let line = text[line_start..line_end].trim_end_matches('\r');
    let column = text[line_start..start].chars().count();

    let marked = text[start..end].chars().count().max(1);
    let head: String = line.chars().take(column).map(visible).collect();
    let body: String = line.chars().skip(column).take(marked).map(visible).collect();
    let tail: String = line.chars().skip(column + marked).map(visible).collect();
    let body = if body.is_empty() { " ".to_owned() } else { body };
    let short = line.chars().count() <= MAX_LINE;
    Diagnostic {
        line: before.matches('\n').count() + 1,
        column: column + 1,
        path: printable(&problem.path),
        message: printable(&problem.message),
        help: problem.help.map(|help| printable(&help)),
        mark: head.len()..head.len() + body.len(),
        excerpt: if short { format!("{head}{body}{tail}") } else { String::new() },
    }
}

/// One character for one: what cannot be shown becomes the replacement character, a tab a space.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unprintable(c) => '\u{fffd}',
        c => c,
    }
}

/// The nearest character boundary at or below `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// The word of `known` that `word` was probably meant to be.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|k| (strsim::osa_distance(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, k)| k)
}

/// `did you mean ...?`, or the list of what is known when it is short.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    if let Some(best) = suggest(word, known.iter().copied()) {
        return Some(format!("did you mean `{best}`?"));
    }
    match known.len() {
        0 => None,
        n if n <= 12 => Some(format!("known here: {}", known.join(", "))),
        _ => None,
    }
}
