//! The machines of a run, and what they are made from.

use std::sync::Arc;

use crate::app::{Client, ConsumerProcess, LoopStep, OnRevoked, Subscription};
use crate::base::config::{ClusterConfig, ConsumerConfig, Defect, ProducerConfig};
use crate::base::error::Exception;
use crate::base::fingerprint::Fingerprint;
use crate::base::ids::{GroupId, NodeId};
use crate::base::names::Names;
use crate::base::time::Time;
use crate::kafka::broker::Broker;
use crate::kafka::consumer::Consumer;
use crate::kafka::controller::{Controller, Formation};
use crate::kafka::effects::{Effects, Input};
use crate::kafka::producer::Producer;
use crate::kafka::share::consumer::ShareConsumer;
use crate::sim::network::NetworkConfig;
use crate::sim::trace::Sink;

/// Everything a run is made from.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    /// What things are called and which partitions exist.
    pub names: Arc<Names>,
    /// Settings of brokers, controllers and topics.
    pub config: Arc<ClusterConfig>,
    /// Settings of each producer.
    pub producers: Vec<ProducerConfig>,
    /// Producers that the script creates, and what their constructor throws.
    pub by_script: Vec<(u16, Option<Exception>)>,
    /// Each consumer process.
    pub consumers: Vec<ConsumerSpec>,
    /// How messages travel.
    pub network: NetworkConfig,
    /// All luck.
    pub seed: u64,
    /// What is kept of the trace.
    pub sink: Sink,
    /// A bug planted by a test.
    #[doc(hidden)]
    pub defect: Defect,
}

/// A consumer process to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerSpec {
    /// Its settings.
    pub config: ConsumerConfig,
    /// Its group, if any.
    pub group: Option<GroupId>,
    /// What it reads.
    pub subscription: Subscription,
    /// Its application; empty when a script makes every call.
    pub steps: Vec<LoopStep>,
    /// What it does when partitions are taken away.
    pub on_revoked: Option<OnRevoked>,
    /// What its constructor throws when the script starts it.
    pub refused: Option<Exception>,
    /// True when it starts at time 0.
    pub starts: bool,
}

/// All machines, each in a table of its kind.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) controllers: Vec<Controller>,
    pub(super) brokers: Vec<Broker>,
    pub(super) producers: Vec<Producer>,
    pub(super) consumers: Vec<ConsumerProcess>,
}

impl World {
    pub(super) fn new(spec: &WorldSpec) -> Self {
        let formation = Formation::of(&spec.names);
        let voters = spec.names.controllers;
        let controller = |n| Controller::formed(n, voters, Arc::clone(&spec.config), &formation);
        let broker = |id| Broker::formed(id, Arc::clone(&spec.config), &formation);
        Self {
            controllers: (1..=voters).map(controller).collect(),
            brokers: spec.names.broker_ids().map(broker).collect(),
            producers: (0..spec.producers.len()).map(|n| producer(spec, n as u16)).collect(),
            consumers: (0..spec.consumers.len()).map(|n| consumer(spec, n as u16)).collect(),
        }
    }

    /// One input to one machine.
    pub(super) fn step(&mut self, node: NodeId, now: Time, input: Input, fx: &mut Effects) {
        match node {
            NodeId::Controller(n) => self.controllers[usize::from(n) - 1].step(now, input, fx),
            NodeId::Broker(id) => self.brokers[id.index() - 1].step(now, input, fx),
            NodeId::Producer(n) => self.producers[usize::from(n)].step(now, input, fx),
            NodeId::Consumer(n) => self.consumers[usize::from(n)].step(now, input, fx),
            NodeId::Script => unreachable!("nothing is sent to the script"),
        }
    }

    /// The process is gone: what was in memory is lost, what the type calls disk stays.
    pub(super) fn kill(&mut self, spec: &WorldSpec, node: NodeId) {
        match node {
            NodeId::Controller(n) => self.controllers[usize::from(n) - 1].kill(),
            NodeId::Broker(id) => self.brokers[id.index() - 1].kill(),
            NodeId::Producer(n) => self.producers[usize::from(n)] = producer(spec, n),
            NodeId::Consumer(n) => self.consumers[usize::from(n)] = consumer(spec, n),
            NodeId::Script => {}
        }
    }

    /// An orderly shutdown begins.
    pub(super) fn stop(&mut self, node: NodeId, now: Time, fx: &mut Effects) {
        match node {
            NodeId::Broker(id) => self.brokers[id.index() - 1].stop(now, fx),
            NodeId::Producer(n) => self.producers[usize::from(n)].close(now, None, fx),
            NodeId::Consumer(n) => self.consumers[usize::from(n)].stop(now, fx),
            NodeId::Controller(n) => self.controllers[usize::from(n) - 1].stop(now, fx),
            NodeId::Script => {}
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        self.controllers.iter().for_each(|machine| machine.fingerprint(now, into));
        self.brokers.iter().for_each(|machine| machine.fingerprint(now, into));
        self.producers.iter().for_each(|machine| machine.fingerprint(now, into));
        self.consumers.iter().for_each(|machine| machine.fingerprint(now, into));
    }
}

fn producer(spec: &WorldSpec, n: u16) -> Producer {
    Producer::new(n, spec.producers[usize::from(n)].clone())
}

fn consumer(spec: &WorldSpec, n: u16) -> ConsumerProcess {
    let ConsumerSpec { config, group, subscription, steps, on_revoked, .. } =
        &spec.consumers[usize::from(n)];
    let client = if config.share {
        let rank = spec.names.consumers[usize::from(n)].rank;
        Client::from(ShareConsumer::new(config.clone(), *group, rank))
    } else {
        Client::from(Consumer::new(config.clone(), *group).numbered(n))
    };
    let process = ConsumerProcess::new(client, subscription.clone(), steps.clone());
    match on_revoked {
        Some(on_revoked) => process.with_listener(*on_revoked),
        None => process,
    }
}
