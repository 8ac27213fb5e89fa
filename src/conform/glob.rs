//! `--only`: a pattern for names in which `*` stands for any run of characters and `?` for one.

/// A pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(Vec<char>);

impl Glob {
    /// The pattern written `text`; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.chars().collect())
    }

    /// True when the whole of `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut p, mut n) = (0, 0);
        // Where to go on after a mismatch: one character more for the last star.
        let mut retry = None;
        while n < name.len() {
            match self.0.get(p) {
                Some('*') => {
                    retry = Some((p + 1, n + 1));
                    p += 1;
                }
                Some(c) if *c == '?' || *c == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((after_star, next)) = retry else { return false };
                    (p, n) = (after_star, next);
                    retry = Some((after_star, next + 1));
                }
            }
        }
        self.0[p..].iter().all(|c| *c == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_character() {
        for (pattern, name, fits) in [
            ("keys*", "keys", true),
            ("range*", "kip848-range", false),
            ("*range", "kip848-range", true),
            ("1-acks?", "1-acks0", true),
            ("1-acks?", "1-acks", false),
            ("*-idem", "3-lostack-retry-noidem", false),
            ("*a*b*c", "xaybzc", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), fits, "{pattern} {name}");
        }
    }
}
