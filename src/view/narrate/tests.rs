//! The words, checked as a reader sees them.

use super::*;
use crate::base::broker_set::BrokerSet;
use crate::base::config::Acks;
use crate::base::error::{ErrorCode, Exception};
use crate::base::group_records::MemberState;
use crate::base::ids::{
    BatchHandle, BrokerId, Generation, LeaderEpoch, MessageId, Offset, ProducerEpoch, RegexId,
};
use crate::base::names::Regex;
use crate::event::{
    Api, CommitKind, LeaveReason, LossReason, PositionReason, RebalanceCallback, WireLabel,
};
use crate::view::story::{BILLING, P0, Story, member};
use crate::view::transcript::{Transcript, printed};

fn facts(acks: Acks) -> Facts {
    let topic = TopicConfig { min_insync_replicas: 2, ..TopicConfig::default() };
    Facts {
        questions: Vec::new(),
        cluster: ClusterConfig { topics: vec![topic], ..ClusterConfig::default() },
        producers: vec![ProducerConfig { acks, ..ProducerConfig::default() }],
        consumers: vec![ConsumerConfig::default(); 2],
    }
}

/// The sentence of the story's last event.
fn last(story: &Story, facts: &Facts) -> String {
    let mut view = ClusterView::new(std::sync::Arc::clone(&story.names));
    let (event, before) = story.events.split_last().unwrap();
    for (n, event) in before.iter().enumerate() {
        view.apply(EventSeq(n as u32), event, &story.batches);
    }
    sentence(&Scene { before: &view, batches: &story.batches, facts }, event)
}

/// b1 alone has m4-m6; they are acknowledged.
fn alone() -> (Story, BatchHandle) {
    let mut story = Story::new();
    let safe = story.send(&[1, 2, 3]);
    story.replicate(&[1, 2, 3], safe, 0, 0);
    let batch = story.send(&[4, 5, 6]);
    story.append(1, batch, 3, 0);
    (story, batch)
}

#[test]
fn sentences_give_actor_effect_and_cause() {
    let (story, _) = alone();
    let text = "b1 appends m4-m6 at offsets 3 to 5 of orders-0, leader epoch 0; the HW stays at 3.";
    assert_eq!(last(&story, &Facts::default()), text);

    let (mut story, batch) = alone();
    story.acked(batch, 3);
    for (acks, text) in [
        (
            Acks::Leader,
            "checkout is told that m4-m6 are stored at offsets 3 to 5: acks=1 asks only the leader.",
        ),
        (
            Acks::All,
            "checkout is told that m4-m6 are stored at offsets 3 to 5: the HW is above, as acks=all asks.",
        ),
    ] {
        assert_eq!(last(&story, &facts(acks)), text);
    }
    let text = "checkout is told that m4-m6 are stored at offsets 3 to 5.";
    assert_eq!(last(&story, &Facts::default()), text, "no settings, no reason");

    story.fault(1, FaultKind::Kill);
    assert_eq!(
        last(&story, &Facts::default()),
        "b1 is killed (kill -9); m4-m6 are on its disk only."
    );
    story.registers(Some(2), 1, [2, 3].into_iter().map(BrokerId).collect());
    let text = "ctl1 elects b2, the next replica in the ISR, leader of orders-0, epoch 1; \
                its log ends at 3: m4-m6 are not in it.";
    assert_eq!(last(&story, &Facts::default()), text);
    story.truncate(1, 3, 0);
    assert_eq!(
        last(&story, &Facts::default()),
        "b1 learns that epoch 0 ended at 3 and cuts m4-m6."
    );

    let (mut story, batch) = alone();
    let (partition, error) = (P0, ErrorCode::NotEnoughReplicas);
    story.registers(Some(1), 0, BrokerSet::of(BrokerId(1)));
    story.broker(1, EventKind::AppendRefused { partition, batch, error });
    let text = "b1 refuses m4-m6 with NOT_ENOUGH_REPLICAS because the ISR has 1 member and min.insync.replicas is 2.";
    assert_eq!(last(&story, &facts(Acks::All)), text);
}

#[test]
fn a_second_copy_and_a_second_time_are_named() {
    let mut story = Story::new();
    let batch = story.send(&[4]);
    story.replicate(&[1], batch, 0, 0);
    story.append(1, batch, 1, 0);
    assert_eq!(
        last(&story, &Facts::default()),
        "b1 appends m4 a second time, at offset 1 of orders-0."
    );
    story.assign(0, 1, 0);
    story.poll(0, batch, 0);
    story.process(0, batch, 0, (0, 1));
    assert_eq!(last(&story, &Facts::default()), "c1 processes m4 of orders-0.");
    story.process(1, batch, 0, (0, 1));
    assert_eq!(last(&story, &Facts::default()), "c2 processes m4 of orders-0 again.");
}

/// One event of every kind, with the node it belongs to.
#[expect(clippy::too_many_lines, reason = "a table of events")]
fn every_kind(batch: BatchHandle) -> Vec<(NodeId, EventKind)> {
    use EventKind::*;
    let (b, c, p) = (NodeId::Broker(BrokerId(1)), NodeId::Consumer(0), NodeId::Producer(0));
    let (ctl, script) = (NodeId::Controller(1), NodeId::Script);
    let (partition, offset, group, member) = (P0, Offset(3), BILLING, member(0));
    let (base_offset, first, count) = (Offset(3), 0, 3);
    let (leader_epoch, epoch, broker) = (LeaderEpoch(1), LeaderEpoch(1), BrokerId(2));
    let isr = BrokerSet::of(BrokerId(2));
    let (message, exception, error) =
        (MessageId(4), Exception::Timeout, ErrorCode::NetworkException);
    let callback = RebalanceCallback::Lost;
    let (generation, kind) = (Generation(2), CommitKind::AutoPoll);
    let label = WireLabel {
        api: Api::Fetch,
        response: false,
        error: ErrorCode::None,
        partition: Some(partition),
        batch: BatchHandle::NONE,
        offset: 3,
    };
    vec![
        (p, Sent { message, partition: None }),
        (p, BatchReady { batch, partition }),
        (p, ProducerIdAssigned { producer_id: 4001, epoch: ProducerEpoch(0) }),
        (p, Acknowledged { batch, partition, base_offset: Offset::NONE }),
        (p, BatchFailed { batch, partition, exception }),
        (p, SendFailed { message, exception }),
        (p, Retry { batch, partition, error, replaces: batch }),
        (b, Appended { partition, batch, base_offset, leader_epoch }),
        (b, Deduplicated { partition, batch, base_offset }),
        (b, AppendRefused { partition, batch, error }),
        (b, HighWatermark { partition, offset }),
        (b, LogStart { partition, offset }),
        (b, Truncated { partition, to: offset, epoch }),
        (b, Flushed { partition, offset }),
        (b, OffsetRemoved { group, partition }),
        (b, SegmentRolled { partition, base_offset }),
        (b, SegmentDeleted { partition, base_offset, end: offset }),
        (b, BatchCompacted { partition, base_offset, batch: Some(batch) }),
        (b, SegmentMerged { partition, base_offset }),
        (b, LogCleaned { partition, to: offset }),
        (b, BecameLeader { partition, leader_epoch, end: offset }),
        (b, BecameFollower { partition, leader: None, leader_epoch }),
        (b, IsrProposed { partition, isr }),
        (b, IsrKnown { partition, isr }),
        (ctl, BrokerRegistered { broker, epoch: 7 }),
        (ctl, BrokerUnfenced { broker }),
        (ctl, BrokerFenced { broker }),
        (ctl, PartitionChanged { partition, leader: None, leader_epoch, isr, elr: isr }),
        (ctl, ControllerElected { epoch }),
        (ctl, ControllerResigned { epoch }),
        (ctl, MetadataAppended { epoch, end: offset }),
        (ctl, MetadataTruncated { to: offset }),
        (ctl, MetadataCommitted { epoch, offset }),
        (b, MetadataApplied { epoch, offset }),
        (c, PollCalled),
        (c, PollEmpty),
        (c, Polled { partition, batch, base_offset, first, count }),
        (c, Processed { partition, batch, base_offset, first, count }),
        (c, PositionSet { partition, offset, reason: PositionReason::ResetLatest }),
        (c, CommitSent { partition, offset, kind }),
        (c, CommitAnswered { partition, offset, kind, exception: Some(exception) }),
        (c, Callback { callback, count }),
        (c, CallbackPartition { callback, partition }),
        (c, Threw { exception }),
        (c, Closed),
        (b, GroupChanged { group, state: GroupState::Stable, generation }),
        (b, MemberJoined { group, member, leader: true }),
        (b, MemberLeft { group, member, reason: LeaveReason::SessionTimeout }),
        (b, MemberAssigned { group, member, partition }),
        (b, ConsumerGroupChanged { group, state: GroupState::Reconciling, epoch: 3 }),
        (b, RegexResolved { group, regex: RegexId(0), topics: 2 }),
        (b, TargetComputed { group, epoch: 3 }),
        (b, MemberTarget { group, member, partition }),
        (b, MemberEpoch { group, member, epoch: 3, state: MemberState::UnrevokedPartitions }),
        (b, MemberReleased { group, member, partition }),
        (b, OffsetCommitted { group, partition, offset }),
        (b, CoordinatorLoaded { group }),
        (b, Fault { kind: FaultKind::Freeze }),
        (script, Step { step: 0 }),
        (script, Question { question: 0 }),
        (script, Observed { observation: 0 }),
        (script, Quiesced),
        (script, Stuck),
        (script, Ended),
        (b, WireSent { wire: 1, to: p, arrives_in: 500, label }),
        (b, WireArrived { wire: 1 }),
        (b, WireLost { wire: 1, reason: LossReason::Dropped }),
    ]
}

#[test]
fn every_kind_of_event_has_one_short_sentence_in_kafkas_words() {
    let (mut story, batch) = alone();
    let regex = Regex { text: "orders-.*".to_owned(), fits: None };
    std::sync::Arc::make_mut(&mut story.names).regexes.push(regex);
    let view = story.view();
    for facts in [Facts::default(), facts(Acks::All)] {
        let scene = Scene { before: &view, batches: &story.batches, facts: &facts };
        for (node, kind) in every_kind(batch) {
            let event = Event { at: story.now, cause: EventSeq::NONE, node, kind };
            let text = sentence(&scene, &event);
            assert!(text.ends_with('.') && !text.contains('!'), "{text}");
            assert!(text.chars().count() <= MAX_SENTENCE, "{text}");
            assert!(!text.contains("nobody here has words"), "{kind:?}");
            for word in text.split([' ', '.', ',']).filter(|word| *word == "committed") {
                assert!(text.contains("offset"), "{word} without offset: {text}");
            }
        }
    }
}

#[test]
fn a_transcript_folds_sends_and_quiet_stretches() {
    let mut story = Story::new();
    story.now.0 -= 1_000;
    story.send(&[4, 5, 6]);
    // The three calls happen at one moment.
    let at = story.now;
    story.events.iter_mut().skip(2).for_each(|event| event.at = at);
    let label = WireLabel {
        api: Api::BrokerHeartbeat,
        response: false,
        error: ErrorCode::None,
        partition: None,
        batch: BatchHandle::NONE,
        offset: -1,
    };
    for wire in 0..4 {
        let (to, arrives_in) = (NodeId::Controller(1), 500);
        story.broker(1, EventKind::WireSent { wire, to, arrives_in, label });
    }
    story.now.0 += 8_300_000 - 5_000;
    story.fault(1, FaultKind::Kill);

    let view = ClusterView::new(std::sync::Arc::clone(&story.names));
    let mut transcript = Transcript::new(view, Facts::default(), Importance::Change);
    for (n, event) in story.events.iter().enumerate() {
        transcript.observe(EventSeq(n as u32), event, &story.batches);
    }
    let lines = transcript.take_lines();
    let text: Vec<String> = lines.iter().skip(2).map(printed).collect();
    assert_eq!(
        text,
        [
            "0.005 s  checkout sends m4-m6 to orders-0.",
            "0.005 s  8.3 s pass; 4 heartbeats, nothing else.",
            "8.305 s  FAULT: b1 is killed (kill -9).",
        ]
    );
}

#[test]
fn what_a_database_has_is_told_of_rows_and_of_where_an_application_reads_on() {
    use crate::base::tables::TableId;

    let mut story = Story::new();
    std::sync::Arc::make_mut(&mut story.names).tables = vec!["bills".to_owned()];
    let batch = story.send(&[0, 1]);
    let (table, partition, base_offset) = (TableId(0), P0, Offset(0));
    let rows = |once| {
        let (first, count) = (0, 2);
        EventKind::RowsInserted { table, partition, batch, base_offset, first, count, once }
    };
    let mut told = |kind| {
        story.consumer(0, kind);
        last(&story, &Facts::default())
    };
    assert_eq!(told(rows(false)), "c1 inserts 2 rows into bills: m0 m1.");
    assert_eq!(told(rows(false)), "c1 inserts 2 rows into bills: m0 m1; m0 m1 had a row already.");
    let text = "c1 inserts 2 rows into bills: m0 m1; the unique key refuses m0 m1.";
    assert_eq!(told(rows(true)), text);
    let (offset, reason) = (Offset(2), PositionReason::Seek);
    let seek = EventKind::PositionSet { partition, offset, reason };
    assert_eq!(told(seek), "c1 seeks to 2 in orders-0.");
    let kept = told(EventKind::OffsetKept { table, partition, offset });
    assert!(kept.starts_with("c1 keeps offset 2 of orders-0 in bills"), "{kept}");
    assert_eq!(told(seek), "c1 seeks to 2 in orders-0, the offset kept in bills.");
}
