//! The producer inside a consume-transform-produce application, and what the application's loop does with it.
//!
//! The process is one: its consumer and its producer start, freeze and die together, while each keeps connections,
//! timers and events of its own. The application is written as Kafka's examples are: `initTransactions()` before the
//! loop; after an exception that leaves a way back, `abortTransaction()` and back to the committed offsets; after
//! one that does not, another producer with the same settings. A call about the end of a transaction that timed out is
//! made again.
//! Simplified: a producer that is given up is not closed politely; where nothing is committed the application goes back
//! to the first record it was ever given of the partition.

use crate::app::process::Doing;
use crate::app::{ConsumerProcess, LoopStep};
use crate::base::batch::{BatchTable, RecordBody};
use crate::base::error::Exception;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{NodeId, Offset, PartitionId, TopicId};
use crate::base::names::Names;
use crate::base::time::{Duration, Time};
use crate::event::TransactionCall;
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::{ConsumerCall, Returned};
use crate::kafka::effects::{Effects, Input};
use crate::kafka::producer::{GroupOffsets, Producer, SendRequest};

/// Bytes of an output's value.
const OUTPUT_BYTES: u32 = 17;

/// What the application's thread waits for at its producer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Waits {
    /// A call of a transactional producer, by its number.
    Call(TransactionCall, u32),
    /// `send()`, for metadata or memory.
    Sends,
    /// `flush()`.
    Flush,
    /// Another producer takes the place of one that is of no use any more.
    Another,
    /// `committed()` of an assigned partition, by its place.
    Committed(usize),
    /// `close()` of the producer; the consumer follows.
    Close,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Outlet {
    producer: Producer,
    consumer_node: NodeId,
    producer_node: NodeId,
    transactional: bool,
    /// Another process of the producer is on its way.
    restarting: bool,
    /// Records of the producer that had failed when the round began.
    failures: u64,
}

impl Outlet {
    /// Of the process whose consumer and producer are these nodes.
    pub fn new(producer: Producer, consumer_node: NodeId, producer_node: NodeId) -> Self {
        let transactional = producer.is_transactional();
        let (restarting, failures) = (false, 0);
        Self { producer, consumer_node, producer_node, transactional, restarting, failures }
    }

    /// Its producer.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// The application does something with the producer.
    pub fn act<R>(
        &mut self,
        fx: &mut Effects,
        act: impl FnOnce(&mut Producer, &mut Effects) -> R,
    ) -> R {
        fx.act_as(self.producer_node);
        let returned = act(&mut self.producer, fx);
        fx.act_as(self.consumer_node);
        returned
    }

    /// Another process has taken the place of the producer's.
    pub fn replace(&mut self, producer: Producer) {
        self.producer = producer;
        self.failures = 0;
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        self.producer.fingerprint(now, into);
        into.add((self.restarting, self.producer.failures() - self.failures));
    }
}

/// The producer's side of the process.
impl ConsumerProcess {
    /// The application has this producer.
    #[must_use]
    pub fn with_outlet(mut self, outlet: Outlet) -> Self {
        self.outlet = Some(outlet);
        self
    }

    /// Its producer, if it has one.
    pub fn outlet(&self) -> Option<&Outlet> {
        self.outlet.as_ref()
    }

    /// The same, to be acted on.
    pub fn outlet_mut(&mut self) -> Option<&mut Outlet> {
        self.outlet.as_mut()
    }

    /// Something came to the producer of the process.
    pub fn producer_step(&mut self, now: Time, input: Input, fx: &mut Effects) {
        let Some(outlet) = &mut self.outlet else { return };
        outlet.restarting &= input != Input::Start;
        outlet.act(fx, |producer, fx| producer.step(now, input, fx));
        self.proceed(now, fx);
    }

    /// Where the application begins: a transactional producer is initialised first, and one that keeps its offsets in a
    /// database goes to them.
    pub(super) fn begin_with_outlet(&mut self, now: Time, fx: &mut Effects) -> Doing {
        if self.outlet.as_ref().is_some_and(|outlet| outlet.transactional) {
            return self.transact(now, TransactionCall::InitTransactions, None, fx);
        }
        if self.keeps_offsets_in().is_some() {
            self.go_back(now, 0, fx);
            return self.doing;
        }
        Doing::Looping
    }

    fn transact(
        &mut self,
        now: Time,
        call: TransactionCall,
        offsets: Option<GroupOffsets>,
        fx: &mut Effects,
    ) -> Doing {
        let outlet = self.outlet.as_mut().expect("only a process with a producer transacts");
        let number = outlet.act(fx, |producer, fx| {
            producer.transact(now, call, offsets, fx);
            producer.called()
        });
        Doing::Outlet(Waits::Call(call, number))
    }

    /// A step of the loop that is about the producer.
    pub(super) fn outlet_loop_step(&mut self, now: Time, step: LoopStep, fx: &mut Effects) {
        let call = match step {
            LoopStep::Produce(topic) => return self.produce(now, topic, fx),
            LoopStep::Flush => {
                let outlet = self.outlet.as_mut().expect("the loader wants a producer for it");
                outlet.act(fx, |producer, fx| producer.flush(now, fx));
                self.doing = Doing::Outlet(Waits::Flush);
                return;
            }
            LoopStep::BeginTransaction => TransactionCall::BeginTransaction,
            LoopStep::SendOffsets => TransactionCall::SendOffsetsToTransaction,
            LoopStep::CommitTransaction => TransactionCall::CommitTransaction,
            other => unreachable!("{other:?} is not about a producer"),
        };
        let sends = call == TransactionCall::SendOffsetsToTransaction;
        let offsets = sends.then(|| self.offsets_to_send()).flatten();
        if sends && offsets.is_none() {
            return self.next_step();
        }
        self.doing = self.transact(now, call, offsets, fx);
    }

    /// One output a record of the batch, with the record's key and an id that follows from the record's.
    fn produce(&mut self, now: Time, topic: TopicId, fx: &mut Effects) {
        let outlet = self.outlet.as_mut().expect("the loader wants a producer for it");
        outlet.failures = outlet.producer.failures();
        let names = std::sync::Arc::clone(&fx.names);
        let mut requests = Vec::new();
        for slice in &self.batch {
            for n in slice.first..slice.first + slice.count {
                let record = (slice.batch, u32::from(n));
                requests.extend(output(record, topic, &names, &fx.batches));
            }
        }
        outlet.act(fx, |producer, fx| {
            for request in requests {
                producer.send(now, request, fx);
            }
        });
        self.doing = Doing::Outlet(Waits::Sends);
        // What was handed to `send()` is finished, as far as the loop is concerned.
        self.finish_batch(fx);
    }

    /// The offsets after the batch, with the consumer's `groupMetadata()`.
    fn offsets_to_send(&self) -> Option<GroupOffsets> {
        let (group, generation, member) = self.consumer.as_consumer()?.group_metadata()?;
        let mut partitions: Vec<PartitionId> = self.batch.iter().map(|s| s.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let position = |partition: PartitionId| {
            let offset = self.consumer.position(partition)?;
            Some(PartitionOffset { partition, offset })
        };
        let offsets = partitions.into_iter().filter_map(position).collect();
        Some(GroupOffsets { group, member, generation, offsets })
    }

    /// Looks whether what the application waits for at its producer has come.
    pub(super) fn outlet_step(&mut self, now: Time, waits: Waits, fx: &mut Effects) {
        let Some(outlet) = &self.outlet else { return };
        let producer = &outlet.producer;
        match waits {
            Waits::Call(call, number) if producer.returned() >= number => {
                match producer.last_exception() {
                    None => self.call_returned(now, call, fx),
                    Some(exception) => self.call_threw(now, call, exception, fx),
                }
            }
            Waits::Sends if !producer.is_blocked() => self.next_step(),
            Waits::Flush if producer.is_flushed() => {
                if outlet.transactional || producer.failures() == outlet.failures {
                    self.next_step();
                } else {
                    // Something was not stored: it is all done again, from the committed offsets on.
                    self.go_back(now, 0, fx);
                }
            }
            Waits::Another if !outlet.restarting => self.doing = self.begin_again(now, fx),
            Waits::Close if producer.is_closed() => self.doing = self.close_consumer(now, fx),
            _ => {}
        }
    }

    fn begin_again(&mut self, now: Time, fx: &mut Effects) -> Doing {
        if self.outlet.as_ref().is_some_and(|outlet| outlet.transactional) {
            return self.transact(now, TransactionCall::InitTransactions, None, fx);
        }
        self.go_back(now, 0, fx);
        self.doing
    }

    fn call_returned(&mut self, now: Time, call: TransactionCall, fx: &mut Effects) {
        match call {
            TransactionCall::InitTransactions | TransactionCall::AbortTransaction => {
                self.go_back(now, 0, fx);
            }
            _ => self.next_step(),
        }
    }

    fn call_threw(
        &mut self,
        now: Time,
        call: TransactionCall,
        exception: Exception,
        fx: &mut Effects,
    ) {
        use TransactionCall::{AbortTransaction, InitTransactions, SendOffsetsToTransaction};
        let fenced = Exception::Wire(crate::base::error::ErrorCode::ProducerFenced);
        self.doing = match call {
            _ if exception == Exception::Timeout && call != SendOffsetsToTransaction => {
                self.transact(now, call, None, fx)
            }
            InitTransactions => self.close(now, fx),
            _ if !self.outlet.as_ref().is_some_and(|outlet| outlet.transactional) => {
                self.close(now, fx)
            }
            AbortTransaction => self.another_producer(fx),
            _ if exception == fenced => self.another_producer(fx),
            _ => self.transact(now, AbortTransaction, None, fx),
        };
    }

    fn another_producer(&mut self, fx: &mut Effects) -> Doing {
        let outlet = self.outlet.as_mut().expect("it has one");
        outlet.restarting = true;
        fx.relaunch(outlet.producer_node);
        Doing::Outlet(Waits::Another)
    }

    /// Back to the offset of the assigned partition number `n` that the database keeps, else to the committed one, and
    /// of those after it; then the loop begins again.
    fn go_back(&mut self, now: Time, n: usize, fx: &mut Effects) {
        self.forget_batch();
        let Some(partition) = self.consumer.assigned().get(n).copied() else {
            self.doing = Doing::Looping;
            return;
        };
        self.doing = Doing::Outlet(Waits::Committed(n));
        let call = match self.kept_offset(partition, fx) {
            Some(offset) => ConsumerCall::Seek(PartitionOffset { partition, offset }),
            None => ConsumerCall::Committed { partition, timeout: None },
        };
        self.consumer.call(now, call, fx);
    }

    /// `committed()`, or the `seek()` that followed, has returned.
    pub(super) fn went_back(&mut self, now: Time, n: usize, returned: &Returned, fx: &mut Effects) {
        let partition = self.consumer.assigned().get(n).copied();
        match (returned, partition) {
            (Returned::Offset(offset), Some(partition)) => {
                let first = self.finished.get(&partition).copied();
                let committed = (*offset != Offset::NONE).then_some(*offset);
                let Some(offset) = committed.or(first) else { return self.go_back(now, n + 1, fx) };
                self.consumer.call(
                    now,
                    ConsumerCall::Seek(PartitionOffset { partition, offset }),
                    fx,
                );
            }
            (Returned::Threw(Exception::Timeout), Some(_)) => self.go_back(now, n, fx),
            _ => self.go_back(now, n + 1, fx),
        }
    }

    /// `close()` of both clients, the producer's first: what it has goes out. `None`: there is no producer to close.
    pub(super) fn close_outlet(&mut self, now: Time, fx: &mut Effects) -> Option<Doing> {
        let outlet = self.outlet.as_mut()?;
        let timeout: Option<Duration> = None;
        outlet.act(fx, |producer, fx| producer.close(now, timeout, fx));
        Some(Doing::Outlet(Waits::Close))
    }
}

fn output(
    (batch, n): (crate::base::ids::BatchHandle, u32),
    topic: TopicId,
    names: &Names,
    batches: &BatchTable,
) -> Option<SendRequest> {
    let record = batches.record(batch, n);
    let RecordBody::Message(input) = record.body else { return None };
    let bytes = OUTPUT_BYTES + names.key(record.key).map_or(0, |key| key.len() as u32);
    let (message, key) = (names.output_of(input), record.key);
    let partition = None;
    Some(SendRequest { message, topic, partition, key, bytes, shift: 0, is_tombstone: false })
}
