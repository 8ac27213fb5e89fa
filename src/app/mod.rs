//! What applications do around Kafka.
