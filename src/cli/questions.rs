//! Questions of a lesson with their choices. The right one was read from the run; the wrong ones are what other
//! variants did and what people believe, so that each is somebody's real answer.

use crate::base::ids::EventSeq;
use crate::check::Guarantee;
use crate::cli::args::Lang;
use crate::cli::list::text;
use crate::cli::story::Story;
use crate::scenario::step::{self, Answer};
use crate::scenario::value::Fact;
use crate::tui::model::{Ask, Choice, Question};
use crate::view::words::fold_ids;

/// The most choices of a question.
const CHOICES: usize = 5;

/// Every question of the scenario, asked of each story that comes to it.
pub fn of(stories: &[Story], lang: Lang) -> Vec<Question> {
    let mut all: Vec<(u16, &step::Question)> = Vec::new();
    for (question, asked) in stories.iter().flat_map(|story| story.run.questions()) {
        if all.iter().all(|(number, _)| *number != asked.number) {
            all.push((asked.number, question));
        }
    }
    all.sort_by_key(|(number, _)| *number);
    all.into_iter()
        .map(|(number, question)| Question {
            text: text(&question.text, lang),
            hints: question.hints.iter().map(|hint| text(hint, lang)).collect(),
            asks: stories.iter().map(|story| ask(stories, story, number, question, lang)).collect(),
        })
        .collect()
}

/// The text of every question of a story, with the choices where the run has answered it: what a transcript prints.
pub fn with_choices(story: &Story, lang: Lang) -> Vec<String> {
    let asked = of(std::slice::from_ref(story), lang);
    let numbers = story.run.questions().map(|(_, asked)| usize::from(asked.number));
    let mut texts: Vec<String> =
        story.run.code().questions.iter().map(|q| text(&q.text, lang)).collect();
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    for (number, question) in numbers.into_iter().zip(asked) {
        let Some(ask) = question.asks.first().and_then(Option::as_ref) else { continue };
        let choices = ask.choices.iter().enumerate();
        let choices: Vec<String> =
            choices.map(|(n, choice)| format!("{}) {}", n + 1, choice.text)).collect();
        texts[number] = format!("{}   {}", question.text, choices.join("   "));
    }
    texts
}

fn ask(
    stories: &[Story],
    story: &Story,
    number: u16,
    question: &step::Question,
    lang: Lang,
) -> Option<Ask> {
    let answer = answer(story, number)?;
    let asked: Vec<_> = story.run.questions().map(|(_, asked)| asked).collect();
    let place = asked.iter().position(|asked| asked.number == number)?;
    let last = EventSeq(story.run.simulation().trace().len() as u32 - 1);
    let reveal = asked.get(place + 1).map_or(last, |next| next.at);
    let mut choices = vec![choice(story, answer)];
    let mut add = |choice: Choice| {
        let room = choices.len() < CHOICES;
        match choices.iter_mut().find(|known| known.text == choice.text) {
            Some(known) if known.belief.is_empty() => known.belief = choice.belief,
            None if room => choices.push(choice),
            _ => {}
        }
    };
    for belief in &question.beliefs {
        let number = belief.says.parse().ok();
        let belief_text = text(&belief.text, lang);
        add(Choice { text: belief.says.clone(), number, belief: belief_text });
    }
    for other in stories.iter().filter(|other| other.run.variant() != story.run.variant()) {
        if let Some(fact) = self::answer(other, number) {
            let belief = format!("That is what happens under {}.", other.run.variant());
            add(Choice { belief, ..choice(story, fact) });
        }
    }
    for fact in fillers(story, answer) {
        add(choice(story, &fact));
    }
    let right_text = choices[0].text.clone();
    choices[0].belief.clear();
    choices.sort_by(|a, b| (a.number, &a.text).cmp(&(b.number, &b.text)));
    let right = choices.iter().position(|choice| choice.text == right_text)?;
    let outcome = outcome(story, &question.answer, answer);
    let because = because(story, &question.answer);
    Some(Ask { at: asked[place].at, reveal, choices, right, outcome, because })
}

fn answer(story: &Story, number: u16) -> Option<&Fact> {
    let mut asked = story.run.questions().map(|(_, asked)| asked);
    asked.find(|asked| asked.number == number)?.answer.as_ref()
}

fn choice(story: &Story, fact: &Fact) -> Choice {
    let number = match fact {
        Fact::Number(n) => u64::try_from(*n).ok(),
        _ => None,
    };
    Choice { text: words(story, fact), number, belief: String::new() }
}

/// A fact in few words: `3`, `b2`, `m0-m2`, `none`.
fn words(story: &Story, fact: &Fact) -> String {
    match fact {
        Fact::None => "none".to_owned(),
        Fact::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Fact::Number(n) => n.to_string(),
        Fact::Text(text) => text.clone(),
        Fact::List(items) if items.is_empty() => "none".to_owned(),
        Fact::List(items) if items.iter().all(|item| record(item).is_some()) => {
            items.iter().filter_map(record).collect::<Vec<_>>().join(" ")
        }
        Fact::List(items) => {
            let ids: Option<Vec<_>> = items
                .iter()
                .map(|item| match item {
                    Fact::Text(id) => story.run.names().find_message(id),
                    _ => None,
                })
                .collect();
            match ids.filter(|ids| ids.is_sorted()) {
                Some(ids) => fold_ids(story.run.names(), &ids),
                None => items.iter().map(|item| words(story, item)).collect::<Vec<_>>().join(" "),
            }
        }
        Fact::Map(entries) if entries.is_empty() => "none".to_owned(),
        Fact::Map(entries) => {
            let entries =
                entries.iter().map(|(key, value)| format!("{key} {}", words(story, value)));
            entries.collect::<Vec<_>>().join(", ")
        }
    }
}

/// The id of a record as `Log` observes it: offset, id, leader epoch.
fn record(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::List(parts) => match parts.as_slice() {
            [Fact::Number(_), Fact::Text(id), Fact::Number(_)] => Some(id),
            _ => None,
        },
        _ => None,
    }
}

/// Plausible answers where nobody's belief gives enough: nothing, everything, one more.
fn fillers(story: &Story, answer: &Fact) -> Vec<Fact> {
    match answer {
        Fact::Number(n) => {
            let sent = i64::from(story.tally.sent);
            vec![Fact::Number(0), Fact::Number(sent), Fact::Number(n + 1), Fact::Number(1)]
        }
        Fact::List(_) => {
            let names = story.run.names();
            let all = (0..story.tally.sent).map(crate::base::ids::MessageId);
            vec![
                Fact::List(all.map(|id| Fact::Text(names.message(id))).collect()),
                Fact::List(Vec::new()),
            ]
        }
        Fact::Text(text) if text.starts_with('b') && text[1..].parse::<u8>().is_ok() => {
            let brokers = story.run.names().broker_ids();
            brokers.map(|broker| Fact::Text(broker.to_string())).chain([Fact::None]).collect()
        }
        // Exceptions are for the lesson to name.
        Fact::Text(text) if text.ends_with("Exception") => vec![Fact::None],
        Fact::Text(_) => {
            let consumers = story.run.names().consumers.iter();
            consumers.map(|consumer| Fact::Text(consumer.name.clone())).take(3).collect()
        }
        _ => Vec::new(),
    }
}

/// What the run did, as a sentence.
fn outcome(story: &Story, kind: &Answer, answer: &Fact) -> String {
    let said = words(story, answer);
    let ids = |ids: &[crate::base::ids::MessageId]| match answer {
        Fact::Number(n) if *n > 0 && usize::try_from(*n) == Ok(ids.len()) => {
            format!(": {}", fold_ids(story.run.names(), ids))
        }
        _ => String::new(),
    };
    let tally = &story.tally;
    match kind {
        Answer::Survivors => format!("What survives: {said}."),
        Answer::Lost => format!("The run lost {said}{}.", ids(&tally.lost)),
        Answer::Duplicated => format!("{said} stored more than once{}.", ids(&tally.duplicated)),
        Answer::Repeated => format!("{said} processed more than once{}.", ids(&tally.repeated)),
        Answer::Skipped => format!("{said} skipped{}.", ids(&tally.skipped)),
        Answer::Unprocessed => format!("{said} never processed."),
        Answer::Idle(group) => format!("{said} of {group} own nothing."),
        Answer::Leader(topic, n) => format!("The leader of {topic}-{n}: {said}."),
        Answer::Owner(group, at) => format!("The owner of {at} in {group}: {said}."),
        Answer::Offset(group, at) => format!("{group} reads on at {said} of {at}."),
        Answer::Observed(name) => format!("{name}: {said}."),
        Answer::Error(id) => format!("For {id} the application gets: {said}."),
        Answer::Order(at) => format!("{at} holds {said}."),
        Answer::Seconds(_) => format!("It took {said} s."),
    }
}

/// The judge's sentence about what the question is about, if it was broken.
fn because(story: &Story, kind: &Answer) -> String {
    let guarantee = match kind {
        Answer::Survivors | Answer::Lost => Guarantee::LostWrite,
        Answer::Duplicated => Guarantee::DuplicateAppend,
        Answer::Repeated => Guarantee::DuplicateProcess,
        Answer::Skipped | Answer::Unprocessed => Guarantee::CommitPastUnprocessed,
        Answer::Order(_) => Guarantee::ReorderedSend,
        _ => return String::new(),
    };
    let found = story.verdicts.iter().find(|(judged, _)| *judged == guarantee);
    let violation = found.and_then(|(_, verdict)| verdict.violation());
    violation.map(|violation| violation.text.clone()).unwrap_or_default()
}
