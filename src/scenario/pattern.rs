//! Patterns of topic names, for `subscribe(Pattern)`, which the client evaluates with `java.util.regex`, and for
//! `subscribe(SubscriptionPattern)`, which the coordinator does with RE2/J. The whole name has to fit both
//! (`Matcher.matches`). The crate `regex` understands what RE2/J does; what only Java does is told apart.

use std::collections::BTreeSet;

use regex::bytes::{Regex as Matcher, RegexBuilder};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, ErrorKind, RepetitionKind, Visitor, visit};

use crate::base::ids::TopicId;
use crate::base::names::{Names, Regex};
use crate::scenario::schema::{Override, Scenario};
use crate::scenario::step::Step;

/// Why a pattern has no meaning here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nor has it for Java or RE2/J.
    Invalid(String),
    /// It has for Java, but not for RE2/J.
    JavaOnly(String),
}

impl Fault {
    /// What is wrong.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Invalid(what) => format!("no regular expression: {what}"),
            Self::JavaOnly(what) => format!("not understood here: {what}"),
        }
    }
}

/// What all names that fit have in common.
pub(super) struct Pattern(Matcher);

impl Pattern {
    /// # Errors
    /// What is wrong with the pattern.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::Invalid("it is empty (IllegalArgumentException)".to_owned()));
        }
        let ast = Parser::new().parse(text).map_err(|error| {
            let what = error.kind().to_string();
            match error.kind() {
                ErrorKind::UnsupportedLookAround | ErrorKind::UnsupportedBackreference => {
                    Fault::JavaOnly(what)
                }
                _ => Fault::Invalid(what),
            }
        })?;
        visit(&ast, RepeatedOnce)?;
        // Names of topics are ASCII, and so are the classes of RE2/J.
        let whole = RegexBuilder::new(&format!("^(?:{text})$")).unicode(false).build();
        whole.map(Self).map_err(|error| {
            let told = error.to_string();
            Fault::Invalid(told.lines().last().unwrap_or_default().to_owned())
        })
    }

    fn matches(&self, name: &str) -> bool {
        self.0.is_match(name.as_bytes())
    }
}

/// Refuses what repeats a repetition, like `a**`. In Java `a*+` means a repetition that gives nothing back.
struct RepeatedOnce;

impl Visitor for RepeatedOnce {
    type Output = ();
    type Err = Fault;

    fn finish(self) -> Result<(), Fault> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Fault> {
        let Ast::Repetition(outer) = ast else { return Ok(()) };
        match (&*outer.ast, &outer.op.kind) {
            (Ast::Repetition(_), RepetitionKind::OneOrMore) => {
                Err(Fault::JavaOnly("a possessive repetition".to_owned()))
            }
            (Ast::Repetition(_), _) => Err(Fault::Invalid("a repetition is repeated".to_owned())),
            _ => Ok(()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_has_to_fit() {
        for (pattern, fits, not) in [
            ("orders", "orders", "orders2"),
            ("orders|bills", "bills", "orders2"),
            ("orders.*", "orders", "my-orders"),
            (r"orders\.eu", "orders.eu", "orders-eu"),
            ("(orders|bills)-[0-9]+", "bills-12", "bills-"),
            ("[^_].*", "orders", "_orders"),
            ("^a{2,3}$", "aaa", "aaaa"),
            ("(?i)Orders", "orders", "order"),
            (r"t\d\w+?", "t1_", "td1"),
            ("[]a-]+", "a]-", "b"),
        ] {
            let Ok(matcher) = Pattern::parse(pattern) else { panic!("{pattern} is refused") };
            assert!(matcher.matches(fits) && !matcher.matches(not), "{pattern}");
        }
    }

    #[test]
    fn what_nobody_understands_is_told_from_what_only_java_does() {
        for pattern in ["", "*a", "(a", "a)", "[a", "[]", "[b-a]", r"a\", "a**", "a{2}{3}"] {
            assert!(matches!(Pattern::parse(pattern), Err(Fault::Invalid(_))), "{pattern}");
        }
        for pattern in ["a(?=b)", "(?<!a)b", r"(a)\1", "a*+", "a++"] {
            assert!(matches!(Pattern::parse(pattern), Err(Fault::JavaOnly(_))), "{pattern}");
        }
    }
}
