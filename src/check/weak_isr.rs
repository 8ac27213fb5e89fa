//! `weak-isr`: below the high watermark of whoever acts as leader, deposed or not, every member of its *own* ISR has
//! the same log (`WeakIsr` of hachikuji's specification). It is what a leader can know; `strong-isr` is what the
//! cluster needs.
//! Must hold under process crashes, network faults and manual commits; not under power loss, lost disks or unclean
//! elections.

use crate::base::ids::NodeId;
use crate::check::agreement::Agreement;
use crate::check::verdict::Verdict;
use crate::check::{Check, End, Moment};
use crate::event::EventKind;

#[derive(Clone, Default, Debug)]
pub(super) struct WeakIsr {
    agreement: Agreement,
}

impl Check for WeakIsr {
    fn observe(&mut self, m: &Moment<'_>) {
        self.agreement.observe(m, |_, leader| leader.isr);
        if let (EventKind::IsrKnown { partition, isr }, NodeId::Broker(broker)) =
            (m.event.kind, m.event.node)
        {
            let Some(leader) = m.before.partition(partition).replica(broker) else { return };
            self.agreement.join(m, partition, leader, isr);
        }
    }

    fn verdict(&self, _: &End<'_>) -> Verdict {
        self.agreement.verdict()
    }
}
