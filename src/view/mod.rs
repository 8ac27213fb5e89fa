//! Folding events into what a person sees: cluster view, fates, narration, exports. Everything here is a pure
//! function of events, the batch table and the names; nothing here has ever seen a machine.

pub mod cluster;
pub mod fate;
pub mod paged;
#[cfg(test)]
pub(crate) mod story;
pub mod words;
