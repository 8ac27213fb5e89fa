//! Scenario files: the language, loading with located errors, running a script.
//!
//! Read [`schema`] for what a file can say, [`load`] for how bytes become a [`schema::Scenario`], [`resolve`] for what
//! a variant changes, [`build`] for how that becomes a cluster, and [`run`] for how the script and the simulation take
//! turns. `docs/scenarios.md` is the reference for authors.

mod check_script;
pub mod diagnostics;
pub mod expect;
pub mod load;
mod pieces;
pub mod resolve;
pub mod schema;
pub mod settings;
pub mod step;
mod validate;
pub mod value;
pub mod workload;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use load::{Limits, load, read_bounded};
pub use pieces::ron_options;
pub use schema::Scenario;
