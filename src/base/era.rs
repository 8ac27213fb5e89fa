//! Which truncation rule the brokers of a cluster follow: 4.4's, or one of the two before it, whose holes are history.

/// A protocol era.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Era {
    /// Before 0.11: a new follower cuts its log to its own high watermark.
    HighWatermark,
    /// 0.11 to 1.1 (KIP-101): it asks its leader once where the epoch after its own last one starts.
    Kip101,
    /// Since 2.0 (KIP-279), by 4.4 in every fetch (KIP-595): both sides walk back to an epoch they share.
    #[default]
    Current,
}

impl Era {
    /// Every era, oldest first.
    pub const ALL: [Self; 3] = [Self::HighWatermark, Self::Kip101, Self::Current];

    /// The word in a scenario: the last release of the era.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HighWatermark => "0.10",
            Self::Kip101 => "1.1",
            Self::Current => "4.4",
        }
    }

    /// The era called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|era| era.name() == name)
    }
}
