//! Arguments and commands. `args` says what can be typed, each command has a file, `output` is the only way to standard
//! output and to files.

pub mod args;
pub mod because;
mod compared;
pub mod conform;
pub mod film;
pub mod learn;
pub mod list;
pub mod output;
pub mod questions;
pub mod run;
pub mod show;
pub mod source;
pub mod story;
pub mod why;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, TextOrJson};
use output::{Failure, printable, say};

use crate::tui::model::Mode;

/// The whole program: reads the arguments, runs the command, returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Bad(why)) => {
            say(&format!("highwater: {why}"));
            ExitCode::from(2)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<u8, Failure> {
    let common = &cli.common;
    let limits = source::limits(&common.limit)?;
    match &cli.command {
        None | Some(Command::Learn { scenario: None, .. }) if show::on_a_terminal(common) => {
            show::home(common, &limits)
        }
        None | Some(Command::Learn { scenario: None, .. }) => {
            list::list(TextOrJson::Text, common.lang)
        }
        Some(Command::List { format }) => list::list(*format, common.lang),
        Some(Command::New { file }) => list::new(file.as_deref()),
        Some(Command::Run { scenarios, pick, until, format, trace }) => run::run(&run::Order {
            scenarios,
            pick,
            until: until.as_deref(),
            format: *format,
            trace: trace.as_ref(),
            lang: common.lang,
            limits: &limits,
        }),
        Some(Command::Check { paths }) => run::check(paths, &limits),
        Some(Command::Why { scenario, message, pick }) => {
            why::run(&source::open(scenario, &limits)?, message, pick, &limits)
        }
        Some(Command::Play { scenario, pick, compare }) => {
            let source = source::open(scenario, &limits)?;
            if show::on_a_terminal(common) {
                let mode = if *compare { Mode::Compare } else { Mode::Play };
                return show::show(&source, pick, mode, common, &limits);
            }
            run::tell_all(&source, pick, common.lang, &limits)
        }
        Some(Command::Learn { scenario: Some(scenario), pick }) => {
            let source = source::open(scenario, &limits)?;
            if show::on_a_terminal(common) {
                return show::show(&source, pick, Mode::Learn, common, &limits);
            }
            let stories = story::play_all(&source, pick, &limits)?;
            learn::plain(&stories, common.lang)
        }
        Some(Command::Conform { paths, only, format }) => {
            conform::run(paths, only.as_deref(), *format)
        }
    }
}

/// Help and version go to standard output with exit code 0, complaints to standard error with 2.
fn usage(error: &clap::Error) -> ExitCode {
    let text = printable(&error.render().to_string());
    if error.use_stderr() {
        say(text.trim_end());
        return ExitCode::from(2);
    }
    let mut out = output::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}
