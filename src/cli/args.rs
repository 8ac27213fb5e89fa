//! What can be typed: every command, flag and its sentence of help. Nothing is decided here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes: 0 as expected (an expected loss is 0); 1 an expectation failed, an invariant broke or a recording
disagreed; 2 bad usage, scenario or file; 3 the budget was spent before a verdict; 101 a bug of highwater;
129, 130, 143 after SIGHUP, SIGINT, SIGTERM. Data goes to standard output, talk to standard error; a closed
pipe is 0.";

/// Apache Kafka 4.4, one message at a time: simulate it, break it, see who loses what.
///
/// Without a command: the home screen in a terminal, the list of lessons in a pipe.
#[derive(Parser, Debug)]
#[command(name = "highwater", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Language of titles and questions; English where a text is not translated
    #[arg(long, global = true, value_enum, default_value_t = Lang::En)]
    pub lang: Lang,
    /// Raise a limit of the loader: bytes, brokers, partitions, consumers, messages, events or days
    #[arg(long, global = true, value_name = "NAME=N", value_parser = limit)]
    pub limit: Vec<(String, u64)>,
    /// Colours on the terminal
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
    /// Symbols in ASCII only
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Colours of the screens
    #[arg(long, global = true, value_enum)]
    pub theme: Option<ThemeName>,
    /// No screen: sentences, also in a terminal
    #[arg(long, global = true)]
    pub plain: bool,
    /// Nothing moves between two states of a screen
    #[arg(long, global = true)]
    pub no_animation: bool,
}

/// Every command.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// List the built-in scenarios
    List {
        /// How
        #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
        format: TextOrJson,
    },
    /// Print a commented scenario to start from
    New {
        /// Write it to this file, which must not exist yet, in place of standard output
        file: Option<PathBuf>,
    },
    /// Run scenarios, tell what happens, judge it
    Run {
        /// Scenario files or ids of built-in ones
        #[arg(required = true, value_name = "SCENARIO")]
        scenarios: Vec<String>,
        /// Which variant and seed
        #[command(flatten)]
        pick: Pick,
        /// Stop at this moment of virtual time: 11.2s
        #[arg(long, value_name = "T")]
        until: Option<String>,
        /// A transcript, one JSON object, or every event as a line of JSON
        #[arg(long, value_enum, default_value_t = RunFormat::Text)]
        format: RunFormat,
        /// Also write every event as a line of JSON to this file
        #[arg(long, value_name = "FILE")]
        trace: Option<PathBuf>,
    },
    /// Check the expectations of scenarios; print only what is wrong and the total
    Check {
        /// Scenario files, folders of them, or ids of built-in ones
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
    },
    /// One message's fate and the chain of events that led to it
    Why {
        /// Scenario file or id
        scenario: String,
        /// Message: m7
        message: String,
        /// Which variant and seed
        #[command(flatten)]
        pick: Pick,
    },
    /// Show a scenario on the terminal
    Play {
        /// Scenario file or id
        scenario: String,
        /// Which variant and seed
        #[command(flatten)]
        pick: Pick,
        /// All variants side by side
        #[arg(long)]
        compare: bool,
    },
    /// Learn: the story stops, asks what happens next, and goes on
    Learn {
        /// Scenario file or id; without one, the list of lessons
        scenario: Option<String>,
        /// Which variant and seed
        #[command(flatten)]
        pick: Pick,
    },
    /// Re-enact what was recorded of real Kafka and compare facts
    Conform {
        /// Folders, files of vectors (.jsonl) or cases (.ron and .json)
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Only cases and files whose name (without extension) fits: 'keys*'
        #[arg(long, value_name = "GLOB")]
        only: Option<String>,
        /// How
        #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
        format: TextOrJson,
    },
}

/// Which run of a scenario.
#[derive(Args, Clone, Debug)]
pub struct Pick {
    /// Only this variant
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// The seed; the scenario's own where it is not given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Languages of texts.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum Lang {
    /// English.
    En,
    /// Persian.
    Fa,
    /// Russian.
    Ru,
}

impl Lang {
    /// The key of a text in a scenario file.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fa => "fa",
            Self::Ru => "ru",
        }
    }
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum ColorChoice {
    /// In a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Names of themes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum ThemeName {
    /// For a dark background.
    Dark,
    /// For a light background.
    Light,
    /// Without colours.
    Mono,
    /// Safe for colour-blind readers.
    Cb,
}

/// Formats of lists and reports.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum TextOrJson {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
}

/// Formats of `run`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum RunFormat {
    /// A transcript.
    Text,
    /// One JSON object with verdicts and final state.
    Json,
    /// Every event as a line of JSON.
    Jsonl,
}

fn limit(text: &str) -> Result<(String, u64), String> {
    let (name, n) = text.split_once('=').ok_or("a limit is written NAME=N")?;
    let n = n.replace('_', "").parse().map_err(|_| "a limit is a whole number")?;
    Ok((name.to_owned(), n))
}
