//! Taking a RON text apart into pieces that know where they stand in it.
//!
//! `ron` stops at the first error and says where. To find every error, a file is read in two rounds: this module
//! splits structs, maps and lists into their parts without looking into them (each part is a borrowed slice of the
//! text, so its place is known), and the loader then reads every part for itself.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use ron::extensions::Extensions;
use ron::value::RawValue;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::scenario::diagnostics::did_you_mean;

/// How scenario files are read and written: `seed: 5` needs no `Some`, `Send(from: "p")` no second parentheses.
pub fn ron_options() -> ron::Options {
    ron::Options::default()
        .with_default_extension(Extensions::IMPLICIT_SOME)
        .with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES)
}

/// A part of the text that is one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// Where it begins in the file, in bytes.
    pub(super) start: usize,
}

/// What is wrong with a piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl<'a> Piece<'a> {
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The piece `text`, which is a slice of this one.
    fn part(&self, text: &'a str) -> Self {
        let start = self.start + (text.as_ptr().addr() - self.text.as_ptr().addr());
        Self { text, start }
    }

    /// The value, as `T`.
    pub(super) fn read<T: Deserialize<'a>>(&self) -> Result<T, Fault> {
        ron_options().from_str(self.text).map_err(|error| self.fault(&error))
    }

    /// The named fields of a struct called `name`; the name may be left out in the file.
    pub(super) fn fields(&self, name: &'static str) -> Result<Vec<(Self, Self)>, Fault> {
        let mut deserializer = ron::Deserializer::from_str_with_options(self.text, &ron_options())
            .map_err(|error| self.fault(&error))?;
        let pairs = Pairs::<Key<'a>>(PhantomData);
        let pairs = Deserializer::deserialize_struct(&mut deserializer, name, &[], pairs)
            .and_then(|pairs| deserializer.end().map(|()| pairs))
            .map_err(|error| self.fault(&deserializer.span_error(error)))?;
        Ok(pairs.into_iter().map(|(key, value)| (self.part(key.0), self.part(value))).collect())
    }

    /// The entries of a map, keys as pieces.
    pub(super) fn entries(&self) -> Result<Vec<(Self, Self)>, Fault> {
        let mut deserializer = ron::Deserializer::from_str_with_options(self.text, &ron_options())
            .map_err(|error| self.fault(&error))?;
        let pairs = Pairs::<&'a RawValue>(PhantomData);
        let pairs = Deserializer::deserialize_map(&mut deserializer, pairs)
            .and_then(|pairs| deserializer.end().map(|()| pairs))
            .map_err(|error| self.fault(&deserializer.span_error(error)))?;
        let part = |(key, value): (&'a RawValue, _)| (self.part(key.get_ron()), self.part(value));
        Ok(pairs.into_iter().map(part).collect())
    }

    /// The elements of a list.
    pub(super) fn items(&self) -> Result<Vec<Self>, Fault> {
        let items: Vec<&'a RawValue> = self.read()?;
        Ok(items.into_iter().map(|item| self.part(item.get_ron())).collect())
    }

    /// Where the value begins: after white space, comments and attributes.
    pub(super) fn first_word(&self) -> usize {
        let mut rest = self.text;
        loop {
            rest = rest.trim_start();
            let skipped = if rest.starts_with("//") || rest.starts_with("#!") {
                rest.find('\n')
            } else if rest.starts_with("/*") {
                rest.find("*/").map(|end| end + 2)
            } else {
                None
            };
            match skipped {
                Some(end) => rest = &rest[end..],
                None => return self.start + self.text.len() - rest.len(),
            }
        }
    }

    /// The first place in this piece where `word` stands as a string, or the whole piece.
    pub(super) fn find(&self, word: &str) -> Range<usize> {
        let quoted = format!("\"{word}\"");
        match self.text.find(&quoted) {
            Some(at) => self.start + at..self.start + at + quoted.len(),
            None => self.range(),
        }
    }

    fn fault(&self, error: &ron::error::SpannedError) -> Fault {
        let start = self.byte(error.span.start.line, error.span.start.col);
        let end = self.byte(error.span.end.line, error.span.end.col).max(start);
        let (message, help) = words(&error.code);
        Fault { at: start..end, message, help }
    }

    /// The place in the file of a line and column (both from 1, in characters) of this piece.
    fn byte(&self, line: usize, column: usize) -> usize {
        let mut rest = self.text;
        for _ in 1..line {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let column =
            rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i);
        self.start + (self.text.len() - rest.len() + column).min(self.text.len())
    }
}

/// Words that belong to the language and to parts of Kafka the simulator does not model yet.
#[rustfmt::skip]
const NOT_YET: [(&[&str], &str); 4] = [
    (&["LastStableOffset"], "transactions"),
    (&["Acknowledge", "DeliveryCount"], "share groups"),
    (&["ElectLeaders", "AlterConfig", "CreatePartitions", "AlterOffsets", "DeleteOffsets",
       "DeleteGroup", "Reassign", "Feature"], "administrators' calls"),
    (&["Call", "Retry", "DeadLetter", "Produce"], "applications that pass messages on"),
];

/// Says what `ron` found in the words of this language.
fn words(error: &ron::Error) -> (String, Option<String>) {
    match error {
        ron::Error::NoSuchEnumVariant { found, .. }
            if NOT_YET.iter().any(|(words, _)| words.contains(&found.as_str())) =>
        {
            let part = NOT_YET.iter().find(|(words, _)| words.contains(&found.as_str()));
            let part = part.map_or("", |(_, part)| part);
            (format!("`{found}` is not modelled yet: {part} come later"), None)
        }
        ron::Error::NoSuchEnumVariant { expected, found, .. } => {
            (format!("`{found}` is no word of the language here"), did_you_mean(found, expected))
        }
        ron::Error::NoSuchStructField { expected, found, .. } => {
            (format!("there is no field `{found}` here"), did_you_mean(found, expected))
        }
        ron::Error::MissingStructField { field, .. } => {
            (format!("the field `{field}` is missing"), None)
        }
        ron::Error::DuplicateStructField { field, .. } => {
            (format!("the field `{field}` is given twice"), None)
        }
        ron::Error::ExceededRecursionLimit => ("brackets are nested too deeply".to_owned(), None),
        ron::Error::Message(message) => (message.clone(), None),
        ron::Error::ExpectedDifferentStructName { expected, found } => {
            (format!("expected `{expected}(...)`, found `{found}`"), None)
        }
        ron::Error::ExpectedMap => {
            ("a map is expected here: {\"name\": value, ...}".to_owned(), None)
        }
        ron::Error::ExpectedArray => ("a list is expected here: [value, ...]".to_owned(), None),
        ron::Error::ExpectedString => ("a text in double quotes is expected here".to_owned(), None),
        ron::Error::ExpectedInteger => ("a whole number is expected here".to_owned(), None),
        ron::Error::ExpectedComma => ("a comma is missing before this".to_owned(), None),
        ron::Error::Eof => ("the file ends in the middle of a value".to_owned(), None),
        ron::Error::IntegerOutOfBounds => {
            ("this number is too large or too small here".to_owned(), None)
        }
        other => (other.to_string(), None),
    }
}

/// The key of a named field.
struct Key<'a>(&'a str);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(name))
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

/// Collects keys and unread values.
struct Pairs<K>(PhantomData<K>);

impl<'de, K: Deserialize<'de>> Visitor<'de> for Pairs<K> {
    type Value = Vec<(K, &'de str)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names and values")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = map.next_entry::<K, &'de RawValue>()? {
            pairs.push((key, value.get_ron()));
        }
        Ok(pairs)
    }
}
