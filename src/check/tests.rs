//! Each guarantee is broken by a history that breaks it and by none that does not, and is vacuous where nothing
//! exercised it.

use super::*;
use crate::base::broker_set::BrokerSet;
use crate::base::error::Exception;
use crate::base::ids::{BrokerId, MessageId};
use crate::check::table_tests::{Case, cases, sound, story};
use crate::view::story::{P0, Story};

/// `acks=all`, everything else by default.
fn setup() -> JudgeSetup {
    JudgeSetup { acks: vec![Acks::All], read_committed: vec![true], ..JudgeSetup::default() }
}

fn judge(story: &Story, setup: JudgeSetup) -> Vec<(Guarantee, Verdict)> {
    let mut judge = Judge::new(Arc::clone(&story.names), setup);
    for (n, event) in story.events.iter().enumerate() {
        judge.observe(EventSeq(n as u32), event, &story.batches);
    }
    judge.verdicts(&story.batches)
}

fn verdict(story: &Story, guarantee: Guarantee) -> Verdict {
    let verdicts = judge(story, setup());
    verdicts.into_iter().find(|(g, _)| *g == guarantee).unwrap().1
}

#[test]
fn every_guarantee_is_broken_by_what_breaks_it_and_by_nothing_else() {
    let cases = cases();
    for guarantee in GUARANTEES {
        assert!(
            cases.iter().any(|case| case.guarantee == *guarantee),
            "{} untested",
            guarantee.name()
        );
    }
    for Case { guarantee, broken, holding } in cases {
        let name = guarantee.name();
        for (story, part) in broken {
            let verdict = verdict(&story, guarantee);
            let Some(violation) = verdict.violation() else {
                panic!("{name}: {verdict:?}, not {part}")
            };
            assert!(violation.text.contains(part), "{name}: {}", violation.text);
            assert!(!violation.witnesses.is_empty() && violation.witnesses.len() <= 4, "{name}");
        }
        for story in holding {
            assert_eq!(verdict(&story, guarantee), Verdict::Holds, "{name}");
        }
    }
}

#[test]
fn a_sound_history_breaks_nothing() {
    let transactional = |guarantee| table_transactions::GUARANTEES.contains(&guarantee);
    let plain = judge(&sound(), setup()).into_iter().filter(|(g, _)| !transactional(*g));
    let passed_on = judge(&table_transactions::sound(), setup()).into_iter();
    for (guarantee, verdict) in plain.chain(passed_on.filter(|(g, _)| transactional(*g))) {
        assert_eq!(verdict, Verdict::Holds, "{}", guarantee.name());
    }
}

#[test]
fn nothing_is_proved_by_an_empty_history() {
    let mut empty = Story::new();
    empty.events.clear();
    for (guarantee, verdict) in judge(&empty, setup()) {
        assert_eq!(verdict, Verdict::Vacuous, "{}", guarantee.name());
    }
}

/// Recording `7-powerloss-leader-dies-last-min2`: acks=all and min ISR 2 lose acknowledged records to a power loss.
/// That is a lost write, and not a bug of the simulator.
#[test]
fn a_power_loss_voids_the_promise_of_acks_all() {
    let story = story(|s| {
        let batch = s.send(&[0]);
        s.replicate(&[1, 2, 3], batch, 0, 0);
        s.acked(batch, 0);
        for n in 1..=3 {
            s.fault(n, FaultKind::PowerLoss);
            s.fault(n, FaultKind::Start);
        }
        s.leads(2, 1, &[2]);
    });
    for (guarantee, verdict) in judge(&story, setup()) {
        let broken = guarantee == Guarantee::LostWrite;
        assert_eq!(verdict.violation().is_some(), broken, "{}: {verdict:?}", guarantee.name());
    }
}

/// An unclean election loses what the dead leader had; the same history on a topic that forbids it is our bug.
#[test]
fn an_unclean_election_is_allowed_where_the_topic_allows_it() {
    let story = story(|s| {
        let isr = BrokerSet::of(BrokerId(1));
        s.registers(Some(1), 0, isr);
        s.broker(1, EventKind::IsrKnown { partition: P0, isr });
        let batch = s.send(&[0]);
        s.replicate(&[1], batch, 0, 0);
        s.acked(batch, 0);
        s.leads(2, 1, &[2]);
    });
    for unclean in [false, true] {
        let setup = JudgeSetup { unclean_election: vec![unclean], ..setup() };
        let broken: Vec<_> = judge(&story, setup)
            .into_iter()
            .filter(|(g, v)| g.kind() == Kind::Invariant && v.violation().is_some())
            .map(|(g, _)| g)
            .collect();
        let expected = [Guarantee::StrongIsr, Guarantee::LeaderComplete, Guarantee::AckedSurvives];
        assert_eq!(broken, if unclean { &[][..] } else { &expected });
    }
}

#[test]
fn names_are_unique_and_parse() {
    for guarantee in GUARANTEES {
        assert_eq!(Guarantee::parse(guarantee.name()), Some(*guarantee));
    }
    assert_eq!(Guarantee::parse("lost-writes"), None);
}

#[test]
fn a_judge_of_one_guarantee_judges_one() {
    let story = sound();
    let judge = Judge::of(Arc::clone(&story.names), setup(), &[Guarantee::LostWrite]);
    assert_eq!(judge.verdicts(&story.batches).len(), 1);
}

#[test]
fn counts_are_those_of_the_fates() {
    let story = story(|s| {
        let kept = s.send(&[0]);
        s.replicate(&[1, 2], kept, 0, 0);
        s.acked(kept, 0);
        let failed = s.send(&[1]);
        s.failed(failed);
        s.send(&[2]);
    });
    let mut judge = Judge::new(Arc::clone(&story.names), setup());
    for (n, event) in story.events.iter().enumerate() {
        judge.observe(EventSeq(n as u32), event, &story.batches);
    }
    let counts = judge.counts(&story.batches);
    assert_eq!((counts.sent, counts.acked), (3, 1));
    assert_eq!(counts.failed, [(MessageId(1), Exception::Timeout)]);
    assert_eq!(counts.unknown, [MessageId(2)]);
}
