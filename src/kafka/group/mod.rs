//! Consumer groups: the coordinator on the broker, and the assignors that a group's leader runs.

pub mod assignor;
pub mod classic;
pub mod consumer;
pub mod coordinator;
pub mod expiry;
pub mod hash;
pub mod kind;
mod members;
mod migration;
mod offsets;
mod rebalance;
pub mod share;
pub mod share_admin;
mod share_members;
mod static_members;
mod sync;
#[cfg(test)]
mod tests;
pub mod transactional_offsets;
mod writes;
