//! A producer process as its application sees it: `send`, `flush`, `close`, and the outcome of each record.
//!
//! Kafka: `KafkaProducer`, whose application thread is this file; [`sender`] is its I/O thread, [`accumulator`] what
//! lies between them, [`transaction_manager`] sequences and transactions, [`calls`] the calls of a transactional
//! producer.
//!
//! The application has one thread: while a `send()` blocks (no metadata, no memory), later calls wait their turn and
//! their own `max.block.ms` has not begun.
//! Simplified: no serializers, interceptors or headers. Where `close(timeout)` gives up, Kafka fails the batches in the
//! order of a hash set, and this in the order in which they were begun.

mod accumulator;
mod batch;
mod calls;
#[cfg(test)]
mod rig;
mod sender;
#[cfg(test)]
mod tests;
mod transaction_manager;

use std::collections::VecDeque;

use crate::base::batch::{Batch, Record, RecordBody};
use crate::base::config::{Partitioner, ProducerConfig};
use crate::base::error::Exception;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{KeyId, MessageId, PartitionId, TopicId};
use crate::base::librdkafka::KeyHash;
use crate::base::time::{Duration, Time};
use crate::event::{EventKind, TransactionCall};
use crate::kafka::effects::{Effects, Input, TimerKind};
use crate::kafka::partitioner::librdkafka::partition_by;
use crate::kafka::partitioner::{
    BuiltInPartitioner, PartitionLoadStats, RoundRobinPartitioner, TopicPartitions,
    partition_for_key,
};
use crate::kafka::producer::accumulator::Appended;
use crate::kafka::producer::batch::ESTIMATE_SLACK;
use crate::kafka::producer::sender::Sender;
use crate::kafka::producer::transaction_manager::ResultId;

pub use transaction_manager::GroupOffsets;

/// One call of `send()`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SendRequest {
    /// What.
    pub message: MessageId,
    /// Where to.
    pub topic: TopicId,
    /// The partition, when the application names it.
    pub partition: Option<PartitionId>,
    /// The key; [`KeyId::NONE`] for a null key.
    pub key: KeyId,
    /// Size of the record in bytes: key, value and record overhead.
    pub bytes: u32,
    /// How many milliseconds after the call (negative: before) the application says that the record was made.
    pub shift: i64,
    /// The value is null.
    pub is_tombstone: bool,
}

/// A call the application has made, or will make once the one before it returns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Call {
    Send(SendRequest),
    Flush,
    Close { timeout: Option<Duration> },
    Transaction(TransactionCall),
}

/// Why a call blocks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Blocked {
    /// The topic is not in the metadata.
    Metadata,
    /// `buffer.memory` is used up.
    Memory,
    /// A coordinator is asked.
    Coordinator(ResultId),
}

/// The partitioners of one topic.
#[derive(Clone, Default, Debug)]
struct TopicState {
    sticky: BuiltInPartitioner,
    round_robin: RoundRobinPartitioner,
    /// librdkafka: where records without a key go, and until when.
    kept: Option<(u32, Time)>,
    /// How many metadata requests had been sent when the application first named the topic (`ProducerMetadata.add`).
    named_after: Option<u32>,
}

/// A producer process.
#[derive(Clone, Debug)]
pub struct Producer {
    number: u16,
    started: bool,
    config: ProducerConfig,
    sender: Sender,
    topics: Vec<TopicState>,
    /// The first call blocks when there is one; the others wait for it.
    calls: VecDeque<Call>,
    /// Of the call that blocks: until when, and what for.
    blocked: Option<(Time, Blocked)>,
    /// What the calls of `sendOffsetsToTransaction()` among `calls` were given.
    offsets: VecDeque<GroupOffsets>,
    /// How many calls of `send()` failed at once.
    failures: u64,
    /// How many calls of a transactional producer were made, and how many have returned.
    called: u32,
    returned: u32,
    /// What the last of them threw.
    last_exception: Option<Exception>,
    closing: bool,
    /// `close(timeout)` gives up then.
    close_by: Time,
    closed: bool,
    /// When the sender's timer will ring.
    timer: Time,
    /// Available partitions of a topic, reused.
    available: Vec<u32>,
}

impl Producer {
    /// Producer `number` of the scenario. It does nothing before [`Input::Start`].
    pub fn new(number: u16, config: ProducerConfig) -> Self {
        Self {
            number,
            started: false,
            sender: Sender::new(number, &config, 0),
            config,
            topics: Vec::new(),
            calls: VecDeque::new(),
            blocked: None,
            offsets: VecDeque::new(),
            failures: 0,
            called: 0,
            returned: 0,
            last_exception: None,
            closing: false,
            close_by: Time::NEVER,
            closed: false,
            timer: Time::NEVER,
            available: Vec::new(),
        }
    }

    /// Something happened to the process.
    pub fn step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        match input {
            Input::Start => self.start(fx),
            Input::Response { from, correlation, message } => {
                self.sender.response(now, from, (correlation, &message), fx);
            }
            Input::Timeout(timer) => {
                if timer.kind == TimerKind::Sender {
                    self.timer = Time::NEVER;
                }
            }
            Input::Disconnected { peer } => self.sender.disconnected(now, peer, fx),
            Input::Request { .. } | Input::PeerGone { .. } => return,
        }
        self.run(now, fx);
    }

    /// The application calls `send()`.
    pub fn send(&mut self, now: Time, request: SendRequest, fx: &mut Effects) {
        self.call(now, Call::Send(request), fx);
    }

    /// The application calls `flush()`: what it has sent goes out without lingering. See [`Producer::is_flushed`].
    pub fn flush(&mut self, now: Time, fx: &mut Effects) {
        self.call(now, Call::Flush, fx);
    }

    /// The application calls `close()`: the process ends when every record has its outcome. With a `timeout` it ends
    /// then at the latest, and what has no outcome fails: `KafkaException`, closed forcefully.
    pub fn close(&mut self, now: Time, timeout: Option<Duration>, fx: &mut Effects) {
        self.call(now, Call::Close { timeout }, fx);
    }

    /// True when every record sent so far has its outcome; that of a `send()` that threw is what it threw.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && !self.sender.accumulator.has_awaited()
    }

    /// True when no `flush()` waits.
    pub fn is_flushed(&self) -> bool {
        !self.calls.contains(&Call::Flush) && !self.sender.accumulator.flush_in_progress()
    }

    /// True while a call blocks: the application's thread stands in it.
    pub fn is_blocked(&self) -> bool {
        !self.calls.is_empty()
    }

    /// How many records the application was told have failed, batches counting as one.
    pub fn failures(&self) -> u64 {
        self.failures + self.sender.failures
    }

    /// True for a producer with a `transactional.id`.
    pub fn is_transactional(&self) -> bool {
        !self.config.transactional_id.is_empty()
    }

    /// True when `close()` has returned.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn call(&mut self, now: Time, call: Call, fx: &mut Effects) {
        self.start(fx);
        self.calls.push_back(call);
        if self.calls.len() == 1 && self.make_calls(now, fx) {
            // The I/O thread wakes up a moment later: after all calls the application makes at this instant.
            self.set_timer(now, fx);
        }
    }

    /// Makes calls until one blocks. Returns true when the sender has something to do.
    fn make_calls(&mut self, now: Time, fx: &mut Effects) -> bool {
        let mut wake = false;
        while let Some(call) = self.calls.front().copied() {
            match call {
                Call::Send(request) => match self.try_send(now, request, fx) {
                    Some(woken) => wake |= woken,
                    None => return true,
                },
                Call::Transaction(call) => match self.try_transaction(now, call, fx) {
                    Some(woken) => wake |= woken,
                    None => return true,
                },
                Call::Flush => {
                    self.sender.accumulator.flush();
                    wake = true;
                }
                Call::Close { timeout } => {
                    self.closing = true;
                    self.close_by = timeout.map_or(Time::NEVER, |timeout| now + timeout);
                    self.sender.accumulator.closed = true;
                    wake = true;
                }
            }
            self.calls.pop_front();
        }
        wake
    }

    /// What the I/O thread does, and then what the application can do again because of it, until both rest.
    fn run(&mut self, now: Time, fx: &mut Effects) {
        if self.closed {
            return;
        }
        let next = loop {
            let waiting = self.calls.len();
            let exhausted = matches!(self.blocked, Some((_, Blocked::Memory)));
            let next = self.sender.run(now, exhausted, fx);
            let wake = self.make_calls(now, fx);
            if !wake || self.calls.len() == waiting {
                break next;
            }
        };
        let forceful = self.closing && self.close_by <= now;
        if forceful {
            self.sender.abort_incomplete(fx);
        }
        if self.closing && (forceful || self.sender.is_drained()) {
            if !forceful && self.sender.begin_abort_at_close() {
                return self.run(now, fx);
            }
            self.closed = true;
            self.sender.client.close(fx);
            fx.cancel_timer(TimerKind::Sender, 0);
            fx.exit();
            return;
        }
        let deadline = self.blocked.map_or(Time::NEVER, |(deadline, _)| deadline);
        let close_by = if self.closing { self.close_by } else { Time::NEVER };
        // A call that waits for metadata has asked for it just now, behind the I/O thread's back.
        // One that is due already waits for a connection, which wakes the thread by itself.
        let update = match self.blocked {
            Some((_, Blocked::Metadata)) => self.sender.client.metadata().next_update(),
            _ => Time::NEVER,
        };
        let update = if update > now { update } else { Time::NEVER };
        self.set_timer(next.min(deadline).min(close_by).min(update), fx);
    }

    fn set_timer(&mut self, at: Time, fx: &mut Effects) {
        if at != self.timer && at != Time::NEVER {
            fx.set_timer(TimerKind::Sender, 0, at);
            self.timer = at;
        }
    }

    /// Runs a `send()` as far as it gets. `None`: it blocks. Otherwise whether the sender should wake up.
    fn try_send(&mut self, now: Time, request: SendRequest, fx: &mut Effects) -> Option<bool> {
        let message = request.message;
        if self.closing {
            let exception = Exception::IllegalState;
            fx.event(EventKind::SendFailed { message, exception });
            return Some(false);
        }
        if !self.knows(request, fx) {
            return self.block(now, request, Blocked::Metadata, fx);
        }
        let estimate = Batch::HEADER_BYTES + request.bytes.saturating_add(ESTIMATE_SLACK);
        let memory = self.config.buffer_memory;
        if estimate > self.config.max_request_size || u64::from(estimate) > memory {
            self.say_sent(message, None, fx);
            self.send_failed(message, Exception::RecordTooLarge, fx);
            return Some(false);
        }
        let Some((partition, wake)) = self.append(now, request, fx) else {
            return self.block(now, request, Blocked::Memory, fx);
        };
        self.say_sent(message, Some(partition), fx);
        Some(wake | self.join_transaction(message, partition, fx))
    }

    /// Says that `send()` was called, unless that was said when it blocked.
    fn say_sent(&mut self, message: MessageId, partition: Option<PartitionId>, fx: &mut Effects) {
        if self.blocked.take().is_none() {
            fx.event(EventKind::Sent { message, partition });
        }
    }

    /// Blocks the call, or ends it when it has blocked for `max.block.ms`.
    fn block(
        &mut self,
        now: Time,
        request: SendRequest,
        reason: Blocked,
        fx: &mut Effects,
    ) -> Option<bool> {
        let message = request.message;
        let deadline = if let Some((deadline, _)) = self.blocked {
            deadline
        } else {
            fx.event(EventKind::Sent { message, partition: None });
            let metadata = self.sender.client.metadata_mut();
            let named_after = self.topics[request.topic.index()].named_after;
            if reason == Blocked::Metadata && named_after >= Some(metadata.answered()) {
                metadata.request_update_for_new_topic();
            }
            now + self.config.max_block
        };
        if now < deadline {
            if reason == Blocked::Metadata {
                self.sender.client.metadata_mut().request_update(false);
            }
            self.blocked = Some((deadline, reason));
            return None;
        }
        self.blocked = None;
        let exception = match reason {
            Blocked::Metadata => Exception::Timeout,
            _ => Exception::BufferExhausted,
        };
        self.send_failed(message, exception, fx);
        Some(false)
    }

    fn topic(&mut self, topic: TopicId) -> &mut TopicState {
        if self.topics.len() <= topic.index() {
            self.topics.resize_with(topic.index() + 1, TopicState::default);
        }
        &mut self.topics[topic.index()]
    }

    /// True when the metadata has the topic, and the partition if one is named. A producer asks only for topics that
    /// its application has named before.
    fn knows(&mut self, request: SendRequest, fx: &Effects) -> bool {
        let requests = self.sender.client.metadata().requests();
        let named_after = *self.topic(request.topic).named_after.get_or_insert(requests);
        let metadata = self.sender.client.metadata();
        if metadata.answered() <= named_after {
            return false;
        }
        if let Some(partition) = request.partition {
            return metadata.partition(partition).is_some();
        }
        let partitions = &fx.names.topics[request.topic.index()].partitions;
        partitions.iter().any(|partition| metadata.partition(*partition).is_some())
    }

    /// Chooses the partition and appends. `None`: there is no memory.
    fn append(
        &mut self,
        now: Time,
        request: SendRequest,
        fx: &mut Effects,
    ) -> Option<(PartitionId, bool)> {
        let body = RecordBody::Message(request.message);
        let timestamp = now.timestamp() + request.shift;
        let SendRequest { key, bytes, is_tombstone, .. } = request;
        let record = Record { body, key, bytes, timestamp, is_tombstone };
        let (partition, sticky) = match request.partition {
            Some(partition) => (partition, false),
            None => self.choose_partition(now, request, fx),
        };
        match self.sender.accumulator.append(now, partition, record) {
            Appended::NoMemory => None,
            Appended::Done { bytes, wake } => {
                if sticky {
                    let enable_switch = self.sender.accumulator.all_batches_full(partition);
                    self.produced(request.topic, bytes, enable_switch, fx);
                }
                Some((partition, wake))
            }
        }
    }

    /// The partition of a record that names none, and whether it is the sticky one.
    fn choose_partition(
        &mut self,
        now: Time,
        request: SendRequest,
        fx: &mut Effects,
    ) -> (PartitionId, bool) {
        let topic = request.topic;
        if let Partitioner::ByKey { .. } | Partitioner::Random = self.config.partitioner {
            return (self.partition_of_librdkafka(now, request, fx), false);
        }
        let hashes =
            self.config.partitioner == Partitioner::BuiltIn && !self.config.partitioner_ignore_keys;
        let count = self.partition_count(topic, fx);
        let index = match fx.names.key(request.key) {
            Some(key) if hashes => partition_for_key(key, count),
            _ if self.config.partitioner == Partitioner::RoundRobin => {
                self.find_available(topic, fx);
                let partitions = TopicPartitions { count, available: &self.available };
                self.topics[topic.index()].round_robin.next(partitions)
            }
            _ => return (self.sticky_partition(request, fx), true),
        };
        (fx.names.topics[topic.index()].partitions[index as usize], false)
    }

    /// librdkafka: by the hash of the key, or any partition, which it keeps for `sticky.partitioning.linger.ms`.
    fn partition_of_librdkafka(
        &mut self,
        now: Time,
        request: SendRequest,
        fx: &mut Effects,
    ) -> PartitionId {
        let topic = request.topic;
        let count = fx.names.topics[topic.index()].partition_count;
        let key = fx.names.key(request.key);
        let hashed = match self.config.partitioner {
            // crc32 cannot tell an empty key from none.
            Partitioner::ByKey { hash: KeyHash::Crc32, random: true } => {
                key.filter(|key| !key.is_empty()).map(|key| (KeyHash::Crc32, key))
            }
            Partitioner::ByKey { hash, random: true } => key.map(|key| (hash, key)),
            Partitioner::ByKey { hash, random: false } => Some((hash, key.unwrap_or_default())),
            _ => None,
        };
        let index = match hashed {
            Some((hash, key)) => partition_by(hash, key, count),
            None => self.any_partition(now, topic, fx),
        };
        fx.names.topics[topic.index()].partitions[index as usize]
    }

    fn any_partition(&mut self, now: Time, topic: TopicId, fx: &mut Effects) -> u32 {
        if let Some((index, until)) = self.topic(topic).kept
            && now < until
        {
            return index;
        }
        self.find_available(topic, fx);
        let count = fx.names.topics[topic.index()].partition_count;
        let index = match self.available.len() as u64 {
            0 => fx.choose(u64::from(count)) as u32,
            available => self.available[fx.choose(available) as usize],
        };
        let linger = self.config.linger;
        let keep = self.config.sticky_linger.unwrap_or(linger + linger);
        self.topic(topic).kept = Some((index, now + keep));
        index
    }

    fn sticky_partition(&mut self, request: SendRequest, fx: &mut Effects) -> PartitionId {
        loop {
            let partition = self.current_sticky(request.topic, fx);
            // The batch that kept the partition from switching may have gone meanwhile, or have no room for this one.
            let full = self.sender.accumulator.needs_new_batch(partition, request.bytes);
            if !(full && self.produced(request.topic, 0, true, fx)) {
                return partition;
            }
        }
    }

    /// Counts `bytes` against the sticky partition. True when another choice was made.
    fn produced(
        &mut self,
        topic: TopicId,
        bytes: u32,
        enable_switch: bool,
        fx: &mut Effects,
    ) -> bool {
        let sizes = (bytes, self.config.batch_size.max(1));
        let switch = self.topics[topic.index()].sticky.appended(sizes, enable_switch);
        if switch {
            self.weigh(topic, fx);
            self.current_sticky(topic, fx);
        }
        switch
    }

    /// The sticky partition, chosen when there is none.
    fn current_sticky(&mut self, topic: TopicId, fx: &mut Effects) -> PartitionId {
        if let Some(index) = self.topics[topic.index()].sticky.peek() {
            return fx.names.topics[topic.index()].partitions[index as usize];
        }
        self.find_available(topic, fx);
        let count = self.partition_count(topic, fx);
        let partitions = TopicPartitions { count, available: &self.available };
        let sticky = &mut self.topics[topic.index()].sticky;
        let index = sticky.current(partitions, || fx.choose(1 << 31) as u32);
        fx.names.topics[topic.index()].partitions[index as usize]
    }

    /// How many partitions `topic` has, as far as the metadata knows.
    fn partition_count(&self, topic: TopicId, fx: &Effects) -> u32 {
        let topic = &fx.names.topics[topic.index()];
        self.sender.client.metadata().partitions_of(topic).len() as u32
    }

    /// Lists the partitions of `topic` that have a leader.
    fn find_available(&mut self, topic: TopicId, fx: &Effects) {
        let metadata = self.sender.client.metadata();
        let partitions = fx.names.topics[topic.index()].partitions.iter();
        self.available.clear();
        self.available.extend(
            partitions
                .filter(|partition| metadata.leader(**partition).is_some())
                .map(|partition| fx.names.partitions[partition.index()].index),
        );
    }

    /// Brings the weights of adaptive partitioning up to date (KIP-794).
    fn weigh(&mut self, topic: TopicId, fx: &Effects) {
        self.find_available(topic, fx);
        let metadata = self.sender.client.metadata();
        let names = metadata.partitions_of(&fx.names.topics[topic.index()]);
        let mut sizes = Vec::new();
        if self.config.adaptive_partitioning {
            let accumulator = &self.sender.accumulator;
            sizes.extend(names.iter().filter_map(|partition| accumulator.queue_size(*partition)));
        }
        let load = (sizes.len() == names.len()).then(|| {
            let (metadata, accumulator) = (self.sender.client.metadata(), &self.sender.accumulator);
            let stuck = |index: &u32| {
                let partition = names[*index as usize];
                accumulator.is_stuck(partition, metadata.leader(partition))
            };
            self.available.retain(|index| !stuck(index));
            let usable = self.available.iter().map(|index| sizes[*index as usize]);
            let padded = usable.chain(std::iter::repeat(0)).take(names.len());
            let queue_sizes: Vec<u32> = padded.collect();
            PartitionLoadStats::new(&queue_sizes, &self.available, self.available.len())
        });
        self.topics[topic.index()].sticky.update_load_stats(load.flatten());
    }

    /// Adds the producer to a fingerprint.
    pub fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        self.sender.fingerprint(now, into);
        for call in &self.calls {
            into.add(call);
        }
        for offsets in &self.offsets {
            into.add(offsets);
        }
        let metadata = self.sender.client.metadata();
        for topic in &self.topics {
            into.add((&topic.sticky, topic.round_robin));
            if let Some((index, until)) = topic.kept {
                into.add(index);
                into.add_time(now, until.max(now));
            }
            let named = |after| (metadata.requests() > after, metadata.answered() > after);
            into.add(topic.named_after.map(named));
        }
        into.add((self.started, self.closing, self.closed));
        if self.closing {
            into.add_time(now, self.close_by);
        }
        if let Some((deadline, reason)) = self.blocked {
            into.add(reason);
            into.add_time(now, deadline);
        }
    }
}
