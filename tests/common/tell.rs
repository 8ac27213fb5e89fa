//! Stories in the scenario language, told with several seeds.

use std::sync::Arc;

use highwater::scenario::verdict::judge;
use highwater::scenario::{Limits, Outcome, Run, load};

/// Runs the story with some seeds; each run ends, and finds what the story expects.
pub(crate) fn tell(text: &str) -> Vec<Run> {
    let loaded = load("story.ron", text.as_bytes(), &Limits::default());
    let scenario = Arc::new(loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}")));
    let run = |seed| {
        let mut run = Run::new(&scenario, "default", seed, &Limits::default()).expect("a variant");
        run.finish();
        assert_eq!(*run.outcome(), Outcome::Completed, "seed {seed} at {}", run.now());
        let unmet = judge(&run).into_iter().find(|judged| !judged.met);
        let told = unmet.map(|judged| format!("{} but {}", judged.expectation, judged.found));
        assert_eq!(told, None, "seed {seed}");
        run
    };
    (1..=5).map(run).collect()
}
