//! Stories with variants, in the scenario language, told with several seeds.

use std::sync::Arc;

use highwater::base::ids::EventSeq;
use highwater::check::{Judge, JudgeSetup};
use highwater::scenario::verdict::judge;
use highwater::scenario::{Limits, Outcome, Run, load};

/// Tells every variant of a story, which `body` has all of but the title: each run ends, breaks no invariant that the
/// judge watches when set up by `setup`, and finds what is expected of its variant.
pub(crate) fn holds(body: &str, setup: impl Fn(&Run) -> JudgeSetup) {
    let text = format!("(title: {{\"en\": \"t\"}}, {body})");
    let loaded = load("story.ron", text.as_bytes(), &Limits::default());
    let scenario = Arc::new(loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")));
    for variant in scenario.variant_names() {
        for seed in 1..=5 {
            let mut run =
                Run::new(&scenario, variant, seed, &Limits::default()).expect("a variant of it");
            run.finish();
            assert_eq!(*run.outcome(), Outcome::Completed, "{variant}, seed {seed}");
            hold_invariants(&run, setup(&run));
            let judged = judge(&run);
            assert!(!judged.is_empty(), "nothing is expected of {variant}");
            for judged in judged {
                let (wanted, found) = (judged.expectation, judged.found);
                assert!(judged.met, "{variant}, seed {seed}: {wanted} but {found}");
            }
        }
    }
}

fn hold_invariants(run: &Run, setup: JudgeSetup) {
    let simulation = run.simulation();
    let mut judge = Judge::new(Arc::clone(simulation.names()), setup);
    for (seq, event) in simulation.trace().events().iter().enumerate() {
        judge.observe(EventSeq(seq as u32), event, simulation.batches());
    }
    let broken = judge.broken_invariants();
    assert!(broken.is_empty(), "{broken:?}");
}
