//! Predict, then reveal: the box with a question, and the one with what the run did. The stage freezes above; the box
//! covers verdicts and narration, never what was told, who leads and what was done.

use crate::tui::app::App;
use crate::tui::canvas::{Canvas, width, wrap};
use crate::tui::model::{Ask, Choice};
use crate::tui::quiz::Asking;
use crate::tui::screens::surround;
use crate::tui::theme::Role;

/// The rows a box with so many lines takes, above marks, time line and keys.
fn boxed<'a>(canvas: &'a mut Canvas<'_>, lines: usize) -> Canvas<'a> {
    let (w, h) = (canvas.width(), canvas.height());
    let rows = surround::rows(h);
    let bottom = 2 + rows.body + rows.narration;
    let height = (lines as u16 + 2).min(bottom);
    canvas.part(0, bottom - height, w, height).clear();
    canvas.part(1, bottom - height, w.saturating_sub(2), height)
}

/// Draws the lines in a box with a title.
fn draw_box(canvas: &mut Canvas<'_>, title: &str, lines: &[(String, Role)]) {
    let mut part = boxed(canvas, lines.len());
    part.frame(title, "");
    for (n, (line, role)) in lines.iter().enumerate() {
        let room = part.width().saturating_sub(4);
        part.fit(2, 1 + n as u16, line, room, *role);
    }
}

/// Draws a question that waits for an answer.
pub fn draw(canvas: &mut Canvas<'_>, app: &App, asking: &Asking) {
    let film = &app.film;
    let question = &film.questions[asking.question];
    let world = asking.world();
    let Some(ask) = question.asks[world].as_ref() else { return };
    let room = canvas.width().saturating_sub(6);
    let number = format!("Question {} of {}", asking.question + 1, film.questions.len());
    let title = if asking.worlds.len() > 1 {
        format!("{number}: {}", film.worlds[world].variant)
    } else {
        number
    };
    let mut lines: Vec<(String, Role)> = Vec::new();
    lines.extend(wrap(&question.text, room).into_iter().map(|line| (line, Role::Plain)));
    for hint in question.hints.iter().take(usize::from(asking.hints)) {
        let text = format!("Hint: {hint}");
        lines.extend(wrap(&text, room).into_iter().map(|line| (line, Role::Strong)));
    }
    lines.extend(choices(ask, room).into_iter().map(|line| (line, Role::Strong)));
    let before: Vec<String> = asking
        .given
        .iter()
        .map(|given| format!("{}: {}", film.worlds[given.world].variant, said(app, given)))
        .collect();
    if !before.is_empty() {
        lines.push((format!("You said {}.", before.join(", ")), Role::Plain));
    }
    let number = match asking.typed.as_str() {
        "" if ask.asks_a_number() => "a number and Enter".to_owned(),
        "" => format!("1-{}, or a number and Enter", ask.choices.len()),
        typed => format!("{typed}_ and Enter"),
    };
    let hint = if question.hints.is_empty() { "" } else { " · H hint" };
    lines.push((format!("{number}{hint} · S skip · Esc to look around first"), Role::Plain));
    draw_box(canvas, &title, &lines);
}

/// The choices, in one row where they fit.
fn choices(ask: &Ask, room: u16) -> Vec<String> {
    let numbers = ask.asks_a_number();
    let item = |(n, choice): (usize, &Choice)| {
        if numbers { choice.text.clone() } else { format!("{}  {}", n + 1, choice.text) }
    };
    let items: Vec<String> = ask.choices.iter().enumerate().map(item).collect();
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if width(line) + 8 + width(&item) <= room => {
                line.push_str("        ");
                line.push_str(&item);
            }
            _ => lines.push(format!("  {item}")),
        }
    }
    lines
}

/// An answer in the words of its choice.
fn said(app: &App, given: &crate::tui::model::Given) -> String {
    let ask = app.film.questions[given.question].asks[given.world].as_ref();
    let choice = given.choice.and_then(|choice| ask?.choices.get(choice));
    match (choice, given.number) {
        (Some(choice), _) => choice.text.clone(),
        (None, Some(number)) => number.to_string(),
        (None, None) => "nothing (skipped)".to_owned(),
    }
}

/// Draws what became of a question: you, the run, why.
pub fn draw_reveal(canvas: &mut Canvas<'_>, app: &App, question: usize) {
    let room = canvas.width().saturating_sub(6);
    let several = app.quiz.answers(question).count() > 1;
    let mut lines: Vec<(String, Role)> = Vec::new();
    let mut title = format!("Question {}", question + 1);
    for given in app.quiz.answers(question) {
        let Some(ask) = app.film.questions[question].asks[given.world].as_ref() else { continue };
        let said = said(app, given);
        let verdict = format!("You said {said}. {}", ask.outcome);
        if several {
            let name = &app.film.worlds[given.world].variant;
            let mark = if given.right { '✓' } else { '✗' };
            lines.push((format!("{mark} {name}: {verdict}"), Role::Strong));
        } else {
            title = verdict;
        }
        let belief = given.choice.filter(|_| !given.right).and_then(|c| ask.choices.get(c));
        let belief = belief.map_or("", |choice| choice.belief.as_str());
        for text in [ask.because.as_str(), belief].into_iter().filter(|text| !text.is_empty()) {
            let repeated = lines.iter().any(|(line, _)| text.starts_with(line.as_str()));
            if !repeated {
                lines.extend(wrap(text, room).into_iter().map(|line| (line, Role::Plain)));
            }
        }
    }
    lines.truncate(usize::from(surround::rows(canvas.height()).body));
    lines.push(("Enter go on · w why · Esc look around".to_owned(), Role::Plain));
    if width(&title) > room {
        lines.splice(0..0, wrap(&title, room).into_iter().map(|line| (line, Role::Strong)));
        title = format!("Question {}", question + 1);
    }
    draw_box(canvas, &title, &lines);
}
