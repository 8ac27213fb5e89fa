//! Random schedules of faults as plain data: a list of acts with the time between them. They can be replayed, cut
//! short act by act, and printed. An act that makes no sense when its turn comes does nothing, so that any sub-list
//! of a schedule is a schedule.

use crate::base::chooser::{ChoicePoint, Chooser};
use crate::base::ids::{BrokerId, NodeId, PartitionId};
use crate::base::time::{Duration, Time};
use crate::event::{Api, FaultKind};
use crate::sim::command::{Command, WireAction, WireRule};
use crate::sim::simulation::Simulation;
use crate::sim::world::WorldSpec;

/// Which kinds of faults a schedule may have. The same words as in the preconditions of invariants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultClasses {
    /// Kill, freeze, stop and start of brokers; disks survive.
    pub brokers: bool,
    /// Kill, freeze, stop and start of controllers, and cuts around them.
    pub controllers: bool,
    /// Kill, freeze and start of clients.
    pub clients: bool,
    /// Cuts between nodes, lost and delayed messages, broken connections.
    pub network: bool,
    /// Power loss: unflushed records are gone.
    pub power: bool,
    /// Wiped disks.
    pub disks: bool,
}

impl FaultClasses {
    /// What a correctly configured cluster must survive: process crashes and network faults.
    pub const SURVIVABLE: Self = Self {
        brokers: true,
        controllers: true,
        clients: true,
        network: true,
        power: false,
        disks: false,
    };

    /// Nothing at all.
    const NONE: Self = Self {
        brokers: false,
        controllers: false,
        clients: false,
        network: false,
        power: false,
        disks: false,
    };
}

/// One act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// A process fault or its healing.
    Fault(NodeId, FaultKind),
    /// The disk of a stopped broker is emptied.
    Wipe(BrokerId),
    /// The node can reach no other broker or controller.
    Isolate(NodeId),
    /// The two can not reach each other.
    Cut(NodeId, NodeId),
    /// All cuts heal.
    Heal,
    /// Something happens to the next message of this kind that a node sends.
    Next {
        /// The sender.
        from: NodeId,
        /// Of this API.
        api: Api,
        /// An answer, not a request.
        response: bool,
        /// What happens to it.
        action: WireAction,
    },
}

/// A schedule: acts, each this long after the one before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Schedule {
    /// In order.
    pub acts: Vec<(Duration, Act)>,
}

impl Schedule {
    /// Draws a schedule of `acts` acts for a world. Each draw first decides which classes it uses at all (swarm
    /// testing: leaving features out finds more than a fixed mix).
    pub fn random(
        spec: &WorldSpec,
        classes: FaultClasses,
        acts: usize,
        luck: &mut Chooser,
    ) -> Self {
        let draw = Draw { spec, classes: swarm(classes, luck) };
        let act = |_| (Draw::gap(luck), draw.act(luck));
        Self { acts: (0..acts).map(act).collect() }
    }

    /// Runs a simulation through the schedule; `observe` sees it after every step. Returns `false` when `observe` did,
    /// which ends the run.
    pub fn run(
        &self,
        simulation: &mut Simulation,
        mut observe: impl FnMut(&Simulation) -> bool,
    ) -> bool {
        for (n, (gap, _)) in self.acts.iter().enumerate() {
            let until = simulation.now() + *gap;
            if !run_until(simulation, until, &mut observe) {
                return false;
            }
            self.act(n, simulation);
        }
        true
    }

    /// Does act number `n` of the schedule now.
    pub fn act(&self, n: usize, simulation: &mut Simulation) {
        let command = self.acts[n].1.command(simulation.spec(), n as u16);
        simulation.apply(&command);
    }
}

/// Steps a simulation up to a moment; `observe` as in [`Schedule::run`].
pub fn run_until(
    simulation: &mut Simulation,
    until: Time,
    observe: &mut impl FnMut(&Simulation) -> bool,
) -> bool {
    while simulation.next_at().is_some_and(|at| at <= until) {
        simulation.step();
        if !observe(simulation) {
            return false;
        }
    }
    simulation.skip_to(until);
    true
}

/// Heals everything a schedule can break: cuts, rules, frozen and dead processes. A broker that is still stopping
/// can be started only when it is down: heal again a while later.
pub fn heal_all(simulation: &mut Simulation) {
    simulation.apply(&Command::HealNetwork);
    let rules: Vec<u16> = simulation.network.rules.iter().map(|rule| rule.name).collect();
    for name in rules {
        simulation.apply(&Command::RemoveRule { name });
    }
    let nodes: Vec<NodeId> = simulation.layout.nodes().collect();
    for node in nodes {
        simulation.apply(&Command::Fault { node, kind: FaultKind::Thaw });
        simulation.apply(&Command::Fault { node, kind: FaultKind::Start });
    }
}

impl Act {
    /// The command that does it.
    fn command(self, spec: &WorldSpec, name: u16) -> Command {
        match self {
            Self::Fault(node, kind) => Command::Fault { node, kind },
            Self::Wipe(broker) => Command::Wipe { broker, keep_directory: false },
            Self::Isolate(node) => {
                let brokers = spec.names.broker_ids().map(NodeId::Broker);
                let controllers = (1..=spec.names.controllers).map(NodeId::Controller);
                let right = brokers.chain(controllers).filter(|other| *other != node).collect();
                Command::CutOff { left: vec![node], right }
            }
            Self::Cut(a, b) => Command::CutOff { left: vec![a], right: vec![b] },
            Self::Heal => Command::HealNetwork,
            Self::Next { from, api, response, action } => Command::AddRule {
                name,
                rule: WireRule {
                    api: Some(api),
                    response: Some(response),
                    from: Some(from),
                    to: None,
                    partition: None::<PartitionId>,
                    message: None,
                    skip: 0,
                    times: 1,
                    action,
                },
            },
        }
    }
}

fn swarm(classes: FaultClasses, luck: &mut Chooser) -> FaultClasses {
    let mut keep = |wanted: bool| wanted && luck.below(ChoicePoint::Fault, 3) > 0;
    let drawn = FaultClasses {
        brokers: keep(classes.brokers),
        clients: keep(classes.clients),
        network: keep(classes.network),
        power: keep(classes.power),
        disks: keep(classes.disks),
        controllers: keep(classes.controllers),
    };
    if drawn == FaultClasses::NONE { classes } else { drawn }
}

struct Draw<'a> {
    spec: &'a WorldSpec,
    classes: FaultClasses,
}

impl Draw<'_> {
    /// From a millisecond to half a minute, short ones more often: races and time-outs both.
    fn gap(luck: &mut Chooser) -> Duration {
        let magnitude = luck.below(ChoicePoint::Fault, 16);
        Duration(luck.between(ChoicePoint::Fault, 500, 1_000 << magnitude))
    }

    fn act(&self, luck: &mut Chooser) -> Act {
        loop {
            let kind = luck.below(ChoicePoint::Fault, if self.classes.controllers { 8 } else { 6 });
            let act = match kind {
                0 if self.classes.brokers || self.classes.power => self.broker_fault(luck),
                1 if self.classes.clients => self.client_fault(luck),
                2 if self.classes.network => self.cut(luck),
                3 if self.classes.network => Act::Heal,
                4 if self.classes.network => self.next_message(luck),
                5 if self.classes.disks => Act::Wipe(self.broker(luck)),
                6 => self.controller_fault(luck),
                7 if self.classes.network => self.controller_cut(luck),
                _ => continue,
            };
            return act;
        }
    }

    fn broker(&self, luck: &mut Chooser) -> BrokerId {
        BrokerId(luck.below(ChoicePoint::Fault, u64::from(self.spec.names.brokers)) as u8 + 1)
    }

    fn controller(&self, luck: &mut Chooser) -> NodeId {
        let controllers = u64::from(self.spec.names.controllers);
        let n = if controllers == 1 { 0 } else { luck.below(ChoicePoint::Fault, controllers) };
        NodeId::Controller(n as u8 + 1)
    }

    fn client(&self, luck: &mut Chooser) -> NodeId {
        let producers = self.spec.producers.len() as u64;
        let all = producers + self.spec.consumers.len() as u64;
        let n = luck.below(ChoicePoint::Fault, all.max(1));
        if n < producers {
            NodeId::Producer(n as u16)
        } else {
            NodeId::Consumer((n - producers) as u16)
        }
    }

    fn broker_fault(&self, luck: &mut Chooser) -> Act {
        use FaultKind::{Freeze, Kill, PowerLoss, Start, Stop, Thaw};
        let node = NodeId::Broker(self.broker(luck));
        let kinds = [Start, Thaw, Start, Thaw, Kill, Freeze, Stop, PowerLoss];
        let kind = kinds[luck.below(ChoicePoint::Fault, 8) as usize];
        match kind {
            PowerLoss if !self.classes.power => Act::Fault(node, Kill),
            Kill | Freeze | Stop if !self.classes.brokers => Act::Fault(node, PowerLoss),
            kind => Act::Fault(node, kind),
        }
    }

    fn controller_fault(&self, luck: &mut Chooser) -> Act {
        use FaultKind::{Freeze, Kill, Start, Stop, Thaw};
        let kinds = [Start, Thaw, Start, Kill, Freeze, Stop];
        Act::Fault(self.controller(luck), kinds[luck.below(ChoicePoint::Fault, 6) as usize])
    }

    fn controller_cut(&self, luck: &mut Chooser) -> Act {
        let controller = self.controller(luck);
        match luck.below(ChoicePoint::Fault, 3) {
            0 => Act::Cut(controller, NodeId::Broker(self.broker(luck))),
            _ => match self.controller(luck) {
                other if other == controller => Act::Isolate(controller),
                other => Act::Cut(controller, other),
            },
        }
    }

    fn client_fault(&self, luck: &mut Chooser) -> Act {
        use FaultKind::{Freeze, Kill, Start, Thaw};
        let kinds = [Start, Thaw, Start, Kill, Freeze];
        Act::Fault(self.client(luck), kinds[luck.below(ChoicePoint::Fault, 5) as usize])
    }

    fn cut(&self, luck: &mut Chooser) -> Act {
        let broker = NodeId::Broker(self.broker(luck));
        match luck.below(ChoicePoint::Fault, 4) {
            0 => Act::Isolate(broker),
            1 => Act::Cut(broker, self.controller(luck)),
            2 => Act::Cut(broker, self.client(luck)),
            _ => match NodeId::Broker(self.broker(luck)) {
                other if other == broker => Act::Isolate(broker),
                other => Act::Cut(broker, other),
            },
        }
    }

    fn next_message(&self, luck: &mut Chooser) -> Act {
        let apis = [Api::Produce, Api::Produce, Api::Fetch, Api::OffsetCommit, Api::AlterPartition];
        let api = apis[luck.below(ChoicePoint::Fault, apis.len() as u64) as usize];
        let response = luck.below(ChoicePoint::Fault, 2) == 0;
        let broker = NodeId::Broker(self.broker(luck));
        let from = if response || api == Api::AlterPartition { broker } else { self.client(luck) };
        let from =
            if response && api == Api::AlterPartition { self.controller(luck) } else { from };
        // What TCP can do: lose a message with its connection, or hold it up with all that follows on it. To lose one
        // message and pass the next is a proxy's doing, against which no client is safe.
        let most = [2_000_000, 60_000_000][luck.below(ChoicePoint::Fault, 2) as usize];
        let delay = Duration(luck.between(ChoicePoint::Fault, 1_000, most));
        let action = match luck.below(ChoicePoint::Fault, 2) {
            0 => WireAction::Close,
            _ => WireAction::Delay(delay),
        };
        Act::Next { from, api, response, action }
    }
}

/// proptest strategies over schedules: a list of acts, so that shrinking removes acts one by one.
#[cfg(feature = "proptest")]
pub mod strategy {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{Draw, FaultClasses, Schedule};
    use crate::base::chooser::Chooser;
    use crate::sim::world::WorldSpec;

    /// Schedules of up to `most` acts for a world. Shrinks towards fewer acts.
    pub fn schedules(
        spec: Arc<WorldSpec>,
        classes: FaultClasses,
        most: usize,
    ) -> impl Strategy<Value = Schedule> {
        let act = any::<u64>().prop_map(move |seed| {
            let mut luck = Chooser::seeded(seed);
            let draw = Draw { spec: &spec, classes };
            (Draw::gap(&mut luck), draw.act(&mut luck))
        });
        prop::collection::vec(act, 0..=most).prop_map(|acts| Schedule { acts })
    }
}
