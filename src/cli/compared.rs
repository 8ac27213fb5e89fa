//! The variants of one scenario beside each other: what `Observe` recorded and what was found, a row a measure.

use std::fmt::Write as _;

use crate::cli::story::Story;
use crate::scenario::value::Fact;
use crate::view::fate::Tally;

/// Columns of a line of text.
const WIDTH: usize = 80;

/// The table of several runs of one scenario, without a line break at the end. `None` when there is nothing that
/// could be compared.
pub(super) fn table(stories: &[Story]) -> Option<String> {
    let rows = rows(stories);
    if stories.len() < 2 || rows.is_empty() {
        return None;
    }
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8).to_string();
    let names: Vec<&str> = stories.iter().map(|story| story.run.variant()).collect();
    let label = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let label = label.max("Compared".len());
    let whole = names.iter().map(|name| name.chars().count() + 2).sum::<usize>() + label;
    let is_short = whole <= WIDTH;
    let heads: Vec<String> = if is_short {
        names.iter().map(|name| (*name).to_owned()).collect()
    } else {
        (0..names.len()).map(letter).collect()
    };
    let mut lines = vec![line(("Compared", &heads), label, &heads, &rows)];
    lines.extend(rows.iter().map(|(name, cells)| line((name, cells), label, &heads, &rows)));
    if !is_short {
        lines.extend(names.iter().enumerate().map(|(n, name)| format!("{}: {name}", letter(n))));
    }
    Some(lines.join("\n"))
}

/// The name of a measure, and what it is in each run.
type Row = (String, Vec<String>);

/// One line: as wide a column as its widest cell.
fn line((name, cells): (&str, &[String]), label: usize, heads: &[String], rows: &[Row]) -> String {
    let mut text = format!("{name:<label$}");
    for (n, cell) in cells.iter().enumerate() {
        let others = rows.iter().map(|(_, cells)| &cells[n]).chain([&heads[n]]);
        let width = others.map(|cell| cell.chars().count()).max().unwrap_or(0);
        write!(text, "  {cell:<width$}").expect("a string takes it");
    }
    text.trim_end().to_owned()
}

fn rows(stories: &[Story]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (name, _) in stories.iter().flat_map(|story| story.run.observations()) {
        if rows.iter().any(|(known, _)| known == name) {
            continue;
        }
        let cells: Option<Vec<String>> = stories.iter().map(|story| cell(story, name)).collect();
        if let Some(cells) = cells {
            rows.push((name.clone(), cells));
        }
    }
    if rows.is_empty() {
        return rows;
    }
    let words = ["lost", "stored twice", "processed twice", "reordered", "skipped"];
    let counts: Vec<[usize; 5]> = stories.iter().map(|story| found(&story.tally)).collect();
    for (n, word) in words.into_iter().enumerate() {
        if counts.iter().any(|found| found[n] > 0) {
            let cells = counts.iter().map(|found| found[n].to_string()).collect();
            rows.push((word.to_owned(), cells));
        }
    }
    rows
}

/// How many messages were lost, stored twice, processed twice, reordered, skipped.
fn found(tally: &Tally) -> [usize; 5] {
    let lists = [&tally.lost, &tally.duplicated, &tally.repeated, &tally.reordered, &tally.skipped];
    lists.map(Vec::len)
}

/// What one run observed under `name`: a number, a word, how many; `None` for what does not fit into a table.
fn cell(story: &Story, name: &str) -> Option<String> {
    let mut facts = story.run.observations().iter().rev();
    let fact = facts.find(|(known, _)| known == name).map_or(&Fact::None, |(_, fact)| fact);
    match fact {
        Fact::List(items) if items.iter().all(|item| matches!(item, Fact::Text(_))) => {
            Some(items.len().to_string())
        }
        Fact::List(_) | Fact::Map(_) => None,
        word => Some(word.to_string()),
    }
}
