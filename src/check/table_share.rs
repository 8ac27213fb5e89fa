//! Histories of share groups, for the table.

use super::*;
use crate::base::ids::{MemberId, Offset};
use crate::base::share::{AcknowledgeType, RecordState};
use crate::check::table_tests::{Case, sound, story};
use crate::event::SettleReason;
use crate::view::story::{BILLING, P0, Story, member};

fn loaded(s: &mut Story, broker: u8, start: i64) {
    let (group, partition, start) = (BILLING, P0, Offset(start));
    s.broker(broker, EventKind::SharePartitionLoaded { group, partition, start });
}

fn acquired(
    s: &mut Story,
    broker: u8,
    member: MemberId,
    (first, count): (i64, u32),
    delivery: u16,
) {
    let (group, partition, first) = (BILLING, P0, Offset(first));
    let what = EventKind::RecordsAcquired { group, partition, member, first, count, delivery };
    s.broker(broker, what);
}

fn settled(s: &mut Story, (first, count): (i64, u32), state: RecordState, reason: SettleReason) {
    let (group, partition, first) = (BILLING, P0, Offset(first));
    s.broker(1, EventKind::RecordsSettled { group, partition, first, count, state, reason });
}

fn accepted(s: &mut Story, first: i64, count: u32) {
    settled(s, (first, count), RecordState::Acknowledged, SettleReason::Acknowledged);
}

fn sent(s: &mut Story, first: i64, count: u32) {
    let (partition, first, kind) = (P0, Offset(first), AcknowledgeType::Accept);
    s.consumer(0, EventKind::AcknowledgeSent { partition, first, count, kind });
}

fn answered(s: &mut Story, first: i64, count: u32) {
    let (partition, first, exception) = (P0, Offset(first), None);
    s.consumer(0, EventKind::AcknowledgeAnswered { partition, first, count, exception });
}

/// b1 hands three records to c1, which accepts two; the lock of the third runs out and c2 gets it.
pub(super) fn shared(s: &mut Story) {
    loaded(s, 1, 0);
    acquired(s, 1, member(0), (0, 3), 1);
    sent(s, 0, 2);
    accepted(s, 0, 2);
    answered(s, 0, 2);
    settled(s, (2, 1), RecordState::Available, SettleReason::LockTimeout);
    acquired(s, 1, member(1), (2, 1), 2);
}

#[expect(clippy::too_many_lines, reason = "a table of histories")]
pub(super) fn cases() -> Vec<Case> {
    use Guarantee::{AcceptedStored, DeliveryLimit, DoneStaysDone, OneLock};
    let case = |guarantee, broken, holding| Case { guarantee, broken, holding };
    let after = |more: fn(&mut Story)| {
        story(|s| {
            shared(s);
            more(s);
        })
    };
    vec![
        case(
            OneLock,
            vec![(
                after(|s| acquired(s, 1, member(0), (2, 1), 3)),
                "c1 gets record 2 of orders-0, which c2 has.",
            )],
            vec![
                sound(),
                // The new leader knows of no locks, and b1 does not know that it is deposed.
                after(|s| {
                    loaded(s, 2, 2);
                    acquired(s, 2, member(0), (2, 1), 2);
                }),
            ],
        ),
        case(
            DoneStaysDone,
            vec![
                (
                    after(|s| acquired(s, 1, member(1), (1, 1), 2)),
                    "b1 hands out record 1 of orders-0, which is done with.",
                ),
                (
                    after(|s| {
                        loaded(s, 2, 0);
                        acquired(s, 2, member(1), (0, 1), 1);
                    }),
                    "b2 hands out record 0 of orders-0, which is done with.",
                ),
            ],
            vec![
                sound(),
                // b2 led once and does not know what b1 stored since.
                story(|s| {
                    loaded(s, 2, 0);
                    shared(s);
                    acquired(s, 2, member(1), (0, 1), 1);
                }),
                // Nobody stored yet that the last delivery ran out of time.
                after(|s| {
                    settled(s, (2, 1), RecordState::Archived, SettleReason::LockTimeout);
                    loaded(s, 2, 2);
                    acquired(s, 2, member(1), (2, 1), 2);
                }),
            ],
        ),
        case(
            AcceptedStored,
            vec![(
                after(|s| {
                    sent(s, 2, 1);
                    answered(s, 2, 1);
                }),
                "c1 is told that record 2 of orders-0 is accepted; nobody stored it.",
            )],
            vec![sound()],
        ),
        case(
            DeliveryLimit,
            vec![(
                after(|s| acquired(s, 1, member(1), (3, 1), 6)),
                "Record 3 of orders-0 is delivered 6 times; the limit is 5.",
            )],
            vec![sound()],
        ),
    ]
}
