//! Calls of administrators in a script.

use crate::base::config::TopicConfig;
use crate::base::ids::BrokerId;
use crate::base::properties;
use crate::event::{ElectionType, TopicSetting};
use crate::kafka::controller::admin::AdminRequest;
use crate::scenario::schema::Settings;
use crate::scenario::state::State;
use crate::scenario::step::{Election, Step};

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
            let config = altered(before, settings)?;
            let altered = settings.keys().map(|name| setting(name, &config)).collect();
            AdminRequest::AlterConfigs { topic, config, altered }
        }
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
