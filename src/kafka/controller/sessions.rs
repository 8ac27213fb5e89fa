//! Broker sessions: `BrokerHeartbeatManager`. In memory only: a new controller gives everyone a whole session.

use crate::base::fingerprint::Fingerprint;
use crate::base::ids::BrokerId;
use crate::base::time::{Duration, Time};
use crate::kafka::effects::{Effects, TimerKind};

/// The session of one broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Session {
    /// When it runs out; `None` for a fenced broker, which has none.
    deadline: Option<Time>,
    /// The last metadata record the broker said it had applied.
    metadata_offset: i64,
    /// The end of the metadata log when its controlled shutdown began.
    shutdown_offset: i64,
}

const NO_SESSION: Session = Session { deadline: None, metadata_offset: -1, shutdown_offset: -1 };

/// All sessions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sessions {
    timeout: Duration,
    /// By [`BrokerId::index`].
    brokers: Vec<Session>,
}

impl Sessions {
    pub(super) fn new(slots: usize, timeout: Duration) -> Self {
        Self { timeout, brokers: vec![NO_SESSION; slots] }
    }

    /// A heartbeat of an unfenced broker arrived.
    pub(super) fn touch(&mut self, broker: BrokerId, now: Time, metadata_offset: i64) {
        let session = &mut self.brokers[broker.index()];
        session.deadline = Some(now + self.timeout);
        session.metadata_offset = session.metadata_offset.max(metadata_offset);
    }

    /// The broker has no session any more.
    pub(super) fn forget(&mut self, broker: BrokerId) {
        self.brokers[broker.index()] = NO_SESSION;
    }

    /// The process is gone.
    pub(super) fn clear(&mut self) {
        self.brokers.fill(NO_SESSION);
    }

    /// Another process of this broker may still live.
    pub(super) fn is_valid(&self, broker: BrokerId) -> bool {
        self.brokers[broker.index()].deadline.is_some()
    }

    /// The broker that was heard of least recently, if its session is over.
    pub(super) fn stale(&self, now: Time) -> Option<BrokerId> {
        let (deadline, n) = self.deadlines().min()?;
        (deadline <= now).then_some(BrokerId(n as u8))
    }

    /// The controlled shutdown of `broker` began; the records that move its leaders end at `offset`.
    pub(super) fn begin_shutdown(&mut self, broker: BrokerId, offset: i64) {
        self.brokers[broker.index()].shutdown_offset = offset;
    }

    pub(super) fn shutdown_offset(&self, broker: BrokerId) -> i64 {
        self.brokers[broker.index()].shutdown_offset
    }

    pub(super) fn metadata_offset(&self, broker: BrokerId) -> i64 {
        self.brokers[broker.index()].metadata_offset
    }

    /// Asks to be called when the first session runs out.
    pub(super) fn set_timer(&self, fx: &mut Effects) {
        if let Some((deadline, _)) = self.deadlines().min() {
            fx.set_timer(TimerKind::BrokerSession, 0, deadline);
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        for session in &self.brokers {
            into.add((session.deadline.map(|at| at.since(now)), session.metadata_offset));
        }
    }

    fn deadlines(&self) -> impl Iterator<Item = (Time, usize)> + '_ {
        let deadline = |(n, session): (usize, &Session)| session.deadline.map(|at| (at, n));
        self.brokers.iter().enumerate().filter_map(deadline)
    }
}
