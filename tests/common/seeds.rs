//! Which seeds a test of random runs tries.

use std::ops::Range;

/// `usual`, unless the environment names others: `HIGHWATER_SEEDS=3000..4000 cargo test --release --test survival`.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever tests says which seeds; the runs see none of it"
)]
pub(crate) fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(wanted) = std::env::var("HIGHWATER_SEEDS") else { return usual };
    let number = |text: &str| text.parse().expect("HIGHWATER_SEEDS is FROM..TO");
    let (from, to) = wanted.split_once("..").expect("HIGHWATER_SEEDS is FROM..TO");
    number(from)..number(to)
}
