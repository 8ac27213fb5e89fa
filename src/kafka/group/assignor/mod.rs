//! Client-side assignors of the classic protocol (`ConsumerPartitionAssignor`): pure functions that the leader of a
//! group runs between its JoinGroup and its SyncGroup. One file each.

pub mod range;
