//! New producer ids (`ProducerIdManager`).
//!
//! Simplified: Kafka's brokers take blocks of a thousand ids from the controller. Here the ids of the brokers
//! interleave, so they are unique without asking, and no kill forgets what was given out.

use crate::base::ids::BrokerId;

/// The producer ids one broker gives out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProducerIdManager {
    broker: BrokerId,
    given: i64,
}

impl ProducerIdManager {
    /// A broker's, before it has given out any.
    pub fn new(broker: BrokerId) -> Self {
        Self { broker, given: 0 }
    }

    /// An id that no one has, in a cluster of so many brokers.
    pub fn generate(&mut self, brokers: u8) -> i64 {
        let id = self.given * i64::from(brokers) + i64::from(self.broker.0) - 1;
        self.given += 1;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_brokers_give_out_the_same_id() {
        let mut ids: Vec<i64> = Vec::new();
        for broker in 1..=3 {
            let mut manager = ProducerIdManager::new(BrokerId(broker));
            ids.extend((0..4).map(|_| manager.generate(3)));
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..12).collect::<Vec<i64>>());
    }
}
