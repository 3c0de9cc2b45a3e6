//! The API of a VPC alone: no namespaces, no fabric, no root.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{Binaries, Daemon, wait_for};

/// A running `underlay-vpc serve --control-plane`. Dropping it stops it.
#[derive(Debug)]
pub struct ControlPlane {
    endpoint: String,
    log: PathBuf,
    server: Daemon,
}

impl ControlPlane {
    /// Starts a server with an empty VPC and waits until it listens.
    ///
    /// # Errors
    /// When the program is missing, ends, or does not listen in time.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`Self::start`], with further arguments of the server's.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(more: &[&str]) -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let serial = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = std::env::temp_dir().join(format!(
            "underlay-control-plane-{}-{serial}.log",
            std::process::id()
        ));
        let mut command = Command::new(Binaries::find()?.program("underlay-vpc")?);
        command.args(["serve", "--control-plane", "--api", "127.0.0.1:0"]);
        command.args(more);
        let mut server = Daemon::spawn("underlay-vpc", &mut command, &log)?;
        let endpoint = wait_for("underlay-vpc to be ready", Duration::from_secs(10), || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            match text.lines().find_map(|line| line.strip_prefix("ready ")) {
                Some(endpoint) => Ok(Some(endpoint.to_owned())),
                None => server.check_alive().map(|()| None),
            }
        })?;
        Ok(Self {
            endpoint,
            log,
            server,
        })
    }

    /// The API's URL.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.server.kill();
        // A log that stays harms nobody.
        fs::remove_file(&self.log).ok();
    }
}
