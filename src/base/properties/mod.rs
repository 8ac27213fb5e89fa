//! Every setting of Kafka 4.4 that the tool knows, one row each: its name, default, unit and effect, and whether the
//! simulator obeys it. Scenarios, variants, `audit` and `explain` read these tables; machines read the structs of
//! [`crate::base::config`] that [`Settings`] fills.
//!
//! Values arrive as text, as in a `.properties` file (`ConfigDef`, `AbstractConfig`). A value is checked on its own
//! when it is applied, and against the others when all are there, with the cases in which Kafka's clients throw, and
//! those in which they quietly change another setting.
//!
//! Simplified: a setting that is known but not obeyed is refused unless it asks for what happens anyway.

mod broker;
mod consumer;
mod group;
mod librdkafka;
mod producer;
mod topic;
mod value;

use std::collections::BTreeSet;
use std::fmt;

use crate::base::config::{BrokerConfig, ConsumerConfig, ProducerConfig, TopicConfig};
use crate::base::share::GroupConfig;

/// Whose setting it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A producer's.
    Producer,
    /// A consumer's, share consumers included.
    Consumer,
    /// A topic's.
    Topic,
    /// A broker's or controller's.
    Broker,
    /// A group's, set dynamically by group id.
    Group,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Producer, Self::Consumer, Self::Topic, Self::Broker, Self::Group];

    /// In a sentence: `a producer setting`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Group => "group",
        }
    }
}

/// What the simulator makes of a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// It does what Kafka does.
    Obeyed,
    /// Only these values; why the others are refused.
    Only(&'static [&'static str], &'static str),
    /// Any value is taken, because here it changes nothing; why.
    NoEffect(&'static str),
    /// Known to Kafka, refused here; why.
    NotModelled(&'static str),
}

/// One setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Property {
    /// Whose it is.
    pub kind: Kind,
    /// Kafka's name.
    pub name: &'static str,
    /// Kafka's default, as it prints it; `""` when it is empty, `null` when there is none.
    pub default: &'static str,
    /// `ms`, `bytes`, …; empty without one.
    pub unit: &'static str,
    /// What it changes, in a line.
    pub effect: &'static str,
    /// What the simulator makes of it.
    pub support: Support,
}

/// Puts a value into a config; the error says what is wrong with it.
type Set<C> = fn(&mut C, &str) -> Result<(), String>;

/// A property and how it is set.
pub struct Row<C> {
    property: Property,
    set: Option<Set<C>>,
}

/// A row the simulator obeys: `(name, default, unit, effect)` and the setter.
const fn obeyed<C>(kind: Kind, words: [&'static str; 4], set: Set<C>) -> Row<C> {
    row(kind, words, Support::Obeyed, Some(set))
}

/// A row it does not obey (or that changes nothing).
const fn known<C>(kind: Kind, words: [&'static str; 4], support: Support) -> Row<C> {
    row(kind, words, support, None)
}

const fn row<C>(
    kind: Kind,
    [name, default, unit, effect]: [&'static str; 4],
    support: Support,
    set: Option<Set<C>>,
) -> Row<C> {
    Row { property: Property { kind, name, default, unit, effect, support }, set }
}

/// A config that is filled from properties.
pub trait Configurable: Default + 'static {
    /// Whose settings it holds.
    const KIND: Kind;
    /// Its rows.
    const ROWS: &'static [Row<Self>];

    /// Rows that this config has besides, which go before the others: those of the other client family.
    fn more(&self) -> &'static [Row<Self>] {
        &[]
    }

    /// Checks the settings against each other, with all of them applied, and changes what Kafka changes quietly.
    fn check(&mut self, given: &Given, findings: &mut Findings);
}

/// The names that were set explicitly.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Given(BTreeSet<&'static str>);

impl Given {
    /// True when `name` was set.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// What the check of a whole config found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Findings {
    /// What Kafka refuses.
    pub errors: Vec<PropertyError>,
    /// What Kafka changes without an error; it only logs it.
    pub notes: Vec<String>,
}

/// What `KafkaProducer`'s constructor wraps a `ConfigException` in that comes about late.
pub const KAFKA_EXCEPTION: &str = "KafkaException caused by ConfigException";

/// What is wrong with a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// Kafka 4.4 has no such setting.
    Unknown,
    /// Kafka has it, the simulator does not obey it (or not with this value).
    NotModelled,
    /// Kafka refuses the value, with this exception.
    Refused(&'static str),
}

/// A setting that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PropertyError {
    /// The setting, as it was written.
    pub property: String,
    /// Its value, as it was written; empty when it was not given.
    pub value: String,
    /// What kind of trouble it is.
    pub problem: Problem,
    /// What is wrong, as a sentence without the name.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl PropertyError {
    fn new(name: &str, value: &str, problem: Problem, message: impl Into<String>) -> Self {
        let (property, value) = (shown(name), shown(value));
        Self { property, value, problem, message: message.into(), suggestion: None }
    }

    fn or_try(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

impl fmt::Display for PropertyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.property)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        write!(f, ": {}", self.message)?;
        if let Problem::Refused(exception) = self.problem {
            write!(f, " ({exception})")?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// At most 80 characters of foreign text, without anything a terminal would obey.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

/// A config that is being filled.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Settings<C> {
    config: C,
    given: Given,
}

impl<C: Configurable> Settings<C> {
    /// Kafka's defaults.
    pub fn new() -> Self {
        Self { config: C::default(), given: Given::default() }
    }

    /// A config as it stands, to be changed further.
    pub fn over(config: C) -> Self {
        Self { config, given: Given::default() }
    }

    /// Sets `name` to `value`; the last value of a name counts.
    ///
    /// # Errors
    /// When Kafka or the simulator does not take it, whatever the other settings are.
    pub fn apply(&mut self, name: &str, value: &str) -> Result<(), PropertyError> {
        let mut rows = self.config.more().iter().chain(C::ROWS);
        let Some(row) = rows.find(|row| row.property.name == name) else {
            return Err(unknown(C::KIND, name, value));
        };
        let value = value.trim();
        match (row.set, row.property.support) {
            (Some(set), _) => set(&mut self.config, value).map_err(|message| {
                let problem = Problem::Refused("ConfigException");
                match message.strip_prefix(NOT_MODELLED) {
                    Some(reason) => not_modelled(name, value, reason),
                    None => PropertyError::new(name, value, problem, message),
                }
            })?,
            (None, Support::Only(values, reason)) if !values.contains(&value) => {
                let values = values.join(" or ");
                let hint = format!("only {values} can be used");
                return Err(not_modelled(name, value, reason).or_try(Some(hint)));
            }
            (None, Support::NotModelled(reason)) => {
                // Kafka's own checks know of it all the same.
                self.given.0.insert(row.property.name);
                return Err(not_modelled(name, value, reason));
            }
            (None, _) => {}
        }
        self.given.0.insert(row.property.name);
        Ok(())
    }

    /// The config, with what Kafka changes quietly (`notes` says what).
    ///
    /// # Errors
    /// All the combinations that Kafka refuses.
    pub fn finish(mut self) -> Result<(C, Vec<String>), Vec<PropertyError>> {
        let mut findings = Findings::default();
        self.config.check(&self.given, &mut findings);
        if findings.errors.is_empty() {
            Ok((self.config, findings.notes))
        } else {
            Err(findings.errors)
        }
    }
}

/// What the constructor of a consumer throws when its `group.id` is empty.
pub const WITHOUT_GROUP_ID: &str = "KafkaException caused by InvalidGroupIdException";

/// Begins the message of a setter that refuses a value Kafka would take.
const NOT_MODELLED: &str = "not modelled: ";

fn not_modelled(name: &str, value: &str, reason: &str) -> PropertyError {
    let message = format!("known to Kafka 4.4, not modelled yet: {reason}");
    PropertyError::new(name, value, Problem::NotModelled, message)
}

fn unknown(kind: Kind, name: &str, value: &str) -> PropertyError {
    let elsewhere = Kind::ALL.into_iter().find(|other| find(*other, name).is_some());
    let suggestion = match elsewhere {
        Some(other) => Some(format!("it is a {} setting", other.name())),
        None => nearest(kind, name).map(|near| format!("did you mean {near}?")),
    };
    let message = format!("Kafka 4.4 has no {} setting of this name", kind.name());
    PropertyError::new(name, value, Problem::Unknown, message).or_try(suggestion)
}

/// The known name closest to `name`, if it is close.
fn nearest(kind: Kind, name: &str) -> Option<&'static str> {
    if name.len() > 100 {
        return None;
    }
    let distance = |p: &Property| strsim::damerau_levenshtein(name, p.name);
    let best = properties().filter(|p| p.kind == kind).min_by_key(|p| distance(p))?;
    (distance(best) <= 2 + name.len() / 4).then_some(best.name)
}

/// The row of a setting.
pub fn find(kind: Kind, name: &str) -> Option<&'static Property> {
    properties().find(|p| p.kind == kind && p.name == name)
}

/// Every known setting: producer, consumer, topic, broker, group.
pub fn properties() -> impl Iterator<Item = &'static Property> {
    let producer = ProducerConfig::ROWS.iter().map(|row| &row.property);
    let consumer = ConsumerConfig::ROWS.iter().map(|row| &row.property);
    let topic = TopicConfig::ROWS.iter().map(|row| &row.property);
    let broker = BrokerConfig::ROWS.iter().map(|row| &row.property);
    let group = GroupConfig::ROWS.iter().map(|row| &row.property);
    producer.chain(consumer).chain(topic).chain(broker).chain(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `"acks=1 linger.ms=5"` as Kafka takes it: the first error, or the notes.
    pub(super) fn load<C: Configurable>(text: &str) -> Result<(C, Vec<String>), String> {
        let mut settings = Settings::<C>::new();
        for pair in text.split_whitespace() {
            let (name, value) = pair.split_once('=').unwrap();
            settings.apply(name, value).map_err(|error| error.to_string())?;
        }
        settings.finish().map_err(|errors| errors[0].to_string())
    }

    fn defaults_of<C: Configurable + PartialEq + fmt::Debug>() {
        for row in C::ROWS {
            let Property { name, default, kind, .. } = row.property;
            assert_eq!(kind, C::KIND, "{name}");
            let mut config = C::default();
            if let Some(set) = row.set.filter(|_| default != "null") {
                set(&mut config, default).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            assert_eq!(config, C::default(), "the table and the struct disagree about {name}");
        }
    }

    #[test]
    fn the_defaults_of_the_tables_are_those_of_the_structs() {
        defaults_of::<ProducerConfig>();
        defaults_of::<ConsumerConfig>();
        defaults_of::<TopicConfig>();
        defaults_of::<BrokerConfig>();
        defaults_of::<GroupConfig>();
    }

    #[test]
    fn every_name_has_one_row_and_every_row_its_words() {
        let mut seen = BTreeSet::new();
        for p in properties() {
            assert!(seen.insert((p.kind, p.name)), "{} twice", p.name);
            assert!(!p.effect.is_empty() && !p.default.is_empty(), "{}", p.name);
        }
    }

    #[test]
    fn a_name_kafka_does_not_have_gets_a_suggestion() {
        let error = load::<ProducerConfig>("acs=1").unwrap_err();
        assert!(error.ends_with("did you mean acks?"), "{error}");
        let error = load::<ProducerConfig>("min.insync.replicas=2").unwrap_err();
        assert!(error.ends_with("it is a topic setting"), "{error}");
        let error = load::<ProducerConfig>("frobnication=1").unwrap_err();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn what_kafka_knows_and_the_simulator_does_not_is_refused_with_the_reason() {
        let error = load::<ConsumerConfig>("group.id=billing").unwrap_err();
        assert!(error.contains("known to Kafka 4.4, not modelled yet"), "{error}");
        assert!(load::<ConsumerConfig>("group.protocol=consumer").is_ok());
    }

    #[test]
    fn foreign_text_reaches_no_terminal() {
        let error = load::<ProducerConfig>("acks=\u{1b}[2J\u{202e}").unwrap_err();
        assert!(error.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{error:?}");
        let long = "x".repeat(1 << 20);
        assert!(load::<ProducerConfig>(&format!("{long}=1")).unwrap_err().len() < 400);
    }
}
