//! What a simulated event, run and message cost, as ratios to a reference loop measured in the same run.
fn main() {}
