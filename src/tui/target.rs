//! A place in a film as a reader types it: `11.2s`, `ev 148`, `m4`, `b2`, `✗`.

use crate::base::ids::{BrokerId, EventSeq, NodeId};
use crate::base::time::Time;
use crate::event::EventKind;
use crate::tui::app::App;
use crate::tui::model::MarkKind;

/// A place to go to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A moment.
    At(Time),
    /// An event, by its number in the world in front.
    Event(u32),
    /// What happens next to a message or to a broker, by name.
    Name(String),
    /// The next violation.
    Violation,
}

impl Target {
    /// Reads what was typed.
    ///
    /// # Errors
    /// A sentence that says what can be typed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if matches!(text, "✗" | "x" | "X") {
            return Ok(Self::Violation);
        }
        if let Some(number) = text.strip_prefix("ev")
            && let Ok(number) = number.trim().parse()
        {
            return Ok(Self::Event(number));
        }
        if let Some(at) = parse_time(text) {
            return Ok(Self::At(at));
        }
        if !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err("Type a time (11.2s), an event (ev 148), a message (m4), a broker (b2) or x."
            .to_owned())
    }

    /// The position in the film, if there is one.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn resolve(&self, app: &App) -> Result<usize, String> {
        let here = app.player.position();
        match self {
            Self::At(at) => Ok(app.reel.at_time(*at)),
            Self::Event(n) if (*n as usize) < app.run().events.len() => {
                Ok(app.reel.after(app.world, EventSeq(*n)))
            }
            Self::Event(n) => {
                let last = app.run().events.len().saturating_sub(1);
                Err(format!("There is no event {n}; the last one is {last}."))
            }
            Self::Violation => {
                let marks = app.marks();
                let mut found = marks.iter().filter(|(_, kind, _)| *kind == MarkKind::Violation);
                let next = found.clone().find(|(at, ..)| *at > here).or_else(|| found.next());
                next.map(|(at, ..)| *at).ok_or_else(|| "Nothing is broken in this run.".to_owned())
            }
            Self::Name(name) => Self::resolve_name(app, name),
        }
    }

    fn resolve_name(app: &App, name: &str) -> Result<usize, String> {
        let run = app.run();
        let about: Box<dyn Fn(&crate::event::Event) -> bool> =
            if let Some(id) = run.names.find_message(name) {
                Box::new(move |event| match event.kind {
                    EventKind::Sent { message, .. } | EventKind::SendFailed { message, .. } => {
                        message == id
                    }
                    EventKind::Appended { batch, .. }
                    | EventKind::Acknowledged { batch, .. }
                    | EventKind::BatchFailed { batch, .. }
                    | EventKind::Processed { batch, .. } => {
                        run.batches.messages(batch).any(|other| other == id)
                    }
                    _ => false,
                })
            } else if let Some(number) = name.strip_prefix('b').and_then(|n| n.parse().ok()) {
                let node = NodeId::Broker(BrokerId(number));
                Box::new(move |event| event.node == node && !event.kind.is_wire())
            } else {
                return Err(format!("There is no message, broker or time called {name}."));
            };
        let here = app.reel.shown(app.world, app.player.position());
        let count = run.events.len();
        let order = (here..count).chain(0..here.min(count));
        let found = order.into_iter().find(|n| about(&run.events[*n]));
        found
            .map(|n| app.reel.after(app.world, EventSeq(n as u32)))
            .ok_or_else(|| format!("Nothing ever happens to {name} in this run."))
    }
}

/// `11.2s`, `11.2`, `250ms`.
fn parse_time(text: &str) -> Option<Time> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1_000),
        None => (text.strip_suffix('s').unwrap_or(text), 1_000_000),
    };
    let (whole, part) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 9 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let micros: u64 = whole.parse::<u64>().ok()? * unit;
    let fraction = part.parse::<u64>().ok()? * unit / 10u64.pow(part.len() as u32);
    Some(Time(micros + fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_typed() {
        let cases = [
            ("11.2s", Target::At(Time(11_200_000))),
            ("0.25", Target::At(Time(250_000))),
            ("7ms", Target::At(Time(7_000))),
            ("ev 148", Target::Event(148)),
            ("ev148", Target::Event(148)),
            (" x ", Target::Violation),
            ("✗", Target::Violation),
            ("m4", Target::Name("m4".to_owned())),
        ];
        for (text, target) in cases {
            assert_eq!(Target::parse(text), Ok(target), "{text}");
        }
        for text in ["", "♥", "99999999999999999999.1 s"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
