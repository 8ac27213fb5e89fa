//! The steps of a script, what it can wait for, and what it can observe. One variant is one word of the language;
//! `docs/scenarios.md` lists them for authors in the same order.

mod arguments;
mod condition;
mod probe;
mod question;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scenario::schema::Settings;
use crate::scenario::value::{Span, Texts, TopicPartition};

pub use arguments::{
    AbortHanging, Acknowledge, AcknowledgeHow, Action, AskOffsets, AskPartition, Commit, CommitHow,
    CutLog, Election, Every, Poll, Process, Reset, ResetOffsets, Rule, Send, SendOffsets, Side,
    StoreOffsets,
};
pub use condition::{Condition, Marker};
pub use probe::Probe;
pub use question::{Answer, Belief, Question};

/// A process of the cluster or a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Node {
    /// Broker by number, from 1.
    Broker(u8),
    /// Controller by number, from 1.
    Controller(u8),
    /// The active controller at that moment.
    ActiveController,
    /// Producer or consumer by name.
    Client(String),
    /// The leader of a partition at that moment, as the controller has it.
    Leader(String, u32),
    /// The first replica of a partition, in assignment order, that is not its leader at that moment.
    Follower(String, u32),
    /// The broker that coordinates a group at that moment.
    Coordinator(String),
}

/// One step of a script. Steps run one after the other; each takes no virtual time unless it says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Step {
    // --- producers ----------------------------------------------------------------------------------------------
    /// `send()`.
    Send(Send),
    /// `flush()`: takes until every record sent before is acknowledged or failed.
    Flush(String),
    /// `close()` of a producer or consumer: takes until it returns. Kafka's default time-outs.
    Close(String),

    // --- time ---------------------------------------------------------------------------------------------------
    /// Virtual time passes.
    Sleep(Span),
    /// At this moment after the start of the run, beside the steps that follow.
    At(Span, Vec<Self>),
    /// Again and again, beside the steps that follow.
    Every(Every),
    /// Takes until the condition is true; a run that has to wait more than 10 minutes of virtual time is stuck.
    Await(Condition),
    /// Like `Await`, with a limit of its own.
    AwaitWithin(Span, Condition),
    /// Takes exactly this time, and the condition is expected not to become true in it.
    AwaitNot(Span, Condition),
    /// A name for a step, so that a variant can replace it (`script.<name>`).
    Named(String, Vec<Self>),

    // --- faults of processes ------------------------------------------------------------------------------------
    /// `kill -9`: memory is gone, disk and page cache stay.
    Kill(Node),
    /// Power loss: what was not flushed is gone too.
    PowerLoss(Node),
    /// `SIGSTOP`.
    Freeze(Node),
    /// `SIGCONT`.
    Thaw(Node),
    /// `SIGTERM`: an orderly shutdown begins. `Await(Down(..))` waits for its end.
    Stop(Node),
    /// Starts a process that is down. `Await(Unfenced(..))` waits until a broker takes part again.
    Start(Node),
    /// Empties the disk of a broker that is down; true keeps its `directory.id`.
    Wipe(Node, bool),
    /// Cuts the last records off a partition's log on a broker that is down.
    CutLog(CutLog),
    /// Deletes a partition's directory on a broker that is down.
    DeleteLog(Node, TopicPartition),

    // --- the network ----------------------------------------------------------------------------------------------
    /// Nothing passes between the two sides any more, in either direction.
    CutOff(Vec<Node>, Vec<Node>),
    /// The network is whole again.
    Heal,
    /// From now on something happens to some messages.
    On(Rule),
    /// What a rule holds goes on; the rule stays.
    Release(String),
    /// A rule ends; what it holds goes on.
    Clear(String),
    /// Every rule ends; what they hold goes on.
    ClearRules,

    // --- consumers by hand ----------------------------------------------------------------------------------------
    /// `subscribe(topics)`.
    Subscribe(String, Vec<String>),
    /// `subscribe(pattern)`.
    SubscribePattern(String, String),
    /// `subscribe(SubscriptionPattern)`.
    SubscribeRegex(String, String),
    /// `unsubscribe()`.
    Unsubscribe(String),
    /// `assign(partitions)`.
    Assign(String, Vec<TopicPartition>),
    /// `poll()`, until enough records came.
    Poll(Poll),
    /// The application finishes records that `poll()` returned.
    Process(Process),
    /// The application gives up the oldest records it has not finished: it logs an error and goes on.
    GiveUp(Process),
    /// `acknowledge()` of a share consumer.
    Acknowledge(Acknowledge),
    /// `commitSync` or `commitAsync`.
    Commit(Commit),
    /// `store_offsets(offsets)` of a consumer of librdkafka.
    Store(StoreOffsets),
    /// `seek(partition, offset)`.
    Seek(String, TopicPartition, i64),
    /// `seekToBeginning(partitions)`; of all that are assigned where none is named.
    SeekToBeginning(String, Vec<TopicPartition>),
    /// `seekToEnd(partitions)`; of all that are assigned where none is named.
    SeekToEnd(String, Vec<TopicPartition>),
    /// `pause(partitions)`.
    Pause(String, Vec<TopicPartition>),
    /// `resume(partitions)`.
    Resume(String, Vec<TopicPartition>),
    /// `enforceRebalance()`.
    EnforceRebalance(String),
    /// `position(partition, timeout)`.
    Position(AskPartition),
    /// `committed(partition, timeout)`.
    Committed(AskPartition),
    /// `beginningOffsets(partitions, timeout)`.
    BeginningOffsets(AskOffsets),
    /// `endOffsets(partitions, timeout)`.
    EndOffsets(AskOffsets),
    /// `close(timeout)` of a producer or consumer: takes until it returns.
    CloseWithin(String, Span),

    // --- transactional producers ----------------------------------------------------------------------------------
    /// `initTransactions()`: takes until it returns, as do the others.
    InitTransactions(String),
    /// `beginTransaction()`.
    BeginTransaction(String),
    /// `sendOffsetsToTransaction(offsets, groupMetadata)`.
    SendOffsetsToTransaction(SendOffsets),
    /// `commitTransaction()`.
    CommitTransaction(String),
    /// `abortTransaction()`.
    AbortTransaction(String),

    // --- administrators -------------------------------------------------------------------------------------------
    /// `electLeaders(type, partitions)`; of all partitions where none is named.
    ElectLeaders(Election, Vec<TopicPartition>),
    /// `incrementalAlterConfigs` of a topic.
    AlterConfigs(String, Settings),
    /// `alterPartitionReassignments`: the partition is to have these replicas, in assignment order.
    Reassign(TopicPartition, Vec<u8>),
    /// The reassignment of a partition that is in progress is taken back.
    CancelReassignment(TopicPartition),

    /// `createPartitions`: the topic is to have so many.
    CreatePartitions(String, u32),
    /// `createTopics` of one that is declared with `created: ByScript`.
    CreateTopic(String),
    /// `alterConsumerGroupOffsets`.
    AlterOffsets(String, BTreeMap<TopicPartition, i64>),
    /// `deleteConsumerGroupOffsets`.
    DeleteOffsets(String, Vec<TopicPartition>),
    /// `deleteConsumerGroups`, `deleteShareGroups`.
    DeleteGroup(String),
    /// `kafka-consumer-groups.sh --reset-offsets --execute`.
    ResetOffsets(ResetOffsets),
    /// `alterShareGroupOffsets`.
    AlterShareOffsets(String, BTreeMap<TopicPartition, i64>),
    /// `deleteShareGroupOffsets`, of these topics.
    DeleteShareOffsets(String, Vec<String>),
    /// `kafka-share-groups.sh --reset-offsets --execute`.
    ResetShareOffsets(ResetOffsets),
    /// `deleteRecords`: the partition's log starts at this offset afterwards; -1: at its high watermark.
    DeleteRecords(TopicPartition, i64),

    /// `kafka-transactions.sh abort`: the administrator ends a transaction in one partition.
    AbortHangingTransaction(AbortHanging),

    // --- looking --------------------------------------------------------------------------------------------------
    /// Records a fact under a name.
    Observe(String, Probe),
    /// A mark on the time line.
    Mark(String),
    /// A sentence of the lesson.
    Say(Texts),
    /// A question of the lesson; the answer is read from the run at the next question or the end.
    Ask(Question),
    /// Heals cuts, rules and frozen processes, then takes until everything has settled.
    Quiesce,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ron::extensions::Extensions;

    #[test]
    fn words_with_named_fields_have_one_pair_of_parentheses() {
        let options = ron::Options::default()
            .with_default_extension(Extensions::IMPLICIT_SOME)
            .with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES);
        for text in [
            r#"[Send(from:"p",to:"t",count:3)]"#,
            r#"[Kill(Leader("orders",0)),Thaw(Broker(2)),Await(Completed("p"))]"#,
            r#"[At("1s",[Quiesce,Sleep("2s")]),Await(All([Ready,Not(NoLeader("t",0))]))]"#,
            r#"[On(name:"r",api:"Produce",side:Response,contains:"m3",do:Error("NOT_CONTROLLER"))]"#,
            r#"[Poll(consumer:"A"),Commit(consumer:"A",offsets:{"t-0":5}),Seek("A","t-0",5)]"#,
            r#"[Observe("x",Committed("g")),Ask(text:{"en":"?"},answer:Survivors),Say({"en":"x"})]"#,
            r#"[Position(consumer:"A",partition:"t-0",timeout:"5ms"),CloseWithin("A","0ms")]"#,
            r#"[EndOffsets(consumer:"A",partitions:["t-0"]),Poll(consumer:"A",records:1,within:"1s")]"#,
            r#"[Kill(ActiveController),Await(ControllerIs(Controller(2))),AwaitNot("5s",NoController)]"#,
            r#"[Await(ControllerElected),Observe("c",ActiveController),Observe("e",ControllerEpoch)]"#,
            r#"[CutOff([ActiveController,Broker(1)],[Controller(2),Client("p")])]"#,
            r#"[Pause("A",["t-0"]),Resume("A",["t-0"]),SeekToBeginning("A",[]),SeekToEnd("A",["t-0"])]"#,
            r#"[SubscribePattern("A","t.*"),SubscribeRegex("A","t.*"),EnforceRebalance("A"),Observe("x",Paused("A"))]"#,
            r#"[Observe("x",Log(Broker(1),"t-0")),Mark("x"),Wipe(Broker(1),true)]"#,
            r#"[ElectLeaders(Unclean,["t-0"]),AlterConfigs("t",{"min.insync.replicas":2})]"#,
            r#"[Store(consumer:"c",offsets:{"t-0":5})]"#,
            r#"[AbortHangingTransaction(partition:"t-0"),AbortHangingTransaction(partition:"t-0",start_offset:3)]"#,
            r#"[DeleteRecords("t-0",-1),CreatePartitions("t",6),CreateTopic("t"),DeleteGroup("g")]"#,
            r#"[AlterOffsets("g",{"t-0":3}),DeleteOffsets("g",["t-0"])]"#,
            r#"[AlterShareOffsets("g",{"t-0":3}),DeleteShareOffsets("g",["t"])]"#,
            r#"[ResetShareOffsets(group:"g",topic:"t",to:Datetime("20s"))]"#,
            r#"[ResetOffsets(group:"g",topic:"t",to:ShiftBy(-3)),Send(from:"p",to:"t",tombstone:true)]"#,
            r#"[InitTransactions("p"),SendOffsetsToTransaction(producer:"p",consumer:"A")]"#,
            r#"[Reassign("t-0",[4,2]),CancelReassignment("t-0"),Observe("x",AdminException)]"#,
        ] {
            let steps: Vec<Step> = options.from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let written = options.to_string(&steps).unwrap();
            let again: Vec<Step> =
                options.from_str(&written).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(steps, again, "{written}");
        }
    }
}
