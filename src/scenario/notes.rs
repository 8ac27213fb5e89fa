//! What a script wants to know and the cluster view does not keep: what each call of an application returned, in
//! order. Folded from events like the view.

use std::collections::BTreeMap;

use crate::base::batch::BatchTable;
use crate::base::error::Exception;
use crate::base::ids::{GroupId, MessageId, NodeId, Offset, PartitionId};
use crate::base::names::Names;
use crate::event::{CommitKind, Event, EventKind, FaultKind, RebalanceCallback};

/// One rebalance callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallbackNote {
    /// Which.
    pub callback: RebalanceCallback,
    /// With these partitions.
    pub partitions: Vec<PartitionId>,
}

/// What one consumer's application saw.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ConsumerNotes {
    /// Everything `poll()` returned, in order.
    pub polled: Vec<MessageId>,
    /// Everything it finished, in order.
    pub processed: Vec<MessageId>,
    /// Records `poll()` returned to the process that runs now.
    pub polled_by_process: u64,
    /// Records the process that runs now finished.
    pub processed_by_process: u64,
    /// How many calls of `poll()` have returned.
    pub polls: u64,
    /// How many calls of `commitSync()` have returned.
    pub commits: u64,
    /// How many calls of `close()` have returned.
    pub closes: u64,
    /// How many calls have thrown.
    pub throws: u64,
    /// Rebalance callbacks in order.
    pub callbacks: Vec<CallbackNote>,
    /// What the last call that threw threw.
    pub exception: Option<Exception>,
}

/// Of all consumers, by number.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Notes {
    /// By number.
    pub consumers: Vec<ConsumerNotes>,
    /// What the last call of each producer threw, its constructor included; `None` when it returned.
    pub producers: Vec<Option<Exception>>,
    /// What the application of each producer was told, in the order of the callbacks.
    pub told: Vec<Vec<(MessageId, Result<Offset, Exception>)>>,
    /// Who was given what for the how-manieth time, in order: share consumers.
    pub deliveries: Vec<(u16, MessageId, u16)>,
    /// What the administrator's last call threw.
    pub admin: Option<Exception>,
    /// Of each partition that a group reads, the highest offset that a member finished, and how often one finished a
    /// record below it.
    pub finished: BTreeMap<(GroupId, PartitionId), (Offset, u64)>,
    /// The group of each consumer.
    groups: Vec<Option<GroupId>>,
}

impl Notes {
    /// Nothing noted yet.
    pub fn new(names: &Names) -> Self {
        Self {
            consumers: vec![ConsumerNotes::default(); names.consumers.len()],
            producers: vec![None; names.producers.len()],
            told: vec![Vec::new(); names.producers.len()],
            deliveries: Vec::new(),
            admin: None,
            finished: BTreeMap::new(),
            groups: names.consumers.iter().map(|consumer| consumer.group).collect(),
        }
    }

    /// Folds one event in.
    pub fn apply(&mut self, event: &Event, batches: &BatchTable) {
        if let EventKind::AdminCalled { exception, .. } = event.kind {
            self.admin = exception;
        }
        let n = match event.node {
            NodeId::Producer(n) => return self.producer_event(usize::from(n), event, batches),
            NodeId::Consumer(n) => n,
            _ => return,
        };
        let notes = &mut self.consumers[usize::from(n)];
        let messages = |batch, first: u16, count: u16| {
            (first..first + count).filter_map(move |i| {
                match batches.record(batch, u32::from(i)).body {
                    crate::base::batch::RecordBody::Message(id) => Some(id),
                    _ => None,
                }
            })
        };
        match event.kind {
            EventKind::Polled { batch, first, count, .. } => {
                notes.polled.extend(messages(batch, first, count));
                notes.polled_by_process += u64::from(count);
                notes.polls += 1;
            }
            EventKind::Delivered { batch, first, count, delivery, .. } => {
                let ids = messages(batch, first, count);
                self.deliveries.extend(ids.map(|id| (n, id, delivery)));
            }
            EventKind::AcknowledgeAnswered { exception, .. } => {
                notes.exception = exception.or(notes.exception);
            }
            EventKind::PollEmpty => notes.polls += 1,
            EventKind::Processed { partition, batch, base_offset, first, count } => {
                notes.processed.extend(messages(batch, first, count));
                notes.processed_by_process += u64::from(count);
                if let Some(group) = self.groups[usize::from(n)] {
                    let key = (group, partition);
                    let (highest, late) = self.finished.entry(key).or_insert((Offset::NONE, 0));
                    let start = base_offset + i64::from(first);
                    let end = start + i64::from(count);
                    *late += (highest.0.min(end.0 - 1) + 1 - start.0).max(0) as u64;
                    *highest = (*highest).max(end + -1);
                }
            }
            EventKind::Callback { callback, .. } => {
                notes.callbacks.push(CallbackNote { callback, partitions: Vec::new() });
            }
            EventKind::CallbackPartition { partition, .. } => {
                if let Some(last) = notes.callbacks.last_mut() {
                    last.partitions.push(partition);
                }
            }
            EventKind::CommitAnswered { kind, exception, .. } => {
                notes.commits += u64::from(kind == CommitKind::Sync);
                if matches!(kind, CommitKind::Sync | CommitKind::Async) {
                    notes.exception = exception.or(notes.exception);
                }
            }
            EventKind::Threw { exception } => {
                notes.throws += 1;
                notes.exception = Some(exception);
            }
            EventKind::Closed => notes.closes += 1,
            EventKind::Fault { kind: FaultKind::Start } => {
                notes.polled_by_process = 0;
                notes.processed_by_process = 0;
            }
            _ => {}
        }
    }

    fn producer_event(&mut self, n: usize, event: &Event, batches: &BatchTable) {
        let told = &mut self.told[n];
        match event.kind {
            EventKind::Threw { exception } => self.producers[n] = Some(exception),
            EventKind::TransactionCalled { exception, .. } => self.producers[n] = exception,
            EventKind::SendFailed { message, exception } => told.push((message, Err(exception))),
            EventKind::BatchFailed { batch, exception, .. } => {
                told.extend(batches.messages(batch).map(|message| (message, Err(exception))));
            }
            EventKind::Acknowledged { batch, base_offset, .. } => {
                let offset = |n: usize| match base_offset {
                    Offset::NONE => base_offset,
                    base => Offset(base.0 + n as i64),
                };
                let messages = batches.messages(batch).enumerate();
                told.extend(messages.map(|(n, message)| (message, Ok(offset(n)))));
            }
            _ => {}
        }
    }
}
