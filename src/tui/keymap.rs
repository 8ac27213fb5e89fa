//! The one table of keys. It feeds the handler, the last row of the screen, the help box and a test: no key means two
//! things in one scope, and every key shown works.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key as the table knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A character, capitals included.
    Char(char),
    /// A character with Ctrl held.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Shift-Tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
}

impl Key {
    /// The key of a terminal event; `None` for releases and for keys nothing uses.
    pub fn of(event: KeyEvent) -> Option<Self> {
        if !matches!(event.kind, KeyEventKind::Press | KeyEventKind::Repeat) {
            return None;
        }
        let key = match event.code {
            KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => Self::Ctrl(c),
            KeyCode::Char(c) => Self::Char(c),
            KeyCode::Enter => Self::Enter,
            KeyCode::Esc => Self::Esc,
            KeyCode::Tab => Self::Tab,
            KeyCode::BackTab => Self::BackTab,
            KeyCode::Backspace => Self::Backspace,
            KeyCode::Left => Self::Left,
            KeyCode::Right => Self::Right,
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            _ => return None,
        };
        Some(key)
    }
}

/// Where a key has its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Everywhere, before any other scope.
    Always,
    /// The list of lessons.
    Home,
    /// A film without a box over it: stage, compare, why.
    Film,
    /// A film with variants side by side; its keys come before those of [`Scope::Film`].
    Compare,
    /// The journey of a message; its keys come before those of [`Scope::Film`].
    Why,
    /// The log inspector; its keys come before those of [`Scope::Film`].
    Log,
    /// The quorum of controllers; its keys come before those of [`Scope::Film`].
    Controller,
    /// Transactions; its keys come before those of [`Scope::Film`].
    Transactions,
    /// A group, member by member; its keys come before those of [`Scope::Film`].
    Group,
    /// A question; it waits for an answer.
    Ask,
    /// The reveal of an answer.
    Reveal,
    /// The help box.
    Help,
    /// A line to type into. Characters are text there.
    Prompt,
}

/// What a key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the table says in words what each does")]
pub enum Action {
    Interrupt,
    Suspend,
    Redraw,
    PlayPause,
    StepForward,
    StepBack,
    NextMark,
    PreviousMark,
    NextViolation,
    PreviousViolation,
    Faster,
    Slower,
    Pace,
    Start,
    End,
    GoTo,
    SelectLeft,
    SelectRight,
    SelectUp,
    SelectDown,
    ZoomOut,
    ZoomIn,
    Stage,
    Compare,
    Why,
    Log,
    KillProducer,
    Controller,
    Transactions,
    Group,
    Beside,
    NextWorld,
    PreviousWorld,
    FirstDifference,
    DecisiveDifference,
    HideSame,
    Open,
    Back,
    Help,
    Theme,
    Ascii,
    Quit,
    Hint,
    Skip,
    Learn,
    Play,
    Search,
}

/// The part of the help box a key stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Moving in time.
    Time,
    /// What is shown.
    See,
    /// Everything else.
    Do,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Where it holds.
    pub scope: Scope,
    /// The keys, any of which does it.
    pub keys: &'static [Key],
    /// What it does.
    pub action: Action,
    /// The keys as they are written.
    pub label: &'static str,
    /// What it does, in a word or three.
    pub does: &'static str,
    /// Where the help box lists it.
    pub group: Group,
    /// Place in the last row, from the left; 0 when it is not there.
    pub footer: u8,
}

const fn bind(
    scope: Scope,
    keys: &'static [Key],
    action: Action,
    text: (&'static str, &'static str),
    group: Group,
    footer: u8,
) -> Binding {
    Binding { scope, keys, action, label: text.0, does: text.1, group, footer }
}

use Action as A;
use Group::{Do, See, Time};
use Key::{BackTab, Char, Ctrl, Down, Enter, Esc, Left, Right, Tab, Up};
use Scope as S;

/// Every key that works.
#[rustfmt::skip]
pub const KEYMAP: &[Binding] = &[
    bind(S::Always, &[Ctrl('c')], A::Interrupt, ("Ctrl-C", "quit at once"), Do, 0),
    bind(S::Always, &[Ctrl('z')], A::Suspend, ("Ctrl-Z", "suspend"), Do, 0),
    bind(S::Always, &[Ctrl('l')], A::Redraw, ("Ctrl-L", "redraw"), Do, 0),

    bind(S::Home, &[Enter], A::Learn, ("Enter", "learn"), Do, 1),
    bind(S::Home, &[Char('p')], A::Play, ("p", "play freely"), Do, 2),
    bind(S::Home, &[Char('c')], A::Compare, ("c", "compare"), Do, 3),
    bind(S::Home, &[Char('/')], A::Search, ("/", "search"), See, 4),
    bind(S::Home, &[Tab, BackTab, Left, Right, Char('h'), Char('l')], A::NextWorld, ("Tab", "other pane"), See, 5),
    bind(S::Home, &[Down, Char('j')], A::SelectDown, ("j", "down"), See, 0),
    bind(S::Home, &[Up, Char('k')], A::SelectUp, ("k", "up"), See, 0),
    bind(S::Home, &[Char('T')], A::Theme, ("T", "theme"), See, 0),
    bind(S::Home, &[Char('A')], A::Ascii, ("A", "ASCII"), See, 0),
    bind(S::Home, &[Char('?')], A::Help, ("?", "keys"), Do, 6),
    bind(S::Home, &[Esc], A::Back, ("Esc", "end search"), Do, 0),
    bind(S::Home, &[Char('q')], A::Quit, ("q", "quit"), Do, 7),

    bind(S::Film, &[Char(' ')], A::PlayPause, ("space", "play"), Time, 1),
    bind(S::Film, &[Char('.')], A::StepForward, (".", "step"), Time, 2),
    bind(S::Film, &[Char(',')], A::StepBack, (",", "back"), Time, 3),
    bind(S::Film, &[Char(']')], A::NextMark, ("]", "mark"), Time, 4),
    bind(S::Film, &[Char('[')], A::PreviousMark, ("[", "mark before"), Time, 0),
    bind(S::Film, &[Char('}')], A::NextViolation, ("}", "violation"), Time, 0),
    bind(S::Film, &[Char('{')], A::PreviousViolation, ("{", "the one before"), Time, 0),
    bind(S::Film, &[Char('+'), Char('=')], A::Faster, ("+", "faster"), Time, 0),
    bind(S::Film, &[Char('-')], A::Slower, ("-", "slower"), Time, 0),
    bind(S::Film, &[Char('r')], A::Pace, ("r", "story or real pace"), Time, 0),
    bind(S::Film, &[Char('0')], A::Start, ("0", "start"), Time, 0),
    bind(S::Film, &[Char('G')], A::End, ("G", "end"), Time, 0),
    bind(S::Film, &[Char('g')], A::GoTo, ("g", "go to"), Time, 0),
    bind(S::Film, &[Char('1')], A::Stage, ("1", "stage"), See, 0),
    bind(S::Film, &[Char('2'), Char('c')], A::Compare, ("c", "compare"), See, 6),
    bind(S::Film, &[Char('3')], A::Group, ("3", "group"), See, 0),
    bind(S::Film, &[Char('4')], A::Log, ("4", "log"), See, 0),
    bind(S::Film, &[Char('5')], A::Transactions, ("5", "transactions"), See, 0),
    bind(S::Film, &[Char('6')], A::Controller, ("6", "controllers"), See, 0),
    bind(S::Film, &[Left, Char('h')], A::SelectLeft, ("h", "message left"), See, 0),
    bind(S::Film, &[Right, Char('l')], A::SelectRight, ("l", "message right"), See, 0),
    bind(S::Film, &[Up, Char('k')], A::SelectUp, ("k", "partition up"), See, 0),
    bind(S::Film, &[Down, Char('j')], A::SelectDown, ("j", "partition down"), See, 0),
    bind(S::Film, &[Char('z')], A::ZoomOut, ("z", "zoom out"), See, 7),
    bind(S::Film, &[Char('Z')], A::ZoomIn, ("Z", "zoom in"), See, 0),
    bind(S::Film, &[Tab], A::NextWorld, ("Tab", "variant"), See, 0),
    bind(S::Film, &[BackTab], A::PreviousWorld, ("Shift-Tab", "variant before"), See, 0),
    bind(S::Film, &[Enter], A::Open, ("Enter", "inspect"), See, 0),
    bind(S::Film, &[Esc], A::Back, ("Esc", "back"), See, 0),
    bind(S::Film, &[Char('w')], A::Why, ("w", "why"), Do, 5),
    bind(S::Film, &[Char('T')], A::Theme, ("T", "theme"), Do, 0),
    bind(S::Film, &[Char('A')], A::Ascii, ("A", "ASCII"), Do, 0),
    bind(S::Film, &[Char('?')], A::Help, ("?", "keys"), Do, 8),
    bind(S::Film, &[Char('q')], A::Quit, ("q", "quit"), Do, 9),

    bind(S::Compare, &[Char('d')], A::FirstDifference, ("d", "difference"), Time, 2),
    bind(S::Compare, &[Char('D')], A::DecisiveDifference, ("D", "decisive one"), Time, 3),
    bind(S::Compare, &[Tab], A::NextWorld, ("Tab", "variant"), See, 4),
    bind(S::Compare, &[Enter], A::Open, ("Enter", "this one alone"), See, 5),
    bind(S::Compare, &[Char('i')], A::HideSame, ("i", "hide same"), See, 6),
    bind(S::Compare, &[Char('2'), Char('c')], A::Stage, ("c", "one variant"), See, 0),

    bind(S::Why, &[Down, Char('j')], A::SelectDown, ("j", "next cause"), Time, 1),
    bind(S::Why, &[Up, Char('k')], A::SelectUp, ("k", "cause before"), Time, 2),
    bind(S::Why, &[Left, Char('h')], A::SelectLeft, ("h", "message before"), See, 3),
    bind(S::Why, &[Right, Char('l')], A::SelectRight, ("l", "next message"), See, 4),
    bind(S::Why, &[Enter], A::Open, ("Enter", "go there, try it"), See, 5),
    bind(S::Why, &[Esc, Char('w')], A::Back, ("Esc", "back"), See, 6),

    bind(S::Log, &[Down, Char('j')], A::SelectDown, ("j", "next batch"), See, 1),
    bind(S::Log, &[Up, Char('k')], A::SelectUp, ("k", "batch before"), See, 0),
    bind(S::Log, &[Left, Char('h')], A::SelectLeft, ("h", "replica before"), See, 0),
    bind(S::Log, &[Right, Char('l')], A::SelectRight, ("l", "replica"), See, 2),
    bind(S::Log, &[Char('|')], A::Beside, ("|", "side by side"), See, 3),
    bind(S::Log, &[Enter], A::Open, ("Enter", "records"), See, 4),
    bind(S::Log, &[Esc, Char('4')], A::Back, ("Esc", "back"), See, 5),

    bind(S::Controller, &[Down, Left, Char('j'), Char('h')], A::SelectDown, ("j", "older"), See, 1),
    bind(S::Controller, &[Up, Right, Char('k'), Char('l')], A::SelectUp, ("k", "newer"), See, 0),
    bind(S::Controller, &[Enter], A::Open, ("Enter", "go there"), See, 3),
    bind(S::Controller, &[Esc, Char('6')], A::Back, ("Esc", "back"), See, 4),

    bind(S::Transactions, &[Down, Char('j')], A::SelectDown, ("j", "next id"), See, 1),
    bind(S::Transactions, &[Up, Char('k')], A::SelectUp, ("k", "id before"), See, 0),
    bind(S::Transactions, &[Enter], A::Open, ("Enter", "marker"), See, 2),
    bind(S::Transactions, &[Char('w')], A::Why, ("w", "why held"), Do, 3),
    bind(S::Transactions, &[Char('f')], A::KillProducer, ("f", "kill"), Do, 4),
    bind(S::Transactions, &[Esc, Char('5')], A::Back, ("Esc", "back"), See, 5),

    bind(S::Group, &[Down, Char('j')], A::SelectDown, ("j", "next member"), See, 1),
    bind(S::Group, &[Up, Char('k')], A::SelectUp, ("k", "member before"), See, 0),
    bind(S::Group, &[Left, Char('h')], A::SelectLeft, ("h", "earlier"), See, 2),
    bind(S::Group, &[Right, Char('l')], A::SelectRight, ("l", "later"), See, 0),
    bind(S::Group, &[Char('z')], A::ZoomOut, ("z", "longer"), See, 3),
    bind(S::Group, &[Enter], A::Open, ("Enter", "timers, variants"), See, 4),
    bind(S::Group, &[Esc, Char('3')], A::Back, ("Esc", "back"), See, 5),

    bind(S::Ask, &[Char('H')], A::Hint, ("H", "hint"), Do, 1),
    bind(S::Ask, &[Char('S')], A::Skip, ("S", "skip"), Do, 2),
    bind(S::Ask, &[Esc], A::Back, ("Esc", "look around first"), Do, 3),
    bind(S::Ask, &[Char('?')], A::Help, ("?", "keys"), Do, 4),
    bind(S::Ask, &[Char('q')], A::Quit, ("q", "quit"), Do, 5),

    bind(S::Reveal, &[Enter, Char(' ')], A::Open, ("Enter", "go on"), Do, 1),
    bind(S::Reveal, &[Char('w')], A::Why, ("w", "why"), Do, 2),
    bind(S::Reveal, &[Esc], A::Back, ("Esc", "look around"), Do, 3),
    bind(S::Reveal, &[Char('?')], A::Help, ("?", "keys"), Do, 4),
    bind(S::Reveal, &[Char('q')], A::Quit, ("q", "quit"), Do, 5),

    bind(S::Help, &[Char('?'), Esc, Enter, Char(' '), Char('q')], A::Back, ("?", "closes"), Do, 1),

    bind(S::Prompt, &[Enter], A::Open, ("Enter", "go"), Do, 1),
    bind(S::Prompt, &[Esc], A::Back, ("Esc", "leave"), Do, 2),
];

/// The binding of `key` in the first of `scopes` that has one.
pub fn find(key: Key, scopes: &[Scope]) -> Option<&'static Binding> {
    let mut all = std::iter::once(&Scope::Always).chain(scopes);
    all.find_map(|scope| {
        KEYMAP.iter().find(|binding| binding.scope == *scope && binding.keys.contains(&key))
    })
}

/// The bindings in force in `scopes`: those of an earlier scope hide those of a later one with the same action.
pub fn in_force(scopes: &[Scope]) -> Vec<&'static Binding> {
    let mut list: Vec<&'static Binding> = Vec::new();
    for scope in scopes {
        for binding in KEYMAP.iter().filter(|binding| binding.scope == *scope) {
            let hidden = list.iter().any(|other| {
                other.action == binding.action
                    || binding.keys.iter().all(|key| other.keys.contains(key))
            });
            if !hidden {
                list.push(binding);
            }
        }
    }
    list
}

/// The keys of the last row, in its order, as many as fit into `room` columns; the one for help always does.
pub fn footer(scopes: &[Scope], room: u16) -> Vec<(u16, &'static Binding)> {
    let mut list = in_force(scopes);
    list.retain(|binding| binding.footer > 0);
    if let Some(narrow @ (S::Why | S::Log | S::Controller | S::Transactions | S::Group)) =
        scopes.first()
    {
        // None shows strips, so what changes them stays out of sight there; logs are watched as time passes.
        let time = |b: &Binding| *narrow != S::Why && b.group == Time;
        list.retain(|b| b.scope == *narrow || b.action == A::Help || time(b));
    }
    // Playing comes first, or a newcomer sees a still picture; then keys of a narrower scope, which are special here.
    let scope = |b: &Binding| scopes.iter().position(|s| *s == b.scope);
    list.sort_by_key(|b| (b.action != A::PlayPause, scope(b), b.footer));
    let length = |b: &Binding| (b.label.len() + b.does.len() + 3) as u16;
    let mut left = room.saturating_sub(1);
    left -= list.iter().find(|b| b.action == A::Help).map_or(0, |b| length(b)).min(left);
    let mut x = 1;
    let mut shown = Vec::new();
    for binding in list {
        let needs = length(binding);
        let fits = needs <= left + 2;
        if binding.action == A::Help || fits {
            shown.push((x, binding));
            x += needs;
            left -= if binding.action == A::Help { 0 } else { needs.min(left) };
        } else {
            left = 0;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_scope() {
        for (i, one) in KEYMAP.iter().enumerate() {
            for other in &KEYMAP[..i] {
                let both = one.scope == other.scope || other.scope == Scope::Always;
                let shared = one.keys.iter().find(|key| other.keys.contains(key));
                assert!(!both || shared.is_none(), "{shared:?}: {one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn a_label_names_one_of_its_keys() {
        for binding in KEYMAP {
            let named = |key: &Key| match key {
                Char(' ') => binding.label == "space",
                Char(c) => binding.label == c.to_string(),
                Ctrl(c) => binding.label == format!("Ctrl-{}", c.to_ascii_uppercase()),
                BackTab => binding.label == "Shift-Tab",
                other => binding.label == format!("{other:?}"),
            };
            assert!(binding.keys.iter().any(named), "{binding:?}");
        }
    }

    #[test]
    fn a_release_of_a_key_is_nothing() {
        let mut event = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(Key::of(event), Some(Char('q')));
        event.kind = KeyEventKind::Release;
        assert_eq!(Key::of(event), None);
    }
}
