//! Share groups (KIP-932) as of Kafka 4.4, `share.version` 2: what the leader of a partition keeps about the records
//! that members of a share group have, and where that survives the leader.
//!
//! * [`state`]: one record or one run of records in flight (`InFlightState`, `InFlightBatch`);
//! * [`partition`]: `SharePartition`, all records in flight of a group in a partition, with its start offset (SPSO) and
//!   end offset (SPEO);
//! * [`session`]: `ShareSessionCache`, the sessions under which members fetch;
//! * [`coordinator`]: `ShareCoordinator`, which keeps the state of share partitions in `__share_group_state`;
//! * [`consumer`] is `KafkaShareConsumer`.

pub mod consumer;
pub mod coordinator;
pub mod partition;
pub mod session;
pub mod state;
