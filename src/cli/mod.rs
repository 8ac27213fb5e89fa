//! Arguments and commands. `args` says what can be typed, each command has a file, `output` is the only way to standard
//! output and to files.

pub mod args;
pub mod conform;
pub mod output;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use output::{Failure, printable, say};

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
    match &cli.command {
        Some(Command::Conform { paths, only, format }) => {
            conform::run(paths, only.as_deref(), *format)
        }
        _ => Err(Failure::Bad("not there yet".to_owned())),
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
