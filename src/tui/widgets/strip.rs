//! How the columns of a partition are laid out on the screen, at the zoom that fits, and how a row of them is drawn.

use std::collections::BTreeMap;

use crate::base::ids::Offset;
use crate::tui::canvas::{Canvas, width};
use crate::tui::glyphs;
use crate::tui::model::World;
use crate::tui::theme::Role;
use crate::tui::widgets::sheet::{Mark, Place, Row};

/// How a strip is drawn: which places, how many to a column, how wide a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strip {
    /// The first column of the screen.
    pub x: u16,
    /// The place of the first column.
    pub first: Place,
    /// Places to a column: 1, 2, 4, …
    pub per: i64,
    /// Columns of the screen to a cell: 1, or more when ids are shown.
    pub cell: u16,
    /// How many cells.
    pub cells: u16,
    /// Ids are shown with their `m`.
    pub named: bool,
}

/// What a strip has to show and where.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The first column of the screen.
    pub x: u16,
    /// Columns of the screen.
    pub width: u16,
    /// The lowest place that has to be seen.
    pub low: Place,
    /// Ids are shown as long as everything from here on has room.
    pub least: Place,
    /// The place after the last.
    pub high: Place,
    /// The longest name, in columns.
    pub longest: u16,
    /// Names without their `m`, to save a column.
    pub short: bool,
    /// Steps farther (positive) or nearer than the finest zoom that fits.
    pub zoom: i8,
}

impl Strip {
    /// The finest zoom that shows what is wished: ids, then dots, then bars of 2, 4, 8, … records.
    pub fn choose(wish: Wish) -> Self {
        let Wish { x, width, low, least, high, longest, short, zoom } = wish;
        // `■m4 `; beyond two columns the `m` goes first, `■12 `.
        let named = !short && longest <= 2;
        let id = if named { longest } else { longest.saturating_sub(1).max(1) };
        let (wide, all) = ((id + 2).min(width.max(1)), i64::from(width));
        let span = high - low;
        let fits = match all / i64::from(wide) {
            cells if span <= cells || high - least <= cells => 0,
            _ if span <= all => 1,
            // The smallest power of two that brings the span into the columns there are.
            _ => 1 + i64::from((span - 1).checked_div(all).unwrap_or(1).max(1).ilog2()) + 1,
        };
        let level = (fits + i64::from(zoom)).clamp(0, 24);
        let (cell, per) = match level {
            0 => (wide, 1),
            level => (1, 1i64 << (level - 1)),
        };
        let cells = width / cell;
        let shown = i64::from(cells) * per;
        let first = if high <= shown { 0 } else { (high - shown + per - 1) / per * per };
        Self { x, first, per, cell, cells, named }
    }

    /// The column of the screen where the cell of `place` begins, if it is in sight.
    pub fn column(&self, place: Place) -> Option<u16> {
        let cell = (place - self.first).div_euclid(self.per);
        let in_sight = (0..=i64::from(self.cells)).contains(&cell);
        in_sight.then(|| self.x + cell as u16 * self.cell)
    }

    /// The column after the last cell.
    pub fn end(&self) -> u16 {
        self.x + self.cells * self.cell
    }

    /// True when ids are shown.
    pub fn has_ids(&self) -> bool {
        self.cell > 1
    }

    /// Draws a row of marks. A symbol without an id stands under the ids of other rows.
    pub fn row(&self, canvas: &mut Canvas<'_>, y: u16, row: &Row, run: &World) {
        let mut worst: BTreeMap<u16, Mark> = BTreeMap::new();
        let last = self.first + i64::from(self.cells) * self.per;
        for (place, mark) in row.range(self.first..last) {
            let Some(x) = self.column(*place) else { continue };
            let shown = worst.entry(x).or_insert(*mark);
            if mark.rank > shown.rank {
                *shown = *mark;
            }
        }
        for (x, mark) in worst {
            let Some(message) = mark.message else {
                canvas.glyph(x + u16::from(self.cell > 3), y, mark.glyph, mark.role);
                continue;
            };
            canvas.glyph(x, y, mark.glyph, mark.role);
            if self.has_ids() {
                let name = run.names.message(message);
                let short = name.strip_prefix('m').filter(|_| !self.named).unwrap_or(&name);
                canvas.fit(x + 1, y, short, self.cell - 2, mark.role);
            }
        }
    }

    /// Draws the numbers of the offsets.
    pub fn offsets(&self, canvas: &mut Canvas<'_>, y: u16) {
        let every = if self.has_ids() { 1 } else { 10 };
        for cell in (0..self.cells).step_by(every) {
            let text = (self.first + i64::from(cell) * self.per).to_string();
            if cell * self.cell + width(&text) <= self.cells * self.cell {
                canvas.text(self.x + cell * self.cell, y, &text, Role::Plain);
            }
        }
    }

    /// Draws a high watermark: a bar in the gap after the last record below it. Without gaps (dots, bars) the change
    /// from full to empty squares is the watermark.
    pub fn watermark(&self, canvas: &mut Canvas<'_>, y: u16, offset: Offset, leader: bool) {
        if !self.has_ids() || offset.0 < self.first || self.x == 0 {
            return;
        }
        if let Some(x) = self.column(offset.0) {
            let (glyph, role) = if leader {
                (glyphs::HW_LEADER, Role::Strong)
            } else {
                (glyphs::HW_FOLLOWER, Role::Plain)
            };
            canvas.glyph(x - 1, y, glyph, role);
        }
    }

    /// Draws a pointer at `offset`, at the edge when it is out of sight.
    pub fn pointer(&self, canvas: &mut Canvas<'_>, y: u16, offset: Offset, role: Role) {
        let x = match self.column(offset.0) {
            // After the last cell there is only its gap.
            Some(x) => x.min(self.end().saturating_sub(1)),
            None if offset.0 < self.first => self.x,
            None => self.end().saturating_sub(1),
        };
        canvas.glyph(x, y, glyphs::POINTER, role);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(width: u16, low: Place, high: Place, longest: u16) -> Strip {
        Strip::choose(Wish { x: 16, width, low, least: low, high, longest, short: false, zoom: 0 })
    }

    #[test]
    fn the_finest_zoom_that_shows_what_is_needed() {
        // (columns, from, to, longest name) -> (first, per, cell)
        let cases = [
            ((32, 0, 8, 2), (0, 1, 4), "eight messages with their ids"),
            ((32, 0, 8, 3), (0, 1, 4), "m10 gives up its m and keeps its column"),
            ((32, 4, 12, 3), (4, 1, 4), "the window follows the end of the log"),
            ((32, 0, 9, 2), (0, 1, 1), "dots when ids do not fit"),
            ((32, 0, 33, 3), (0, 2, 1), "bars of two"),
            ((32, 0, 128, 4), (0, 4, 1), "bars of four"),
            ((32, 0, 129, 4), (0, 8, 1), "bars of eight"),
        ];
        for ((width, low, high, longest), expected, what) in cases {
            let strip = choose(width, low, high, longest);
            assert_eq!((strip.first, strip.per, strip.cell), expected, "{what}");
            assert!(strip.column(low).is_some() && strip.column(high - 1).is_some(), "{what}");
        }
    }

    #[test]
    fn no_width_is_too_small() {
        for width in 0..6 {
            for high in [0, 1, 5, 1_000_000] {
                let strip = choose(width, 0, high, 2);
                assert!(strip.end() <= 16 + width);
            }
        }
    }
}
