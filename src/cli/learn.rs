//! `highwater learn --plain`: the lesson in sentences. Answers come from standard input, one a line; the end of the
//! input is an answer left out.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use crate::base::ids::EventSeq;
use crate::cli::film::film;
use crate::cli::output::{Failure, Out, printable, stdout};
use crate::cli::run::settings;
use crate::cli::story::Story;
use crate::tui::model::{Ask, Question};
use crate::view::cluster::ClusterView;
use crate::view::narrate::Importance;
use crate::view::transcript::{Transcript, printed, wrap};

/// Right answers and questions; a right answer after a hint is half a one.
#[derive(Clone, Copy, Default, Debug)]
struct Score {
    halves: u32,
    asked: u32,
}

/// Tells every story, stops at each question, grades.
///
/// # Errors
/// A closed pipe.
pub fn plain(stories: &[Story], lang: crate::cli::args::Lang) -> Result<u8, Failure> {
    let film = film(stories, lang);
    let mut out = stdout();
    let mut answers = std::io::stdin().lock();
    let mut score = Score::default();
    for (n, story) in stories.iter().enumerate() {
        let header = format!(
            "{}, variant {}, seed {}. {}",
            film.scenario, film.worlds[n].variant, film.seed, film.title
        );
        writeln!(out, "{}{}", if n > 0 { "\n" } else { "" }, wrap(&printable(&header), 2))?;
        if let Some(refused) = &film.worlds[n].refused {
            writeln!(out, "{}", wrap(&printable(&format!("REFUSED: {refused}")), 9))?;
            continue;
        }
        let questions = film.questions.iter().filter_map(|q| Some((q, q.asks[n].as_ref()?)));
        let questions: Vec<_> = questions.collect();
        lesson(&mut out, &mut answers, story, &questions, &mut score)?;
    }
    if !film.takeaway.is_empty() {
        writeln!(out, "\n{}", wrap(&printable(&film.takeaway), 0))?;
    }
    if score.asked > 0 {
        let half = if score.halves % 2 == 1 { "½" } else { "" };
        writeln!(out, "{}{half} of {} right.", score.halves / 2, score.asked)?;
    }
    out.flush()?;
    Ok(0)
}

fn lesson(
    out: &mut Out,
    answers: &mut impl BufRead,
    story: &Story,
    questions: &[(&Question, &Ask)],
    score: &mut Score,
) -> Result<(), Failure> {
    let simulation = story.run.simulation();
    let view = ClusterView::new(Arc::clone(story.run.names()));
    let mut transcript = Transcript::new(view, settings(&story.run), Importance::Change);
    let mut open: Vec<(&Ask, Given)> = Vec::new();
    for (seq, event) in (0..).map(EventSeq).zip(simulation.trace().events().iter()) {
        // An answer is revealed before the question that follows at the same place.
        let (due, rest) = open.into_iter().partition::<Vec<_>, _>(|(ask, _)| ask.reveal <= seq);
        open = rest;
        if !due.is_empty() {
            lines(out, &mut transcript)?;
        }
        for (ask, given) in due {
            reveal(out, ask, &given, score)?;
        }
        transcript.observe(seq, event, simulation.batches());
        for (question, ask) in questions.iter().filter(|(_, ask)| ask.at == seq) {
            lines(out, &mut transcript)?;
            open.push((ask, put(out, answers, question, ask)?));
        }
    }
    lines(out, &mut transcript)?;
    for (ask, given) in open {
        reveal(out, ask, &given, score)?;
    }
    Ok(())
}

fn lines(out: &mut Out, transcript: &mut Transcript) -> Result<(), Failure> {
    for line in transcript.take_lines() {
        // The question is put below, with its choices.
        if line.label != "QUESTION" {
            writeln!(out, "{}", printable(&printed(&line)))?;
        }
    }
    Ok(())
}

/// An answer: which choice, and after how many hints.
struct Given {
    choice: Option<usize>,
    hints: usize,
}

fn put(
    out: &mut Out,
    answers: &mut impl BufRead,
    question: &Question,
    ask: &Ask,
) -> Result<Given, Failure> {
    writeln!(out, "{}", wrap(&printable(&format!("QUESTION {}", question.text)), 9))?;
    let choices = ask.choices.iter().enumerate();
    let choices: Vec<_> = choices.map(|(n, choice)| format!("{} {}", n + 1, choice.text)).collect();
    writeln!(out, "{}", wrap(&printable(&format!("         {}", choices.join("   "))), 9))?;
    let mut hints = 0;
    loop {
        out.flush()?;
        let mut line = String::new();
        // What cannot be read is an answer left out, like the end of the input.
        let read = answers.by_ref().take(4096).read_line(&mut line).unwrap_or_default();
        let said = line.trim().to_owned();
        match said.as_str() {
            _ if read == 0 => return Ok(Given { choice: None, hints }),
            "" | "." | "s" | "S" => return Ok(Given { choice: None, hints }),
            "h" | "H" => match question.hints.get(hints) {
                Some(hint) => {
                    hints += 1;
                    writeln!(out, "{}", wrap(&printable(&format!("HINT {hint}")), 9))?;
                }
                None => writeln!(out, "There is no other hint.")?,
            },
            _ => {
                if let Some(choice) = chosen(ask, &said) {
                    return Ok(Given { choice: Some(choice), hints });
                }
                let known = choices.len();
                writeln!(out, "1 to {known}, H for a hint, an empty line to skip")?;
            }
        }
    }
}

/// The number of a choice, or its own words.
fn chosen(ask: &Ask, said: &str) -> Option<usize> {
    let number = said.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    let number = number.filter(|n| *n < ask.choices.len());
    number.or_else(|| ask.choices.iter().position(|choice| choice.text == said))
}

fn reveal(out: &mut Out, ask: &Ask, given: &Given, score: &mut Score) -> Result<(), Failure> {
    score.asked += 1;
    let said = match given.choice {
        None => "You left it open.".to_owned(),
        Some(choice) => format!("You said {}.", ask.choices[choice].text),
    };
    if given.choice == Some(ask.right) {
        score.halves += if given.hints == 0 { 2 } else { 1 };
    }
    let belief = given.choice.map_or("", |choice| ask.choices[choice].belief.as_str());
    let sentences = [said.as_str(), &ask.outcome, &ask.because, belief];
    let told: Vec<&str> = sentences.into_iter().filter(|text| !text.is_empty()).collect();
    writeln!(out, "{}", wrap(&printable(&format!("ANSWER: {}", told.join(" "))), 8))?;
    Ok(())
}
