//! Words without behaviour: ids, offsets, time, broker sets, Kafka's error codes, settings, names. No layer below.

pub mod batch;
pub mod broker_set;
pub mod chooser;
pub mod config;
pub mod era;
pub mod error;
pub mod features;
pub mod fingerprint;
pub mod group_records;
pub mod ids;
pub mod librdkafka;
pub mod names;
pub mod properties;
pub mod share;
pub mod shared_log;
pub mod tables;
pub mod time;
