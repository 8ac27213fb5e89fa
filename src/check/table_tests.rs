//! The table of histories: for each guarantee some that break it and some that do not.

use super::*;
use crate::base::ids::{BrokerId, LeaderEpoch, Offset};
use crate::event::{CommitKind, PositionReason};
use crate::view::story::{BILLING, P0, Story, member};

/// A history of each kind for one guarantee.
pub(super) struct Case {
    pub(super) guarantee: Guarantee,
    /// Histories that break it, each with a part of the sentence.
    pub(super) broken: Vec<(Story, &'static str)>,
    pub(super) holding: Vec<Story>,
}

pub(super) fn story(tell: impl FnOnce(&mut Story)) -> Story {
    let mut story = Story::new();
    tell(&mut story);
    story
}

/// Three messages on three replicas, acknowledged; c1 read, processed and committed them.
pub(super) fn sound() -> Story {
    story(|s| {
        let batch = s.send_idempotent(&[0, 1, 2], 0);
        s.replicate(&[1, 2, 3], batch, 0, 0);
        s.acked(batch, 0);
        s.assign(0, 1, 0);
        s.consumer(0, EventKind::PollCalled);
        s.poll(0, batch, 0);
        s.process(0, batch, 0, (0, 3));
        s.consumer(0, EventKind::PollCalled);
        commit_sent(s, CommitKind::AutoPoll, 3);
        s.commit(3);
        let (partition, offset, kind) = (P0, Offset(3), CommitKind::AutoPoll);
        s.consumer(0, EventKind::CommitAnswered { partition, offset, kind, exception: None });
        s.leads(2, 1, &[2, 3]);
        restarted(s, 3);
        table_quorum::failover(s);
        table_share::shared(s);
    })
}

fn commit_sent(s: &mut Story, kind: CommitKind, offset: i64) {
    let offset = Offset(offset);
    s.consumer(0, EventKind::CommitSent { partition: P0, offset, kind });
}

/// c1 commits `offset` and is told that it is stored.
fn committed(s: &mut Story, offset: i64) {
    commit_sent(s, CommitKind::Sync, offset);
    s.commit(offset);
    let (partition, offset, kind) = (P0, Offset(offset), CommitKind::Sync);
    s.consumer(0, EventKind::CommitAnswered { partition, offset, kind, exception: None });
}

/// c2 takes the partition over at `position`, as committed.
fn restarted(s: &mut Story, position: i64) {
    s.assign(1, 2, position);
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = delivery();
    cases.extend(replication());
    cases.extend(clients());
    cases.extend(table_isr::cases());
    cases.extend(table_quorum::cases());
    cases.extend(table_share::cases());
    cases.extend(table_transactions::cases());
    cases.extend(table_transactions::endings());
    cases
}

#[expect(clippy::too_many_lines, reason = "a table of histories")]
fn delivery() -> Vec<Case> {
    use Guarantee::*;
    let case = |guarantee, broken, holding| Case { guarantee, broken, holding };
    vec![
        case(
            LostWrite,
            vec![
                (
                    story(|s| {
                        let batch = s.send(&[4, 5, 6]);
                        s.append(1, batch, 0, 0);
                        s.acked(batch, 0);
                        s.leads(2, 1, &[2, 3]);
                    }),
                    "m4-m6 were acknowledged and are gone (truncated).",
                ),
                (
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.acked(batch, -1);
                    }),
                    "m0 was acknowledged and is gone (never-stored).",
                ),
                (
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.replicate(&[1, 2, 3], batch, 0, 0);
                        s.acked(batch, 0);
                        for n in 1..=3 {
                            s.fault(n, FaultKind::WipeDisk);
                        }
                    }),
                    "(all-replicas-lost)",
                ),
            ],
            vec![sound()],
        ),
        case(
            DuplicateAppend,
            vec![(
                story(|s| {
                    let batch = s.send(&[1]);
                    s.append(1, batch, 0, 0);
                    s.append(1, batch, 1, 0);
                }),
                "m1 is stored more than once; m1 at offsets 0 and 1.",
            )],
            vec![sound()],
        ),
        case(
            DuplicateProcess,
            vec![(
                story(|s| {
                    let batch = s.send(&[0, 1]);
                    s.replicate(&[1], batch, 0, 0);
                    s.assign(0, 1, 0);
                    s.poll(0, batch, 0);
                    s.process(0, batch, 0, (0, 2));
                    s.assign(1, 2, 0);
                    s.poll(1, batch, 0);
                    s.process(1, batch, 0, (1, 1));
                }),
                "m1 was processed more than once.",
            )],
            vec![sound()],
        ),
        case(
            ReorderedSend,
            vec![(
                story(|s| {
                    let (first, second) = (s.send(&[0]), s.send(&[1]));
                    s.append(1, second, 0, 0);
                    s.append(1, first, 1, 0);
                }),
                "m0 is behind messages sent later; m1 stands before m0.",
            )],
            vec![sound()],
        ),
        case(
            CommitPastUnprocessed,
            vec![(
                story(|s| {
                    let batch = s.send(&[0, 1, 2]);
                    s.replicate(&[1, 2, 3], batch, 0, 0);
                    s.assign(0, 1, 0);
                    s.poll(0, batch, 0);
                    s.commit(3);
                    s.process(0, batch, 0, (0, 1));
                    s.consumer(0, EventKind::Fault { kind: FaultKind::Kill });
                }),
                "m1 m2 were never processed, and billing's committed offset has passed them.",
            )],
            vec![sound()],
        ),
        case(
            Reread,
            vec![(
                story(|s| {
                    let batch = s.send(&[0, 1, 2]);
                    s.replicate(&[1], batch, 0, 0);
                    s.assign(0, 1, 0);
                    s.poll(0, batch, 0);
                    set_position(s, 0, PositionReason::ResetEarliest);
                }),
                "c1 read orders-0 up to 3 and goes back to 0.",
            )],
            vec![sound()],
        ),
        case(
            Skip,
            vec![(
                story(|s| {
                    let batch = s.send(&[0, 1, 2]);
                    s.replicate(&[1], batch, 0, 0);
                    s.assign(0, 1, 0);
                    set_position(s, 3, PositionReason::ResetLatest);
                }),
                "c1 read orders-0 up to 0 and goes on at 3.",
            )],
            vec![sound()],
        ),
        case(
            Unseen,
            vec![(
                story(|s| {
                    let batch = s.send(&[0, 1]);
                    s.replicate(&[1], batch, 0, 0);
                    s.assign(0, 1, 0);
                }),
                "m0 m1 were readable and never handed to billing.",
            )],
            vec![sound()],
        ),
    ]
}

fn set_position(s: &mut Story, offset: i64, reason: PositionReason) {
    let offset = Offset(offset);
    s.consumer(0, EventKind::PositionSet { partition: P0, offset, reason });
}

#[expect(clippy::too_many_lines, reason = "a table of histories")]
fn replication() -> Vec<Case> {
    use Guarantee::*;
    let case = |guarantee, broken, holding| Case { guarantee, broken, holding };
    vec![
        case(
            HighWatermarkMoves,
            vec![
                (
                    story(|s| {
                        s.high_watermark(1, 1);
                    }),
                    "beyond its LEO 0",
                ),
                (
                    story(|s| {
                        let batch = s.send(&[0, 1]);
                        s.replicate(&[1], batch, 0, 0);
                        s.high_watermark(1, 1);
                    }),
                    "b1 moves the HW of orders-0 back from 2 to 1.",
                ),
                (
                    story(|s| {
                        let batch = s.send(&[0, 1]);
                        s.replicate(&[1], batch, 0, 0);
                        s.truncate(1, 0, 0);
                    }),
                    "b1 truncates orders-0 to 0, below its HW 2.",
                ),
            ],
            vec![
                sound(),
                // After a restart the high watermark is the checkpointed one.
                story(|s| {
                    let batch = s.send(&[0, 1]);
                    s.replicate(&[1, 2], batch, 0, 0);
                    s.fault(1, FaultKind::Kill);
                    s.fault(1, FaultKind::Start);
                    s.high_watermark(1, 0);
                }),
            ],
        ),
        case(
            IsrHoldsCommitted,
            vec![
                (
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.append(1, batch, 0, 0);
                        s.append(2, batch, 0, 0);
                        s.high_watermark(1, 1);
                    }),
                    "The HW of orders-0 is 1, but b3, in the ISR, ends at 0.",
                ),
                (
                    story(|s| {
                        s.registers(Some(1), 0, [1].into_iter().map(BrokerId).collect());
                        let batch = s.send(&[0]);
                        s.replicate(&[1], batch, 0, 0);
                        s.registers(Some(1), 0, [1, 2].into_iter().map(BrokerId).collect());
                    }),
                    "but b2, in the ISR, ends at 0",
                ),
                (
                    story(|s| {
                        s.leads(1, 2, &[1, 2]);
                        let batch = s.send(&[0]);
                        s.append(2, batch, 0, 2);
                        s.append(1, batch, 0, 2);
                        s.high_watermark(1, 1);
                    }),
                    "b1 moves the HW of orders-0 to 1; b2 has not heard of epoch 2.",
                ),
            ],
            vec![story(|s| {
                let batch = s.send(&[0]);
                s.replicate(&[1, 2, 3], batch, 0, 0);
            })],
        ),
        case(
            Registration,
            vec![
                (
                    story(|s| {
                        s.leads(3, 1, &[1, 2]);
                    }),
                    "b3 leads orders-0 and is not in its ISR",
                ),
                (
                    story(|s| {
                        s.leads(1, 1, &[1, 4]);
                    }),
                    "not among its replicas",
                ),
            ],
            vec![sound()],
        ),
        case(
            LeaderEpochs,
            vec![
                (
                    story(|s| {
                        s.leads(2, 0, &[2]);
                    }),
                    "two leaders under epoch 0",
                ),
                (
                    story(|s| {
                        s.leads(2, 2, &[2]);
                        s.leads(2, 1, &[2]);
                    }),
                    "goes back from 2 to 1",
                ),
                (
                    story(|s| {
                        let (leader_epoch, end) = (LeaderEpoch(5), Offset(0));
                        s.broker(2, EventKind::BecameLeader { partition: P0, leader_epoch, end });
                    }),
                    "b2 leads orders-0 under epoch 5",
                ),
            ],
            vec![sound()],
        ),
        case(
            LogMatching,
            vec![
                (
                    story(|s| {
                        let (one, other) = (s.send(&[0]), s.send(&[1]));
                        s.append(1, one, 0, 0);
                        s.append(2, other, 0, 0);
                    }),
                    "b2 and b1 have different logs of orders-0 at or before 0.",
                ),
                (
                    // A new follower keeps its divergent tail and goes on behind it.
                    story(|s| {
                        let (one, other, next) = (s.send(&[0]), s.send(&[1]), s.send(&[2]));
                        s.append(1, one, 0, 0);
                        s.append(2, other, 0, 1);
                        s.append(2, next, 1, 1);
                        s.append(1, next, 1, 1);
                    }),
                    "b1 and b2 have different logs of orders-0 at or before 1.",
                ),
            ],
            vec![sound()],
        ),
        case(
            LeaderComplete,
            vec![(
                story(|s| {
                    let batch = s.send(&[0]);
                    s.append(1, batch, 0, 0);
                    s.high_watermark(1, 1);
                    s.leads(2, 1, &[2]);
                }),
                "b2 becomes leader of orders-0 with a log that ends at 0; the HW was 1.",
            )],
            vec![sound()],
        ),
        case(
            AckedSurvives,
            vec![
                (
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.append(1, batch, 0, 0);
                        s.acked(batch, 0);
                    }),
                    "acks=all acknowledged m0 at offset 0 while the HW was 0.",
                ),
                (
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.replicate(&[1], batch, 0, 0);
                        s.acked(batch, 0);
                        s.leads(2, 1, &[2]);
                    }),
                    "acks=all acknowledged m0, and b2 becomes leader without it.",
                ),
            ],
            vec![sound()],
        ),
        case(
            AckWasStored,
            vec![(
                story(|s| {
                    let batch = s.send(&[0]);
                    s.acked(batch, 4);
                }),
                "m0 acknowledged at offset 4, where no broker had appended it.",
            )],
            vec![sound()],
        ),
        case(
            SequenceGapless,
            vec![
                (
                    story(|s| {
                        let batch = s.send_idempotent(&[0, 1], 0);
                        s.append(1, batch, 0, 0);
                        s.append(1, batch, 2, 0);
                    }),
                    "b1 appends m0 m1 with sequence 0 where 2 was next.",
                ),
                (
                    story(|s| {
                        let first = s.send_idempotent(&[0], 0);
                        s.append(1, first, 0, 0);
                        let gap = s.send_idempotent(&[1], 2);
                        s.append(1, gap, 1, 0);
                    }),
                    "with sequence 2 where 1 was next",
                ),
            ],
            // After a truncation the retry goes on where the log does.
            vec![story(|s| {
                let first = s.send_idempotent(&[0], 0);
                let second = s.send_idempotent(&[1], 1);
                s.append(1, first, 0, 0);
                s.append(1, second, 1, 0);
                s.truncate(1, 1, 0);
                s.append(1, second, 1, 1);
            })],
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table of histories")]
fn clients() -> Vec<Case> {
    use Guarantee::*;
    let case = |guarantee, broken, holding| Case { guarantee, broken, holding };
    vec![
        case(
            ReadBelowHighWatermark,
            vec![(
                story(|s| {
                    let batch = s.send(&[0]);
                    s.append(1, batch, 0, 0);
                    s.assign(0, 1, 0);
                    s.poll(0, batch, 0);
                }),
                "c1 reads orders-0 up to 1; no HW was above 0.",
            )],
            vec![sound()],
        ),
        case(
            OneOwner,
            vec![
                (
                    story(|s| {
                        s.assign(0, 1, 0);
                        let (group, partition) = (BILLING, P0);
                        s.broker(
                            1,
                            EventKind::MemberJoined { group, member: member(1), leader: false },
                        );
                        s.broker(
                            1,
                            EventKind::MemberAssigned { group, member: member(1), partition },
                        );
                    }),
                    "c1 and c2 both own orders-0 in generation 1.",
                ),
                (
                    story(|s| {
                        let (group, partition) = (BILLING, P0);
                        s.broker(
                            1,
                            EventKind::MemberAssigned { group, member: member(0), partition },
                        );
                    }),
                    "orders-0 is given to c1, which is not in the group.",
                ),
            ],
            vec![sound()],
        ),
        case(
            CommitWithinHanded,
            vec![(
                story(|s| {
                    let batch = s.send(&[0, 1]);
                    s.replicate(&[1], batch, 0, 0);
                    s.assign(0, 1, 0);
                    s.consumer(0, EventKind::PollCalled);
                    s.poll(0, batch, 0);
                    commit_sent(s, CommitKind::AutoPoll, 2);
                }),
                "c1 commits offset 2 of orders-0; poll() had handed out up to 0.",
            )],
            vec![sound()],
        ),
        case(
            CommittedKept,
            vec![
                (
                    story(|s| {
                        s.assign(0, 1, 0);
                        committed(s, 3);
                        restarted(s, 1);
                    }),
                    "c2 starts orders-0 at 1 although offset 3 was committed.",
                ),
                (
                    // The new coordinator tells what it read, and that is not all there was.
                    story(|s| {
                        s.assign(0, 1, 0);
                        committed(s, 1);
                        committed(s, 3);
                        s.broker(1, EventKind::CoordinatorLoaded { group: BILLING });
                        s.now.0 -= 1_000;
                        s.commit(1);
                        restarted(s, 1);
                    }),
                    "c2 starts orders-0 at 1 although offset 3 was committed.",
                ),
            ],
            vec![sound()],
        ),
    ]
}
