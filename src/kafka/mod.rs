//! The machines: what Kafka's processes do, as pure values. Each takes `(now, input, effects)`; none sees the world,
//! a clock, luck other than through [`effects::Effects`], or another machine's fields.

pub mod aborted;
pub mod api;
pub mod backoff;
pub mod broker;
pub mod client_metadata;
pub mod consumer;
pub mod controller;
pub mod effects;
pub mod election;
pub mod group;
pub mod high_watermark;
pub mod isr;
pub mod log;
pub mod network_client;
pub mod partitioner;
pub mod placement;
pub mod producer;
pub mod raft;
pub mod replica;
pub mod replica_selector;
pub mod share;
pub mod transaction;
pub mod truncation;
pub mod truncation_high_watermark;
pub mod truncation_kip_101;
