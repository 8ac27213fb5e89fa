//! The small words of the scenario language: labels, spans of time, chances, settings, texts, facts.
//!
//! Each has one spelling in a file and refuses everything else while it is read, so that later stages see only what
//! makes sense. Simplified: no floating point number anywhere; a chance is a whole number of millionths.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::base::time::Duration;

/// A text in several languages, by language code (`en`, `fa`, `ru`). English is always there.
pub type Texts = BTreeMap<String, String>;

/// A name that is safe to print: 1 to 64 characters, no control and no invisible formatting characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// The most characters a label may have.
    pub const MAX_CHARS: usize = 64;

    /// Checks a name. The error says what is wrong with it, in words that contain nothing of it.
    pub fn new(name: &str) -> Result<Self, &'static str> {
        if name.is_empty() {
            return Err("a name cannot be empty");
        }
        if name.chars().count() > Self::MAX_CHARS {
            return Err("a name has at most 64 characters");
        }
        if name.chars().any(is_unprintable) {
            return Err(
                "a name cannot contain control characters or invisible formatting characters",
            );
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// True for characters that a terminal would act on or that hide how a text is really ordered: controls, bidi
/// controls, zero-width characters (but for the two joiners Persian needs), line and paragraph separators.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{061c}' | '\u{00ad}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A span of virtual time: `"250us"`, `"1ms"`, `"13.4s"`, `"2min"`, `"1h"`, `"7d"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span(pub Duration);

impl Span {
    const UNITS: [(&'static str, u64); 6] = [
        ("us", 1),
        ("ms", 1_000),
        ("min", 60_000_000),
        ("s", 1_000_000),
        ("h", 3_600_000_000),
        ("d", 86_400_000_000),
    ];

    /// Reads a span.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const HELP: &str = "a time is a number and a unit in quotes: \"250us\", \"20ms\", \"13.4s\", \"2min\", \"1h\"";
        let (number, factor) = Self::UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))
            .ok_or(HELP)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(part) || number.ends_with('.') {
            return Err(HELP);
        }
        let too_long = "a time is at most 365 days";
        let mut micros =
            whole.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or(too_long)?;
        let mut unit = factor;
        for digit in part.bytes().map(|b| u64::from(b - b'0')) {
            if !unit.is_multiple_of(10) && digit > 0 {
                return Err("a time has whole microseconds at the finest");
            }
            unit /= 10;
            micros = micros.checked_add(digit * unit).ok_or(too_long)?;
        }
        if micros > 365 * 86_400_000_000 {
            return Err(too_long);
        }
        Ok(Self(Duration(micros)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.0 {
            us if us > 0 && us.is_multiple_of(1_000_000) => write!(f, "{}s", us / 1_000_000),
            us if us.is_multiple_of(1_000) => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A chance in millionths: `"0.1%"`, `"1/1000"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Chance(pub u32);

impl Chance {
    /// Reads a chance.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const HELP: &str =
            "a chance is written \"0.1%\" or \"1/1000\", from 0 to 1, in whole millionths";
        let ppm = if let Some(percent) = text.strip_suffix('%') {
            let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
            let parse =
                |s: &str| s.parse::<u64>().ok().filter(|_| s.bytes().all(|b| b.is_ascii_digit()));
            if part.len() > 4 {
                return Err(HELP);
            }
            let scaled = parse(part).ok_or(HELP)? * 10u64.pow(4 - part.len() as u32);
            parse(whole).and_then(|n| n.checked_mul(10_000)?.checked_add(scaled)).ok_or(HELP)?
        } else {
            let (n, of) = text.split_once('/').ok_or(HELP)?;
            let (n, of) =
                n.trim().parse::<u64>().ok().zip(of.trim().parse::<u64>().ok()).ok_or(HELP)?;
            let scaled = n.checked_mul(1_000_000).ok_or(HELP)?;
            scaled.checked_div(of).filter(|_| scaled.is_multiple_of(of)).ok_or(HELP)?
        };
        if ppm > 1_000_000 { Err(HELP) } else { Ok(Self(ppm as u32)) }
    }
}

impl Serialize for Chance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/1000000", self.0))
    }
}

impl<'de> Deserialize<'de> for Chance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A partition in Kafka's spelling: `"orders-0"`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The number of the partition.
    pub partition: u32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl Serialize for TopicPartition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicPartition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.rsplit_once('-')
            .and_then(|(topic, n)| {
                Some(Self { topic: topic.to_owned(), partition: n.parse().ok()? })
            })
            .ok_or_else(|| {
                de::Error::custom("a partition is written like Kafka does: \"orders-0\"")
            })
    }
}

/// The value of a Kafka setting. A file may write a string, a whole number or `true`/`false`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Setting(pub String);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingVisitor;
        impl Visitor<'_> for SettingVisitor {
            type Value = Setting;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the value of a setting: a string, a whole number, true or false")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Setting, E> {
                Ok(Setting(v.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Setting, E> {
                Ok(Setting(v.to_string()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Setting, E> {
                Ok(Setting(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Setting, E> {
                Ok(Setting(v.to_string()))
            }
        }
        deserializer.deserialize_any(SettingVisitor)
    }
}

/// A map that keeps the order of the file, and refuses a key given twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ordered<V>(pub Vec<(String, V)>);

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Ordered<V> {
    /// The value at `key`.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// All entries in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// All keys in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(k, _)| k.as_str())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V: Serialize> Serialize for Ordered<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Ordered<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedVisitor<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for OrderedVisitor<V> {
            type Value = Ordered<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map: {\"name\": value, ...}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<V>, A::Error> {
                let mut entries: Vec<(String, V)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if entries.iter().any(|(k, _)| *k == key) {
                        return Err(de::Error::custom("the same key is given twice"));
                    }
                    entries.push((key, map.next_value()?));
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(OrderedVisitor(std::marker::PhantomData))
    }
}

/// Something observed: what `Observe` records and what an expectation or a recording compares with. As JSON it is
/// the JSON value of the same shape.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fact {
    /// There is none: no leader, nothing committed, no exception.
    None,
    /// Yes or no.
    Bool(bool),
    /// An offset, an epoch, a number of things.
    Number(i64),
    /// A name: of a message, a state, an exception.
    Text(String),
    /// Several in order.
    List(Vec<Self>),
    /// Several by name.
    Map(BTreeMap<String, Self>),
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // A scenario file says None; to serde's derived code this would be the unit, `()`.
            Self::None => serializer.serialize_none(),
            Self::Bool(v) => v.serialize(serializer),
            Self::Number(v) => v.serialize(serializer),
            Self::Text(v) => v.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => entries.serialize(serializer),
        }
    }
}

/// As JSON, for people.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(v) => v.fmt(f),
            Self::Number(v) => v.fmt(f),
            Self::Text(v) => f.write_str(v),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FactVisitor;
        impl<'de> Visitor<'de> for FactVisitor {
            type Value = Fact;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fact: None, true, a whole number, a string, a list or a map")
            }
            fn visit_none<E: de::Error>(self) -> Result<Fact, E> {
                Ok(Fact::None)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Fact, E> {
                Ok(Fact::None)
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Fact, D::Error> {
                Fact::deserialize(inner)
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Fact, E> {
                Ok(Fact::Bool(v))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Fact, E> {
                Ok(Fact::Number(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Fact, E> {
                i64::try_from(v).map(Fact::Number).map_err(|_| E::custom("a number is below 2^63"))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Fact, E> {
                Ok(Fact::Text(v.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fact, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Fact::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fact, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    entries.insert(key, value);
                }
                Ok(Fact::Map(entries))
            }
        }
        deserializer.deserialize_any(FactVisitor)
    }
}
