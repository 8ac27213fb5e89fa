//! The kernel: event queue, network, faults, the world and its one step.
