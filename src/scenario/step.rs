//! The steps of a script, what it can wait for, and what it can observe. One variant is one word of the language;
//! `docs/scenarios.md` lists them for authors in the same order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scenario::schema::Settings;
use crate::scenario::value::{Span, Texts, TopicPartition};

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
    /// `unsubscribe()`.
    Unsubscribe(String),
    /// `assign(partitions)`.
    Assign(String, Vec<TopicPartition>),
    /// `poll()`, until enough records came.
    Poll(Poll),
    /// The application finishes records that `poll()` returned.
    Process(Process),
    /// `commitSync` or `commitAsync`.
    Commit(Commit),
    /// `seek(partition, offset)`.
    Seek(String, TopicPartition, i64),
    /// `position(partition, timeout)`.
    Position(AskPartition),
    /// `committed(partition, timeout)`.
    Committed(AskPartition),
    /// `beginningOffsets(partitions, timeout)`.
    BeginningOffsets(AskOffsets),
    /// `endOffsets(partitions, timeout)`.
    EndOffsets(AskOffsets),
    /// `close(timeout)`.
    CloseWithin(String, Span),

    // --- administrators -------------------------------------------------------------------------------------------
    /// `electLeaders(type, partitions)`; of all partitions where none is named.
    ElectLeaders(Election, Vec<TopicPartition>),
    /// `incrementalAlterConfigs` of a topic.
    AlterConfigs(String, Settings),
    /// `alterPartitionReassignments`: the partition is to have these replicas, in assignment order.
    Reassign(TopicPartition, Vec<u8>),
    /// The reassignment of a partition that is in progress is taken back.
    CancelReassignment(TopicPartition),

    /// `deleteRecords`: the partition's log starts at this offset afterwards; -1: at its high watermark.
    DeleteRecords(TopicPartition, i64),

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

/// What `Send` sends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The producer.
    pub from: String,
    /// The topic.
    pub to: String,
    /// How many records; 1 where neither this, `ids` nor `until` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Names for the messages in place of `m0`, `m1`, …. The name of an earlier message sends that one again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The key of every record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Keys, given in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The partition, chosen by the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Size of the value.
    #[serde(default = "default_bytes", skip_serializing_if = "is_default_bytes")]
    pub bytes: u32,
    /// How long before the call the records say they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// One record at a time, this far apart, beside the steps that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// With `every`: no more from the moment this is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Condition>,
}

/// Size of a value where a file does not say: bytes.
fn default_bytes() -> u32 {
    10
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_default_bytes(bytes: &u32) -> bool {
    *bytes == default_bytes()
}

/// Steps that are repeated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Every {
    /// How far apart.
    pub every: Span,
    /// How often at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// No more from the moment this is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Condition>,
    /// What.
    pub steps: Vec<Step>,
}

/// What `CutLog` cuts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutLog {
    /// On which broker.
    pub broker: Node,
    /// Which log.
    pub partition: TopicPartition,
    /// How many records; either this or `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u32>,
    /// Where the log ends afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

/// Which messages, and what happens to them. What is left out matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For `Release`, `Clear`, `Held` and `Hits`.
    pub name: String,
    /// Kafka's name of the request: `Produce`, `Fetch`, `OffsetCommit`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Requests or answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Who sends the message. (Of an answer: the broker.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Node>,
    /// Who is to receive it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Node>,
    /// The partition it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<TopicPartition>,
    /// A message (by id) it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Let so many matches pass first.
    #[serde(default)]
    pub skip: u32,
    /// Act on so many matches; on all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

/// Which half of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Side {
    /// The request.
    Request,
    /// Its answer: what was asked has been done already.
    Response,
}

/// What happens to a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// It waits until it is released.
    Hold,
    /// It never arrives; the connection stays.
    Drop,
    /// It arrives this much later.
    Delay(Span),
    /// It arrives twice.
    Duplicate,
    /// It never arrives and the connection breaks. Of a response: applied, and the answer lost.
    Close,
    /// A request is answered with this error and never reaches the broker; a response is changed to say so.
    Error(String),
}

/// `poll()` by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// Who.
    pub consumer: String,
    /// Time-out of each call.
    #[serde(default = "default_poll")]
    pub timeout: Span,
    /// Calls again until so many records came in all, or a call throws. 0: one call.
    #[serde(default)]
    pub records: u32,
    /// No further call once so much time has passed since the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

fn default_poll() -> Span {
    Span(crate::base::time::Duration::from_millis(100))
}

/// Which election.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Election {
    /// Of the first replica, if it is in the ISR.
    Preferred,
    /// Of any replica that is alive, if there is no leader.
    Unclean,
}

/// Records the application finishes: the oldest unfinished ones unless `ids` are given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Who.
    pub consumer: String,
    /// How many; all where neither this nor `ids` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// A commit by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Who.
    pub consumer: String,
    /// `commitSync` (the default) or `commitAsync`.
    #[serde(default)]
    pub how: CommitHow,
    /// Offsets by partition; the positions where left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offsets: BTreeMap<TopicPartition, i64>,
}

/// `position()` or `committed()` by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskPartition {
    /// Who.
    pub consumer: String,
    /// Of which partition.
    pub partition: TopicPartition,
    /// How long it may block; `default.api.timeout.ms` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// `beginningOffsets()` or `endOffsets()` by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskOffsets {
    /// Who.
    pub consumer: String,
    /// Of which partitions.
    pub partitions: Vec<TopicPartition>,
    /// How long it may block; `default.api.timeout.ms` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Which commit call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum CommitHow {
    /// `commitSync`.
    #[default]
    Sync,
    /// `commitAsync`.
    Async,
}

/// What a script can wait for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Condition {
    /// Every broker is registered and every partition led with a full ISR. Each script begins with it.
    Ready,
    /// Every record this producer sent is acknowledged or failed, and nothing of it is still to be sent.
    Completed(String),
    /// These messages are acknowledged.
    Acked(Vec<String>),
    /// These messages failed.
    Failed(Vec<String>),
    /// The controller's leader of the partition is a process that is running.
    LeaderElected(String, u32),
    /// This broker is the controller's leader.
    LeaderIs(String, u32, Node),
    /// The partition has no leader.
    NoLeader(String, u32),
    /// The ISR is exactly these brokers.
    Isr(String, u32, Vec<u8>),
    /// A controller is active.
    ControllerElected,
    /// This controller is the active one.
    ControllerIs(Node),
    /// No controller is active.
    NoController,
    /// The controller has fenced this broker.
    Fenced(Node),
    /// The controller has this broker as live.
    Unfenced(Node),
    /// The process is down.
    Down(Node),
    /// A replica's log holds this message.
    Stored(Node, String),
    /// A replica's log ends at least here.
    LogEnd(Node, TopicPartition, i64),
    /// The leader's high watermark is at least here.
    HighWatermark(String, u32, i64),
    /// The group is in this state: `"Stable"`, `"Empty"`, …
    Group(String, String),
    /// The group is `Stable` with so many members.
    Members(String, u32),
    /// The consumer has at least one partition.
    Assigned(String),
    /// The consumer has exactly these partitions.
    Owns(String, Vec<TopicPartition>),
    /// The committed offset of a group is at least here.
    Committed(String, TopicPartition, i64),
    /// `poll()` returned so many records to this consumer since it started.
    Polled(String, u64),
    /// The application of this consumer finished so many records since it started.
    Processed(String, u64),
    /// The group has committed everything that can be read: its lag is 0.
    CaughtUp(String),
    /// A rule holds at least so many messages.
    Held(String, u32),
    /// A rule has acted on at least so many messages.
    Hits(String, u32),
    /// Nothing is in motion: what `Quiesce` waits for.
    Settled,
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
}

/// What `Observe` can record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// Committed offsets of a group: `{"orders-0": 5}`, partitions without one left out.
    Committed(String),
    /// Fetch positions of a consumer: `{"orders-0": 5}`.
    Position(String),
    /// Ids that `poll()` returned to a consumer since the last time this was observed.
    Polled(String),
    /// Ids the application of a consumer finished, from the start of the run.
    Processed(String),
    /// Partitions a consumer owns: `["orders-0"]`.
    Assigned(String),
    /// Rebalance callbacks of a consumer in order: `[["onPartitionsAssigned", ["orders-0"]]]`.
    Callbacks(String),
    /// The class of the last exception a call of this client threw, or none: `"CommitFailedException"`.
    Exception(String),
    /// The exception of the administrator's last call, or none: `"PreferredLeaderNotAvailableException"`.
    AdminException,
    /// Number of the active controller, or none.
    ActiveController,
    /// Its epoch, or none.
    ControllerEpoch,
    /// State of a group: `"Stable"`.
    GroupState(String),
    /// Members of a group and what they own: `{"c1": ["orders-0"]}`.
    Members(String),
    /// Lag of a group: one number.
    Lag(String),
    /// What the last call by hand of a consumer came to: the class of what it threw; an offset; offsets by partition;
    /// none for a call without a result.
    Returned(String),
    /// Outcome of each message of a producer (offset, exception, open): `{"m0": 0, "m1": "TimeoutException"}`.
    Outcomes(String),
    /// How many records in a row a producer put into one partition at least; the last row counts if it is the only one.
    ShortestRun(String),
    /// A replica's log: `[[offset, id, leader epoch]]`.
    Log(Node, TopicPartition),
    /// Every replica's log of a partition: `{"b1": [[offset, id, leader epoch]]}`.
    Logs(TopicPartition),
    /// Number of the leader, or none.
    Leader(TopicPartition),
    /// Leader epoch.
    LeaderEpoch(TopicPartition),
    /// Replicas in assignment order, during a reassignment those that go last: `[1, 2, 3]`.
    Replicas(TopicPartition),
    /// ISR: `[1, 2, 3]`.
    Isr(TopicPartition),
    /// Eligible leader replicas: `[]`.
    Elr(TopicPartition),
    /// High watermark of a replica.
    HighWatermark(Node, TopicPartition),
    /// Log start of a replica.
    LogStart(Node, TopicPartition),
    /// Log end of a replica.
    LogEnd(Node, TopicPartition),
    /// What a fresh reader finds in a topic, by partition: `{"0": [[offset, id]]}`.
    Reads(String),
    /// The cluster as a recording's snapshot has it: `{"live_brokers": [..], "p0": {..}}` of one topic.
    Snapshot(String),
}

/// A question of a lesson.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is asked.
    pub text: Texts,
    /// What kind of answer; computed from the run.
    pub answer: Answer,
    /// How far off a number may be.
    #[serde(default)]
    pub within: u32,
    /// Hints, from vague to plain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Texts>,
    /// Beliefs behind wrong answers, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beliefs: Vec<Belief>,
}

/// Why somebody would give a wrong answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Belief {
    /// The wrong answer: a number, a name.
    pub says: String,
    /// What it rests on.
    pub text: Texts,
}

/// What kind of answer a question has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Which messages can still be read?
    Survivors,
    /// How many acknowledged messages are lost?
    Lost,
    /// How many messages are in the log more than once?
    Duplicated,
    /// How many messages are processed more than once?
    Repeated,
    /// How many messages are committed and never processed?
    Skipped,
    /// How many messages are never processed?
    Unprocessed,
    /// How many members of a group own nothing?
    Idle(String),
    /// Which broker leads?
    Leader(String, u32),
    /// Who owns this partition in this group?
    Owner(String, TopicPartition),
    /// Where will this group read on?
    Offset(String, TopicPartition),
    /// What was observed under this name?
    Observed(String),
    /// Which exception does the application get for this message?
    Error(String),
    /// In which order are the messages of a partition stored?
    Order(TopicPartition),
    /// How many seconds until this is true?
    Seconds(Condition),
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
            r#"[Observe("x",Log(Broker(1),"t-0")),Mark("x"),Wipe(Broker(1),true)]"#,
            r#"[ElectLeaders(Unclean,["t-0"]),AlterConfigs("t",{"min.insync.replicas":2})]"#,
            r#"[DeleteRecords("t-0",-1)]"#,
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
