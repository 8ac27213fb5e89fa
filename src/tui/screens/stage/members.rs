//! The members of a group and what each owns.

use crate::base::ids::{GroupId, NodeId, PartitionId};
use crate::base::names::Names;
use crate::event::GroupState;
use crate::tui::canvas::{Canvas, width};
use crate::tui::glyphs::{self, Glyph};
use crate::tui::model::World;
use crate::tui::theme::Role;
use crate::view::cluster::{ClusterView, ProcessState};

/// One member as a line or an item shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// What it does, as a symbol.
    pub glyph: Glyph,
    /// Its colour.
    pub role: Role,
    /// Its consumer's name.
    pub name: String,
    /// `orders-0`, `orders-0..3`, `owns nothing`, `killed`.
    pub owns: String,
}

/// All members of a group, by consumer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Members {
    /// In order of consumer.
    pub list: Vec<Member>,
}

impl Members {
    /// The members of group number `group`, and consumers of it that died.
    pub fn of(run: &World, view: &ClusterView, group: usize) -> Self {
        let Some(state) = view.groups.get(group) else { return Self::default() };
        let stopped =
            matches!(state.state, GroupState::PreparingRebalance | GroupState::CompletingRebalance);
        let mut list = Vec::new();
        for (n, consumer) in view.consumers.iter().enumerate() {
            if run.names.consumers[n].group.map(GroupId::index) != Some(group) {
                continue;
            }
            let node = NodeId::Consumer(n as u16);
            let member =
                state.members.iter().find(|m| run.names.consumer_of(m.member) == Some(node));
            let assigned: Vec<PartitionId> =
                consumer.partitions.iter().filter(|p| p.assigned).map(|p| p.partition).collect();
            let owned = ranges(&run.names, &assigned);
            let (glyph, role, owns) = match (consumer.process, member) {
                (ProcessState::Down, _) => (glyphs::GONE, Role::Broken, "killed".to_owned()),
                (ProcessState::Frozen { .. }, _) => {
                    (glyphs::TOLD_UNKNOWN, Role::Now, "frozen".to_owned())
                }
                _ if consumer.closed => (glyphs::NOT_YET, Role::Plain, "closed".to_owned()),
                (_, None) => continue,
                _ if stopped => (glyphs::STOPPED, Role::Now, "rebalance".to_owned()),
                _ if assigned.is_empty() => {
                    (glyphs::NOT_YET, Role::Plain, "owns nothing".to_owned())
                }
                _ => (glyphs::BAR, Role::Safe, owned),
            };
            list.push(Member { glyph, role, name: run.names.node(node), owns });
        }
        Self { list }
    }

    /// Draws all of them in one row; when that is too long, those that own nothing by their names alone.
    pub fn line(&self, canvas: &mut Canvas<'_>) {
        let room = canvas.width();
        let long: u16 = self.list.iter().map(|m| width(&m.name) + width(&m.owns) + 6).sum();
        let brief = long > room + 3;
        let mut x = 0;
        for (n, member) in self.list.iter().enumerate() {
            let idle = member.glyph == glyphs::NOT_YET;
            let words = if brief && idle {
                member.name.clone()
            } else {
                format!("{} {}", member.name, member.owns)
            };
            let left = self.list.len() - n;
            let needs = width(&words) + 2 + if left > 1 { 9 } else { 0 };
            if x + needs > room && n > 0 {
                canvas.text(x, 0, &format!("… {left} more"), Role::Plain);
                return;
            }
            canvas.glyph(x, 0, member.glyph, member.role);
            x = canvas.text(x + 2, 0, &words, Role::Plain) + if brief { 2 } else { 3 };
        }
    }
}

/// `orders-0`, `orders-0..3`, `orders-0,2 audit-1`.
pub fn ranges(names: &Names, partitions: &[PartitionId]) -> String {
    let mut words: Vec<String> = Vec::new();
    for (t, topic) in names.topics.iter().enumerate() {
        let of_topic = partitions.iter().map(|p| &names.partitions[p.index()]);
        let mut owned: Vec<u32> =
            of_topic.filter(|p| p.topic.index() == t).map(|p| p.index).collect();
        owned.sort_unstable();
        if owned.is_empty() {
            continue;
        }
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for index in owned {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => runs.push((index, index)),
            }
        }
        let run = |(first, last): &(u32, u32)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}..{last}"),
        };
        let list: Vec<String> = runs.iter().map(run).collect();
        words.push(format!("{}-{}", topic.name, list.join(",")));
    }
    words.join(" ")
}
