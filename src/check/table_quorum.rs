//! Histories of the metadata quorum, for the table.

use super::*;
use crate::base::ids::{BrokerId, LeaderEpoch, NodeId, Offset};
use crate::check::table_tests::{Case, sound, story};
use crate::view::story::Story;

fn tell(s: &mut Story, n: u8, kind: EventKind) {
    s.push(NodeId::Controller(n), kind);
}

fn appended(s: &mut Story, controllers: &[u8], epoch: i32, end: i64) {
    let (epoch, end) = (LeaderEpoch(epoch), Offset(end));
    for n in controllers {
        tell(s, *n, EventKind::MetadataAppended { epoch, end });
    }
}

fn commits(s: &mut Story, n: u8, epoch: i32, offset: i64) {
    let (epoch, offset) = (LeaderEpoch(epoch), Offset(offset));
    tell(s, n, EventKind::MetadataCommitted { epoch, offset });
}

fn elected(s: &mut Story, n: u8, epoch: i32) {
    tell(s, n, EventKind::ControllerElected { epoch: LeaderEpoch(epoch) });
}

fn applied(s: &mut Story, epoch: i32, offset: i64) {
    let (epoch, offset) = (LeaderEpoch(epoch), Offset(offset));
    s.push(NodeId::Broker(BrokerId(1)), EventKind::MetadataApplied { epoch, offset });
}

/// ctl1 commits five records, writes two that nobody has, and ctl2 takes over.
pub(super) fn failover(s: &mut Story) {
    appended(s, &[1, 2, 3], 1, 5);
    commits(s, 1, 1, 5);
    applied(s, 1, 5);
    appended(s, &[1], 1, 7);
    elected(s, 2, 2);
    appended(s, &[2, 3], 2, 6);
    commits(s, 2, 2, 6);
    applied(s, 2, 6);
    tell(s, 1, EventKind::MetadataTruncated { to: Offset(5) });
    appended(s, &[1], 2, 6);
    commits(s, 1, 2, 6);
}

pub(super) fn cases() -> Vec<Case> {
    let after = |more: fn(&mut Story)| {
        story(|s| {
            failover(s);
            more(s);
        })
    };
    let leaders = vec![(after(|s| elected(s, 3, 2)), "ctl2 and ctl3 are both elected in epoch 2")];
    let committed = vec![
        (
            after(|s| tell(s, 3, EventKind::MetadataTruncated { to: Offset(4) })),
            "ctl3 cuts its metadata log at 4, where a record is committed.",
        ),
        (
            story(|s| {
                appended(s, &[1, 2], 1, 5);
                commits(s, 1, 1, 5);
                elected(s, 3, 2);
            }),
            "ctl3 is elected and lacks metadata that is committed up to 5.",
        ),
        (
            story(|s| {
                appended(s, &[1, 2, 3], 1, 5);
                appended(s, &[1], 1, 6);
                commits(s, 1, 1, 6);
                appended(s, &[2, 3], 2, 6);
                commits(s, 2, 2, 6);
            }),
            "ctl2 knows as committed a metadata record of epoch 2 at 5, where epoch 1 is committed.",
        ),
        (after(|s| applied(s, 2, 7)), "b1 acts on a metadata record at 6 that is not committed."),
    ];
    let case = |guarantee, broken| Case { guarantee, broken, holding: vec![sound()] };
    vec![case(Guarantee::QuorumLeaders, leaders), case(Guarantee::MetadataCommitted, committed)]
}
