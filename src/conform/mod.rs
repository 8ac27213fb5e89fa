//! Re-enacting recordings of real Kafka and comparing facts.
