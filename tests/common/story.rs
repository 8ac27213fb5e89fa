//! Stories with variants, in the scenario language, told with several seeds.

#[path = "watch.rs"]
mod watch;

use std::sync::Arc;

use highwater::check::{Judge, JudgeSetup};
use highwater::scenario::verdict::judge;
use highwater::scenario::{Limits, Outcome, Run, load};

use watch::Watch;

/// Tells every variant of a story, which `body` has all of but the title, and returns what is wrong with it: a run that
/// does not end, an invariant broken (the judge is set up by `setup`), an expectation not met, or none stated. An empty
/// list is what a test wants.
pub(crate) fn wrongs(body: &str, seeds: u64, setup: impl Fn(&Run) -> JudgeSetup) -> Vec<String> {
    let text = format!("(title: {{\"en\": \"t\"}}, {body})");
    let loaded = load("story.ron", text.as_bytes(), &Limits::default());
    let scenario = Arc::new(loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")));
    let mut wrongs = Vec::new();
    for variant in scenario.variant_names() {
        for seed in 1..=seeds {
            let mut run =
                Run::new(&scenario, variant, seed, &Limits::default()).expect("a variant of it");
            run.finish();
            let found = wrongs_of(&run, setup(&run));
            wrongs.extend(found.into_iter().map(|what| format!("{variant}, seed {seed}: {what}")));
        }
    }
    wrongs
}

fn wrongs_of(run: &Run, setup: JudgeSetup) -> Vec<String> {
    let simulation = run.simulation();
    let mut watch = Watch::new(Judge::new(Arc::clone(simulation.names()), setup));
    watch.look(simulation);
    let mut wrongs: Vec<String> = watch.broken.iter().map(|broken| format!("{broken:?}")).collect();
    if *run.outcome() != Outcome::Completed {
        wrongs.push(format!("{:?} at {}", run.outcome(), run.now()));
    }
    let judged = judge(run);
    if judged.is_empty() {
        wrongs.push("nothing is expected".to_owned());
    }
    let missed = judged.into_iter().filter(|judged| !judged.met);
    wrongs.extend(missed.map(|judged| format!("{} but {}", judged.expectation, judged.found)));
    wrongs
}
