//! The house rules that clippy cannot know: which layer may name which, which crate may be named where, how long a
//! file may be, what every line of the fidelity page must have. Each test reads the tree as text.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a layer may name besides itself. `main` and `lib` are the roots of the two crates.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("event", &["base"]),
    ("kafka", &["base", "event"]),
    ("app", &["base", "event", "kafka"]),
    ("sim", &["base", "event", "kafka", "app"]),
    ("view", &["base", "event"]),
    // A script waits for and observes what the view says.
    ("scenario", &["base", "event", "kafka", "app", "sim", "view"]),
    // A verdict compares an event with the view folded from the events before it.
    ("check", &["base", "event", "view"]),
    // The vectors of Kafka's partitioner and assignors are judged against the functions themselves.
    ("conform", &["base", "event", "kafka", "sim", "scenario", "check", "view"]),
    ("tui", &["base", "event", "sim", "scenario", "check", "view"]),
    ("cli", &["base", "event", "sim", "scenario", "check", "view", "conform", "tui"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Where an external crate may be named: path prefixes below `src/`. Every dependency has a line.
const FENCES: &[(&str, &[&str])] = &[
    ("serde", &["base/", "event.rs", "scenario/", "view/export", "conform/", "cli/"]),
    ("ron", &["scenario/", "conform/"]),
    ("rand", &["base/chooser.rs"]),
    ("rand_chacha", &["base/chooser.rs"]),
    ("serde_json", &["view/export", "conform/", "cli/"]),
    ("annotate_snippets", &["scenario/"]),
    ("regex", &["scenario/pattern.rs"]),
    ("regex_syntax", &["scenario/pattern.rs"]),
    ("strsim", &["scenario/", "cli/", "base/"]),
    ("proptest", &["sim/schedule.rs"]),
    ("clap", &["cli/"]),
    ("ratatui", &["tui/"]),
    ("crossterm", &["tui/"]),
    ("signal_hook", &["cli/", "tui/"]),
    ("anstream", &["cli/"]),
];

/// The layers whose outcome is the same on every machine.
const SIMULATED: &[&str] = &["base", "event", "kafka", "app", "sim", "scenario", "check", "view"];
/// What would make it depend on the machine.
#[rustfmt::skip]
const NOT_SIMULATED: &[&str] = &[
    "HashMap", "HashSet", "Rc", "RefCell", "f32", "f64", "async", "await", "Instant", "SystemTime", "println",
    "eprintln", "print", "eprint", "thread_local",
];
/// The modules of the standard library that would.
const NOT_SIMULATED_STD: &[&str] = &["thread", "time", "env", "net", "process"];
/// The layers whose machines are dispatched by `match`.
const WITHOUT_DYN: &[&str] = &["base", "event", "kafka", "app", "sim"];

struct Source {
    /// Relative to the root of the repository.
    path: PathBuf,
    text: String,
    /// The text without comments, literals and the test module at its foot.
    code: String,
}

impl Source {
    /// `kafka` for `src/kafka/log/mod.rs`, `event` for `src/event.rs`.
    fn layer(&self) -> &str {
        let first = self.path.iter().nth(1).and_then(|p| p.to_str()).unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    fn below_src(&self) -> String {
        let below: PathBuf = self.path.iter().skip(1).collect();
        below.display().to_string()
    }

    /// True for a whole file of tests beside the code it tests.
    fn is_test(&self) -> bool {
        self.path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("tests"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, into);
            } else if path.extension().is_some_and(|e| e == extension) {
                into.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&root().join(folder), extension, &mut files);
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let paths = folders.iter().flat_map(|folder| files_below(folder, "rs"));
    let sources: Vec<Source> = paths
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = code_of(&text);
            Source { path: path.strip_prefix(root()).unwrap().to_owned(), text, code }
        })
        .collect();
    assert!(!sources.is_empty(), "nothing to read in {folders:?}");
    sources
}

/// The text without comments, string and character literals, up to the test module at the foot of the file. Lines keep
/// their numbers.
fn code_of(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => string_end(rest),
            'r' if !code.ends_with(word_char) => raw_string_end(rest),
            '\'' => char_literal_end(rest),
            _ => 0,
        };
        if skip > 0 {
            code.extend(rest[..skip].chars().filter(|c| *c == '\n'));
            rest = &rest[skip..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

fn string_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length of `r"…"` or `r#"…"#`; 0 for any other `r`.
fn raw_string_end(rest: &str) -> usize {
    let close = match rest {
        _ if rest.starts_with("r\"") => "\"",
        _ if rest.starts_with("r#\"") => "\"#",
        _ => return 0,
    };
    let open = close.len() + 1;
    rest[open..].find(close).map_or(rest.len(), |at| open + at + close.len())
}

/// The length of a character literal; 0 for the tick of a lifetime.
fn char_literal_end(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, _))) => {
            let after = at + 1;
            rest[after..].find('\'').map_or(0, |more| after + more + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of `code`: line number, word, what follows it.
fn words(code: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut at = 0;
    let mut line = 1;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(word_char)?;
        let len = code[start..].find(|c| !word_char(c)).unwrap_or(code.len() - start);
        line += code[at..start].matches('\n').count();
        at = start + len;
        Some((line, &code[start..at], &code[at..]))
    })
}

/// The modules named right after `crate::` (or the crate's name), also in a braced list.
fn crate_modules(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, word, after) in words(code) {
        let Some(after) = after.strip_prefix("::") else { continue };
        if word == "crate" || word == "highwater" {
            let names = match after.strip_prefix('{') {
                Some(list) => heads_of_list(list),
                None => vec![after.chars().take_while(|c| word_char(*c)).collect()],
            };
            found.extend(names.into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// `base`, `kafka` of `base::{ids, time}, kafka}; …`.
fn heads_of_list(list: &str) -> Vec<String> {
    let mut heads = vec![String::new()];
    let (mut depth, mut in_head) = (0, true);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(String::new());
                in_head = true;
            }
            c if c.is_whitespace() => {}
            c if in_head && word_char(c) => heads.last_mut().unwrap().push(c),
            _ => in_head = false,
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// Fails with every complaint at once.
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn dependencies_between_layers_point_one_way() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let (layer, at) = (source.layer(), source.path.display());
        let Some(may) = layers.get(layer) else {
            complaints.push(format!("{at}: the layer {layer} has no line in LAYERS"));
            continue;
        };
        seen.insert(layer.to_owned());
        for (line, module) in crate_modules(&source.code) {
            let known = layers.contains_key(module.as_str());
            if known && module != layer && !may.contains(&module.as_str()) {
                complaints.push(format!("{at}:{line}: {layer} must not name {module}"));
            }
        }
        let top =
            source.path.iter().count() == 2 || source.path.ends_with(format!("{layer}/mod.rs"));
        let escape = if top { "super::" } else { "super::super::" };
        if source.code.contains(escape) {
            complaints.push(format!("{at}: {escape} hides which layer is meant; say crate::"));
        }
    }
    for (layer, _) in LAYERS.iter().filter(|(layer, _)| !seen.contains(*layer)) {
        complaints.push(format!("LAYERS names {layer}, which does not exist"));
    }
    report(&complaints);
}

#[test]
fn external_crates_stay_behind_their_fences() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let fences: BTreeMap<_, _> = FENCES.iter().copied().collect();
    let mut complaints = Vec::new();
    for (name, _) in dependencies.lines().filter_map(|line| line.split_once(" =")) {
        if !fences.contains_key(name.replace('-', "_").as_str()) {
            complaints.push(format!("Cargo.toml: {name} has no line in FENCES"));
        }
    }
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let below = source.below_src();
        for (line, word, after) in words(&source.code) {
            let Some(fence) = fences.get(word).filter(|_| after.starts_with("::")) else {
                continue;
            };
            if !fence.iter().any(|prefix| below.starts_with(prefix)) {
                let at = source.path.display();
                complaints.push(format!("{at}:{line}: the crate {word} is not for here"));
            }
        }
    }
    report(&complaints);
}

#[test]
fn nothing_simulated_depends_on_the_machine_it_runs_on() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let layer = source.layer();
        let simulated = SIMULATED.contains(&layer);
        for (line, word, after) in words(&source.code) {
            let std_module = word == "std" && {
                let module = after.trim_start_matches([':', '{']);
                NOT_SIMULATED_STD.iter().any(|outlawed| {
                    module.strip_prefix(outlawed).is_some_and(|rest| !rest.starts_with(word_char))
                })
            };
            let outlawed = simulated && (std_module || NOT_SIMULATED.contains(&word))
                || WITHOUT_DYN.contains(&layer) && word == "dyn";
            if outlawed {
                complaints.push(format!("{}:{line}: {word} in {layer}", source.path.display()));
            }
        }
    }
    report(&complaints);
}

#[test]
fn files_are_short_documented_and_finished() {
    // Split so that this file does not contain what it looks for.
    let unfinished =
        [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X"), concat!("dbg", "!(")];
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        let at = source.path.display();
        let lines = source.text.lines().count();
        if lines > 600 {
            complaints.push(format!("{at}: {lines} lines, at most 600"));
        }
        if !source.text.starts_with("//!") {
            complaints.push(format!("{at}: does not say what it is (//! on its first line)"));
        }
        for (n, line) in (1..).zip(source.text.lines()) {
            if line.chars().count() > 120 {
                complaints.push(format!("{at}:{n}: longer than 120 columns"));
            }
            if let Some(word) = unfinished.iter().find(|word| line.contains(*word)) {
                complaints.push(format!("{at}:{n}: {word}"));
            }
        }
    }
    report(&complaints);
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let machine_paths = ["work", "root", "home", "tmp", "Users"].map(|p| format!("/{p}/"));
    let extensions = ["rs", "md", "ron", "json", "jsonl", "txt"];
    let files = ["docs", "scenarios", "tests", "src", "benches"]
        .iter()
        .flat_map(|folder| extensions.map(|e| files_below(folder, e)).concat())
        .chain(["README.md", "CHANGELOG.md", "Cargo.toml", ".ci/run"].map(|f| root().join(f)));
    let mut complaints = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for (n, line) in (1..).zip(text.lines()) {
            if let Some(found) = machine_paths.iter().find(|p| line.contains(p.as_str())) {
                complaints.push(format!("{}:{n}: {found}", path.display()));
            }
        }
    }
    report(&complaints);
}

/// The rows of the tables of `docs/fidelity.md`: (line number, cells).
fn fidelity_rows(text: &str) -> Vec<(usize, Vec<String>)> {
    let rows = (1..).zip(text.lines()).filter(|(_, line)| line.starts_with('|'));
    let cells = rows.map(|(n, line)| {
        // A bar inside a cell is written \| in Markdown.
        let line = line.trim().replace("\\|", "\u{1}");
        let line = line.strip_prefix('|').unwrap_or(&line);
        let line = line.strip_suffix('|').unwrap_or(line);
        (n, line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect::<Vec<_>>())
    });
    cells.filter(|(_, cells)| cells[0] != "rule" && !cells[0].starts_with("---")).collect()
}

#[test]
fn every_line_of_the_fidelity_page_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/fidelity.md")).unwrap();
    let named = |source: &Source| {
        let fns = source.text.split("fn ").skip(1);
        fns.map(|f| f.chars().take_while(|c| word_char(*c)).collect()).collect::<Vec<String>>()
    };
    let tests: BTreeSet<String> = sources(&["src", "tests"])
        .iter()
        .flat_map(named)
        .chain(files_below("tests/kafka", "json").iter().map(|path| stem(path)))
        .chain(files_below("scenarios", "ron").iter().map(|path| stem(path)))
        .collect();
    let mut complaints = Vec::new();
    for (n, cells) in fidelity_rows(&text) {
        if cells.len() != 4 || cells[..3].iter().any(String::is_empty) {
            complaints
                .push(format!("docs/fidelity.md:{n}: a row is rule, source, test, simplified"));
            continue;
        }
        for name in cells[2].split([',', ' ', ';', '`']) {
            let name = name.rsplit("::").next().unwrap_or(name);
            if !name.is_empty() && !tests.contains(name) {
                complaints.push(format!("docs/fidelity.md:{n}: there is no test {name}"));
            }
        }
    }
    report(&complaints);
}

#[test]
fn the_reader_of_sources_sees_through_comments_and_literals() {
    let code = code_of(
        "use crate::{base::{ids, time}, kafka};\n// crate::tui\nlet s = \"ron::\"; let c = '\"'; fn f<'a>() {}",
    );
    let modules: Vec<_> = crate_modules(&code).into_iter().map(|(_, module)| module).collect();
    assert_eq!(modules, ["base", "kafka"]);
    assert!(!code.contains("ron") && !code.contains("tui") && code.contains("fn f<'a>"));
    assert_eq!(words("a::b\n c").map(|(line, word, _)| (line, word)).last(), Some((2, "c")));
}
