//! Calls of administrators in a script.

use crate::base::config::TopicConfig;
use crate::base::error::{ErrorCode, Exception};
use crate::base::ids::{BrokerId, GroupId, Offset, PartitionId, TopicId};
use crate::base::properties;
use crate::base::time::Time;
use crate::event::{ElectionType, TopicSetting};
use crate::kafka::api::PartitionOffset;
use crate::kafka::controller::admin::AdminRequest;
use crate::kafka::group::expiry::GroupCall;
use crate::scenario::schema::Settings;
use crate::scenario::state::State;
use crate::scenario::step::{Election, Reset, ResetOffsets, Step};
use crate::scenario::value::TopicPartition;
use crate::sim::command::{Command, ResetTo, ShareCall};

/// The call that `step` makes; `None` when it makes none, or about a partition this variant lacks.
pub(super) fn admin_request(state: &State, step: &Step) -> Option<AdminRequest> {
    Some(match step {
        Step::ElectLeaders(election, partitions) => AdminRequest::ElectLeaders {
            election: match election {
                Election::Preferred => ElectionType::Preferred,
                Election::Unclean => ElectionType::Unclean,
            },
            partitions: partitions.iter().map(|at| state.at(at)).collect::<Option<_>>()?,
        },
        Step::AlterConfigs(topic, settings) => {
            let topic = state.names().find_topic(topic)?;
            let before = *state.sim.controller().topic_config(topic);
            let config = altered(before, settings);
            let setting = |name| config.as_ref().map(|config| setting(name, config));
            let altered = settings.keys().filter_map(setting).collect();
            AdminRequest::AlterConfigs { topic, config, altered }
        }
        Step::CreateTopic(topic) => {
            let topic = state.names().find_topic(topic)?;
            let count = state.names().topics[topic.index()].partition_count;
            AdminRequest::CreateTopic { topic, count }
        }
        Step::CreatePartitions(topic, count) => AdminRequest::CreatePartitions {
            topic: state.names().find_topic(topic)?,
            count: *count,
        },
        Step::Reassign(at, replicas) => AdminRequest::Reassign {
            partition: state.at(at)?,
            target: Some(replicas.iter().map(|n| BrokerId(*n)).collect()),
        },
        Step::CancelReassignment(at) => {
            AdminRequest::Reassign { partition: state.at(at)?, target: None }
        }
        _ => return None,
    })
}

/// The command of a call about a group; `None` when `step` makes none. A partition of a topic that does not exist makes
/// the call throw.
pub(super) fn group_command(state: &State, step: &Step) -> Option<Result<Command, Exception>> {
    let unknown = Exception::Wire(ErrorCode::UnknownTopicOrPartition);
    let administer = |group: &String, call: Option<GroupCall>| {
        let group = state.group(group)?;
        Some(call.map(|call| Command::AdministerGroup { group, call }).ok_or(unknown))
    };
    let existing = |at: &TopicPartition| state.at(at).filter(|id| state.view.exists(*id));
    if let Some(call) = share_call(state, step) {
        return Some(Ok(call));
    }
    match step {
        Step::AlterOffsets(group, offsets) => {
            let offset = |(at, offset): (&TopicPartition, &i64)| {
                Some(PartitionOffset { partition: existing(at)?, offset: Offset(*offset) })
            };
            let offsets = offsets.iter().map(offset).collect::<Option<_>>();
            administer(group, offsets.map(GroupCall::AlterOffsets))
        }
        Step::DeleteOffsets(group, partitions) => {
            let partitions = partitions.iter().map(existing).collect::<Option<_>>();
            administer(group, partitions.map(GroupCall::DeleteOffsets))
        }
        Step::DeleteGroup(group) => administer(group, Some(GroupCall::Delete)),
        Step::ResetOffsets(reset) => {
            let (group, partitions, to) = reset_plan(state, reset)?;
            Some(Ok(Command::ResetOffsets { group, partitions, to }))
        }
        _ => None,
    }
}

/// The command of a call about a share group; `None` when `step` makes none.
fn share_call(state: &State, step: &Step) -> Option<Command> {
    let existing = |at: &TopicPartition| state.at(at).filter(|id| state.view.exists(*id));
    let (group, call) = match step {
        Step::AlterShareOffsets(group, named) => {
            let known = named.iter().filter_map(|(at, offset)| {
                Some(PartitionOffset { partition: existing(at)?, offset: Offset(*offset) })
            });
            let offsets: Vec<PartitionOffset> = known.collect();
            let some_unknown = offsets.len() < named.len();
            (state.group(group)?, ShareCall::Alter { offsets, some_unknown })
        }
        Step::DeleteShareOffsets(group, named) => {
            let topics: Vec<TopicId> =
                named.iter().filter_map(|topic| state.names().find_topic(topic)).collect();
            let some_unknown = topics.len() < named.len();
            (state.group(group)?, ShareCall::Delete { topics, some_unknown })
        }
        Step::ResetShareOffsets(reset) => {
            let (group, partitions, to) = reset_plan(state, reset)?;
            (group, ShareCall::Reset { partitions, to })
        }
        _ => return None,
    };
    Some(Command::AdministerShareGroup { group, call })
}

/// Which offsets are reset, and where to.
fn reset_plan(state: &State, reset: &ResetOffsets) -> Option<(GroupId, Vec<PartitionId>, ResetTo)> {
    let topic = state.names().find_topic(&reset.topic)?;
    let all = state.names().topics[topic.index()].partitions.iter().copied();
    let partitions = all.filter(|id| state.view.exists(*id)).collect();
    let now = state.sim.now();
    let to = match reset.to {
        Reset::Earliest => ResetTo::Earliest,
        Reset::Latest => ResetTo::Latest,
        Reset::Current => ResetTo::Current,
        Reset::Offset(offset) => ResetTo::Offset(Offset(offset)),
        Reset::ShiftBy(by) => ResetTo::ShiftBy(by),
        Reset::Datetime(at) => ResetTo::Since((Time::ZERO + at.0).timestamp()),
        Reset::ByDuration(span) => ResetTo::Since(now.timestamp() - span.0.as_millis() as i64),
    };
    Some((state.group(&reset.group)?, partitions, to))
}

/// The settings of a topic after some of them were altered; `None` when Kafka refuses them, which the loader has seen.
fn altered(before: TopicConfig, settings: &Settings) -> Option<TopicConfig> {
    let mut config = properties::Settings::over(before);
    for (name, value) in settings.iter() {
        config.apply(name, &value.0).ok()?;
    }
    config.finish().ok().map(|(config, _)| config)
}

fn setting(name: &str, config: &TopicConfig) -> TopicSetting {
    match name {
        "min.insync.replicas" => TopicSetting::MinInsyncReplicas(config.min_insync_replicas),
        "unclean.leader.election.enable" => {
            TopicSetting::UncleanLeaderElection(config.unclean_leader_election)
        }
        _ => TopicSetting::Other,
    }
}
