//! The symbols a screen may use, and what each becomes with `--ascii`. Every symbol is one column wide and not an
//! emoji candidate; a test holds every screen to this list.

/// A symbol in its two forms. Most follow from their character through [`ascii`]; the few whose meaning depends on
/// the place are constants below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Glyph {
    /// The symbol.
    pub unicode: char,
    /// What stands for it in ASCII.
    pub ascii: char,
}

impl Glyph {
    /// The form to draw.
    pub const fn pick(self, ascii: bool) -> char {
        if ascii { self.ascii } else { self.unicode }
    }
}

const fn glyph(unicode: char, ascii: char) -> Glyph {
    Glyph { unicode, ascii }
}

/// A record above the high watermark.
pub const ABOVE_HW: Glyph = glyph('□', 'o');
/// A record below the high watermark.
pub const BELOW_HW: Glyph = glyph('■', '#');
/// A record that was truncated since the mark before.
pub const CUT: Glyph = glyph('/', '/');
/// A record of a coordinator: it takes an offset and has no message id.
pub const INTERNAL: Glyph = glyph('·', '.');
/// The producer waits for the answer.
pub const WAITING: Glyph = glyph('…', '.');
/// The producer was told that the record is stored.
pub const TOLD_OK: Glyph = glyph('✓', '+');
/// The producer was told that the record failed.
pub const TOLD_FAILED: Glyph = glyph('!', '!');
/// The producer does not know.
pub const TOLD_UNKNOWN: Glyph = glyph('?', '?');
/// Nobody asked (`acks=0`).
pub const NOT_ASKED: Glyph = glyph('~', '~');
/// Told to be stored, and gone; a violation; a fault on a message.
pub const GONE: Glyph = glyph('✗', 'x');
/// Not processed yet; idle.
pub const NOT_YET: Glyph = glyph('·', '.');
/// The high watermark of a leader.
pub const HW_LEADER: Glyph = glyph('┃', '|');
/// The high watermark of a follower.
pub const HW_FOLLOWER: Glyph = glyph('│', ':');
/// A position, or a committed offset.
pub const POINTER: Glyph = glyph('▲', '^');
/// A member that works; a full bar.
pub const BAR: Glyph = glyph('█', '=');
/// A member stopped by a rebalance.
pub const STOPPED: Glyph = glyph('▒', '%');
/// The log's first kept record.
pub const LOG_START: Glyph = glyph('[', '[');
/// A fault on the time line.
pub const FAULT: Glyph = glyph('▼', 'v');
/// A heal on the time line.
pub const HEAL: Glyph = glyph('▲', '^');
/// A question on the time line.
pub const QUESTION: Glyph = glyph('?', '?');
/// A bookmark on the time line.
pub const BOOKMARK: Glyph = glyph('◆', '*');
/// The first event that differs between variants.
pub const DIFFERS: Glyph = glyph('≠', '!');
/// The cursor of the time line.
pub const CURSOR: Glyph = glyph('█', '@');
/// A rule or the empty time line.
pub const LINE: Glyph = glyph('─', '-');
/// A verdict that holds.
pub const HOLDS: Glyph = glyph('✓', '+');
/// A verdict nothing exercised.
pub const VACUOUS: Glyph = glyph('∅', '0');
/// A verdict that is not in yet.
pub const UNJUDGED: Glyph = glyph('…', '.');

/// Every symbol beyond ASCII that a screen may show, with its replacement.
pub const TABLE: &[Glyph] = &[
    ABOVE_HW,
    BELOW_HW,
    glyph('…', '.'),
    TOLD_OK,
    GONE,
    NOT_YET,
    HW_LEADER,
    glyph('│', '|'),
    POINTER,
    BAR,
    STOPPED,
    glyph('░', 'a'),
    glyph('┆', ';'),
    FAULT,
    BOOKMARK,
    VACUOUS,
    // lines and joints
    LINE,
    glyph('┌', '+'),
    glyph('┐', '+'),
    glyph('└', '+'),
    glyph('┘', '+'),
    glyph('├', '+'),
    glyph('┤', '|'),
    glyph('┬', '+'),
    glyph('┴', '+'),
    glyph('┼', '+'),
    glyph('═', '='),
    // bars and sparklines
    glyph('▉', '='),
    glyph('▊', '='),
    glyph('▋', '='),
    glyph('▌', '='),
    glyph('▍', '='),
    glyph('▎', '='),
    glyph('▏', '='),
    glyph('▄', '='),
    glyph('▀', '='),
    glyph('▁', '1'),
    glyph('▂', '2'),
    glyph('▃', '3'),
    glyph('▅', '5'),
    glyph('▆', '6'),
    glyph('▇', '7'),
    // the rest
    glyph('►', '>'),
    glyph('◄', '<'),
    glyph('→', '>'),
    glyph('⇄', '%'),
    glyph('⋯', '~'),
    DIFFERS,
    glyph('≤', '<'),
    glyph('×', 'x'),
    glyph('½', '/'),
    glyph('›', '>'),
    glyph('║', 'P'),
    glyph('µ', 'u'),
];

/// The ASCII form of any character: its replacement, itself, or `?` for what a name may contain besides.
pub fn ascii(symbol: char) -> char {
    if symbol.is_ascii() {
        return symbol;
    }
    TABLE.iter().find(|glyph| glyph.unicode == symbol).map_or('?', |glyph| glyph.ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::buffer::CellWidth;

    #[test]
    fn every_symbol_is_one_column_and_has_an_ascii_form() {
        for glyph in TABLE {
            let text = glyph.unicode.to_string();
            assert_eq!(text.as_str().cell_width(), 1, "{text}");
            assert!(glyph.ascii.is_ascii_graphic(), "{text}");
        }
    }

    #[test]
    fn a_symbol_is_listed_once() {
        for (i, glyph) in TABLE.iter().enumerate() {
            assert!(TABLE[..i].iter().all(|other| other.unicode != glyph.unicode), "{glyph:?}");
        }
    }
}
