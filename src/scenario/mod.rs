//! Scenario files: the language, loading with located errors, running a script.
//!
//! Read [`schema`] for what a file can say, [`load`] for how bytes become a [`schema::Scenario`], [`build`] for how a
//! scenario and a variant become a cluster, and [`run`] for how the script and the simulation take turns.
//! `docs/scenarios.md` is the reference for authors.

pub mod expect;
pub mod schema;
pub mod step;
pub mod value;
