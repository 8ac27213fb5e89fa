//! The KRaft controller.
