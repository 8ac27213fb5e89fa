//! Transactions on the server: the coordinator of a broker (`TransactionCoordinator`, KIP-98, KIP-360, KIP-890) with
//! what it keeps of each transactional id, how it ends a transaction, and how it has the leaders write its markers.

pub mod coordinator;
mod end;
mod markers;
pub mod metadata;
pub mod producer_ids;
pub mod state;
#[cfg(test)]
mod tests;
