//! Joining the group: what the member says of itself, the answers to JoinGroup and SyncGroup, and the assignment that
//! a leader computes between them.
//!
//! Kafka: `AbstractCoordinator.sendJoinGroupRequest`, `JoinGroupResponseHandler`, `SyncGroupResponseHandler`,
//! `ConsumerCoordinator.metadata`, `onLeaderElected`.

use crate::base::batch::Subscribed;
use crate::base::config::AssignorName;
use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{Generation, InstanceId, TopicId};
use crate::base::names::{Names, Topic};
use crate::base::time::{Duration, Time};
use crate::kafka::api::{MemberRow, Message};
use crate::kafka::client_metadata::ClientMetadata;
use crate::kafka::consumer::coordinator::sorted;
use crate::kafka::consumer::membership::{Joining, MemberState};
use crate::kafka::consumer::{Consumer, GroupRequest, Identity, Request, wire};
use crate::kafka::effects::{Effects, List};
use crate::kafka::group::assignor::leader;

/// `AbstractCoordinator.JOIN_GROUP_TIMEOUT_LAPSE`.
const JOIN_GROUP_TIMEOUT_LAPSE: Duration = Duration::from_secs(5);

impl Consumer {
    /// `initiateJoinGroup`.
    pub(super) fn send_join(&mut self, now: Time, fx: &mut Effects) {
        let (Some(group), Some(broker)) = (self.group, self.coordinator.known) else { return };
        self.membership.state = MemberState::PreparingRebalance;
        if !self.network.ready(now, broker, fx) {
            return;
        }
        let sent = self.membership.identity;
        let message = Message::JoinGroup {
            group,
            member: sent.member,
            instance: self.instance(&fx.names),
            session_timeout_ms: self.config.session_timeout.as_millis() as u32,
            rebalance_timeout_ms: self.config.max_poll_interval.as_millis() as u32,
            protocols: self.config.assignors,
            subscription: fx.keep(&self.subscription(&fx.names)),
        };
        self.membership.joined_topics = Some(self.subscriptions.topics.clone());
        self.membership.looks = false;
        let longest = self.config.max_poll_interval + JOIN_GROUP_TIMEOUT_LAPSE;
        let timeout = self.config.request_timeout.max(longest);
        self.send_to_group(now, (message, GroupRequest::Join(sent)), timeout, fx);
        self.membership.joining = Joining::Sent;
    }

    /// `ConsumerCoordinator.metadata`: what the member says of itself. Under the eager protocol it owns nothing by now;
    /// only the sticky assignor remembers.
    fn subscription(&self, names: &Names) -> Vec<Subscribed> {
        let mut topics = self.subscriptions.topics.clone();
        topics.sort_by_key(|topic| &names.topics[topic.index()].name);
        let mut says = vec![Subscribed::Generation(self.membership.identity.generation)];
        says.extend(names.find_rack(&self.config.client_rack).map(Subscribed::Rack));
        says.extend(topics.into_iter().map(Subscribed::Topic));
        says.extend(sorted(self.subscriptions.ids(), names).into_iter().map(Subscribed::Owned));
        let sticky = self.membership.sticky.as_ref();
        if let Some((since, had)) =
            sticky.filter(|_| self.config.assignors.contains(AssignorName::Sticky))
        {
            says.push(Subscribed::HadSince(*since));
            says.extend(had.iter().copied().map(Subscribed::Had));
        }
        says
    }

    /// Its `group.instance.id`, if it is a static member.
    pub(super) fn instance(&self, names: &Names) -> Option<InstanceId> {
        names.find_instance(&self.config.group_instance_id)
    }

    /// Sends a request to the coordinator, whose connection is ready.
    pub(super) fn send_to_group(
        &mut self,
        now: Time,
        (message, kind): (Message, GroupRequest),
        timeout: Duration,
        fx: &mut Effects,
    ) {
        let broker = self.coordinator.known.expect("a request to the coordinator needs one");
        let request = Request::Group { term: self.coordinator.term, kind };
        self.network.send(now, broker, (message, request), timeout, fx);
    }

    /// The answer to JoinGroup. It is looked at only now if a call is under way, else by the next one.
    pub(super) fn joined(&mut self, now: Time, sent: Identity, message: Message, fx: &mut Effects) {
        let Message::JoinGroupResponse {
            error,
            generation,
            protocol,
            leader,
            member,
            skip_assignment,
            members,
        } = message
        else {
            unreachable!("JoinGroup is answered by its own response");
        };
        let unchanged = sent == self.membership.identity;
        self.membership.joining = match error {
            ErrorCode::None => {
                self.membership.protocol = protocol;
                let assigns = leader == member && !skip_assignment;
                let rows = assigns.then(|| fx.pools.get(members).to_vec());
                Joining::Joined { identity: Identity { generation, member }, rows }
            }
            ErrorCode::MemberIdRequired => {
                self.membership.identity = Identity { generation: Generation(-1), member };
                Joining::Failed(wire(error))
            }
            ErrorCode::UnknownMemberId => {
                if unchanged {
                    self.membership.reset_and_rejoin(true);
                }
                Joining::Failed(wire(error))
            }
            _ => Joining::Failed(wire(error)),
        };
        self.note_coordinator_error(now, error, fx);
    }

    /// `onLeaderElected` or `onJoinFollower`.
    pub(super) fn complete_join(
        &mut self,
        now: Time,
        identity: Identity,
        rows: Option<Vec<MemberRow>>,
        fx: &mut Effects,
    ) {
        let Some(broker) = self.coordinator.known else { return };
        if self.membership.state != MemberState::PreparingRebalance {
            // It has left the group meanwhile (`UnjoinedGroupException`, retriable).
            self.membership.joining = Joining::Failed(Exception::Network);
            return;
        }
        if !self.network.ready(now, broker, fx) {
            self.membership.joining = Joining::Joined { identity, rows };
            return;
        }
        self.membership.state = MemberState::CompletingRebalance;
        self.membership.identity = identity;
        self.heartbeat.enable(now, &self.config);
        self.membership.assigned_topics = None;
        // `groupSubscribe`: others may subscribe to topics that this member has not looked at.
        let own = &self.subscriptions.topics;
        let foreign =
            |row: &MemberRow| matches!(row.says, Subscribed::Topic(topic) if !own.contains(&topic));
        let metadata = self.network.metadata_mut();
        if rows.iter().flatten().any(foreign) {
            metadata.request_update_for_new_topic();
        }
        match rows {
            Some(rows) if metadata.is_update_requested() => {
                let later_than = metadata.version();
                self.membership.joining = Joining::Leading { rows, later_than };
            }
            rows => self.send_sync(now, rows, fx),
        }
    }

    /// The leader waits for metadata before it assigns (`updateGroupSubscription`, `ensureFreshMetadata`).
    pub(super) fn lead(
        &mut self,
        now: Time,
        (rows, later_than): (Vec<MemberRow>, u32),
        fx: &mut Effects,
    ) {
        if self.membership.state != MemberState::CompletingRebalance {
            // A heartbeat was told meanwhile that it is no member of the generation.
            self.membership.joining = Joining::Failed(wire(ErrorCode::UnknownMemberId));
        } else if self.network.metadata().version() > later_than {
            self.look_for_topics(fx);
            self.send_sync(now, Some(rows), fx);
        } else {
            self.membership.joining = Joining::Leading { rows, later_than };
        }
    }

    /// `sendSyncGroupRequest`, with the assignment where this member is the leader.
    fn send_sync(&mut self, now: Time, rows: Option<Vec<MemberRow>>, fx: &mut Effects) {
        let (Some(group), Some(broker)) = (self.group, self.coordinator.known) else { return };
        if !self.network.ready(now, broker, fx) {
            self.membership.joining = match rows {
                Some(rows) => Joining::Leading { rows, later_than: 0 },
                None => Joining::Failed(Exception::Network),
            };
            return;
        }
        let assignment = if let (Some(protocol), Some(rows)) = (self.membership.protocol, rows) {
            let metadata = self.network.metadata();
            self.membership.assigned_topics = Some(topic_sizes(metadata, &rows, &fx.names));
            let size = |topic: &Topic| metadata.partitions_of(topic).len() as u32;
            let online = metadata.brokers();
            let rows = leader::assign(protocol, &rows, (&fx.names, online), size, fx.defect);
            fx.keep(&rows)
        } else {
            List::EMPTY
        };
        let identity = self.membership.identity;
        let Identity { generation, member } = identity;
        let instance = self.instance(&fx.names);
        let message = Message::SyncGroup { group, member, instance, generation, assignment };
        let timeout = self.config.request_timeout;
        self.send_to_group(now, (message, GroupRequest::Sync(identity)), timeout, fx);
        self.membership.joining = Joining::Syncing;
    }

    /// The answer to SyncGroup; the heartbeat thread may be the one that takes it.
    pub(super) fn synced(&mut self, now: Time, sent: Identity, message: Message, fx: &mut Effects) {
        let Message::SyncGroupResponse { error, assignment } = message else {
            unreachable!("SyncGroup is answered by its own response");
        };
        let state = self.membership.state;
        self.membership.joining = match error {
            ErrorCode::None
                if !self.membership.is_reset() && state == MemberState::CompletingRebalance =>
            {
                self.membership.state = MemberState::Stable;
                self.membership.rejoin_needed = false;
                Joining::Assigned(fx.pools.get(assignment).to_vec())
            }
            ErrorCode::None => Joining::Failed(wire(ErrorCode::IllegalGeneration)),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                if sent == self.membership.identity {
                    self.membership.reset_and_rejoin(error == ErrorCode::UnknownMemberId);
                }
                Joining::Failed(wire(error))
            }
            _ => Joining::Failed(wire(error)),
        };
        self.note_coordinator_error(now, error, fx);
    }
}

/// The topics of the group with their numbers of partitions, as the metadata has them (`MetadataSnapshot`).
fn topic_sizes(
    metadata: &ClientMetadata,
    rows: &[MemberRow],
    names: &Names,
) -> Vec<(TopicId, usize)> {
    let topics = rows.iter().filter_map(|row| match row.says {
        Subscribed::Topic(topic) => Some(topic),
        _ => None,
    });
    let size = |topic: TopicId| metadata.partitions_of(&names.topics[topic.index()]).len();
    let mut sizes: Vec<_> = topics.map(|topic| (topic, size(topic))).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}
