//! The course of flow-log windows: what the fabric counted goes to files when a window closes.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;
use underlay_types::{Timestamp, chain};
use underlay_vpc_model::{DeliveryError as Shown, Event};

use super::vpc::FullVpc;
use crate::flowlogs::{Delivery, LogOutcome, LogState, Recorder};

/// How often devices are looked for that died with a pod's namespace, and a round of what the
/// kernel refused goes by.
const WATCH: Duration = Duration::from_millis(500);

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
    /// Closes all open windows and writes what the flow logs want of them. Blocks.
    pub(super) fn flush_flow_logs(&self) -> Delivery {
        self.close_windows(Recorder::close_all)
    }

    fn close_windows(&self, close: fn(&mut Recorder, Timestamp, LogState) -> Delivery) -> Delivery {
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
        let delivery = close(&mut flow_logs.recorder, now(), state);
        drop(flow_logs);
        for error in &delivery.failed {
            tracing::error!(error = chain(error), "flow log");
        }
        self.show_outcomes(&delivery);
        delivery
    }

    /// Has DescribeFlowLogs say how deliveries went.
    fn show_outcomes(&self, delivery: &Delivery) {
        for (flow_log, outcome) in &delivery.outcomes {
            let error = match outcome {
                LogOutcome::Denied => Some(Shown::AccessError),
                LogOutcome::Done => None,
                LogOutcome::Failed => Some(Shown::UnknownError),
            };
            let shown = self
                .api
                .read(|model| model.flow_log(flow_log).map(|log| log.delivery_error));
            if shown.is_none_or(|shown| shown == error) {
                continue;
            }
            let noted = self
                .api
                .change(Event::FlowLogDelivery(flow_log.clone(), error));
            if let Err(error) = noted {
                tracing::error!(error = chain(&error), "a delivery was not noted");
            }
        }
    }

    fn next_window(&self) -> Duration {
        let deadline = self.flow_logs.lock().recorder.next_deadline();
        deadline.saturating_since(now())
    }

    /// Tries again what the kernel refused, as far as its time has come.
    fn repair(&self) {
        let due = self.driver.lock().due_repairs();
        if !due.is_empty() {
            self.api
                .read(|model| self.driver.lock().repair(model, &due));
        }
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
        tokio::task::block_in_place(|| drop(vpc.close_windows(Recorder::close)));
    }
}

/// Makes devices again that died with the namespaces of pods, and tries again what the kernel
/// refused, until `stop`.
pub(super) async fn watch_kernel(vpc: Arc<FullVpc>, stop: CancellationToken) {
    let mut known = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WATCH) => {}
        }
        tokio::task::block_in_place(|| {
            known = vpc.restore_lost(known);
            vpc.repair();
        });
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::ZERO + since.unwrap_or_default()
}
