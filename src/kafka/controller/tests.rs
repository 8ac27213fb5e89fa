//! The controller alone: what it answers to leaders.

use super::*;
use crate::base::broker_set::{MAX_REPLICAS, ReplicaList};
use crate::base::chooser::Chooser;
use crate::base::config::TopicConfig;
use crate::base::ids::{NodeId, TopicId};
use crate::base::names::{Partition, Topic};
use crate::kafka::api::IsrChange;
use crate::kafka::effects::Effect;

const P0: PartitionId = PartitionId(0);

/// One partition on brokers 1 to 3, whose epochs are 0, 1 and 2.
fn controller() -> (Controller, Effects) {
    let ids = [1, 2, 3].map(BrokerId);
    let topic =
        Topic { name: "t".into(), partitions: vec![P0], internal: false, partition_count: 1 };
    let partition = Partition { topic: TopicId(0), index: 0, replicas: ReplicaList::new(&ids) };
    let (topics, partitions) = (vec![topic], vec![partition]);
    let names = Names { controllers: 1, brokers: 3, topics, partitions, ..Names::default() };
    let config = ClusterConfig { topics: vec![TopicConfig::default()], ..ClusterConfig::default() };
    let mut controller = Controller::formed(1, 1, Arc::new(config), &Formation::of(&names));
    let mut fx = Effects::new(Arc::new(names), Chooser::seeded(1));
    controller.step(Time::ZERO, Input::Start, &mut fx);
    fx.list.clear();
    (controller, fx)
}

fn change(isr: &[u8], epochs: &[i32], partition_epoch: i32) -> IsrChange {
    let mut all = [-1; MAX_REPLICAS];
    all[..epochs.len()].copy_from_slice(epochs);
    let isr = isr.iter().map(|n| BrokerId(*n)).collect();
    IsrChange { partition: P0, leader_epoch: LeaderEpoch(0), partition_epoch, isr, epochs: all }
}

/// Broker 1 asks, and is answered.
fn ask(controller: &mut Controller, fx: &mut Effects, change: IsrChange) -> (ErrorCode, BrokerSet) {
    let from = NodeId::Broker(BrokerId(1));
    let token = Token { from, correlation: 1, connection: 1 };
    let message = Message::AlterPartition { broker_epoch: 0, changes: fx.keep(&[change]) };
    controller.step(Time::ZERO, Input::Request { token, message }, fx);
    let answer = fx.list.iter().find_map(|effect| match effect {
        Effect::Reply { message: Message::AlterPartitionResponse { results, .. }, .. } => {
            Some(*results)
        }
        _ => None,
    });
    let result = fx.pools.get(answer.expect("an answer"))[0];
    fx.list.clear();
    (result.error, controller.registration(P0).isr)
}

#[test]
fn a_member_under_another_broker_epoch_is_ineligible_and_one_without_is_not_asked() {
    let (mut controller, mut fx) = controller();
    let set = |ids: &[u8]| ids.iter().map(|n| BrokerId(*n)).collect::<BrokerSet>();
    for (why, wanted, epochs, partition_epoch, error, isr) in [
        ("3 leaves", &[1, 2][..], &[0, 1][..], 0, ErrorCode::None, &[1, 2][..]),
        ("3 of an earlier life", &[1, 2, 3], &[0, 1, 1], 1, ErrorCode::IneligibleReplica, &[1, 2]),
        ("3 of a later life", &[1, 2, 3], &[0, 1, 7], 1, ErrorCode::IneligibleReplica, &[1, 2]),
        ("2 has not fetched yet", &[1, 2, 3], &[0, -1, 2], 1, ErrorCode::None, &[1, 2, 3]),
    ] {
        let got = ask(&mut controller, &mut fx, change(wanted, epochs, partition_epoch));
        assert_eq!(got, (error, set(isr)), "{why}");
    }
}
