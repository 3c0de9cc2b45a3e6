//! A plugin under measurement, behind its worker.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::json;
use underlay_testkit::Binaries;

use super::{
    worker::{Request, Setup},
    worker_client::WorkerClient,
};

/// Where Debian's package puts the standard plugins.
const DEBIAN_PLUGINS: &str = "/usr/lib/cni";

/// A plugin and the namespaces it runs in.
pub(in crate::bench) struct Contender {
    name: String,
    worker: WorkerClient,
}

impl Contender {
    /// Starts a worker with `command`, which puts it into its namespaces.
    pub(super) fn start(name: &str, mut command: Command, setup: &Setup) -> anyhow::Result<Self> {
        command
            .arg(worker_program()?)
            .arg("bench-worker")
            .arg(serde_json::to_string(setup)?);
        Ok(Self {
            name: name.to_owned(),
            worker: WorkerClient::start(name, command)?,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::bench) fn create_netns(&mut self, container: &str) -> anyhow::Result<()> {
        let container = container.to_owned();
        self.worker
            .ask(&Request::CreateNetns { container })
            .map(drop)
    }

    /// Milliseconds from exec to exit.
    pub(in crate::bench) fn exec(&mut self, command: &str, container: &str) -> anyhow::Result<f64> {
        let request = Request::Exec {
            command: command.to_owned(),
            container: container.to_owned(),
        };
        Ok(self.worker.ask(&request)?.as_secs_f64() * 1e3)
    }

    /// Milliseconds from the first exec to the last exit of plugins that run all at once.
    pub(in crate::bench) fn exec_all(
        &mut self,
        command: &str,
        containers: &[String],
    ) -> anyhow::Result<f64> {
        let request = Request::ExecAll {
            command: command.to_owned(),
            containers: containers.to_vec(),
        };
        Ok(self.worker.ask(&request)?.as_secs_f64() * 1e3)
    }

    /// Takes pods away, all at once.
    pub(super) fn leave(&mut self, containers: &[String]) -> anyhow::Result<()> {
        self.exec_all("DEL", containers)?;
        self.remove_netns(containers)
    }

    pub(super) fn remove_netns(&mut self, containers: &[String]) -> anyhow::Result<()> {
        for container in containers {
            let container = container.clone();
            self.worker.ask(&Request::RemoveNetns { container })?;
        }
        Ok(())
    }

    pub(in crate::bench) fn end(self) -> anyhow::Result<()> {
        self.worker.end()
    }
}

/// The program that is running: a worker is one of its subcommands.
fn worker_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding the running program")
}

/// `ptp` with host-local: upstream's where `UNDERLAY_PEERS` names its folder, else Debian's.
pub(super) fn peer() -> anyhow::Result<Contender> {
    let folder = std::env::var_os("UNDERLAY_PEERS")
        .map_or_else(|| PathBuf::from(DEBIAN_PLUGINS), PathBuf::from);
    let config = json!({
        "cniVersion": "1.0.0",
        "name": "peer",
        "type": "ptp",
        "mtu": 9001,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.201.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/peer-ipam",
        },
    });
    let setup = Setup {
        plugin: folder.join("ptp"),
        env: BTreeMap::from([("CNI_PATH".to_owned(), folder.display().to_string())]),
        config: config.to_string(),
        daemon: None,
    };
    Contender::start(&peer_name(&folder)?, own_namespaces(), &setup)
}

/// `ptp` prints its version when it is run without a command; Debian's build knows none.
fn peer_name(folder: &Path) -> anyhow::Result<String> {
    let plugin = folder.join("ptp");
    let output = Command::new(&plugin)
        .env_remove("CNI_COMMAND")
        .output()
        .with_context(|| format!("running {}", plugin.display()))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().last());
    Ok(match version {
        Some(version) if version.starts_with('v') => format!("ptp {version} + host-local"),
        _ => format!(
            "ptp + host-local of Debian's package ({})",
            debian_version()
        ),
    })
}

fn debian_version() -> String {
    let query = ["-W", "-f=${Version}", "containernetworking-plugins"];
    let output = Command::new("dpkg-query").args(query).output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    version
        .ok()
        .filter(|version| !version.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The shim and the daemon of `underlay-floor`.
pub(super) fn floor() -> anyhow::Result<Contender> {
    let binaries = Binaries::find()?;
    let socket = PathBuf::from("/run/floor.sock");
    let daemon = binaries.program("underlay-floor")?;
    let setup = Setup {
        plugin: binaries.program("underlay-floor-shim")?,
        env: BTreeMap::from([("FLOOR_SOCKET".to_owned(), socket.display().to_string())]),
        config: json!({"cniVersion": "1.0.0", "name": "floor", "type": "floor"}).to_string(),
        daemon: Some((
            vec![daemon.display().to_string(), socket.display().to_string()],
            socket,
        )),
    };
    Contender::start("floor", own_namespaces(), &setup)
}

/// Namespaces of one's own, with a tmpfs at /run. Whoever kills `unshare` kills all in them.
fn own_namespaces() -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--propagation", "private"])
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
            "sh",
            "-c",
        ])
        .arg("mount -t tmpfs -o mode=755 tmpfs /run && exec \"$@\"")
        .arg("sh");
    command
}
