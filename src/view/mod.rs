//! Folding events into what a person sees: cluster view, narration, exports.
