//! Where screens draw: a clipped rectangle of cells that knows the theme and whether symbols must be ASCII. A screen
//! may write anywhere; what falls outside is not drawn, so no size can make it panic.

use ratatui::buffer::{Buffer, CellWidth};
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use crate::tui::glyphs::{self, Glyph};
use crate::tui::theme::{Role, Theme};

/// How everything looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// The colours.
    pub theme: Theme,
    /// Symbols as ASCII.
    pub ascii: bool,
}

/// A rectangle to draw in. Columns and rows count from its upper left corner.
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    look: Look,
}

impl<'a> Canvas<'a> {
    /// A canvas over `area`, as far as the buffer reaches.
    pub fn new(buffer: &'a mut Buffer, area: Rect, look: Look) -> Self {
        let area = area.intersection(buffer.area);
        Self { buffer, area, look }
    }

    /// The part of this canvas at (`x`, `y`) with this size.
    pub fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let left = self.area.x.saturating_add(x).min(self.area.right());
        let top = self.area.y.saturating_add(y).min(self.area.bottom());
        let area = Rect {
            x: left,
            y: top,
            width: width.min(self.area.right() - left),
            height: height.min(self.area.bottom() - top),
        };
        Canvas { buffer: self.buffer, area, look: self.look }
    }

    /// Columns.
    pub fn width(&self) -> u16 {
        self.area.width
    }

    /// Rows.
    pub fn height(&self) -> u16 {
        self.area.height
    }

    /// The look in force.
    pub fn look(&self) -> Look {
        self.look
    }

    /// Writes `text` and returns the column after it, also when it was cut off at the right edge.
    pub fn text(&mut self, x: u16, y: u16, text: &str, role: Role) -> u16 {
        let end = x.saturating_add(width(text));
        if x >= self.area.width || y >= self.area.height {
            return end;
        }
        let room = usize::from(self.area.width - x);
        let style = self.look.theme.style(role);
        let (x, y) = (self.area.x + x, self.area.y + y);
        if self.look.ascii {
            let text: String = text.chars().map(glyphs::ascii).collect();
            self.buffer.set_stringn(x, y, text, room, style);
        } else {
            self.buffer.set_stringn(x, y, text, room, style);
        }
        end
    }

    /// Writes `text`, shortened with `…` to at most `room` columns.
    pub fn fit(&mut self, x: u16, y: u16, text: &str, room: u16, role: Role) -> u16 {
        self.text(x, y, &shorten(text, room), role)
    }

    /// Writes `text` so that it ends before column `end`.
    pub fn right(&mut self, end: u16, y: u16, text: &str, role: Role) {
        self.text(end.saturating_sub(width(text)), y, text, role);
    }

    /// Draws one symbol.
    pub fn glyph(&mut self, x: u16, y: u16, glyph: Glyph, role: Role) {
        self.text(x, y, glyph.pick(self.look.ascii).encode_utf8(&mut [0; 4]), role);
    }

    /// Draws a horizontal line over the columns `from..to`.
    pub fn line(&mut self, from: u16, to: u16, y: u16) {
        for x in from..to.min(self.area.width) {
            self.glyph(x, y, glyphs::LINE, Role::Plain);
        }
    }

    /// Adds an attribute to a row's cells in `from..to`.
    pub fn accent(&mut self, from: u16, to: u16, y: u16, modifier: Modifier) {
        if y >= self.area.height {
            return;
        }
        for x in from..to.min(self.area.width) {
            self.buffer[(self.area.x + x, self.area.y + y)].modifier.insert(modifier);
        }
    }

    /// Everything that stands on the canvas, row by row.
    pub fn contents(&self) -> String {
        let mut text = String::new();
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                text.push_str(self.buffer[(x, y)].symbol());
            }
            text.push('\n');
        }
        text
    }

    /// Copies row `row` of `other` to (`x`, `y`), as far as it fits.
    pub fn paste_row(&mut self, (x, y): (u16, u16), other: &Buffer, row: u16) {
        if y >= self.area.height || row >= other.area.height {
            return;
        }
        for dx in 0..other.area.width.min(self.area.width.saturating_sub(x)) {
            self.buffer[(self.area.x + x + dx, self.area.y + y)] = other[(dx, row)].clone();
        }
    }

    /// Empties the canvas, for a box that lies over a screen.
    pub fn clear(&mut self) {
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// A box around the canvas with a title in its upper edge and a second one at the right end of it.
    pub fn frame(&mut self, title: &str, note: &str) {
        let (w, h) = (self.width(), self.height());
        if w < 4 || h < 2 {
            return;
        }
        for (y, left, right) in [(0, "┌", "┐"), (h - 1, "└", "┘")] {
            self.line(1, w - 1, y);
            self.text(0, y, left, Role::Plain);
            self.text(w - 1, y, right, Role::Plain);
        }
        for y in 1..h - 1 {
            self.text(0, y, "│", Role::Plain);
            self.text(w - 1, y, "│", Role::Plain);
        }
        self.fit(2, 0, &format!(" {title} "), w.saturating_sub(4), Role::Strong);
        if !note.is_empty() && width(title) + width(note) + 8 < w {
            self.right(w - 3, 0, &format!(" {note} "), Role::Plain);
        }
    }
}

/// Columns `text` takes.
pub fn width(text: &str) -> u16 {
    text.cell_width()
}

/// `text`, or as much of it as fits into `room` columns with `…` after it.
pub fn shorten(text: &str, room: u16) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for symbol in text.chars() {
        short.push(symbol);
        if width(&short) >= room {
            short.pop();
            break;
        }
    }
    if room > 0 {
        short.push('…');
    }
    short
}

/// `text` broken at spaces into lines of at most `room` columns; a longer word is cut.
pub fn wrap(text: &str, room: u16) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shorten(word, room)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_outside_the_canvas_is_not_drawn() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 2));
        let mut canvas = Canvas::new(&mut buffer, Rect::new(0, 0, 300, 300), Look::default());
        assert_eq!(canvas.text(2, 1, "abcd", Role::Plain), 6);
        canvas.text(9, 0, "x", Role::Plain);
        canvas.text(0, 9, "x", Role::Plain);
        canvas.part(3, 1, 50, 50).text(0, 0, "yz", Role::Plain);
        assert_eq!(buffer, Buffer::with_lines(["    ", "  ay"]));
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_and_wraps_at_spaces() {
        assert_eq!(shorten("watermark", 9), "watermark");
        assert_eq!(shorten("watermark", 5), "wate…");
        assert_eq!(shorten("watermark", 0), "");
        assert_eq!(wrap("b1 answers at once", 10), ["b1 answers", "at once"]);
        assert_eq!(wrap("incomprehensibilities", 6), ["incom…"]);
    }

    #[test]
    fn ascii_replaces_every_symbol() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        let look = Look { theme: Theme::Mono, ascii: true };
        let area = buffer.area;
        Canvas::new(&mut buffer, area, look).text(0, 0, "■m1┃◄─é", Role::Plain);
        assert_eq!(buffer, Buffer::with_lines(["#m1|<-? "]));
    }
}
