//! Below 80×24 and down to 40×12: the rows that are never dropped. Below that the first row only; below 20×3 nothing,
//! while the keys still work.

use crate::base::ids::PartitionId;
use crate::tui::app::{App, Overlay};
use crate::tui::canvas::{Canvas, width, wrap};
use crate::tui::screens::surround;
use crate::tui::theme::Role;
use crate::tui::widgets::sheet::{self, Sheet};
use crate::tui::widgets::strip::{Strip, Wish};
use crate::tui::widgets::timeline;
use crate::view::caption::caption;
use crate::view::cluster::ReplicaState;

/// Columns of the labels.
const LABELS: u16 = 5;

/// Draws what fits.
pub fn draw(canvas: &mut Canvas<'_>, app: &App) {
    let (w, h) = (canvas.width(), canvas.height());
    if w < 20 || h < 3 {
        return;
    }
    let clock = format!("{} {} s", if app.player.playing { '►' } else { '║' }, app.now());
    let room = w.saturating_sub(width(&clock) + 1);
    canvas.fit(0, 0, &format!("{} {}", app.film.scenario, app.run().variant), room, Role::Strong);
    canvas.right(w, 0, &clock, Role::Plain);
    if w < 40 || h < 12 {
        return;
    }
    let partition = app.partitions().get(app.row).copied().unwrap_or_default();
    if !app.view(app.world).partitions.is_empty() {
        body(&mut canvas.part(0, 1, w, h - 5), app, partition);
    }
    timeline::draw_line(&mut canvas.part(0, h - 3, w, 1), app);
    canvas.text(0, h - 2, &format!("80×24 shows more. Now {w}×{h}."), Role::Plain);
    canvas.text(0, h - 1, "space . , ] [ w ? q", Role::Plain);
}

fn body(canvas: &mut Canvas<'_>, app: &App, partition: PartitionId) {
    let (run, view) = (app.run(), app.view(app.world));
    let (w, h) = (canvas.width(), canvas.height());
    let sheet = Sheet::new(run, view, partition);
    let Sheet { low, least, high, longest, .. } = sheet;
    let (x, width, zoom) = (LABELS, w - LABELS, app.zoom);
    let strip = Strip::choose(Wish { x, width, low, least, high, longest, short: true, zoom });
    canvas.text(0, 0, "told", Role::Plain);
    for producer in 0..run.names.producers.len() as u16 {
        strip.row(canvas, 0, &sheet.told(view, app.moment(app.world), producer), run);
    }
    let mut y = 1;
    let mut above: Option<(sheet::Row, crate::base::ids::BrokerId)> = None;
    for replica in view.partition(partition).replicas.iter().take(usize::from(h) - 4) {
        let state = view.replica_state(partition, replica.broker);
        let row = sheet::log(run, replica, strip.first);
        canvas.text(0, y, &format!("{} {}", replica.broker, letter(state)), Role::Plain);
        match &above {
            Some((same, broker)) if *same == row => {
                canvas.text(LABELS, y, &format!("= {broker}"), Role::Plain);
            }
            _ => {
                strip.row(canvas, y, &row, run);
                let leads = state == ReplicaState::Lead;
                strip.watermark(canvas, y, replica.high_watermark, leads);
                above = Some((row, replica.broker));
            }
        }
        y += 1;
    }
    if !view.readers.is_empty() {
        canvas.text(0, y, "done", Role::Plain);
        strip.row(canvas, y, &sheet.done(view, app.moment(app.world), 0), run);
        y += 1;
    }
    words(&mut canvas.part(0, y, w, h.saturating_sub(y)), app, partition);
}

/// Counts, then whatever has something to say: a question, an answer to a key, the caption, the narration.
fn words(canvas: &mut Canvas<'_>, app: &App, partition: PartitionId) {
    let tally = &app.moment(app.world).tally;
    let (lost, dup) = (tally.lost.len(), tally.twice().len());
    let skip = tally.skipped.len();
    let role = if lost + dup + skip > 0 { Role::Broken } else { Role::Plain };
    canvas.text(0, 0, &format!("lost {lost} dup {dup} skip {skip}"), role);
    if app.view(app.world).partition(partition).leader_replica().is_none() {
        canvas.right(canvas.width(), 0, "no leader", Role::Now);
    } else {
        let gone = surround::without_leader(app, app.world);
        canvas.right(canvas.width(), 0, &format!("no leader {gone}"), Role::Plain);
    }
    let text = match (&app.overlay, &app.note) {
        (Some(Overlay::Ask(asking)), _) => {
            let question = &app.film.questions[asking.question];
            let choices = question.asks[asking.world()].as_ref().map_or(String::new(), |ask| {
                let list = ask.choices.iter().enumerate();
                let list: Vec<String> =
                    list.map(|(n, c)| format!("{} {}", n + 1, c.text)).collect();
                list.join(" ")
            });
            format!("{} {choices}", question.text)
        }
        (Some(Overlay::GoTo(text)), _) => format!("go to: {text}_"),
        (Some(Overlay::Reveal(n)), _) => {
            let given = app.quiz.answers(*n).next();
            let ask = given.and_then(|g| app.film.questions[*n].asks[g.world].as_ref());
            ask.map_or(String::new(), |ask| format!("{} {}", ask.outcome, ask.because))
        }
        (_, Some(note)) => note.clone(),
        _ => match caption(app.view(app.world), &app.run().batches) {
            text if text.is_empty() => app.narration(1).into_iter().next().unwrap_or_default(),
            text => text,
        },
    };
    let lines = wrap(&text, canvas.width());
    for (n, line) in lines.iter().take(usize::from(canvas.height().saturating_sub(1))).enumerate() {
        canvas.text(0, 1 + n as u16, line, Role::Plain);
    }
}

/// The one letter of a replica's role.
fn letter(state: ReplicaState) -> char {
    match state {
        ReplicaState::Down => 'D',
        ReplicaState::Frozen => 'z',
        ReplicaState::Cut => 'c',
        ReplicaState::Fenced => 'f',
        ReplicaState::Lead => 'L',
        ReplicaState::Isr => 'i',
        ReplicaState::Elr => 'e',
        ReplicaState::Out => 'o',
    }
}
