//! highwater: a deterministic discrete-event simulator of Apache Kafka 4.4, and what judges and shows its runs.

pub mod app;
pub mod base;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod conform;
pub mod event;
pub mod kafka;
pub mod scenario;
pub mod sim;
#[cfg(feature = "cli")]
pub mod tui;
pub mod view;
