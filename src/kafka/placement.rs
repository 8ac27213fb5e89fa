//! Where the replicas of a new topic go: `StripedReplicaPlacer`. Racks take turns; the first replica of the next
//! partition goes to the next rack, and within a rack its brokers take turns, each partition one further. So replicas
//! are spread over racks first and brokers second. Brokers without a rack are one rack of their own, the first.
//!
//! Simplified: Kafka begins at a random broker and a random rack and shuffles both after as many partitions as there
//! are brokers; here the luck is always the first choice, so that partition *n* of a cluster without racks begins at
//! broker *n* + 1 and goes round. All brokers are unfenced, as they are when the cluster is formed.

use crate::base::broker_set::ReplicaList;
use crate::base::ids::BrokerId;

/// The brokers of one rack, ascending, and how far the present round over them has come.
#[derive(Clone, Debug)]
struct Rack {
    brokers: Vec<BrokerId>,
    offset: usize,
    index: usize,
    round: usize,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        let size = self.brokers.len();
        if self.round != round {
            (self.round, self.index) = (round, 0);
            self.offset = (self.offset + 1) % size;
        }
        let broker = *self.brokers.get((self.index + self.offset) % size)?;
        self.index += 1;
        (self.index <= size).then_some(broker)
    }
}

/// The replicas of each partition of a topic. `racks` holds the brokers of every rack, the racks in order of their
/// names; none is empty.
///
/// # Panics
/// With a replication factor above the number of brokers; Kafka answers `INVALID_REPLICATION_FACTOR`, and the loader
/// refuses such a scenario.
pub fn place(
    racks: &[Vec<BrokerId>],
    partitions: u32,
    replication_factor: usize,
) -> Vec<ReplicaList> {
    let mut racks: Vec<Rack> = racks
        .iter()
        .map(|brokers| Rack { brokers: brokers.clone(), offset: 0, index: 0, round: 0 })
        .collect();
    let brokers: usize = racks.iter().map(|rack| rack.brokers.len()).sum();
    assert!(replication_factor <= brokers, "more replicas than brokers");
    let mut placed = Vec::new();
    let (mut round, mut offset) = (0, 0);
    for _ in 0..partitions {
        if round == brokers && brokers > 1 {
            round = 0;
        }
        offset %= racks.len();
        placed.push(place_one(&mut racks, (round, offset), replication_factor));
        (round, offset) = (round + 1, offset + 1);
    }
    placed
}

/// `RackList.place`.
fn place_one(racks: &mut [Rack], (round, offset): (usize, usize), factor: usize) -> ReplicaList {
    let mut replicas = Vec::with_capacity(factor);
    let mut first = offset;
    let leader = loop {
        if let Some(broker) = racks[first].next(round) {
            break broker;
        }
        first = (first + 1) % racks.len();
    };
    replicas.push(leader);
    // The rack of the leader is passed over once.
    let mut passed = false;
    let mut at = offset;
    while replicas.len() < factor {
        if at == first && !passed {
            passed = true;
        } else {
            replicas.extend(racks[at].next(round));
        }
        at = (at + 1) % racks.len();
    }
    ReplicaList::new(&replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(racks: &[&[u8]], partitions: u32, factor: usize) -> Vec<Vec<u8>> {
        let racks: Vec<Vec<BrokerId>> =
            racks.iter().map(|rack| rack.iter().map(|n| BrokerId(*n)).collect()).collect();
        let lists = place(&racks, partitions, factor);
        lists.iter().map(|list| list.as_slice().iter().map(|b| b.0).collect()).collect()
    }

    #[test]
    fn without_racks_partitions_begin_one_broker_further_each() {
        let lists = placed(&[&[1, 2, 3]], 5, 2);
        assert_eq!(lists, [[1, 2], [2, 3], [3, 1], [1, 2], [2, 3]]);
    }

    /// The example of `StripedReplicaPlacer`: racks A, B and C with three brokers each, all offsets 0.
    #[test]
    fn replicas_go_to_different_racks_first() {
        let lists = placed(&[&[1, 2, 3], &[4, 5, 6], &[7, 8, 9]], 3, 3);
        assert_eq!(lists, [[1, 4, 7], [5, 8, 2], [9, 3, 6]]);
    }

    #[test]
    fn a_rack_is_used_again_when_there_are_more_replicas_than_racks() {
        let lists = placed(&[&[1, 2, 3], &[4]], 2, 3);
        assert_eq!(lists, [[1, 4, 2], [4, 2, 3]]);
    }
}
