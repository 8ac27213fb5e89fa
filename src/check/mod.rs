//! Judging a run from its events alone.
