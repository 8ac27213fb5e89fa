//! A group of many members: a cell for each as it is now, rows for those whose state changed and for those that are
//! farthest behind, and the number of the others.

use std::cmp::Reverse;

use crate::tui::canvas::Canvas;
use crate::tui::screens::group::{LEFT, Scene, symbol};
use crate::tui::theme::Role;
use crate::view::anatomy::{self, Doing};

/// From so many members on they do not all get a row.
pub(super) const CROWD: usize = 16;
/// So many of those with the largest lag get a row, where there is room.
const BEHIND: usize = 5;

/// The members with their rows.
pub(super) struct Crowd(Vec<(u16, Vec<Doing>)>);

impl Crowd {
    /// All members of the scene.
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        let handovers = scene.group.handovers();
        let row = |n: &u16| (*n, anatomy::member(handovers, *n, &scene.window));
        Self(scene.members.iter().map(row).collect())
    }

    /// One cell a member. Returns the next free row.
    pub(super) fn heat(&self, canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16) -> u16 {
        let columns = canvas.width().saturating_sub(LEFT + 1).max(1);
        let all = format!("all {}", self.0.len());
        canvas.fit(1, y, &all, LEFT - 2, Role::Plain);
        for (n, (member, row)) in (0..).zip(&self.0) {
            let (glyph, role) = symbol(current(scene, row));
            let role = if *member == scene.chosen { Role::Picked } else { role };
            canvas.glyph(LEFT + n % columns, y + n / columns, glyph, role);
        }
        y + (self.0.len() as u16).div_ceil(columns)
    }

    /// Who gets one of `rows` rows, in the order of the group: the selected member, those whose state changed or is no
    /// good, those with the largest lag.
    pub(super) fn shown(&self, scene: &Scene<'_>, rows: usize) -> Vec<u16> {
        let changed = self.0.iter().filter(|(_, row)| is_news(scene, row)).map(|(n, _)| *n);
        let mut behind: Vec<(Reverse<i64>, u16)> =
            self.0.iter().map(|(n, _)| (Reverse(lag(scene, *n)), *n)).collect();
        behind.retain(|(lag, _)| lag.0 > 0);
        behind.sort_unstable();
        let behind = behind.into_iter().take(BEHIND).map(|(_, n)| n);
        let mut shown = vec![scene.chosen];
        for member in changed.chain(behind) {
            if shown.len() < rows && !shown.contains(&member) {
                shown.push(member);
            }
        }
        shown.sort_unstable();
        shown
    }

    /// `… 92 more members: 90 working, 2 idle`.
    pub(super) fn others(&self, scene: &Scene<'_>, shown: &[u16]) -> String {
        let others = self.0.iter().filter(|(n, _)| !shown.contains(n));
        let now: Vec<Doing> = others.map(|(_, row)| current(scene, row)).collect();
        let kinds = [
            (Doing::Works, "working"),
            (Doing::Idle, "idle"),
            (Doing::Stopped, "stopped"),
            (Doing::Silent, "silent"),
            (Doing::Zombie, "zombies"),
            (Doing::Gone, "gone"),
            (Doing::Absent, "not in the group"),
        ];
        let count = |kind: Doing| now.iter().filter(|doing| **doing == kind).count();
        let parts = kinds.iter().map(|(kind, word)| (count(*kind), *word)).filter(|(n, _)| *n > 0);
        let parts: Vec<String> = parts.map(|(n, word)| format!("{n} {word}")).collect();
        format!("… {} more members: {}", now.len(), parts.join(", "))
    }
}

/// What a member does at the end of what is known.
fn current(scene: &Scene<'_>, row: &[Doing]) -> Doing {
    let known = (0..row.len()).rev().find(|n| {
        let (from, to) = scene.window.stretch(*n as u16);
        from < to
    });
    known.map_or(Doing::Absent, |n| row[n])
}

/// It did not do the same all the time, or it does neither work nor wait for work.
fn is_news(scene: &Scene<'_>, row: &[Doing]) -> bool {
    let known = (0..).zip(row).filter(|(n, _)| {
        let (from, to) = scene.window.stretch(*n);
        from < to
    });
    let mut known = known.map(|(_, doing)| *doing);
    let first = known.next();
    let is_fine = matches!(first, None | Some(Doing::Works | Doing::Idle | Doing::Absent));
    !is_fine || known.any(|doing| Some(doing) != first)
}

/// How many records its partitions hold beyond what is committed.
fn lag(scene: &Scene<'_>, consumer: u16) -> i64 {
    let partitions = &scene.view.consumers[usize::from(consumer)].partitions;
    let owned = partitions.iter().filter(|p| p.assigned).map(|p| p.partition);
    let behind = owned.filter_map(|p| {
        let committed = scene.group.committed(p)?;
        scene.view.partition_lag(p, committed.offset)
    });
    behind.sum()
}
