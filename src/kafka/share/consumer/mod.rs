//! `KafkaShareConsumer`.
