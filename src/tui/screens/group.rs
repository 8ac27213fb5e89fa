//! Group anatomy: who stopped, for how long, and who did the same work twice? Members against time, a row each; where a
//! rebalance stops partitions and not members, a row for each of those; below, what it cost.

mod crowd;
mod detail;
pub mod twice;

use crate::base::config::{AssignorName, ConsumerConfig, GroupProtocol};
use crate::base::ids::{GroupId, NodeId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::tui::app::App;
use crate::tui::canvas::{Canvas, shorten, width};
use crate::tui::glyphs::{self, Glyph};
use crate::tui::screens::stage::members::ranges;
use crate::tui::theme::Role;
use crate::view::anatomy::{self, Doing, Window};
use crate::view::cluster::ClusterView;
use crate::view::cluster::group::{GroupView, MemberView};
use crate::view::cluster::handover::Rebalance;
use crate::view::words::fold_ids;

use crowd::{CROWD, Crowd};
use twice::Again;

/// Where the reader stands on this screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The selected member, by its place among those of all groups.
    pub member: usize,
    /// How many quarters of its length the window lies before the cursor.
    pub earlier: u16,
    /// What is shown below the members.
    pub detail: Detail,
}

/// What is shown below the members.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// What the selected member has.
    #[default]
    Owns,
    /// Its timers.
    Timers,
    /// What the rebalance cost in every variant.
    Variants,
}

impl Detail {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Owns => Self::Timers,
            Self::Timers => Self::Variants,
            Self::Variants => Self::Owns,
        }
    }
}

/// Columns of names on the left.
const LEFT: u16 = 12;
/// Columns of numbers on the right.
const RIGHT: u16 = 19;
/// The lengths a window may have, in seconds.
const SPANS: [u64; 12] = [2, 5, 10, 20, 40, 60, 120, 300, 600, 1_800, 3_600, 86_400];
/// How many seconds may lie between two numbers of the axis.
const TICKS: [u64; 14] = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400];
/// A member that still works on what another has.
const ZOMBIE: Glyph = Glyph { unicode: 'Z', ascii: 'Z' };

/// Every consumer that is or was in a group, by group.
pub fn members(app: &App) -> Vec<(GroupId, u16)> {
    let view = app.view(app.world);
    let mut all = Vec::new();
    for (g, group) in view.groups.iter().enumerate() {
        let mut known: Vec<u16> = group.handovers().presence().map(|(_, n, _)| *n).collect();
        known.sort_unstable();
        known.dedup();
        all.extend(known.into_iter().map(|n| (GroupId(g as u16), n)));
    }
    all
}

/// What every part of the screen is drawn from.
struct Scene<'a> {
    app: &'a App,
    view: &'a ClusterView,
    id: GroupId,
    group: &'a GroupView,
    /// The selected member.
    chosen: u16,
    /// The members of this group.
    members: Vec<u16>,
    window: Window,
    /// The rebalance the screen is about: the last one that began before the window ends.
    last: Option<Rebalance>,
    /// What was processed more than once.
    twice: Vec<Again>,
}

/// Draws the screen.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let all = members(app);
    let view = app.view(app.world);
    let Some((id, chosen)) = all.get(app.anatomy.member.min(all.len().max(1) - 1)).copied() else {
        let share = !view.names.share_groups.is_empty();
        let text = match view.groups.is_empty() {
            true => "No consumer of this scenario is in a group.",
            false if share => "Members of a share group own records, not partitions.",
            false => "Nobody has joined a group yet.",
        };
        canvas.text(1, 1, text, Role::Plain);
        return;
    };
    let group = &view.groups[id.index()];
    let columns = canvas.width().saturating_sub(LEFT + RIGHT);
    let window = window(app, group, columns);
    let last = group.handovers().rebalances().filter(|r| r.began < window.to()).last().copied();
    let members = all.iter().filter(|(group, _)| *group == id).map(|(_, n)| *n).collect();
    let twice = twice::all(app, id);
    let scene = Scene { app, view, id, group, chosen, members, window, last, twice };
    header(canvas, &scene);
    band(canvas, &scene);
    axis(canvas, &scene);
    let y = rows(canvas, &scene);
    let y = states(canvas, &scene, y);
    let y = cost(canvas, &scene, y);
    detail::draw(canvas, &scene, y);
}

/// The stretch of time that is shown: as long as it takes to see the last rebalance, ending at the cursor unless the
/// reader went back.
fn window(app: &App, group: &GroupView, columns: u16) -> Window {
    let now = app.now();
    let last = group.handovers().rebalances().last();
    let since = last.map_or(Duration::ZERO, |last| now.since(last.began));
    let needed = since.0 + since.0 / 10 * 3;
    let fits = |seconds: &u64| seconds * 1_000_000 >= needed;
    let best = SPANS.iter().position(fits).filter(|at| SPANS[*at] <= 120).unwrap_or(3).max(1);
    let at = (best as i64 + i64::from(app.zoom)).clamp(0, SPANS.len() as i64 - 1) as usize;
    let step = Duration(SPANS[at] * 1_000_000 / u64::from(columns.max(1)));
    let span = step.0 * u64::from(columns);
    let back = span / 4 * u64::from(app.anatomy.earlier);
    // The window stands still while the cursor crosses a tenth of it, so that columns do not creep.
    let grain = (span / 10).max(1);
    let end = (now.0 / grain + 1) * grain;
    Window { from: Time(end.saturating_sub(span + back)), step, columns, now }
}

/// Seconds with one digit after the point.
fn tenths(span: Duration) -> String {
    format!("{}.{} s", span.0 / 1_000_000, span.0 / 100_000 % 10)
}

/// `classic protocol, range: EAGER`, from the settings of a member.
fn protocol(group: &GroupView, config: Option<&ConsumerConfig>) -> String {
    if group.protocol == GroupProtocol::Consumer {
        let assignor = config.and_then(|config| config.remote_assignor);
        let assignor = assignor.map_or("uniform", |assignor| assignor.name());
        return format!("consumer protocol, {assignor}");
    }
    let Some(config) = config else { return "classic protocol".to_owned() };
    let mut all = config.assignors.iter();
    let cooperative = config.assignors.iter().all(|a| a == AssignorName::CooperativeSticky);
    let kind = if cooperative { "COOPERATIVE" } else { "EAGER" };
    let assignor = all.next().map_or("", AssignorName::name);
    format!("classic protocol, {assignor}: {kind}")
}

fn header(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let name = &scene.view.names.groups[scene.id.index()];
    let x = canvas.fit(1, 0, name, 20, Role::Strong);
    let config = scene.app.run().settings.consumers.get(usize::from(scene.chosen));
    let words = protocol(scene.group, config);
    let text = format!("{} partitions", owned_ever(scene).len());
    let room = canvas.width().saturating_sub(x + width(&text) + 6);
    canvas.fit(x + 3, 0, &words, room, Role::Plain);
    canvas.right(canvas.width().saturating_sub(1), 0, &text, Role::Plain);
}

/// Every partition that ever had an owner in this group.
fn owned_ever(scene: &Scene<'_>) -> Vec<PartitionId> {
    let tenures = scene.group.handovers().tenures();
    let mut all: Vec<PartitionId> = tenures.map(|tenure| tenure.partition).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Above the members: which generation, from where to where a rebalance, and which one after it.
fn band(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let end = canvas.width().saturating_sub(RIGHT);
    canvas.text(end + 1, 1, "owns", Role::Plain);
    canvas.right(canvas.width().saturating_sub(1), 1, "stopped", Role::Plain);
    let consumer = scene.group.protocol == GroupProtocol::Consumer;
    let word = if consumer { "epoch" } else { "generation" };
    let Some(last) = &scene.last else {
        canvas.text(LEFT, 1, &format!("{word} {}", scene.group.generation), Role::Plain);
        return;
    };
    let began = scene.window.column(last.began);
    let ended = last.ended.and_then(|ended| scene.window.column(ended));
    let mut part = canvas.part(LEFT, 1, end.saturating_sub(LEFT), 1);
    let whole = |word: &str, n| format!("{word} {n}");
    let Some(from) = began else {
        if last.began < scene.window.from {
            part.text(ended.map_or(0, |x| x + 2), 0, &whole(word, last.to), Role::Plain);
        }
        return;
    };
    let before = whole(word, last.from);
    if width(&before) < from {
        part.text(from - width(&before) - 1, 0, &before, Role::Plain);
    }
    part.glyph(from, 0, glyphs::HW_FOLLOWER, Role::Now);
    let until = last.ended.unwrap_or(scene.window.now);
    let so_far = if last.ended.is_some() { "" } else { " …" };
    let time = format!("{}{so_far}", tenths(until.since(last.began)));
    let to = ended.unwrap_or_else(|| part.width());
    let fits = |text: &&String| width(text) + 3 <= to.saturating_sub(from);
    let texts = [format!("rebalance {time}"), time];
    if let Some(text) = texts.iter().find(fits) {
        part.text(from + 2, 0, text, Role::Now);
    }
    if let Some(to) = ended {
        part.glyph(to, 0, glyphs::HW_FOLLOWER, Role::Now);
        let short = if consumer { word } else { "gen" };
        let fits = |text: &String| to + 2 + width(text) <= part.width();
        let text = [whole(word, last.to), whole(short, last.to)].into_iter().find(fits);
        part.text(to + 2, 0, &text.unwrap_or_default(), Role::Plain);
    }
}

/// Seconds above the columns.
fn axis(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    canvas.text(1, 2, "member", Role::Plain);
    let window = &scene.window;
    let tick = TICKS.iter().find(|tick| **tick * 1_000_000 >= window.step.0 * 8);
    let tick = tick.copied().unwrap_or(TICKS[TICKS.len() - 1]);
    let mut second = window.from.0.div_ceil(1_000_000).next_multiple_of(tick);
    while let Some(column) = window.column(Time(second * 1_000_000)) {
        let text = second.to_string();
        if column + width(&text) <= window.columns {
            canvas.text(LEFT + column, 2, &text, Role::Plain);
        }
        second += tick;
    }
}

const fn symbol(doing: Doing) -> (Glyph, Role) {
    match doing {
        Doing::Absent => (Glyph { unicode: ' ', ascii: ' ' }, Role::Plain),
        Doing::Works => (glyphs::BAR, Role::Safe),
        Doing::Idle => (glyphs::NOT_YET, Role::Plain),
        Doing::Stopped => (glyphs::STOPPED, Role::Now),
        Doing::Silent => (glyphs::TOLD_UNKNOWN, Role::Now),
        Doing::Zombie => (ZOMBIE, Role::Broken),
        Doing::Gone => (glyphs::GONE, Role::Broken),
    }
}

fn strip(canvas: &mut Canvas<'_>, y: u16, row: &[Doing]) {
    for (n, doing) in (0..).zip(row) {
        let (glyph, role) = symbol(*doing);
        canvas.glyph(LEFT + n, y, glyph, role);
    }
}

/// The members, and below them the partitions that moved without stopping their members. Returns the next free row.
fn rows(canvas: &mut Canvas<'_>, scene: &Scene<'_>) -> u16 {
    let handovers = scene.group.handovers();
    let since = scene.last.map_or(Time::ZERO, |last| last.began);
    let moved = anatomy::moved(handovers, since);
    let room = canvas.height().saturating_sub(3 + 6);
    let for_partitions = match scene.app.anatomy.detail {
        // They need the room.
        Detail::Variants => 0,
        Detail::Owns | Detail::Timers => (moved.len() as u16).min(6).min(room / 2),
    };
    let mut y = each_member(canvas, scene, usize::from(room - for_partitions).max(1), since);
    for partition in moved.iter().take(usize::from(for_partitions)) {
        let name = scene.view.names.partition(*partition);
        canvas.fit(2, y, &name, LEFT - 3, Role::Plain);
        strip(canvas, y, &anatomy::partition(handovers, *partition, &scene.window));
        let owner = scene.view.groups[scene.id.index()].owner(*partition);
        let owner = owner.and_then(|member| scene.view.names.consumer_of(member));
        let owner = owner.map_or_else(|| "nobody".to_owned(), |node| scene.view.names.node(node));
        let end = canvas.width().saturating_sub(RIGHT);
        canvas.fit(end + 1, y, &format!("now {owner}"), RIGHT - 2, Role::Plain);
        y += 1;
    }
    y
}

/// The members, as many as fit into so many rows. Returns the next free row.
fn each_member(canvas: &mut Canvas<'_>, scene: &Scene<'_>, fits: usize, since: Time) -> u16 {
    let (mut y, all) = (3, &scene.members);
    let (shown, others) = if all.len() > fits && all.len() > CROWD {
        let crowd = Crowd::new(scene);
        y = crowd.heat(canvas, scene, y);
        let rows = (fits + 3).saturating_sub(usize::from(y)).max(1);
        let shown = crowd.shown(scene, rows);
        let others = crowd.others(scene, &shown);
        (shown, Some(others))
    } else {
        let at = all.iter().position(|n| *n == scene.chosen).unwrap_or(0);
        let first = (at + 1).saturating_sub(fits).min(all.len().saturating_sub(fits));
        let hidden = all.len().saturating_sub(fits);
        let others = (hidden > 0).then(|| format!("… {hidden} more members: j, k"));
        (all.iter().copied().skip(first).take(fits).collect(), others)
    };
    for consumer in shown {
        member(canvas, scene, y, consumer, since);
        y += 1;
    }
    if let Some(others) = others {
        canvas.fit(1, y, &others, canvas.width().saturating_sub(2), Role::Plain);
        y += 1;
    }
    y
}

/// One member: its name, what it did, what it has, how long it stood still.
fn member(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16, consumer: u16, since: Time) {
    let node = NodeId::Consumer(consumer);
    let known = |m: &&MemberView| scene.view.names.consumer_of(m.member) == Some(node);
    let member = scene.group.members.iter().find(known);
    let note = match member {
        Some(m) if scene.group.protocol == GroupProtocol::Consumer => format!(" e{}", m.epoch),
        Some(m) if m.leader => " LEADER".to_owned(),
        _ => String::new(),
    };
    let role = if consumer == scene.chosen { Role::Picked } else { Role::Plain };
    let name = scene.view.names.node(node);
    let room = LEFT - 2;
    let note = if width(&note) + 2 > room || width(&name) + width(&note) > room {
        note.chars().take(2).collect()
    } else {
        note
    };
    let x = canvas.text(1, y, &shorten(&name, room - width(&note)), role);
    canvas.text(x, y, &note, Role::Plain);
    let handovers = scene.group.handovers();
    strip(canvas, y, &anatomy::member(handovers, consumer, &scene.window));
    twice::mark(canvas, scene, y, consumer);
    let end = canvas.width().saturating_sub(RIGHT);
    let owned: Vec<PartitionId> = handovers
        .tenures()
        .filter(|t| t.consumer == consumer && t.end.is_none())
        .map(|t| t.partition)
        .collect();
    let stopped = handovers.stopped_for(consumer, since, scene.window.now);
    let is_new = handovers.tenures().filter(|t| t.consumer == consumer).all(|t| t.from >= since);
    let (role, stopped) = match stopped {
        _ if member.is_none() => (Role::Plain, String::new()),
        Duration::ZERO
            if owned.is_empty() && scene.last.is_some_and(|last| last.ended.is_none()) =>
        {
            (Role::Plain, "waits".to_owned())
        }
        Duration::ZERO if owned.is_empty() => (Role::Plain, "idle".to_owned()),
        Duration::ZERO if is_new => (Role::Plain, "new".to_owned()),
        Duration::ZERO => (Role::Plain, "0 s".to_owned()),
        span => (Role::Now, span.to_string()),
    };
    canvas.right(canvas.width().saturating_sub(1), y, &stopped, role);
    let room = RIGHT.saturating_sub(width(&stopped) + 3);
    let owns = if owned.is_empty() { "none".to_owned() } else { brief(scene, &owned) };
    canvas.fit(end + 1, y, &owns, room, Role::Plain);
}

/// `0..2`; with its topic where the group reads several.
fn brief(scene: &Scene<'_>, owned: &[PartitionId]) -> String {
    let names = &scene.view.names;
    let text = ranges(names, owned);
    let ever = owned_ever(scene);
    let topics = |p: &PartitionId| names.partitions[p.index()].topic;
    let single = ever.first().is_some_and(|first| ever.iter().all(|p| topics(p) == topics(first)));
    match (single, ever.first()) {
        (true, Some(first)) => {
            let topic = format!("{}-", names.topics[topics(first).index()].name);
            text.strip_prefix(&topic).map_or(text.clone(), str::to_owned)
        }
        _ => text,
    }
}

/// The states of the group, each where it began.
fn states(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16) -> u16 {
    canvas.text(1, y, "state", Role::Plain);
    let end = canvas.width().saturating_sub(RIGHT);
    let mut part = canvas.part(LEFT, y, end.saturating_sub(LEFT), 1);
    let all: Vec<_> = scene.group.handovers().states().collect();
    let before = all.iter().rfind(|change| change.at < scene.window.from);
    let mut words: Vec<(u16, &str)> =
        before.map(|change| (0, change.state.name())).into_iter().collect();
    for change in &all {
        if let Some(x) = scene.window.column(change.at) {
            match words.last_mut() {
                // Of states that follow each other within a column the last one stayed.
                Some((at, word)) if *at == x => *word = change.state.name(),
                Some((_, word)) if *word == change.state.name() => {}
                _ => words.push((x, change.state.name())),
            }
        }
    }
    for (n, (x, word)) in words.iter().enumerate() {
        let next = words.get(n + 1).map_or(part.width(), |(next, _)| *next);
        let room = next.saturating_sub(*x + 1);
        if room >= 4 || width(word) <= room {
            part.text(*x, 0, &shorten(word, room), Role::Plain);
        }
    }
    y + 1
}

/// What the last rebalance cost.
fn cost(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16) -> u16 {
    let room = canvas.width().saturating_sub(2);
    let Some(last) = scene.last else {
        canvas.text(1, y, "There was no rebalance yet.", Role::Plain);
        return y + 1;
    };
    let handovers = scene.group.handovers();
    let names = &scene.view.names;
    let gave = anatomy::gave_up(handovers, last.began);
    let each = gave.iter().map(|(at, n)| format!("{} at {at}", names.node(NodeId::Consumer(*n))));
    let gave = each.collect::<Vec<_>>().join("  ");
    let gave = if gave.is_empty() { "nobody".to_owned() } else { gave };
    canvas.fit(1, y, &format!("gave up     {gave}"), room, Role::Plain);
    let (revoked, all) = (handovers.revoked(last.began), owned_ever(scene).len());
    let moved = handovers.moved(last.began);
    let stopped = handovers.stop_time(last.began, scene.window.now);
    let lag = scene.view.lag(scene.id).map_or_else(|| "?".to_owned(), |lag| lag.to_string());
    let text = format!(
        "revoked {revoked} of {all}   moved {moved}   stopped {} partition-seconds   lag {lag}",
        tenths(stopped).trim_end_matches(" s")
    );
    let role = if stopped.0 > 0 { Role::Now } else { Role::Plain };
    canvas.fit(1, y + 1, &text, room, role);
    let twice = twice::messages(&scene.twice);
    let (text, role) = match twice.len() {
        0 => ("processed twice 0".to_owned(), Role::Plain),
        n => (format!("processed twice {n}: {}   w: why", fold_ids(names, &twice)), Role::Broken),
    };
    canvas.fit(1, y + 2, &text, room, role);
    y + 3
}
