//! Events of share groups.

use serde_json::{Value, json};

use crate::base::error::Exception;
use crate::base::ids::Offset;
use crate::event::EventKind;
use crate::view::export_jsonl::{Fields, Writer};

fn run(first: Offset, count: u32) -> [(&'static str, Value); 2] {
    [("first", first.0.into()), ("count", count.into())]
}

impl Writer<'_> {
    /// An event of a share group.
    pub(super) fn share(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        self.share_partition(kind).or_else(|| self.share_consumer(kind))
    }

    fn share_partition(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        Some(match *kind {
            EventKind::SharePartitionLoaded { group, partition, start } => {
                let start = ("start", start.0.into());
                let fields = vec![self.group_name(group), self.partition(partition), start];
                ("SharePartitionLoaded", fields)
            }
            EventKind::RecordsAcquired { group, partition, member, first, count, delivery } => {
                let mut fields = vec![self.group_name(group), self.partition(partition)];
                fields.push(self.member(member));
                fields.extend(run(first, count));
                fields.push(("delivery", delivery.into()));
                ("RecordsAcquired", fields)
            }
            EventKind::RecordsSettled { group, partition, first, count, state, reason } => {
                let mut fields = vec![self.group_name(group), self.partition(partition)];
                fields.extend(run(first, count));
                fields.push(("state", state.name().into()));
                fields.push(("reason", format!("{reason:?}").into()));
                ("RecordsSettled", fields)
            }
            EventKind::LockRenewed { group, partition, member, first, count } => {
                let mut fields = vec![self.group_name(group), self.partition(partition)];
                fields.push(self.member(member));
                fields.extend(run(first, count));
                ("LockRenewed", fields)
            }
            EventKind::ShareStart { group, partition, offset } => {
                let offset = ("offset", offset.0.into());
                ("ShareStart", vec![self.group_name(group), self.partition(partition), offset])
            }
            EventKind::ShareReset { group, partition, start } => {
                let start = ("start", start.0.into());
                ("ShareReset", vec![self.group_name(group), self.partition(partition), start])
            }
            EventKind::ShareAssigned { group, member, partition } => {
                let partition = self.partition(partition);
                ("ShareAssigned", vec![self.group_name(group), self.member(member), partition])
            }
            EventKind::ShareRevoked { group, member, partition } => {
                let partition = self.partition(partition);
                ("ShareRevoked", vec![self.group_name(group), self.member(member), partition])
            }
            _ => return None,
        })
    }

    fn share_consumer(&self, kind: &EventKind) -> Option<(&'static str, Fields)> {
        Some(match *kind {
            EventKind::Delivered { partition, batch, base_offset, first, count, delivery } => {
                let mut fields = vec![self.partition(partition), self.slice(batch, first, count)];
                fields.push(("first", (base_offset.0 + i64::from(first)).into()));
                fields.push(("delivery", delivery.into()));
                ("Delivered", fields)
            }
            EventKind::AcknowledgeCalled { partition, first, count, kind } => {
                let mut fields = vec![self.partition(partition)];
                fields.extend(run(first, count));
                fields.push(("type", kind.name().into()));
                ("AcknowledgeCalled", fields)
            }
            EventKind::AcknowledgeSent { partition, first, count, kind } => {
                let mut fields = vec![self.partition(partition)];
                fields.extend(run(first, count));
                fields.push(("type", kind.name().into()));
                ("AcknowledgeSent", fields)
            }
            EventKind::AcknowledgeAnswered { partition, first, count, exception } => {
                let mut fields = vec![self.partition(partition)];
                fields.extend(run(first, count));
                fields.push(("exception", json!(exception.map(Exception::name))));
                ("AcknowledgeAnswered", fields)
            }
            _ => return None,
        })
    }
}
