//! Five roles, four themes. A role says what a colour means; nothing is coloured that is not also a glyph, a word or
//! a place, so `mono` loses nothing.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of the screen means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The terminal's own foreground.
    Plain,
    /// Emphasis.
    Strong,
    /// Safe: below the high watermark, acknowledged, held.
    Safe,
    /// Happening now, or at risk.
    Now,
    /// Broken: lost, skipped, duplicated.
    Broken,
    /// Of a transaction.
    Transaction,
    /// What the reader selected.
    Picked,
}

/// A set of colours for the roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Theme {
    /// The 16 ANSI colours on a dark background.
    #[default]
    Dark,
    /// The 16 ANSI colours on a light background, where cyan and yellow text cannot be read.
    Light,
    /// No colour: bold, underline, reverse. Also what `NO_COLOR` asks for.
    Mono,
    /// The colours of Okabe and Ito, told apart by colour-blind readers.
    ColorBlind,
}

impl Theme {
    /// The next theme, for the key that walks through them.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Mono,
            Self::Mono => Self::ColorBlind,
            Self::ColorBlind => Self::Dark,
        }
    }

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Mono => "mono",
            Self::ColorBlind => "cb",
        }
    }

    /// The theme called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Dark, Self::Light, Self::Mono, Self::ColorBlind]
            .into_iter()
            .find(|theme| theme.name() == name)
    }

    /// How a role is drawn.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        match (role, self) {
            (Role::Plain, _) | (Role::Safe | Role::Transaction, Self::Mono) => plain,
            (Role::Strong, _) => plain.add_modifier(Modifier::BOLD),
            (Role::Picked, _) => plain.add_modifier(Modifier::BOLD | Modifier::REVERSED),
            (Role::Safe, Self::Dark) => plain.fg(Color::Cyan),
            (Role::Safe, Self::Light) => plain.fg(Color::Blue),
            (Role::Safe, Self::ColorBlind) => plain.fg(Color::Indexed(74)),
            (Role::Now, Self::Dark) => plain.fg(Color::Yellow),
            (Role::Now, Self::Light) => plain.fg(Color::Black).bg(Color::Yellow),
            (Role::Now, Self::Mono) => plain.add_modifier(Modifier::UNDERLINED),
            (Role::Now, Self::ColorBlind) => plain.fg(Color::Indexed(214)),
            (Role::Broken, Self::Dark | Self::Light) => {
                plain.fg(Color::Red).add_modifier(Modifier::REVERSED)
            }
            (Role::Broken, Self::Mono) => plain.add_modifier(Modifier::REVERSED),
            (Role::Broken, Self::ColorBlind) => {
                plain.fg(Color::Indexed(166)).add_modifier(Modifier::REVERSED)
            }
            (Role::Transaction, Self::Dark | Self::Light) => plain.fg(Color::Magenta),
            (Role::Transaction, Self::ColorBlind) => plain.fg(Color::Indexed(175)),
        }
    }

    /// How a row that differs between variants stands out from those that are equal.
    pub const fn differs(self) -> Modifier {
        match self {
            Self::Mono => Modifier::UNDERLINED,
            _ => Modifier::BOLD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_uses_no_colour() {
        let roles = [Role::Plain, Role::Strong, Role::Safe, Role::Now, Role::Broken];
        for role in roles.into_iter().chain([Role::Transaction, Role::Picked]) {
            let style = Theme::Mono.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }

    #[test]
    fn the_key_visits_every_theme_and_names_parse() {
        let mut theme = Theme::Dark;
        for _ in 0..4 {
            assert_eq!(Theme::parse(theme.name()), Some(theme));
            theme = theme.next();
        }
        assert_eq!(theme, Theme::Dark);
        assert_eq!(Theme::parse("solarized"), None);
    }
}
