//! Patterns of topic names, for `subscribe(Pattern)` and `subscribe(SubscriptionPattern)`: the part of
//! `java.util.regex` and RE2/J that names need, which means the same in both. Literals, `.`, classes (`[a-c_]`, `[^x]`,
//! `\d`, `\w`), groups and alternatives (`(a|b)`), `*`, `+`, `?`, and a backslash before a character that is meant as
//! such. The whole name has to fit, as with `Matcher.matches`.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use crate::base::ids::TopicId;
use crate::base::names::{Names, Regex};
use crate::scenario::schema::{Override, Scenario};
use crate::scenario::step::Step;

/// Why a pattern has no meaning here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nor has it for Java or RE2/J.
    Invalid(String),
    /// It may have for them.
    Unknown(String),
}

impl Fault {
    /// What is wrong.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Invalid(message) | Self::Unknown(message) => message,
        }
    }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::Invalid(message.into())
}

/// The topics, internal ones left out, whose whole name fits the pattern.
///
/// # Errors
/// What is wrong with the pattern.
pub(super) fn fitting(names: &Names, text: &str) -> Result<Vec<TopicId>, Fault> {
    let pattern = Pattern::parse(text)?;
    let topics = names.topics.iter().zip(0..).filter(|(topic, _)| !topic.internal);
    let fits = topics.filter(|(topic, _)| pattern.matches(&topic.name));
    Ok(fits.map(|(_, n)| TopicId(n)).collect())
}

/// Every regular expression that a consumer of any variant may leave to the coordinator, in order.
pub(super) fn regexes(scenario: &Scenario, names: &Names) -> Vec<Regex> {
    fn said<'a>(steps: &'a [Step], into: &mut BTreeSet<&'a str>) {
        for step in steps {
            match step {
                Step::SubscribeRegex(_, text) if !text.is_empty() => {
                    into.insert(text);
                }
                Step::At(_, steps) | Step::Named(_, steps) => said(steps, into),
                Step::Every(every) => said(&every.steps, into),
                _ => {}
            }
        }
    }
    let mut texts = BTreeSet::new();
    said(&scenario.script, &mut texts);
    for (_, value) in scenario.variants.iter().flat_map(|(_, overrides)| overrides.iter()) {
        if let Override::Steps(steps) = value {
            said(steps, &mut texts);
        }
    }
    let consumers = scenario.consumers.iter().filter_map(|(_, consumer)| consumer.regex.as_ref());
    let groups = scenario.groups.iter().filter_map(|(_, group)| group.regex.as_ref());
    texts.extend(consumers.chain(groups).map(String::as_str));
    let regex = |text: &str| Regex { text: text.to_owned(), fits: fitting(names, text).ok() };
    texts.into_iter().map(regex).collect()
}

/// A pattern that was understood: alternatives, each a row of pieces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern(Vec<Vec<Piece>>);

/// A piece of a pattern: how often it comes at least, and whether once at most or without end.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Piece {
    what: What,
    least: u8,
    once: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    Any,
    Char(char),
    Class { except: bool, ranges: Vec<(char, char)> },
    Group(Pattern),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(invalid("the pattern is empty (IllegalArgumentException)"));
        }
        let mut rest = text.chars().peekable();
        let pattern = Self::alternatives(&mut rest)?;
        match rest.next() {
            None => Ok(pattern),
            Some(extra) => Err(invalid(format!("`{extra}` closes nothing"))),
        }
    }

    /// True when the whole of `name` fits.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        self.ends(&name, &BTreeSet::from([0])).contains(&name.len())
    }

    fn alternatives(rest: &mut Peekable<Chars<'_>>) -> Result<Self, Fault> {
        let mut all = vec![Vec::new()];
        while let Some(next) = rest.next_if(|next| *next != ')') {
            if next == '|' {
                all.push(Vec::new());
                continue;
            }
            let what = What::parse(next, rest)?;
            let (least, once) = match rest.peek() {
                Some('*') => (0, false),
                Some('+') => (1, false),
                Some('?') => (0, true),
                _ => (1, true),
            };
            if (least, once) != (1, true) {
                rest.next();
                if let Some(again) = rest.peek().filter(|next| "*+?".contains(**next)) {
                    let message = format!("`{again}` after a repetition is not understood");
                    return Err(Fault::Unknown(message));
                }
            }
            all.last_mut().expect("there is one from the start").push(Piece { what, least, once });
        }
        Ok(Self(all))
    }

    /// Where a match that begins at one of `from` may end.
    fn ends(&self, name: &[char], from: &BTreeSet<usize>) -> BTreeSet<usize> {
        let run = |pieces: &Vec<Piece>| {
            pieces.iter().fold(from.clone(), |from, piece| piece.ends(name, &from))
        };
        self.0.iter().flat_map(run).collect()
    }
}

impl Piece {
    fn ends(&self, name: &[char], from: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut ends = if self.least == 0 { from.clone() } else { BTreeSet::new() };
        let mut front = from.clone();
        loop {
            front = self.what.ends(name, &front);
            let before = ends.len();
            ends.extend(&front);
            if self.once || ends.len() == before {
                return ends;
            }
        }
    }
}

impl What {
    fn parse(first: char, rest: &mut Peekable<Chars<'_>>) -> Result<Self, Fault> {
        Ok(match first {
            '.' => Self::Any,
            '\\' => Self::escaped(rest.next())?,
            '[' => Self::class(rest)?,
            '(' => {
                if rest.peek() == Some(&'?') {
                    return Err(Fault::Unknown("`(?` is not understood".to_owned()));
                }
                let group = Pattern::alternatives(rest)?;
                rest.next().ok_or_else(|| invalid("`(` is not closed"))?;
                Self::Group(group)
            }
            '*' | '+' | '?' => return Err(invalid(format!("`{first}` repeats nothing"))),
            '^' | '$' | '{' | '}' => {
                return Err(Fault::Unknown(format!("`{first}` is not understood")));
            }
            other => Self::Char(other),
        })
    }

    fn escaped(next: Option<char>) -> Result<Self, Fault> {
        let digit = ('0', '9');
        let class = |ranges: Vec<(char, char)>| Self::Class { except: false, ranges };
        match next.ok_or_else(|| invalid("a backslash at the end means nothing"))? {
            'd' => Ok(class(vec![digit])),
            'w' => Ok(class(vec![digit, ('A', 'Z'), ('a', 'z'), ('_', '_')])),
            other if other.is_ascii_alphanumeric() => {
                Err(Fault::Unknown(format!("`\\{other}` is not understood")))
            }
            other => Ok(Self::Char(other)),
        }
    }

    fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Self, Fault> {
        let open = || invalid("`[` is not closed");
        let except = rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let from = match rest.next().ok_or_else(open)? {
                // Right behind the opening it is one of the characters.
                ']' if !ranges.is_empty() => return Ok(Self::Class { except, ranges }),
                '\\' => match Self::escaped(rest.next())? {
                    Self::Char(meant) => meant,
                    _ => return Err(Fault::Unknown("a class in a class".to_owned())),
                },
                other => other,
            };
            let mut to = from;
            if rest.next_if_eq(&'-').is_some() {
                // At the end it is one of the characters.
                match rest.next_if(|next| *next != ']') {
                    Some(next) => to = next,
                    None => ranges.push(('-', '-')),
                }
            }
            if to < from {
                return Err(invalid(format!("`{from}-{to}` is the wrong way round")));
            }
            ranges.push((from, to));
        }
    }

    fn ends(&self, name: &[char], from: &BTreeSet<usize>) -> BTreeSet<usize> {
        let fits = |at: char| match self {
            Self::Any => true,
            Self::Char(wanted) => at == *wanted,
            Self::Class { except, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&at)) != *except
            }
            Self::Group(_) => false,
        };
        if let Self::Group(group) = self {
            return group.ends(name, from);
        }
        let next = from.iter().filter(|at| name.get(**at).is_some_and(|c| fits(*c)));
        next.map(|at| at + 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_has_to_fit() {
        for (pattern, fits, not) in [
            ("orders", "orders", "orders2"),
            ("orders.*", "orders", "my-orders"),
            (r"orders\.eu", "orders.eu", "orders-eu"),
            ("(orders|bills)-[0-9]+", "bills-12", "bills-"),
            ("[^_].*", "orders", "_orders"),
            ("(ab?)+", "abaab", "abb"),
            ("(a*)*b", "aaab", "aaa"),
            (r"t\d\w+", "t1_", "td1"),
            ("[]a-]+", "a]-", "b"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert!(pattern.matches(fits) && !pattern.matches(not), "{pattern:?}");
        }
    }

    #[test]
    fn what_nobody_understands_is_told_from_what_is_only_not_understood_here() {
        for pattern in ["", "*a", "(a", "a)", "[a", "[]", "[b-a]", r"a\"] {
            assert!(matches!(Pattern::parse(pattern), Err(Fault::Invalid(_))), "{pattern}");
        }
        for pattern in ["a{2}", "^a", "a*?", "(?i)a", r"\bA"] {
            assert!(matches!(Pattern::parse(pattern), Err(Fault::Unknown(_))), "{pattern}");
        }
    }
}
