//! A running VPC: its API, its driver and its flow logs, put together.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use underlay_types::{InstanceId, chain};
use underlay_vpc_model::{Change, Model};

use super::{driver::Driver, run_dir::RunDir, serve::Ending, windows::FlowLogs};
use crate::serve::{ApiServer, ChangeHook, HookError};

/// What the parts of a running VPC share.
///
/// Locks are taken in this order: the model (inside [`ApiServer`]), then the driver.
#[derive(Debug)]
pub(super) struct FullVpc {
    pub(super) run: RunDir,
    pub(super) api: Arc<ApiServer>,
    pub(super) driver: Arc<Mutex<Driver>>,
    pub(super) flow_logs: Mutex<FlowLogs>,
    pub(super) stop: CancellationToken,
    /// What becomes of the run, if somebody said so.
    pub(super) ending: OnceLock<Ending>,
}

impl FullVpc {
    /// Ends the process, and with it what `ending` says.
    pub(super) fn end(&self, ending: Ending) {
        self.ending.get_or_init(|| ending);
        self.stop.cancel();
    }
}

/// Has the driver follow the model.
pub(super) struct Follow {
    pub(super) driver: Arc<Mutex<Driver>>,
    /// Who has to be forgotten elsewhere; not from here, where the model is locked.
    pub(super) terminated: mpsc::UnboundedSender<InstanceId>,
}

impl ChangeHook for Follow {
    fn on_changes(&self, model: &Model, changes: Vec<Change>) -> Result<(), HookError> {
        let errors = self.driver.lock().apply(model, &changes);
        for change in changes {
            if let Change::InstanceTerminated(instance) = change
                && self.terminated.send(instance).is_err()
            {
                tracing::debug!("a terminated instance is not forgotten: the run ends");
            }
        }
        let texts: Vec<_> = errors.iter().map(|error| chain(error)).collect();
        if texts.is_empty() {
            Ok(())
        } else {
            Err(HookError(texts.join("; ")))
        }
    }
}
