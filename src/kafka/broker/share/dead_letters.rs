//! Dead letters of share groups (KIP-1191, `ShareGroupDLQStateManager`): records that were rejected, or delivered too
//! often, go to the group's dead-letter topic and are archived then. Where that cannot be done they are archived all
//! the same: the broker logs an error, and nobody else hears of it.
//!
//! The topic must be there, say `errors.deadletterqueue.group.enable`, and have a name that begins as
//! `errors.deadletterqueue.topic.name.prefix` wants it. The partition is the source's number modulo theirs.
//!
//! Simplified: no topic is created; each batch goes alone.

use crate::base::batch::{Record, RecordBody};
use crate::base::error::ErrorCode;
use crate::base::ids::{BatchHandle, KeyId, NodeId, Offset, PartitionId};
use crate::base::time::Time;
use crate::event::SettleReason;
use crate::kafka::api::{Message, ProduceBatch};
use crate::kafka::broker::Broker;
use crate::kafka::broker::produce::Append;
use crate::kafka::broker::purgatory::CoordinatorWrite;
use crate::kafka::broker::share::Todo;
use crate::kafka::broker::share::persister::Wish;
use crate::kafka::effects::Effects;
use crate::kafka::share::coordinator::ShareKey;
use crate::kafka::share::partition::DeadLetters;

/// `ShareGroupDLQStateManager`: the time-out of its produce requests, in ms.
const PRODUCE_TIMEOUT_MS: u32 = 30_000;
/// The six headers that say where a record is from and why, in bytes.
const HEADERS: u32 = 200;

impl Broker {
    /// Sends records to the dead-letter topic of the group.
    pub(super) fn bury(&mut self, now: Time, key: ShareKey, dead: DeadLetters, fx: &mut Effects) {
        match self.dead_letter_partition(key, fx) {
            Some(to) => {
                self.ask(now, Wish::Produce { key, dead, to }, fx);
            }
            None => self.ram.share.todo.push_back(Todo::Buried(key, dead)),
        }
    }

    /// They are in the dead-letter topic, or never will be: they are archived.
    pub(super) fn buried(&mut self, now: Time, key: ShareKey, dead: DeadLetters, fx: &mut Effects) {
        let Some(share) = self.ram.share.partitions.get_mut(&key) else { return };
        let write = share.dead_lettered(dead);
        Self::say_settled(key, &write.batches, SettleReason::DeadLettered, fx);
        self.persist(now, key, write, SettleReason::DeadLettered, fx);
    }

    /// Where the dead letters of a share partition go (`validateDlqTopic`); `None` when the topic may not take them.
    fn dead_letter_partition(&self, key: ShareKey, fx: &Effects) -> Option<PartitionId> {
        let name = &self.config.groups.get(key.0.index())?.dead_letters;
        let topic = fx.names.find_topic(name)?;
        let prefix = &self.config.brokers.share.dead_letter_prefix;
        let allowed = self.disk.topics.get(topic.index())?.takes_dead_letters;
        if !allowed || !name.starts_with(prefix.as_str()) {
            return None;
        }
        let partitions = &fx.names.topics[topic.index()].partitions;
        let source = fx.names.partitions[key.1.index()].index as usize;
        partitions.get(source % partitions.len()).copied()
    }

    /// The batch of dead letters; `None` when the log does not have the records any more.
    fn dead_letter_batch(
        &self,
        key: ShareKey,
        dead: DeadLetters,
        fx: &mut Effects,
    ) -> Option<BatchHandle> {
        let copied = self.config.groups.get(key.0.index()).is_some_and(|g| g.copy_dead_letters);
        let log = self.log(key.1)?;
        let mut records = Vec::new();
        for entry in log.read_from(Offset(dead.first)) {
            for (n, record) in fx.batches.records(entry.batch).enumerate() {
                let offset = entry.base_offset.0 + n as i64;
                let RecordBody::Message(message) = record.body else { continue };
                if (dead.first..=dead.last).contains(&offset) {
                    let body = RecordBody::DeadLetter { message, copied };
                    let (key, bytes) =
                        if copied { (record.key, record.bytes) } else { (KeyId::NONE, 0) };
                    let timestamp = self.ram.last_step.timestamp();
                    let (bytes, is_tombstone) = (bytes + HEADERS, false);
                    records.push(Record { body, key, bytes, timestamp, is_tombstone });
                }
            }
            if entry.base_offset.0 > dead.last {
                break;
            }
        }
        if records.is_empty() {
            return None;
        }
        Some(fx.batches.add(NodeId::Broker(self.id), None, &records))
    }

    /// The request that produces them at another broker.
    pub(super) fn dead_letter_request(
        &self,
        key: ShareKey,
        dead: DeadLetters,
        to: PartitionId,
        fx: &mut Effects,
    ) -> Option<Message> {
        let batch = self.dead_letter_batch(key, dead, fx)?;
        let batches = fx.keep(&[ProduceBatch { partition: to, batch }]);
        let (acks, timeout_ms) = (-1, PRODUCE_TIMEOUT_MS);
        Some(Message::Produce { acks, timeout_ms, transactional: None, adds: false, batches })
    }

    /// This broker leads the partition of the dead-letter topic: they go into its log.
    pub(super) fn append_dead_letters(
        &mut self,
        now: Time,
        (id, to): (u32, PartitionId),
        (key, dead): (ShareKey, DeadLetters),
        fx: &mut Effects,
    ) {
        let batch = self.dead_letter_batch(key, dead, fx);
        let appended = match batch {
            Some(batch) => self.append_as_leader(now, Append::own(to, batch, -1), fx),
            None => Err(ErrorCode::UnknownServerError),
        };
        match appended {
            Ok((base_offset, required)) => {
                let write = CoordinatorWrite { partition: to, ticket: id, base_offset, required };
                self.ram.purgatory.writes.push(write);
                self.complete_coordinator_writes(now, to, fx);
            }
            Err(error) => self.share_committed(to, id, Err(error), fx),
        }
    }

    /// The dead letters of the own request at this place are stored.
    pub(super) fn dead_letters_stored(&mut self, at: usize) {
        let own = self.ram.share.own.remove(at);
        if let Wish::Produce { key, dead, .. } = own.wish {
            self.ram.share.todo.push_back(Todo::Buried(key, dead));
        }
    }
}
