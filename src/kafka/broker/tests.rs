//! Whole brokers and a controller, driven by hand.
