//! The course of flow-log windows: what the fabric counted goes to files when a window closes.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;
use underlay_types::{Timestamp, chain};

use super::vpc::FullVpc;
use crate::flowlogs::{Delivery, LogState, Recorder};

/// How often devices are looked for that died with a pod's namespace.
const LOST_PORTS: Duration = Duration::from_millis(500);

/// The open windows and the writer of files.
#[derive(Debug)]
pub(super) struct FlowLogs {
    recorder: Recorder,
}

impl FlowLogs {
    /// Opens the first window; files go below `dir`.
    #[must_use]
    pub(super) fn new(dir: PathBuf, window: Duration) -> Self {
        Self {
            recorder: Recorder::new(dir, now(), window),
        }
    }
}

impl FullVpc {
    /// Closes the open window and writes what the flow logs want of it. Blocks.
    pub(super) fn flush_flow_logs(&self) -> Delivery {
        let mut flow_logs = self.flow_logs.lock();
        let (drained, seen) = {
            let mut driver = self.driver.lock();
            (driver.fabric().close_window(), driver.take_seen())
        };
        let state = self.api.read(LogState::of);
        flow_logs.recorder.observe(&seen);
        match drained {
            Ok(drained) => flow_logs.recorder.absorb(&drained, &state.enis),
            Err(error) => tracing::error!(error = chain(&error), "flow records were not read"),
        }
        let delivery = flow_logs.recorder.close(now(), state);
        for error in &delivery.failed {
            tracing::error!(error = chain(error), "flow log");
        }
        delivery
    }

    fn next_window(&self) -> Duration {
        let deadline = self.flow_logs.lock().recorder.next_deadline();
        deadline.saturating_since(now())
    }

    /// Answers whether it was known which devices are gone; `was_known` is the answer before.
    fn restore_lost(&self, was_known: bool) -> bool {
        let restored = match self.driver.lock().restore_lost() {
            Ok(restored) => restored,
            Err(error) => {
                if was_known {
                    tracing::error!(error = chain(&error), "lost devices are not looked for");
                }
                return false;
            }
        };
        for eni in restored.back {
            tracing::info!(%eni, "its device died with a namespace and was made again");
        }
        for error in &restored.stuck {
            tracing::error!(error = chain(error), "a lost device stays lost");
        }
        true
    }
}

/// Closes window after window until `stop`.
pub(super) async fn run(vpc: Arc<FullVpc>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(vpc.next_window()) => {}
        }
        tokio::task::block_in_place(|| drop(vpc.flush_flow_logs()));
    }
}

/// Makes devices again that died with the namespaces of pods, until `stop`.
pub(super) async fn watch_lost_ports(vpc: Arc<FullVpc>, stop: CancellationToken) {
    let mut known = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOST_PORTS) => {}
        }
        tokio::task::block_in_place(|| known = vpc.restore_lost(known));
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::ZERO + since.unwrap_or_default()
}
