//! Settings of a file, by Kafka's own rules: [`crate::base::properties`] knows the names, defaults and what Kafka
//! refuses; here a refusal becomes something with a place in the file.

use crate::base::config::{BrokerConfig, ConsumerConfig, ProducerConfig, TopicConfig};
use crate::base::era::Era;
use crate::base::error::Exception;
use crate::base::features::{self, Features};
use crate::base::librdkafka::ClientFamily;
use crate::base::properties::{
    self, Configurable, KAFKA_EXCEPTION, Problem, PropertyError, WITHOUT_GROUP_ID,
};
use crate::base::share::GroupConfig;
use crate::scenario::diagnostics::did_you_mean;
use crate::scenario::schema::{Consumer, Producer, Settings};

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
    /// What kind of trouble it is, of a setting.
    problem: Option<Problem>,
}

impl SettingFault {
    /// One that is not about a single setting of Kafka.
    pub fn new(setting: &str, message: String, help: Option<String>, by_kafka: bool) -> Self {
        Self { setting: setting.to_owned(), message, help, by_kafka, problem: None }
    }

    /// What the constructor of a client throws because of it.
    pub fn exception(&self) -> Option<Exception> {
        match self.problem {
            Some(Problem::Refused(KAFKA_EXCEPTION | WITHOUT_GROUP_ID)) => Some(Exception::Kafka),
            Some(Problem::Refused("InvalidConfigurationException")) => {
                Some(Exception::InvalidConfiguration)
            }
            Some(Problem::Refused(_)) => Some(Exception::Config),
            _ => None,
        }
    }

    /// True for a setting that Kafka has and the simulator does not obey.
    pub fn is_not_modelled(&self) -> bool {
        self.problem == Some(Problem::NotModelled)
    }
}

impl From<PropertyError> for SettingFault {
    fn from(error: PropertyError) -> Self {
        let help = error.suggestion.clone();
        let by_kafka = matches!(error.problem, Problem::Refused(_));
        let message = PropertyError { suggestion: None, ..error.clone() }.to_string();
        let problem = Some(error.problem);
        Self { setting: error.property, message, help, by_kafka, problem }
    }
}

/// The config that `settings` make, or everything that is wrong with them.
pub fn config_of<C: Configurable>(settings: &Settings) -> Result<C, Vec<SettingFault>> {
    config_over(C::default(), settings)
}

/// The config that `settings` make of `base`, or everything that is wrong with them.
pub fn config_over<C: Configurable>(base: C, settings: &Settings) -> Result<C, Vec<SettingFault>> {
    let mut config = properties::Settings::over(base);
    let mut faults: Vec<SettingFault> = Vec::new();
    for (name, value) in settings.iter() {
        faults.extend(config.apply(name, &value.0).err().map(SettingFault::from));
    }
    match config.finish() {
        Ok((config, _notes)) if faults.is_empty() => Ok(config),
        Ok(_) => Err(faults),
        Err(errors) => {
            faults.extend(errors.into_iter().map(SettingFault::from));
            Err(faults)
        }
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

/// The config of a producer, or everything that is wrong with it.
pub fn producer_config(producer: &Producer) -> Result<ProducerConfig, Vec<SettingFault>> {
    let family = ClientFamily::parse(&producer.client).unwrap_or_default();
    config_over(ProducerConfig::of(family), &producer.config)
}

/// What is wrong with the settings of a producer.
pub fn check_producer(producer: &Producer) -> Vec<SettingFault> {
    producer_config(producer).err().unwrap_or_default()
}

/// The config of a consumer with or without a group or of a share group, or everything that is wrong with it.
pub fn consumer_config(consumer: &Consumer) -> Result<ConsumerConfig, Vec<SettingFault>> {
    let family = ClientFamily::parse(&consumer.client).unwrap_or_default();
    let mut config = properties::Settings::over(ConsumerConfig::of(family));
    let mut faults: Vec<SettingFault> = Vec::new();
    for (name, value) in consumer.config.iter() {
        faults.extend(config.apply(name, &value.0).err().map(SettingFault::from));
    }
    let finished = match consumer.group {
        Some(_) if consumer.share => config.finish_for_share(),
        Some(_) => config.finish(),
        None => config.finish_without_group(),
    };
    match finished {
        Ok((config, _notes)) if faults.is_empty() => Ok(config),
        Ok(_) => Err(faults),
        Err(errors) => {
            faults.extend(errors.into_iter().map(SettingFault::from));
            Err(faults)
        }
    }
}

/// What is wrong with the settings of a consumer.
pub fn check_consumer(consumer: &Consumer) -> Vec<SettingFault> {
    consumer_config(consumer).err().unwrap_or_default()
}

/// What is wrong with the settings of a group, under these of the brokers.
pub fn check_group(settings: &Settings, brokers: &Settings) -> Vec<SettingFault> {
    let group = match config_of::<GroupConfig>(settings) {
        Ok(group) => group,
        Err(faults) => return faults,
    };
    let brokers: BrokerConfig = config_of(brokers).unwrap_or_default();
    let outside = group.out_of_bounds(&brokers.share).into_iter();
    let fault = |(name, message): (&str, String)| {
        let message = format!("{name}: {message} (InvalidConfigurationException)");
        SettingFault::new(name, message, None, true)
    };
    outside.map(fault).collect()
}

/// The era of a cluster, or what is wrong with its name.
pub fn era_of(name: &str) -> Result<Era, Vec<SettingFault>> {
    if name.is_empty() {
        return Ok(Era::default());
    }
    Era::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Era::ALL.into_iter().map(Era::name).collect();
        let message = format!("era {name:?}: it is one of {}", known.join(", "));
        let help = did_you_mean(name, &known);
        vec![SettingFault::new("era", message, help, false)]
    })
}

/// The feature levels of a cluster, or everything that is wrong with them.
pub fn features_of(settings: &Settings) -> Result<Features, Vec<SettingFault>> {
    let mut levels = Features::default();
    let mut faults = Vec::new();
    for (name, level) in settings.iter() {
        if let Err((message, by_kafka)) = levels.set(name, &level.0) {
            let known: Vec<&str> = features::names().collect();
            let unknown = !known.contains(&name);
            let help = if unknown { did_you_mean(name, &known) } else { None };
            let message = format!("{name}={}: {message}", level.0);
            faults.push(SettingFault::new(name, message, help, by_kafka));
        }
    }
    if faults.is_empty() { Ok(levels) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Limits, load};

    #[test]
    fn a_feature_that_is_not_there_or_not_modelled_is_told_with_its_place() {
        let text = r#"(title: {"en": "t"}, topics: {"t": ()}, script: [], cluster: (features: {
            "eligible.leader.replica.version": 0, "share.version": 1}))"#;
        let wrong = load("test", text.as_bytes(), &Limits::default()).unwrap_err().to_string();
        assert!(wrong.contains("did you mean `eligible.leader.replicas.version`"), "{wrong}");
        assert!(wrong.contains("share.version=1: known to Kafka 4.4, not modelled"), "{wrong}");
        assert!(wrong.contains(":2:13") && wrong.contains(":2:51"), "{wrong}");
    }

    #[test]
    fn a_variant_can_format_the_cluster_differently() {
        let text = r#"(title: {"en": "t"}, topics: {"t": ()}, script: [],
            variants: {"on": {}, "off": {"cluster.features.eligible.leader.replicas.version": 0}})"#;
        let scenario = load("test", text.as_bytes(), &Limits::default()).unwrap();
        let elr = ["on", "off"].map(|variant| {
            let resolved = scenario.resolve(variant).unwrap();
            super::features_of(&resolved.cluster.features).unwrap().eligible_leader_replicas
        });
        assert_eq!(elr, [true, false]);
    }

    #[test]
    fn an_era_is_known_by_its_last_release() {
        use crate::base::era::Era;
        for (name, era) in [("", Era::Current), ("0.10", Era::HighWatermark), ("1.1", Era::Kip101)]
        {
            assert_eq!(super::era_of(name).unwrap(), era, "{name:?}");
        }
        let fault = super::era_of("0.11").unwrap_err().remove(0);
        assert_eq!(fault.message, "era \"0.11\": it is one of 0.10, 1.1, 4.4");
    }
}
