//! The kernel: event queue, network, faults, the world and its one step. Read [`simulation`] first.
//!
//! Nothing here knows Kafka's rules and nothing in `kafka` knows this layer: a machine that can see the world is not a
//! machine. Luck is drawn here for the network, and lent to machines through their effects.

mod administration;
pub mod command;
mod faults;
mod label;
pub mod network;
mod node;
pub mod queue;
pub mod schedule;
mod share_administration;
pub mod simulation;
pub mod trace;
mod wire;
pub mod world;

pub use command::{Command, WireAction, WireRule};
pub use network::NetworkConfig;
pub use node::NodeState;
pub use simulation::Simulation;
pub use trace::{Sink, Trace};
pub use world::{ConsumerSpec, WorldSpec};
