//! The one seam through which luck enters a run.
//!
//! Five ChaCha8 streams, one per concern, so that another `acks` setting or one fault more does not reshuffle the
//! workload. Sampling is our own, on raw words: the raw ChaCha stream is specified and stays, the sampling functions
//! of `rand` may change in a minor release.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a choice is about; decides which stream it is drawn from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChoicePoint {
    /// Keys, sizes and times of the scenario's own traffic.
    Workload,
    /// Latency and loss of one message.
    Network,
    /// Which fault, when, on whom: random schedules.
    Fault,
    /// A client's own luck: retry jitter, choice of the sticky partition.
    Client,
    /// Elections of the controllers, and whom a node asks for their leader.
    Quorum,
}

/// Draws choices for a run. Cloning it clones the future luck, so a checkpoint replays exactly.
#[derive(Clone, Debug)]
pub struct Chooser {
    streams: [ChaCha8Rng; 5],
}

impl Chooser {
    /// All luck of the run with this seed.
    pub fn seeded(seed: u64) -> Self {
        let mut state = seed;
        let mut key = [0u8; 32];
        for word in key.chunks_exact_mut(8) {
            word.copy_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        let streams = [0, 1, 2, 3, 4].map(|stream| {
            let mut rng = ChaCha8Rng::from_seed(key);
            rng.set_stream(stream);
            rng
        });
        Self { streams }
    }

    /// One raw word of the stream for `point`.
    pub fn word(&mut self, point: ChoicePoint) -> u64 {
        self.streams[point as usize].next_u64()
    }

    /// A number in `0..options`, each equally likely (Lemire's method with rejection).
    ///
    /// # Panics
    /// When `options` is 0.
    pub fn below(&mut self, point: ChoicePoint, options: u64) -> u64 {
        assert!(options > 0, "a choice needs at least one option");
        let threshold = options.wrapping_neg() % options;
        loop {
            let product = u128::from(self.word(point)) * u128::from(options);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number in `low..=high`, each equally likely.
    ///
    /// # Panics
    /// When `high` is below `low`.
    pub fn between(&mut self, point: ChoicePoint, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an interval has its ends in order");
        match (high - low).checked_add(1) {
            Some(options) => low + self.below(point, options),
            None => self.word(point),
        }
    }

    /// True with probability `parts_per_million` / 1,000,000.
    pub fn chance(&mut self, point: ChoicePoint, parts_per_million: u32) -> bool {
        parts_per_million > 0 && self.below(point, 1_000_000) < u64::from(parts_per_million)
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014), to spread a 64-bit seed over a 256-bit key.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
