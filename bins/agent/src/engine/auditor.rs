//! Looks at the node's kernel from time to time and has put right what somebody else changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        mpsc::{Sender, sync_channel},
    },
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use underlay_journal::LeaseState;
use underlay_netlink::netns;
use underlay_netplan::Drift;
use underlay_types::{LeaseKey, Timestamp};

use super::{
    clock::{boot_time, wall_ms},
    message::{Devices, Held, Message},
};
use crate::kernel::{Failure, Kernel, Repaired};

/// Lines of the log for one repair; the rest is counted.
const LINES_MAX: usize = 20;

/// Who looks.
#[derive(Debug)]
pub(super) struct Auditor {
    pub(super) kernel: Arc<Kernel>,
    pub(super) inbox: Sender<Message>,
    /// How often, give or take a fifth.
    pub(super) interval: Duration,
}

impl Auditor {
    /// Runs until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let auditor = Arc::new(self);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(auditor.pause()) => {}
            }
            let looking = Arc::clone(&auditor);
            let looked = tokio::task::spawn_blocking(move || looking.audit()).await;
            match looked {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => warn!(%failure, "cannot look for drift; trying again"),
                Err(error) => error!(%error, "the look for drift was broken off"),
            }
        }
    }

    /// Nodes started together do not look together.
    fn pause(&self) -> Duration {
        let micros = boot_time()
            .saturating_since(Timestamp::ZERO)
            .subsec_micros();
        let spread = f64::from(micros % 1000) / 1000.0;
        self.interval.mul_f64(0.8 + 0.4 * spread)
    }

    fn audit(&self) -> Result<(), Failure> {
        let (since, since_wall_ms) = (boot_time(), wall_ms());
        let mut look = self.kernel.look()?;
        let namespaces = self.namespaces(&look.lost);
        let mut unrepaired = Vec::new();
        if !look.clean || !namespaces.is_empty() {
            let repaired = self.kernel.repair(namespaces)?;
            self.tell(&repaired);
            unrepaired = repaired.refused.iter().map(ToString::to_string).collect();
            look = self.kernel.look()?;
        }
        self.send(Message::Unrepaired(unrepaired));
        // Leases of pods that died with their namespace end when this was seen twice.
        self.send(Message::Devices {
            since,
            since_wall_ms,
            devices: Devices {
                names: look.names,
                macs: look.macs,
            },
        });
        Ok(())
    }

    /// The namespaces of those lost pods whose sandbox still lives.
    fn namespaces(&self, lost: &[LeaseKey]) -> BTreeMap<LeaseKey, OwnedFd> {
        let namespace = |key: &LeaseKey| {
            let (reply, answer) = sync_channel(1);
            self.send(Message::Held(key.clone(), reply));
            Some((key.clone(), living_namespace(&answer.recv().ok()??)?))
        };
        lost.iter().filter_map(namespace).collect()
    }

    fn tell(&self, done: &Repaired) {
        for (drift, what) in done.repaired.iter().take(LINES_MAX) {
            warn!(kind = drift.name(), what, "drift put right");
        }
        for refused in &done.refused {
            error!(%refused, "drift could not be put right; trying again");
        }
        if let Some(text) = summary(done) {
            warn!("{text}");
            self.send(Message::Note(text));
        }
    }

    fn send(&self, message: Message) {
        if self.inbox.send(message).is_err() {
            debug!("the agent is stopping");
        }
    }
}

/// The namespace that a lease was wired in, if it is still there.
pub(super) fn living_namespace(held: &Held) -> Option<OwnedFd> {
    if held.state != LeaseState::Active {
        return None;
    }
    let file = File::open(&held.netns_path).ok()?;
    // Another namespace may be bound to the path by now, or something that is none.
    let cookie = netns::cookie(file.as_fd()).ok()?;
    (cookie == held.netns_cookie).then(|| file.into())
}

/// One line for people about a repair; none if nothing was done.
fn summary(done: &Repaired) -> Option<String> {
    let (first_drift, first) = done.repaired.first()?;
    let kinds: BTreeSet<Drift> = done.repaired.iter().map(|(drift, _)| *drift).collect();
    let counts = kinds.into_iter().map(|kind| {
        let count = done.repaired.iter().filter(|(drift, _)| *drift == kind);
        format!("{} {}", count.count(), kind.name())
    });
    let counts: Vec<_> = counts.collect();
    let refused = match done.refused.first() {
        None => String::new(),
        Some(error) => format!("; {} refused, first: {error}", done.refused.len()),
    };
    Some(format!(
        "somebody changed what is ours, put right: {} (first: {} {first}){refused}",
        counts.join(", "),
        first_drift.name(),
    ))
}
