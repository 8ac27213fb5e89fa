//! Feature levels of a cluster (`kafka-features.sh`, KIP-584): what a freshly formatted 4.4 cluster has, and which
//! levels the simulator can be formatted with instead.

/// The feature levels that change what the simulator does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// `eligible.leader.replicas.version` is 1 (KIP-966).
    pub eligible_leader_replicas: bool,
    /// `transaction.version` (KIP-890): 0, 1 (the epoch is not bumped by each transaction) or 2.
    pub transaction_version: u8,
}

impl Default for Features {
    fn default() -> Self {
        Self { eligible_leader_replicas: true, transaction_version: 2 }
    }
}

/// A feature of 4.4: its name, the level after formatting, the highest level there is, and whether the simulator
/// obeys the levels below.
struct Row(&'static str, u16, u16, bool);

#[rustfmt::skip]
const ROWS: [Row; 6] = [
    Row("eligible.leader.replicas.version", 1, 1, true),
    Row("group.version", 1, 1, false),
    Row("metadata.version", 33, 33, false),
    Row("share.version", 2, 2, false),
    Row("streams.version", 1, 1, false),
    Row("transaction.version", 2, 2, true),
];

/// The names of all features.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.0)
}

impl Features {
    /// Formats the cluster with another level of a feature.
    ///
    /// # Errors
    /// What is wrong with the name or the level, as a sentence without the name; the second word is true when Kafka
    /// itself refuses it.
    pub fn set(&mut self, name: &str, level: &str) -> Result<(), (String, bool)> {
        let Some(Row(name, formatted, highest, obeyed)) = ROWS.iter().find(|row| row.0 == name)
        else {
            return Err(("Kafka 4.4 has no feature of this name".to_owned(), true));
        };
        let known = level.trim().parse::<u16>().ok().filter(|level| level <= highest);
        let Some(level) = known else {
            return Err((format!("the level has to be a number up to {highest}"), true));
        };
        if !obeyed && level != *formatted {
            let message = format!("known to Kafka 4.4, not modelled yet: only level {formatted}");
            return Err((message, false));
        }
        if *name == "eligible.leader.replicas.version" {
            self.eligible_leader_replicas = level >= 1;
        }
        if *name == "transaction.version" {
            self.transaction_version = level as u8;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_a_fresh_cluster_unless_set() {
        let mut features = Features::default();
        assert!(features.eligible_leader_replicas);
        for (name, level, ok, elr) in [
            ("transaction.version", "2", true, true),
            ("transaction.version", "3", false, true),
            ("share.version", "1", false, true),
            ("eligible.leader.replicas.version", "2", false, true),
            ("eligible.leader.replicas.version", "0", true, false),
            ("eligible.leader.replicas.version", "1", true, true),
            ("eligible.leader.replica.version", "1", false, true),
        ] {
            assert_eq!(features.set(name, level).is_ok(), ok, "{name}={level}");
            assert_eq!(features.eligible_leader_replicas, elr, "{name}={level}");
        }
        assert_eq!(features.transaction_version, 2);
        assert!(features.set("transaction.version", "1").is_ok());
        assert_eq!(features.transaction_version, 1);
    }
}
