//! Patterns of topic names, for `subscribe(Pattern)`: the part of `java.util.regex` that names need. Literals, `.`,
//! classes (`[a-c_]`, `[^x]`), groups and alternatives (`(a|b)`), `*`, `+`, `?`, and a backslash before a character
//! that is meant as such. The whole name has to fit, as with `Matcher.matches`.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

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
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the pattern is empty (IllegalArgumentException)".to_owned());
        }
        let mut rest = text.chars().peekable();
        let pattern = Self::alternatives(&mut rest)?;
        match rest.next() {
            None => Ok(pattern),
            Some(extra) => Err(format!("`{extra}` closes nothing")),
        }
    }

    /// True when the whole of `name` fits.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        self.ends(&name, &BTreeSet::from([0])).contains(&name.len())
    }

    fn alternatives(rest: &mut Peekable<Chars<'_>>) -> Result<Self, String> {
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
    fn parse(first: char, rest: &mut Peekable<Chars<'_>>) -> Result<Self, String> {
        Ok(match first {
            '.' => Self::Any,
            '\\' => Self::Char(rest.next().ok_or("a backslash at the end means nothing")?),
            '[' => Self::class(rest)?,
            '(' => {
                let group = Pattern::alternatives(rest)?;
                rest.next().ok_or("`(` is not closed")?;
                Self::Group(group)
            }
            '*' | '+' | '?' => return Err(format!("`{first}` repeats nothing")),
            '^' | '$' | '{' | '}' => return Err(format!("`{first}` is not understood")),
            other => Self::Char(other),
        })
    }

    fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Self, String> {
        let open = || "`[` is not closed".to_owned();
        let except = rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let from = match rest.next().ok_or_else(open)? {
                ']' => return Ok(Self::Class { except, ranges }),
                '\\' => rest.next().ok_or_else(open)?,
                other => other,
            };
            let to = if rest.next_if_eq(&'-').is_some() { rest.next() } else { Some(from) };
            ranges.push((from, to.ok_or_else(open)?));
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
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert!(pattern.matches(fits) && !pattern.matches(not), "{pattern:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for pattern in ["", "*a", "(a", "a)", "[a", "a{2}", r"a\"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
