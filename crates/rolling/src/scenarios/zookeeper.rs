//! Ensembles: the order, and what is waited for or refused before a stop.

use super::{all, first, text};
use crate::decide::decide;
use crate::observation::View;
use crate::policy::Policy;
use crate::sim::{Cluster, Fault, SimZooKeeper, run};
use insta::assert_snapshot;
use kfleet_model::BrokerId;
use kfleet_model::snapshot::ClusterSnapshot;

#[test]
fn an_ensemble_is_rolled_observers_first_and_its_leader_last() {
    assert_snapshot!(first(&SimZooKeeper::new(3, 1, None), &Policy::default()), @r"
    proceed with zookeeper-4
    - members 1, 2, 3, 4 agree
    - the leader is server 3
    - server 4 is an observer and has no vote
      zookeeper-4 an observer, which has no vote
      zookeeper-1 a follower, by id
      zookeeper-2 a follower, by id
      zookeeper-3 the leader, so it comes last
    ");
}

#[test]
fn an_ensemble_that_is_not_whole_is_waited_for_unless_the_missing_server_is_the_next() {
    let policy = Policy::default();
    let mut down = SimZooKeeper::new(3, 0, Some(3));
    down.fault(Fault::Crash { member: 1, back: None });
    down.tick();
    assert_snapshot!(first(&down, &policy), @r"
    proceed with zookeeper-2
    - members 1, 3 agree
    - the leader is server 3
    - 2 of 3 voters serve without server 2, 2 are needed
      zookeeper-2 not ready, so it comes first
      zookeeper-1 a follower, by id
      zookeeper-3 the leader, so it comes last
    ");
    down.fault(Fault::AgentLost { member: 1, ticks: 100 });
    assert_snapshot!(first(&down, &policy), @r"
    wait
    - the agent on zookeeper-2 does not answer
    - ZooKeeper server 3: the leader has 1 followers in step of 2
    ");
}

#[test]
fn an_ensemble_without_a_majority_is_left_to_a_person() {
    let mut broken = SimZooKeeper::new(3, 0, Some(3));
    broken.fault(Fault::Crash { member: 1, back: None });
    broken.fault(Fault::Crash { member: 2, back: None });
    (0..5).for_each(|_| broken.tick());
    assert_snapshot!(first(&broken, &Policy::default()), @r"
    wait
    - ZooKeeper server 1: its process runs and serves nobody: there is no quorum, or an election
    - ZooKeeper server 2: zookeeper.service is inactive and does not answer
    - ZooKeeper server 3: zookeeper.service is inactive and does not answer
    - no active controller or leader is elected
    - without member 1 only 0 of 3 voters would be in step, 2 are needed
    ");
}

#[test]
fn an_ensemble_that_can_not_keep_its_majority_is_refused_until_the_policy_accepts_it() {
    let pair = SimZooKeeper::new(2, 0, None);
    assert_snapshot!(first(&pair, &Policy::default()), @r"
    refuse
    - without member 1 only 1 of 2 voters would be in step, 2 are needed
    ");
    let accepted = Policy { accept_ensemble_outage: true, ..Policy::default() };
    assert_snapshot!(first(&SimZooKeeper::new(1, 0, None), &accepted), @r"
    proceed with zookeeper-1
    - as member 1 sees it
    - server 1 is the leader and the last to go
    - warning: the ensemble of 1 stops meanwhile, as the policy accepts
      zookeeper-1 the leader, so it comes last
    ");
}

#[test]
fn an_ensemble_with_a_queue_an_old_epoch_or_too_much_data_is_not_touched() {
    let policy = Policy::default();
    let mut cluster = SimZooKeeper::new(3, 0, Some(1));
    cluster.tick();
    let mut seen = cluster.observe(&policy, None);
    for View { snapshot, .. } in &mut seen.views {
        let ClusterSnapshot::ZooKeeper(server) = snapshot else { continue };
        match server.server_id.0 {
            1 => server.outstanding_requests = 500,
            2 => server.zxid = 5,
            _ => server.data_size_bytes = 400_000_000,
        }
    }
    assert_snapshot!(text(&decide(cluster.roll(), &seen, &policy, &all(&cluster))), @r"
    refuse
    - ZooKeeper server 3 holds 400000000 bytes, which take 32000 ms to send, and a server that joins has 20000 ms (initLimit x tickTime)
    - ZooKeeper server 1: 500 requests are outstanding, less than 100 are allowed
    - ZooKeeper server 2: it is in epoch 0, the leader in epoch 1
    ");
}

#[test]
fn a_whole_roll_of_an_ensemble_reads_like_this() {
    let mut cluster = SimZooKeeper::new(3, 0, Some(2));
    let plan: Vec<BrokerId> = cluster.roll().members().keys().copied().collect();
    let outcome = run(&mut cluster, &Policy::default(), &plan, &[], 5000);
    assert_snapshot!(outcome.trace.join("\n"), @r"
      0 stop 1: members 1, 2, 3 agree; the leader is server 3; 2 of 3 voters serve without server 1, 2 are needed
      5 process: new pid 1001 (was 1)
     15 joined: follows server 3, in epoch 1
     15 caught-up: zxid 0x100000008 has reached 0x100000008
     40 node 1 done
     45 stop 2: members 1, 2, 3 agree; the leader is server 3; 2 of 3 voters serve without server 2, 2 are needed
     50 process: new pid 1002 (was 2)
     60 joined: follows server 3, in epoch 1
     60 caught-up: zxid 0x10000001e has reached 0x10000001e
     85 node 2 done
     90 stop 3: members 1, 2, 3 agree; server 3 is the leader and the last to go; 2 of 3 voters serve without server 3, 2 are needed
     95 process: new pid 1003 (was 3)
    105 joined: follows server 2, in epoch 2
    105 caught-up: zxid 0x200000005 has reached 0x200000005
    140 node 3 done
    ");
}
