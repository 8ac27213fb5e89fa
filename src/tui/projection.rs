//! The state of one world at the cursor: a fold over its events, with copies kept on the way so that a step back
//! costs a few hundred events at most.

use std::sync::Arc;

use crate::base::ids::EventSeq;
use crate::tui::model::World;
use crate::view::cluster::ClusterView;

/// Events between two kept copies.
const EVERY: usize = 512;

/// The view of one world, movable in both directions.
#[derive(Clone, Debug)]
pub struct Projection {
    view: ClusterView,
    /// How many events are folded into `view`.
    at: usize,
    /// The view after 0, 512, 1024, … events, as far as it has ever come.
    kept: Vec<ClusterView>,
}

impl Projection {
    /// Before the first event.
    pub fn new(world: &World) -> Self {
        let view = ClusterView::new(Arc::clone(&world.names));
        Self { kept: vec![view.clone()], view, at: 0 }
    }

    /// The view.
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// How many events are folded in.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Moves to right after event number `to`, counted from 1.
    pub fn go(&mut self, world: &World, to: usize) {
        let to = to.min(world.events.len());
        let nearest = (to / EVERY).min(self.kept.len() - 1);
        if to < self.at || nearest * EVERY > self.at {
            self.view = self.kept[nearest].clone();
            self.at = nearest * EVERY;
        }
        while self.at < to {
            let event = &world.events[self.at];
            self.view.apply(EventSeq(self.at as u32), event, &world.batches);
            self.at += 1;
            if self.at == self.kept.len() * EVERY {
                self.kept.push(self.view.clone());
            }
        }
    }
}
