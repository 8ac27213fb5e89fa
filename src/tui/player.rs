//! Moves the cursor: by itself at a chosen speed, or by steps and jumps. The only file of the library that reads a
//! wall clock, and that only to learn how many frames of 33 ms went by; the runs themselves were recorded before.

use std::time::{Duration, Instant};

use crate::base::time::{Duration as Span, Time};
use crate::tui::reel::Reel;

/// One frame of the screen.
pub const FRAME: Duration = Duration::from_millis(33);

/// Frames of three minutes: longer films start faster.
const LONG: f64 = 5_400.0;

/// A speed: frames of the story a frame of the screen takes, and how it is written.
#[derive(Clone, Copy, Debug)]
struct Speed {
    factor: f64,
    label: &'static str,
}

const fn speed(factor: f64, label: &'static str) -> Speed {
    Speed { factor, label }
}

/// The speeds, slowest first. The last one goes from mark to mark.
const SPEEDS: [Speed; 9] = [
    speed(0.125, "×1/8"),
    speed(0.25, "×1/4"),
    speed(0.5, "×1/2"),
    speed(1.0, "×1"),
    speed(2.0, "×2"),
    speed(4.0, "×4"),
    speed(8.0, "×8"),
    speed(16.0, "×16"),
    speed(64.0, "×64"),
];

/// How virtual time becomes time on the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pace {
    /// As long as it takes to see it.
    #[default]
    Story,
    /// As long as it takes.
    Real,
}

/// Where the film stands.
#[derive(Clone, Debug)]
pub struct Player {
    /// True while it runs by itself.
    pub playing: bool,
    /// Story or real pace.
    pub pace: Pace,
    /// How many entries of the reel have been shown.
    position: usize,
    /// Where on the story's clock, in frames; between two entries messages are in mid-air.
    frame: f64,
    speed: usize,
}

impl Default for Player {
    fn default() -> Self {
        Self { playing: false, pace: Pace::Story, position: 0, frame: 0.0, speed: 3 }
    }
}

impl Player {
    /// How many entries of the reel have been shown.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Where on the story's clock the film stands, in frames.
    pub fn frame(&self) -> f64 {
        self.frame
    }

    /// The virtual time on the screen.
    pub fn now(&self, reel: &Reel) -> Time {
        reel.now(self.position, self.frame)
    }

    /// `×1/2`.
    pub fn speed_label(&self) -> &'static str {
        SPEEDS[self.speed].label
    }

    /// Chooses the slowest speed at which a film of so many frames takes no more than three minutes.
    pub fn fit(&mut self, frames: f64) {
        while frames / SPEEDS[self.speed].factor > LONG && self.speed + 1 < SPEEDS.len() {
            self.speed += 1;
        }
    }

    /// One speed up.
    pub fn faster(&mut self) {
        self.speed = (self.speed + 1).min(SPEEDS.len() - 1);
    }

    /// One speed down.
    pub fn slower(&mut self) {
        self.speed = self.speed.saturating_sub(1);
    }

    /// Stands still right after entry number `position`.
    pub fn jump(&mut self, reel: &Reel, position: usize) {
        self.playing = false;
        self.position = position.min(reel.len());
        self.frame = reel.frame(self.position);
    }

    /// Stands still at `frame` of the story.
    pub fn seek(&mut self, reel: &Reel, frame: f64) {
        self.playing = false;
        self.frame = frame.clamp(0.0, reel.total());
        self.position = reel.position(self.frame);
    }

    /// Lets `frames` of the screen go by, but not beyond position `limit`; there it stops by itself.
    pub fn advance(&mut self, reel: &Reel, frames: f64, limit: usize) {
        if !self.playing {
            return;
        }
        let factor = SPEEDS[self.speed].factor;
        self.frame = match self.pace {
            Pace::Story => self.frame + frames * factor,
            Pace::Real => {
                let micros = frames * factor * FRAME.as_micros() as f64;
                let now = self.now(reel) + Span(micros.max(1.0) as u64);
                reel.frame_at(now).max(self.frame)
            }
        };
        let limit = limit.min(reel.len());
        self.position = self.position.max(reel.position(self.frame));
        if self.position >= limit {
            self.jump(reel, limit);
        }
    }
}

/// Counts frames by the wall clock.
#[derive(Debug)]
pub struct Ticker {
    last: Instant,
}

impl Ticker {
    /// Starts to count now.
    #[expect(clippy::disallowed_methods, reason = "the player is where wall time enters")]
    pub fn start() -> Self {
        Self { last: Instant::now() }
    }

    /// Frames since the last call that returned any; 0 while less than one has gone by. After a stall at most two,
    /// so that nothing is skipped that a reader wanted to see.
    #[expect(clippy::disallowed_methods, reason = "the player is where wall time enters")]
    pub fn frames(&mut self) -> f64 {
        let now = Instant::now();
        let gone = now.duration_since(self.last);
        if gone < FRAME {
            return 0.0;
        }
        self.last = now;
        (gone.as_secs_f64() / FRAME.as_secs_f64()).min(2.0)
    }
}
