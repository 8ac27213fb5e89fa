//! The scenarios in the binary, in the order of the curriculum.

/// A scenario in the binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Builtin {
    /// What commands call it.
    pub id: &'static str,
    /// The file.
    pub text: &'static str,
}

macro_rules! builtins {
    ($($id:literal)*) => {
        const BUILTINS: &[Builtin] = &[$(Builtin {
            id: $id,
            text: include_str!(concat!("../../scenarios/", $id, ".ron")),
        },)*];
    };
}

builtins! {
    "hello-log"
    "fan-out-groups"
    "pull-not-push"
    "choosing-a-partition"
    "order-within-partition"
    "no-group-id"
    "extra-idle-consumers"
    "assignors-compared"
    "slow-peer-does-not-help"
    "lag-growth"
    "start-where"
    "stuck-new-group"
    "reset-offsets"
    "peek-without-consuming"
    "crash-takeover"
    "three-semantics"
    "acks-ladder"
    "auto-commit-crash"
    "auto-commit-handoff"
    "commit-before-or-after"
    "commit-skip-is-not-retry"
    "producer-retry-duplicate"
    "retry-reorders"
    "idempotence-restart-gap"
    "producer-during-outage"
    "batching-and-flush"
    "leader-crash"
    "hw-and-visibility"
    "isr-shrink"
    "min-isr-block"
    "acks-all-one-replica"
    "unclean-election"
    "elr-safe-election"
    "truncation-bugs"
    "no-fsync-power-loss"
    "all-replicas-lost"
    "isolated-leader"
    "rack-loss"
    "broker-hotspot"
    "follower-fetch-rack"
    "rebalance-protocols"
    "failure-detection-clock"
    "max-poll-exceeded"
    "rolling-restart-static"
    "rebalance-storm"
    "zombie-consumer"
    "coordinator-failover"
    "partition-increase-blind-spot"
    "retention-segments"
    "slow-consumer-outrun"
    "offset-expiry"
    "compaction-tombstones"
    "count-is-not-offsets"
    "partition-increase-breaks-order"
    "hot-partition"
    "large-message"
    "txn-atomic"
    "eos-read-process-write"
    "zombie-fencing"
    "lso-stall"
    "hanging-transaction"
    "eos-stops-at-the-database"
    "controller-failover"
    "controller-quorum-loss"
    "rolling-broker-restart"
    "share-group-basics"
    "share-group-poison"
}

/// Every built-in scenario, in the order of the curriculum.
pub fn builtins() -> &'static [Builtin] {
    BUILTINS
}

/// The file of the built-in scenario called `id`.
pub fn builtin(id: &str) -> Option<&'static str> {
    BUILTINS.iter().find(|builtin| builtin.id == id).map(|builtin| builtin.text)
}

/// A commented file to start from.
pub fn template() -> &'static str {
    include_str!("../../scenarios/template.txt")
}
