//! Scenario files: the language, loading with located errors, running a script.
//!
//! Read [`schema`] for what a file can say, [`load`] for how bytes become a [`schema::Scenario`], [`resolve`] for what
//! a variant changes, [`build`] for how that becomes a cluster, and [`run`] for how the script and the simulation take
//! turns. `docs/scenarios.md` is the reference for authors.

mod admin;
mod answers;
mod apps;
pub mod build;
mod check_calls;
mod check_script;
pub mod code;
mod conditions;
pub mod diagnostics;
mod exec;
pub mod expect;
pub mod library;
pub mod load;
pub mod notes;
mod pattern;
mod pieces;
mod probes;
pub mod recording;
pub mod resolve;
pub mod run;
pub mod schema;
pub mod settings;
mod settle;
pub mod state;
pub mod step;
mod strand;
mod validate;
pub mod value;
pub mod verdict;
pub mod workload;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use library::{Builtin, builtin, builtins, template};
pub use load::{Limits, load, read_bounded};
pub use pieces::ron_options;
pub use recording::Recording;
pub use run::{Outcome, Progress, Run};
pub use schema::Scenario;
