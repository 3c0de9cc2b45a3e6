//! The caller's half of what only full mode serves.

use super::{Endpoint, EndpointRequest, Flushed, Host, HostRequest, Status};
use crate::{
    admin::{self, AdminError},
    full::RunDir,
};

/// A caller of a run's admin API.
#[derive(Debug, Clone)]
pub struct Client(admin::Client);

impl Client {
    /// A caller of `run`.
    #[must_use]
    pub fn new(run: &RunDir) -> Self {
        Self(admin::Client::new(run.admin_socket()))
    }

    /// What the VPC says of itself.
    ///
    /// # Errors
    /// When it does not run or does not answer.
    pub fn status(&self) -> Result<Status, AdminError> {
        self.0.call("GET", "/status", &())
    }

    /// Has the API served inside the VPC.
    ///
    /// # Errors
    /// When it does not run, or refuses.
    pub fn endpoint(&self, request: &EndpointRequest) -> Result<Endpoint, AdminError> {
        self.0.call("POST", "/endpoints", request)
    }

    /// Gives an ENI to a new namespace.
    ///
    /// # Errors
    /// When it does not run, or refuses.
    pub fn host(&self, request: &HostRequest) -> Result<Host, AdminError> {
        self.0.call("POST", "/hosts", request)
    }

    /// Closes the open flow-log window and has its files written.
    ///
    /// # Errors
    /// When it does not run or does not answer.
    pub fn flush_flow_logs(&self) -> Result<Flushed, AdminError> {
        self.0.call("POST", "/flow-logs/flush", &())
    }

    /// Has the VPC's process end, and the program as it is now take over.
    ///
    /// # Errors
    /// When it does not run or does not answer.
    pub fn restart(&self) -> Result<(), AdminError> {
        self.0
            .call("POST", "/restart", &())
            .map(|_: serde_json::Value| ())
    }

    /// Has the VPC end.
    ///
    /// # Errors
    /// When it does not run or does not answer.
    pub fn stop(&self) -> Result<(), AdminError> {
        self.0
            .call("POST", "/stop", &())
            .map(|_: serde_json::Value| ())
    }
}
