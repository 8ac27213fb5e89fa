//! Small requests: metadata, offsets, epochs, producer ids, coordinators (`KafkaApis`).

use crate::base::batch::RecordBody;
use crate::base::config::{Defect, IsolationLevel};
use crate::base::error::ErrorCode;
use crate::base::ids::{GroupId, LeaderEpoch, Offset, ProducerEpoch};
use crate::kafka::api::{ListOffsetsPartition, ListOffsetsResult, Message, PartitionMetadata};
use crate::kafka::broker::Broker;
use crate::kafka::effects::{Effects, List, Token};
use crate::kafka::log::UnifiedLog;
use crate::kafka::replica::Replica;

/// `ListOffsetsRequest.EARLIEST_TIMESTAMP`.
const EARLIEST: i64 = -2;
/// `ListOffsetsResponse.UNKNOWN_OFFSET` with `UNKNOWN_EPOCH`.
const NOT_FOUND: (Offset, LeaderEpoch) = (Offset::NONE, LeaderEpoch::NONE);

impl Broker {
    /// The whole metadata, as this broker has it.
    pub(super) fn metadata(&mut self, token: Token, fx: &mut Effects) {
        let image = &self.disk.image;
        let row = |partition: &crate::kafka::api::PartitionRegistration| PartitionMetadata {
            partition: partition.partition,
            leader: image.live_leader(partition.partition),
            leader_epoch: partition.leader_epoch,
        };
        let rows: Vec<PartitionMetadata> = image.partitions().map(row).collect();
        let partitions = fx.keep(&rows);
        let transaction_version = self.config.features.transaction_version;
        let brokers = image.unfenced;
        fx.reply(token, Message::MetadataResponse { brokers, transaction_version, partitions });
    }

    /// `ListOffsets` of a client.
    pub(super) fn list_offsets(
        &mut self,
        token: Token,
        isolation: IsolationLevel,
        asked: List<ListOffsetsPartition>,
        fx: &mut Effects,
    ) {
        let answer = |ask: &ListOffsetsPartition| match self.offset_for(ask, isolation, fx) {
            Ok((offset, leader_epoch)) => ListOffsetsResult {
                partition: ask.partition,
                error: ErrorCode::None,
                offset,
                leader_epoch,
            },
            Err(error) => ListOffsetsResult {
                partition: ask.partition,
                error,
                offset: Offset::NONE,
                leader_epoch: LeaderEpoch::NONE,
            },
        };
        let rows: Vec<ListOffsetsResult> = fx.pools.get(asked).iter().map(answer).collect();
        let results = fx.keep(&rows);
        fx.reply(token, Message::ListOffsetsResponse { results });
    }

    /// `Partition.fetchOffsetForTimestamp`. The latest offset is the high watermark (for `read_committed` the last
    /// stable
    /// offset), but not before it has reached
    /// the start of the leader's own epoch: a new leader knows less than the old one may have told.
    pub(super) fn offset_for(
        &self,
        ask: &ListOffsetsPartition,
        isolation: IsolationLevel,
        fx: &Effects,
    ) -> Result<(Offset, LeaderEpoch), ErrorCode> {
        let (replica, log) = self.serving(ask.partition, ask.current_leader_epoch, true, fx)?;
        if ask.timestamp == EARLIEST {
            let epoch = log.epochs().entries().first().map_or(LeaderEpoch::NONE, |e| e.epoch);
            return Ok((log.log_start(), epoch));
        }
        if ask.timestamp >= 0 {
            return Ok(first_since((replica, log), isolation, ask.timestamp, fx));
        }
        let stale = replica.leadership().is_some_and(|l| l.epoch_start > replica.high_watermark);
        if stale {
            return Err(ErrorCode::OffsetNotAvailable);
        }
        let end = if fx.defect == Defect::ReadsAboveHighWatermark {
            log.end()
        } else {
            replica.fetchable_end(isolation)
        };
        Ok((end, replica.leader_epoch))
    }

    /// Where does an epoch end? Asked by a consumer that validates its position (KIP-320).
    pub(super) fn offset_for_epoch(&mut self, token: Token, message: Message, fx: &mut Effects) {
        let Message::OffsetForLeaderEpoch { partition, current_leader_epoch, epoch } = message
        else {
            unreachable!("the caller matched it");
        };
        let answer = self
            .serving(partition, current_leader_epoch, true, fx)
            .map(|(_, log)| log.end_offset_for(epoch));
        let (error, epoch, end) = match answer {
            Ok(found) => (ErrorCode::None, found.epoch, found.end),
            Err(error) => (error, LeaderEpoch::NONE, Offset::NONE),
        };
        fx.reply(token, Message::OffsetForLeaderEpochResponse { partition, error, epoch, end });
    }

    /// A producer without transactions always gets a new id.
    pub(super) fn init_producer_id(&mut self, token: Token, fx: &mut Effects) {
        let producer_id = self.producer_ids.generate(fx.names.brokers);
        let (error, epoch) = (ErrorCode::None, ProducerEpoch(0));
        fx.reply(token, Message::InitProducerIdResponse { error, producer_id, epoch });
    }

    /// The leader of the group's `__consumer_offsets` partition.
    pub(super) fn find_coordinator(&mut self, token: Token, group: GroupId, fx: &mut Effects) {
        let home = fx.names.group_partitions[group.index()];
        let coordinator = self.disk.image.live_leader(home);
        let error = match coordinator {
            Some(_) => ErrorCode::None,
            None => ErrorCode::CoordinatorNotAvailable,
        };
        fx.reply(token, Message::FindCoordinatorResponse { error, coordinator });
    }
}

/// The first record from the log start on that is stamped `timestamp` or later, with its epoch. Nothing when there is
/// none that this reader may see: not an error.
pub(super) fn first_since(
    (replica, log): (&Replica, &UnifiedLog),
    isolation: IsolationLevel,
    timestamp: i64,
    fx: &Effects,
) -> (Offset, LeaderEpoch) {
    for entry in log.entries() {
        for (n, record) in fx.batches.records(entry.batch).enumerate() {
            let offset = entry.base_offset + n as i64;
            let is_there = record.body != RecordBody::Removed;
            let stamped = if entry.append_time { entry.max_timestamp } else { record.timestamp };
            if is_there && stamped >= timestamp && offset >= log.log_start() {
                let committed = offset < replica.fetchable_end(isolation);
                return if committed { (offset, entry.leader_epoch) } else { NOT_FOUND };
            }
        }
    }
    NOT_FOUND
}
