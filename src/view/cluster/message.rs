//! What became of each message: what its producer was told, and which events mattered to it.

use crate::base::error::Exception;
use crate::base::ids::{EventSeq, Offset, PartitionId};
use crate::base::time::Time;
use crate::view::cluster::replica::CutReason;

/// What the sending application knows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Told {
    /// Nothing yet: `send()` was called and the future is open.
    #[default]
    Waiting,
    /// It is stored at this offset ([`Offset::NONE`] after an answer without an offset).
    Acknowledged(Offset),
    /// `acks=0`: `send()` reported no error, and nobody asked a broker.
    NobodyAsked,
    /// The send failed.
    Failed(Exception),
    /// The producer died, or the run ended, before it knew.
    Unknown,
}

impl Told {
    /// True when the application believes that the message is stored.
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Acknowledged(_) | Self::NobodyAsked)
    }
}

/// One message of the scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageView {
    /// The producer, once it was sent.
    pub producer: Option<u16>,
    /// The partition it went to, once one was chosen.
    pub partition: Option<PartitionId>,
    /// The `send()` (the last, when the application sent it again).
    pub sent: EventSeq,
    /// When.
    pub sent_at: Time,
    /// How often the application called `send()` with it.
    pub sends: u16,
    /// What its producer knows of the last `send()`.
    pub told: Told,
    /// The event that told it.
    pub told_by: EventSeq,
    /// When.
    pub told_at: Time,
    /// The acknowledgement, if there ever was one.
    pub acked: EventSeq,
    /// The failure of any of its sends, with the exception.
    pub failed: Option<(EventSeq, Exception)>,
    /// How often the client sent its batch again.
    pub retries: u16,
    /// The last retry.
    pub retried: EventSeq,
    /// The first append of it by any broker.
    pub stored: EventSeq,
    /// The last time a leader appended it.
    pub appended: EventSeq,
    /// At which offset.
    pub appended_at: Offset,
    /// The last time a replica lost it, and why.
    pub cut: Option<(EventSeq, CutReason)>,
    /// The leader removed it as the topic's settings ask, and why.
    pub removed: Option<(EventSeq, Removal)>,
}

/// Why a leader removed a record that nothing had gone wrong with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// Its segment was too old, the partition too large, or the log start beyond it.
    Expired,
    /// A later record has its key, or it was a tombstone that has served its time.
    Compacted,
}

impl Default for MessageView {
    fn default() -> Self {
        Self {
            producer: None,
            partition: None,
            sent: EventSeq::NONE,
            sent_at: Time::ZERO,
            sends: 0,
            told: Told::Waiting,
            told_by: EventSeq::NONE,
            told_at: Time::ZERO,
            acked: EventSeq::NONE,
            failed: None,
            retries: 0,
            retried: EventSeq::NONE,
            stored: EventSeq::NONE,
            appended: EventSeq::NONE,
            appended_at: Offset::NONE,
            cut: None,
            removed: None,
        }
    }
}

impl MessageView {
    /// True once the application has sent it.
    pub fn is_sent(&self) -> bool {
        self.sends > 0
    }

    /// True when the application was told at any time that it is stored.
    pub fn was_acked(&self) -> bool {
        self.acked != EventSeq::NONE
    }
}

/// What one group (or one consumer without a group) did with one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processing {
    /// How often it was processed to the end.
    pub count: u16,
    /// How often `poll()` handed it out.
    pub handed: u16,
    /// The first time it was processed.
    pub first: EventSeq,
    /// The last time.
    pub last: EventSeq,
    /// The consumers that processed it, the last two, newest first.
    pub by: [Option<u16>; 2],
}

impl Default for Processing {
    fn default() -> Self {
        Self { count: 0, handed: 0, first: EventSeq::NONE, last: EventSeq::NONE, by: [None; 2] }
    }
}
