//! Folding events into what a person sees: cluster view, fates, narration, exports. Everything here is a pure
//! function of events, the batch table, the names and the settings; nothing here has ever seen a machine.

pub mod anatomy;
pub mod atomicity;
pub mod caption;
pub mod cluster;
pub mod export_json;
pub mod export_jsonl;
pub mod fate;
pub mod narrate;
pub mod paged;
pub mod report;
mod rhythm;
pub mod stability;
#[cfg(test)]
pub(crate) mod story;
pub mod transcript;
pub mod words;
