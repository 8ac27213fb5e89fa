//! What takes over the terminal: home, `play`, `learn`. Without a terminal the same commands tell their story in
//! sentences.

use std::io::{self, IsTerminal};

use crate::cli::args::{ColorChoice, Common, Pick, ThemeName};
use crate::cli::film::{film, with_kill};
use crate::cli::list::{all, text};
use crate::cli::output::Failure;
use crate::cli::source::{Source, open};
use crate::cli::story::{Story, variants};
use crate::scenario::Limits;
use crate::tui::model::{HomeChoice, HomeEntry, Kill, Mode, Options, Outcome};
use crate::tui::theme::Theme;
use crate::tui::{play, run_home};

/// True when somebody sits in front of both ends and did not ask for sentences.
#[expect(clippy::disallowed_methods, reason = "the command line may look at the environment")]
pub fn on_a_terminal(common: &Common) -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    !common.plain && !dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The look that flags and environment ask for.
#[expect(clippy::disallowed_methods, reason = "the command line may look at the environment")]
fn options(common: &Common) -> Options {
    let no_color = match common.color {
        ColorChoice::Always => false,
        ColorChoice::Never => true,
        ColorChoice::Auto => std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty()),
    };
    let theme = match common.theme {
        _ if no_color => Theme::Mono,
        None | Some(ThemeName::Dark) => Theme::Dark,
        Some(ThemeName::Light) => Theme::Light,
        Some(ThemeName::Mono) => Theme::Mono,
        Some(ThemeName::Cb) => Theme::ColorBlind,
    };
    Options { theme, ascii: common.ascii, no_animation: common.no_animation, ..Options::default() }
}

/// The home screen, and every film chosen on it, until the reader leaves.
///
/// # Errors
/// The terminal fails.
pub fn home(common: &Common, limits: &Limits) -> Result<u8, Failure> {
    let sources = all()?;
    let lessons: Vec<HomeEntry> = sources.iter().map(|source| entry(source, common)).collect();
    loop {
        match run_home(lessons.clone(), options(common)).map_err(terminal_failed)? {
            HomeChoice::Leave(end) => return Ok(end.code()),
            HomeChoice::Open { id, mode } => {
                let source = open(&id, limits)?;
                let pick = Pick { variant: None, seed: None };
                let stories = stories_of(&source, &pick, mode, limits)?;
                let end = shown(&stories, mode, common)?.end;
                if end.code() != 0 {
                    return Ok(end.code());
                }
            }
        }
    }
}

/// One scenario on the terminal.
///
/// # Errors
/// No such variant; the terminal fails.
pub fn show(
    source: &Source,
    pick: &Pick,
    mode: Mode,
    common: &Common,
    limits: &Limits,
) -> Result<u8, Failure> {
    let stories = stories_of(source, pick, mode, limits)?;
    Ok(shown(&stories, mode, common)?.end.code())
}

/// The film of these runs on the terminal.
fn shown(stories: &[Story], mode: Mode, common: &Common) -> Result<Outcome, Failure> {
    let replay = |kill: Kill| with_kill(stories.get(kill.world)?, kill, common.lang);
    play(film(stories, common.lang), mode, options(common), replay).map_err(terminal_failed)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn terminal_failed(error: io::Error) -> Failure {
    Failure::Bad(format!("the terminal failed: {error}"))
}

/// Plays what the mode shows: one world to look at freely, all of them otherwise.
fn stories_of(
    source: &Source,
    pick: &Pick,
    mode: Mode,
    limits: &Limits,
) -> Result<Vec<Story>, Failure> {
    let mut names = variants(source, pick)?;
    if mode == Mode::Play {
        names.truncate(1);
    }
    Ok(names.iter().map(|name| Story::play(source, name, pick.seed, limits, None)).collect())
}

fn entry(source: &Source, common: &Common) -> HomeEntry {
    let scenario = &source.scenario;
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let variants = scenario.variant_names().len();
    let mut facts = vec![
        count(scenario.cluster.brokers.into(), "broker"),
        count(scenario.topics.len(), "topic"),
    ];
    if variants > 1 {
        facts.push(format!("{variants} variants side by side"));
    }
    HomeEntry {
        id: source.id.clone(),
        level: scenario.level,
        title: text(&scenario.title, common.lang),
        facts: facts.join(" · "),
        variants,
    }
}
