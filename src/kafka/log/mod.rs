//! A partition's log on one replica.
