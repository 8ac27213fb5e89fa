//! The fates of all messages at the cursor, computed once per position and read by every screen.

use crate::base::ids::{EventSeq, MessageId};
use crate::event::Api;
use crate::tui::model::World;
use crate::view::cluster::ClusterView;
use crate::view::cluster::message::Told;
use crate::view::fate::{self, Fate, Tally, Whereabouts};

/// What has become of everything so far.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// One a message that was sent, by id.
    fates: Vec<Fate>,
    /// The ids by what went wrong.
    pub tally: Tally,
}

impl Moment {
    /// The fates at the moment of `view`.
    pub fn new(run: &World, view: &ClusterView) -> Self {
        let mut fates = fate::fates(view, &run.batches);
        let in_flight =
            view.wire.values().any(|w| w.label.api == Api::Produce && !w.label.response);
        if in_flight {
            // What acks=0 has only just sent is told at once and stored a moment later; that is not a loss yet.
            for fate in &mut fates {
                let stored = view.message(fate.message).stored != EventSeq::NONE;
                if fate.told == Told::NobodyAsked && !stored {
                    fate.lost = None;
                }
            }
        }
        let tally = fate::tally(view, &fates);
        Self { fates, tally }
    }

    /// The fate of `message`, once it was sent.
    pub fn fate(&self, message: MessageId) -> Option<&Fate> {
        let at = self.fates.binary_search_by_key(&message, |fate| fate.message).ok()?;
        self.fates.get(at)
    }

    /// All fates, by id.
    pub fn fates(&self) -> &[Fate] {
        &self.fates
    }

    /// Told to be stored, and not in the log of the leader.
    pub fn is_lost(&self, message: MessageId) -> bool {
        self.fate(message).is_some_and(|fate| fate.lost.is_some())
    }

    /// Nobody can say whether it is kept: its partition has no leader.
    pub fn is_unsure(&self, message: MessageId) -> bool {
        self.fate(message).is_some_and(|fate| fate.whereabouts == Whereabouts::NoLeader)
    }

    /// Reader number `reader` will never process it.
    pub fn is_skipped(&self, message: MessageId, reader: usize) -> bool {
        self.fate(message).is_some_and(|fate| fate.skipped_by.contains(&reader))
    }

    /// The message a reader most likely asks about: lost, else skipped, repeated, out of order, else sent last.
    pub fn most_interesting(&self) -> Option<MessageId> {
        let Tally { lost, skipped, duplicated, repeated, reordered, .. } = &self.tally;
        [lost, skipped, duplicated, repeated, reordered]
            .into_iter()
            .find_map(|list| list.first())
            .or_else(|| self.fates.last().map(|fate| &fate.message))
            .copied()
    }
}
