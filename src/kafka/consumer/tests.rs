//! Transcripts of a consumer whose brokers are played by the test.
