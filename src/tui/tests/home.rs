//! The home screen of the tests, and its keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::PLAIN;
use crate::tui::keymap::{self, Action, Key, Scope};
use crate::tui::model::HomeEntry;
use crate::tui::screens::home::Home;
use crate::tui::terminal::Show;

pub(super) fn lessons() -> Vec<HomeEntry> {
    let entry = |id: &str, level, title: &str| HomeEntry {
        id: id.to_owned(),
        level,
        title: title.to_owned(),
        facts: "3 brokers · 1 topic · 3 variants side by side · 2 questions".to_owned(),
        variants: 3,
    };
    vec![
        entry("hello-log", 0, "What is a log?"),
        entry("extra-idle-consumers", 1, "What do more consumers than partitions do?"),
        entry("acks-ladder", 2, "Which acknowledged messages survive a leader crash?"),
        entry("auto-commit-crash", 2, "What does a crash repeat under auto-commit?"),
    ]
}

pub(super) fn render_home(home: &Home, width: u16, height: u16) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    home.render(buffer.area, &mut buffer);
    buffer
}

#[test]
fn every_key_of_the_home_screen_works() {
    for binding in keymap::KEYMAP.iter().filter(|binding| binding.scope == Scope::Home) {
        for key in binding.keys {
            let mut home = Home::new(lessons(), PLAIN);
            home.key(Key::Tab);
            home.key(Key::Down);
            if binding.action == Action::Back {
                home.key(Key::Char('/'));
            }
            let before = render_home(&home, 80, 24);
            home.key(*key);
            let changed = before != render_home(&home, 80, 24);
            assert!(changed || home.take_request().is_some(), "{key:?} {}", binding.does);
        }
    }
}
