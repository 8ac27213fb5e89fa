//! Pieces that several screens draw.

pub mod lane;
pub mod sheet;
pub mod strip;
pub mod timeline;
