//! From the words of a file to what applications do: subscriptions, loop steps, calls by hand.

use crate::app::{
    CommitMode, HandCall, LoopStep as AppStep, OnRevoked as AppOnRevoked, Subscription,
};
use crate::base::ids::{Generation, MemberId, Offset, PartitionId, TopicId};
use crate::base::names::Names;
use crate::base::share::AcknowledgeType;
use crate::base::tables::TableId;
use crate::event::TransactionCall;
use crate::kafka::api::PartitionOffset;
use crate::kafka::consumer::{ConsumerCall, DEFAULT_CLOSE_TIMEOUT, LogBound};
use crate::kafka::producer::GroupOffsets;
use crate::scenario::pattern::fitting;
use crate::scenario::schema::{Consumer, LoopStep, OnRevoked};
use crate::scenario::state::State;
use crate::scenario::step::{AcknowledgeHow, AskOffsets, CommitHow, SendOffsets, Step};
use crate::scenario::value::TopicPartition;
use crate::sim::world::ConsumerSpec;

/// What a consumer reads.
pub(super) fn subscription(names: &Names, consumer: &Consumer) -> Subscription {
    if let Some(pattern) = &consumer.pattern {
        Subscription::Pattern(fitting(names, pattern).unwrap_or_default())
    } else if let Some(text) = &consumer.regex {
        let regex = names.find_regex(text).expect("every regular expression of a file has its id");
        Subscription::Regex(regex, fitting(names, text).unwrap_or_default())
    } else if consumer.partitions.is_empty() {
        Subscription::Topics(consumer.topics.iter().filter_map(|t| names.find_topic(t)).collect())
    } else {
        let find = |p: &TopicPartition| {
            names.find_topic(&p.topic)?;
            names.find_partition(&p.topic, p.partition)
        };
        Subscription::Partitions(consumer.partitions.iter().filter_map(find).collect())
    }
}

/// True when the group decides what is read.
pub(super) fn subscribes(subscription: &Subscription) -> bool {
    match subscription {
        Subscription::Topics(topics) => !topics.is_empty(),
        Subscription::Pattern(_) | Subscription::Regex(..) => true,
        Subscription::Partitions(_) => false,
    }
}

/// True when this partition can be read under the subscription.
pub(super) fn reads(subscription: &Subscription, topic: TopicId, partition: PartitionId) -> bool {
    match subscription {
        Subscription::Topics(topics)
        | Subscription::Pattern(topics)
        | Subscription::Regex(_, topics) => topics.contains(&topic),
        Subscription::Partitions(partitions) => partitions.contains(&partition),
    }
}

fn mode(how: CommitHow) -> CommitMode {
    match how {
        CommitHow::Sync => CommitMode::Sync,
        CommitHow::Async => CommitMode::Async,
    }
}

/// The steps of a loop.
pub(super) fn loop_steps(names: &Names, steps: &[LoopStep]) -> Vec<AppStep> {
    let mut all = Vec::new();
    for step in steps {
        if let LoopStep::WorkAndAcknowledgeEach(each) = step {
            let then = kind(each.then);
            let poison = each.poison.iter().filter_map(|id| names.find_message(id));
            all.extend(poison.map(|message| AppStep::CannotProcess { message, then }));
        }
        all.push(loop_step(step, names));
    }
    all
}

fn kind(how: AcknowledgeHow) -> AcknowledgeType {
    match how {
        AcknowledgeHow::Accept => AcknowledgeType::Accept,
        AcknowledgeHow::Release => AcknowledgeType::Release,
        AcknowledgeHow::Reject => AcknowledgeType::Reject,
        AcknowledgeHow::Renew => AcknowledgeType::Renew,
    }
}

fn loop_step(step: &LoopStep, names: &Names) -> AppStep {
    if let Some((table, how)) = step.table() {
        return AppStep::Insert(names.find_table(table).unwrap_or(TableId(0)), how);
    }
    match step {
        LoopStep::WorkAndAcknowledgeEach(each) => AppStep::WorkAndAcknowledgeEach(each.work.0),
        LoopStep::Acknowledge(how) => AppStep::Acknowledge(kind(*how)),
        LoopStep::Produce(topic) => {
            AppStep::Produce(names.find_topic(topic.as_str()).unwrap_or(TopicId(0)))
        }
        LoopStep::Flush => AppStep::Flush,
        LoopStep::BeginTransaction => AppStep::BeginTransaction,
        LoopStep::SendOffsets => AppStep::SendOffsets,
        LoopStep::CommitTransaction => AppStep::CommitTransaction,
        LoopStep::Poll => AppStep::POLL,
        LoopStep::PollFor(timeout) => AppStep::Poll(timeout.0),
        LoopStep::Work(time) => AppStep::Work(time.0),
        LoopStep::WorkBatch(time) => AppStep::WorkBatch(time.0),
        LoopStep::WorkAndCommitEach(time) => AppStep::WorkAndCommitEach(time.0),
        LoopStep::HandOff(workers, work) => AppStep::HandOff { workers: *workers, work: work.0 },
        LoopStep::Commit(how) => AppStep::Commit(mode(*how)),
        LoopStep::CommitFinished(how) => AppStep::CommitFinished(mode(*how)),
        LoopStep::CommitLast(how) => AppStep::CommitLast(mode(*how)),
        LoopStep::Pause(time) => AppStep::Pause(time.0),
        other => unreachable!("{other:?} writes to a table"),
    }
}

/// What its listener does.
pub(super) fn on_revoked(then: OnRevoked) -> AppOnRevoked {
    match then {
        OnRevoked::Commit(how) => AppOnRevoked::Commit(mode(how)),
        OnRevoked::CommitFinished(how) => AppOnRevoked::CommitFinished(mode(how)),
    }
}

/// How far behind the end a loop's commits may stay for good; `None` for a loop that commits nothing.
pub(super) fn commit_slack(spec: &ConsumerSpec) -> Option<i64> {
    spec.group.filter(|_| !spec.config.share)?;
    if spec.steps.iter().any(|step| matches!(step, AppStep::CommitLast(_))) {
        return Some(1);
    }
    let by_hand = |step: &AppStep| {
        matches!(
            step,
            AppStep::Commit(_)
                | AppStep::CommitFinished(_)
                | AppStep::WorkAndCommitEach(_)
                | AppStep::SendOffsets
        )
    };
    (spec.config.enable_auto_commit || spec.steps.iter().any(by_hand)).then_some(0)
}

/// True when the loop finishes the records it polls.
pub(super) fn finishes(spec: &ConsumerSpec) -> bool {
    spec.steps.iter().any(|step| {
        matches!(
            step,
            AppStep::Work(_)
                | AppStep::WorkBatch(_)
                | AppStep::WorkAndCommitEach(_)
                | AppStep::WorkAndAcknowledgeEach(_)
                | AppStep::HandOff { .. }
                | AppStep::Produce(_)
        )
    })
}

/// The transactional producer a step calls, the call, and the offsets it takes; `None` when it is no such step, or this
/// variant lacks the producer.
pub(super) fn transaction_call(
    state: &State,
    step: &Step,
) -> Option<(u16, TransactionCall, Option<GroupOffsets>)> {
    let (name, call) = match step {
        Step::InitTransactions(name) => (name, TransactionCall::InitTransactions),
        Step::BeginTransaction(name) => (name, TransactionCall::BeginTransaction),
        Step::CommitTransaction(name) => (name, TransactionCall::CommitTransaction),
        Step::AbortTransaction(name) => (name, TransactionCall::AbortTransaction),
        Step::SendOffsetsToTransaction(send) => {
            let call = TransactionCall::SendOffsetsToTransaction;
            return Some((
                state.producer(&send.producer)?,
                call,
                Some(group_offsets(state, send)?),
            ));
        }
        _ => return None,
    };
    Some((state.producer(name)?, call, None))
}

fn group_offsets(state: &State, send: &SendOffsets) -> Option<GroupOffsets> {
    let consumer = send.consumer.as_ref().and_then(|name| state.consumer(name));
    let consumer = consumer.and_then(|n| state.sim.consumer(n).consumer().as_consumer());
    let (group, generation, member) = match (consumer, &send.group) {
        (Some(consumer), _) => consumer.group_metadata()?,
        (None, group) => (state.group(group.as_ref()?)?, Generation(-1), MemberId::UNKNOWN),
    };
    let given = send.offsets.iter().filter_map(|(at, offset)| {
        let (partition, offset) = (state.at(at)?, Offset(*offset));
        Some(PartitionOffset { partition, offset })
    });
    let offsets = match consumer {
        Some(consumer) if send.offsets.is_empty() => consumer.consumed(),
        _ => given.collect(),
    };
    Some(GroupOffsets { group, member, generation, offsets })
}

/// The consumer a step calls by hand and the call; `None` when it is no such step, or this variant lacks the consumer.
pub(super) fn hand_call(state: &State, step: &Step) -> Option<(u16, HandCall)> {
    let (name, call) = match step {
        Step::Poll(poll) => {
            let within = poll.within.map(|within| within.0);
            let call = HandCall::Poll { timeout: poll.timeout.0, records: poll.records, within };
            (&poll.consumer, call)
        }
        Step::GiveUp(records) => (&records.consumer, HandCall::GiveUp { count: records.count }),
        Step::Process(process) => (&process.consumer, HandCall::Process { count: process.count }),
        _ => {
            let (name, call) = consumer_call(state, step)?;
            (name, HandCall::Consumer(call))
        }
    };
    Some((state.consumer(name)?, call))
}

/// The call of a consumer that a step makes, and whose.
fn consumer_call<'a>(state: &State, step: &'a Step) -> Option<(&'a String, ConsumerCall)> {
    let offset =
        |partition: PartitionId, offset: i64| PartitionOffset { partition, offset: Offset(offset) };
    Some(match step {
        Step::Subscribe(name, topics) => {
            let topics = topics.iter().filter_map(|t| state.names().find_topic(t)).collect();
            (name, ConsumerCall::Subscribe(topics))
        }
        Step::SubscribePattern(name, pattern) => {
            (name, ConsumerCall::SubscribePattern(fitting(state.names(), pattern).ok()?))
        }
        Step::SubscribeRegex(name, text) => {
            (name, ConsumerCall::SubscribeRegex(state.names().find_regex(text)))
        }
        Step::Unsubscribe(name) => (name, ConsumerCall::Unsubscribe),
        Step::SeekToBeginning(name, of) => {
            (name, ConsumerCall::SeekTo(partitions(state, of), LogBound::Beginning))
        }
        Step::SeekToEnd(name, of) => {
            (name, ConsumerCall::SeekTo(partitions(state, of), LogBound::End))
        }
        Step::Pause(name, of) => (name, ConsumerCall::Pause(partitions(state, of))),
        Step::Resume(name, of) => (name, ConsumerCall::Resume(partitions(state, of))),
        Step::EnforceRebalance(name) => (name, ConsumerCall::EnforceRebalance),
        Step::Assign(name, of) => (name, ConsumerCall::Assign(partitions(state, of))),
        Step::Seek(name, partition, to) => {
            (name, ConsumerCall::Seek(offset(state.at(partition)?, *to)))
        }
        Step::Close(name) => (name, ConsumerCall::Close { timeout: DEFAULT_CLOSE_TIMEOUT }),
        Step::CloseWithin(name, timeout) => (name, ConsumerCall::Close { timeout: timeout.0 }),
        Step::Position(ask) => {
            let (partition, timeout) = (state.at(&ask.partition)?, ask.timeout.map(|t| t.0));
            (&ask.consumer, ConsumerCall::Position { partition, timeout })
        }
        Step::Committed(ask) => {
            let (partition, timeout) = (state.at(&ask.partition)?, ask.timeout.map(|t| t.0));
            (&ask.consumer, ConsumerCall::Committed { partition, timeout })
        }
        Step::BeginningOffsets(ask) => {
            (&ask.consumer, list_offsets(state, ask, LogBound::Beginning))
        }
        Step::EndOffsets(ask) => (&ask.consumer, list_offsets(state, ask, LogBound::End)),
        Step::Store(store) => {
            let given = store.offsets.iter();
            let offsets = given.filter_map(|(p, to)| Some(offset(state.at(p)?, *to))).collect();
            (&store.consumer, ConsumerCall::Store(offsets))
        }
        Step::Commit(commit) => {
            let given = commit.offsets.iter();
            let offsets = given.filter_map(|(p, to)| Some(offset(state.at(p)?, *to))).collect();
            let offsets = (!commit.offsets.is_empty()).then_some(offsets);
            let sync = commit.how == CommitHow::Sync;
            (&commit.consumer, ConsumerCall::Commit { sync, offsets })
        }
        Step::Acknowledge(say) => {
            let messages = say.ids.iter().filter_map(|id| state.names().find_message(id)).collect();
            (&say.consumer, ConsumerCall::Acknowledge { messages, kind: kind(say.how) })
        }
        _ => return None,
    })
}

fn partitions(state: &State, named: &[TopicPartition]) -> Vec<PartitionId> {
    named.iter().filter_map(|p| state.at(p)).collect()
}

fn list_offsets(state: &State, ask: &AskOffsets, end: LogBound) -> ConsumerCall {
    let partitions = ask.partitions.iter().filter_map(|p| state.at(p)).collect();
    ConsumerCall::ListOffsets { partitions, end, timeout: ask.timeout.map(|t| t.0) }
}
