//! The machines of a run, and what they are made from.

use std::sync::Arc;

use crate::app::{Client, ConsumerProcess, LoopStep, OnRevoked, Outlet, Subscription};
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
    /// The producer that is part of the same process: an application that passes on what it reads.
    pub producer: Option<u16>,
}

impl WorldSpec {
    /// The consumer that producer `n` shares a process with.
    pub fn owner(&self, n: u16) -> Option<u16> {
        let owner = self.consumers.iter().position(|consumer| consumer.producer == Some(n));
        owner.map(|owner| owner as u16)
    }

    /// The other client of the process of this one.
    pub fn client_of(&self, node: NodeId) -> Option<NodeId> {
        match node {
            NodeId::Consumer(n) => self.consumers[usize::from(n)].producer.map(NodeId::Producer),
            NodeId::Producer(n) => self.owner(n).map(NodeId::Consumer),
            _ => None,
        }
    }
}

/// All machines, each in a table of its kind.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) controllers: Vec<Controller>,
    pub(super) brokers: Vec<Broker>,
    /// Those that are processes of their own; `None`: it is in the process of a consumer.
    producers: Vec<Option<Producer>>,
    pub(super) consumers: Vec<ConsumerProcess>,
    /// The consumer that each producer shares a process with.
    owners: Vec<Option<u16>>,
    /// How often each producer was made.
    instances: Vec<u32>,
}

impl World {
    pub(super) fn new(spec: &WorldSpec) -> Self {
        let formation = Formation::of(&spec.names);
        let voters = spec.names.controllers;
        let controller = |n| Controller::formed(n, voters, Arc::clone(&spec.config), &formation);
        let broker = |id| Broker::formed(id, Arc::clone(&spec.config), &formation);
        let numbers = 0..spec.producers.len() as u16;
        let owners: Vec<Option<u16>> = numbers.clone().map(|n| spec.owner(n)).collect();
        let own = |n: u16| owners[usize::from(n)].is_none().then(|| producer(spec, n, 1));
        Self {
            controllers: (1..=voters).map(controller).collect(),
            brokers: spec.names.broker_ids().map(broker).collect(),
            producers: numbers.map(own).collect(),
            consumers: (0..spec.consumers.len()).map(|n| consumer(spec, n as u16, 1)).collect(),
            instances: vec![1; owners.len()],
            owners,
        }
    }

    /// A producer, wherever it is.
    pub(super) fn producer(&self, n: u16) -> &Producer {
        let own = self.producers[usize::from(n)].as_ref();
        let owner = self.owners[usize::from(n)].map(|owner| &self.consumers[usize::from(owner)]);
        own.or_else(|| Some(owner?.outlet()?.producer())).expect("a producer is somewhere")
    }

    /// The application of a producer does something with it.
    pub(super) fn act(
        &mut self,
        n: u16,
        fx: &mut Effects,
        act: impl FnOnce(&mut Producer, &mut Effects),
    ) {
        match (&mut self.producers[usize::from(n)], self.owners[usize::from(n)]) {
            (Some(producer), _) => act(producer, fx),
            (None, Some(owner)) => {
                if let Some(outlet) = self.consumers[usize::from(owner)].outlet_mut() {
                    outlet.act(fx, act);
                }
            }
            (None, None) => {}
        }
    }

    /// One input to one machine.
    pub(super) fn step(&mut self, node: NodeId, now: Time, input: Input, fx: &mut Effects) {
        match node {
            NodeId::Controller(n) => self.controllers[usize::from(n) - 1].step(now, input, fx),
            NodeId::Broker(id) => self.brokers[id.index() - 1].step(now, input, fx),
            NodeId::Producer(n) => match self.owners[usize::from(n)] {
                Some(owner) => {
                    self.consumers[usize::from(owner)].producer_step(now, input, fx);
                }
                None => self.act(n, fx, |producer, fx| producer.step(now, input, fx)),
            },
            NodeId::Consumer(n) => self.consumers[usize::from(n)].step(now, input, fx),
            NodeId::Script => unreachable!("nothing is sent to the script"),
        }
    }

    /// The process is gone: what was in memory is lost, what the type calls disk stays.
    pub(super) fn kill(&mut self, spec: &WorldSpec, node: NodeId) {
        match node {
            NodeId::Controller(n) => self.controllers[usize::from(n) - 1].kill(),
            NodeId::Broker(id) => self.brokers[id.index() - 1].kill(),
            NodeId::Producer(n) => {
                let at = usize::from(n);
                self.instances[at] += 1;
                let producer = producer(spec, n, self.instances[at]);
                match self.owners[at].map(usize::from) {
                    None => self.producers[at] = Some(producer),
                    Some(owner) => {
                        if let Some(outlet) = self.consumers[owner].outlet_mut() {
                            outlet.replace(producer);
                        }
                    }
                }
            }
            NodeId::Consumer(n) => {
                let producer = spec.consumers[usize::from(n)].producer;
                let instance = producer.map_or(1, |p| self.instances[usize::from(p)]);
                self.consumers[usize::from(n)] = consumer(spec, n, instance);
            }
            NodeId::Script => {}
        }
    }

    /// An orderly shutdown begins.
    pub(super) fn stop(&mut self, node: NodeId, now: Time, fx: &mut Effects) {
        match node {
            NodeId::Broker(id) => self.brokers[id.index() - 1].stop(now, fx),
            NodeId::Producer(n) => self.act(n, fx, |producer, fx| producer.close(now, None, fx)),
            NodeId::Consumer(n) => self.consumers[usize::from(n)].stop(now, fx),
            NodeId::Controller(n) => self.controllers[usize::from(n) - 1].stop(now, fx),
            NodeId::Script => {}
        }
    }

    pub(super) fn fingerprint(&self, now: Time, into: &mut Fingerprint) {
        self.controllers.iter().for_each(|machine| machine.fingerprint(now, into));
        self.brokers.iter().for_each(|machine| machine.fingerprint(now, into));
        self.producers.iter().flatten().for_each(|machine| machine.fingerprint(now, into));
        self.consumers.iter().for_each(|machine| machine.fingerprint(now, into));
    }
}

/// The `instance`th process of a producer. A `transactional.id` with `{random}` in it is another one each time.
fn producer(spec: &WorldSpec, n: u16, instance: u32) -> Producer {
    let mut config = spec.producers[usize::from(n)].clone();
    config.transactional_id = random_id(&config.transactional_id, instance);
    Producer::new(n, config)
}

/// How many different ids `{random}` stands for; the run has names for so many.
pub const RANDOM_IDS: u32 = 64;

/// The `transactional.id` of the `instance`th process.
pub fn random_id(id: &str, instance: u32) -> String {
    let number = (instance - 1) % RANDOM_IDS + 1;
    id.replace("{random}", &number.to_string())
}

fn consumer(spec: &WorldSpec, n: u16, instance: u32) -> ConsumerProcess {
    let ConsumerSpec { config, group, subscription, steps, on_revoked, .. } =
        &spec.consumers[usize::from(n)];
    let client = if config.share {
        let rank = spec.names.consumers[usize::from(n)].rank;
        Client::from(ShareConsumer::new(config.clone(), *group, rank))
    } else {
        Client::from(Consumer::new(config.clone(), *group).numbered(n))
    };
    let mut process = ConsumerProcess::new(client, subscription.clone(), steps.clone());
    if let Some(own) = spec.consumers[usize::from(n)].producer {
        let nodes = (NodeId::Consumer(n), NodeId::Producer(own));
        process = process.with_outlet(Outlet::new(producer(spec, own, instance), nodes.0, nodes.1));
    }
    match on_revoked {
        Some(on_revoked) => process.with_listener(*on_revoked),
        None => process,
    }
}
