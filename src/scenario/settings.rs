//! Settings of a file, by Kafka's own rules: [`crate::base::properties`] knows the names, defaults and what Kafka
//! refuses; here a refusal becomes something with a place in the file.

use crate::base::config::{BrokerConfig, ConsumerConfig, ProducerConfig, TopicConfig};
use crate::base::properties::{self, Configurable, Problem, PropertyError};
use crate::scenario::schema::Settings;

/// One setting that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingFault {
    /// The setting.
    pub setting: String,
    /// What is wrong, as a sentence.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// True when Kafka itself throws, so that a scenario may expect it.
    pub by_kafka: bool,
}

impl From<PropertyError> for SettingFault {
    fn from(error: PropertyError) -> Self {
        let help = error.suggestion.clone();
        let by_kafka = matches!(error.problem, Problem::Refused(_));
        let message = PropertyError { suggestion: None, ..error.clone() }.to_string();
        Self { setting: error.property, message, help, by_kafka }
    }
}

/// The config that `settings` make, or everything that is wrong with them.
pub fn config_of<C: Configurable>(settings: &Settings) -> Result<C, Vec<SettingFault>> {
    let mut config = properties::Settings::<C>::new();
    let mut faults: Vec<SettingFault> = Vec::new();
    for (name, value) in settings.iter() {
        faults.extend(config.apply(name, &value.0).err().map(SettingFault::from));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    match config.finish() {
        Ok((config, _notes)) => Ok(config),
        Err(errors) => Err(errors.into_iter().map(SettingFault::from).collect()),
    }
}

/// What is wrong with the settings of brokers and controllers.
pub fn check_cluster(settings: &Settings) -> Vec<SettingFault> {
    config_of::<BrokerConfig>(settings).err().unwrap_or_default()
}

/// What is wrong with the settings of a topic.
pub fn check_topic(settings: &Settings) -> Vec<SettingFault> {
    config_of::<TopicConfig>(settings).err().unwrap_or_default()
}

/// What is wrong with the settings of a producer.
pub fn check_producer(settings: &Settings) -> Vec<SettingFault> {
    config_of::<ProducerConfig>(settings).err().unwrap_or_default()
}

/// What is wrong with the settings of a consumer.
pub fn check_consumer(settings: &Settings) -> Vec<SettingFault> {
    config_of::<ConsumerConfig>(settings).err().unwrap_or_default()
}
