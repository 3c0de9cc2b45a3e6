//! Kills the agent of a node chosen at random, again and again, as crashes would; something like
//! systemd starts it again at once.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use underlay_testkit::{Binaries, ClusterNode};

/// The time from one kill to the next.
const INTERVAL: Duration = Duration::from_secs(5);

/// Never returns but with an error: an agent had ended by itself, or did not start. Counts into
/// `kills`.
pub(super) async fn run(
    workers: &mut [ClusterNode],
    binaries: &Binaries,
    kills: &AtomicUsize,
) -> anyhow::Error {
    let chance = RandomState::new();
    let mut clock = tokio::time::interval(INTERVAL);
    for round in 0_u64.. {
        clock.tick().await;
        let many = workers.len() as u64;
        let chosen = usize::try_from(chance.hash_one(round) % many).unwrap_or_default();
        let worker = &mut workers[chosen];
        let ended = worker.node.kill_agent();
        if let Err(error) = ended.and_then(|()| worker.start_agent(binaries)) {
            let (name, log) = (worker.node.name(), worker.node.agent_log_tail());
            return error.context(format!("killing the agent of {name}; its log:\n{log}"));
        }
        kills.fetch_add(1, Ordering::Relaxed);
    }
    anyhow::anyhow!("the rounds are endless")
}
