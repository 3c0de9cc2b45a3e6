//! A VPC on this machine: a running `underlay-vpc`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use underlay_types::{EniId, SecurityGroupId, SubnetId};

use crate::{Binaries, Daemon, Ec2, Netns, RunDir, process::output, wait_for};

/// Who tells of each reading of metadata in the server's output.
const METADATA_LOG: &str = "underlay_vpc::imds::server";

/// How a VPC is started.
#[derive(Debug, Clone)]
pub struct LocalVpcOptions {
    /// The run's id; names the folder below `/run/underlay-vpc`.
    pub run_id: String,
    /// The length of a flow log's window.
    pub flow_log_window: Duration,
    /// Further arguments of the server.
    pub arguments: Vec<String>,
}

impl LocalVpcOptions {
    /// A run that no other process of this machine has: for tests.
    #[must_use]
    pub fn unique(name: &str) -> Self {
        Self {
            run_id: format!("{name}-{}", std::process::id()),
            flow_log_window: Duration::from_secs(1),
            arguments: Vec::new(),
        }
    }
}

/// A running VPC. Dropping it stops it and removes everything of its run.
#[derive(Debug)]
pub struct LocalVpc {
    binaries: Binaries,
    options: LocalVpcOptions,
    run: RunDir,
    server: Daemon,
    ec2: Ec2,
    flow_log_dir: PathBuf,
    persistent: bool,
}

/// A namespace with an ENI that is not an instance: a load balancer, a database.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub netns: Netns,
}

impl LocalVpc {
    /// Starts the server and waits until it is ready. What an earlier run with the same id left is
    /// removed first.
    ///
    /// # Errors
    /// When a program is missing, or the server ends or is not ready in time.
    pub fn start(options: &LocalVpcOptions) -> anyhow::Result<Self> {
        let binaries = Binaries::find()?;
        clean(&binaries, &options.run_id)?;
        let (server, ec2) = spawn(&binaries, options)?;
        let run = RunDir::create(&options.run_id)?;
        Ok(Self {
            binaries,
            options: options.clone(),
            flow_log_dir: run.path().join("flow-logs"),
            run,
            server,
            ec2,
            persistent: false,
        })
    }

    /// Kills the server if it runs, and has another process go on with the run.
    ///
    /// # Errors
    /// When that one ends or is not ready in time.
    pub fn kill_and_go_on(&mut self) -> anyhow::Result<()> {
        self.server.kill();
        (self.server, self.ec2) = spawn(&self.binaries, &self.options)?;
        Ok(())
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Whether the server's process has not ended.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.server.check_alive().is_ok()
    }

    /// The run's folder.
    #[must_use]
    pub fn run_dir(&self) -> &RunDir {
        &self.run
    }

    /// The programs.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// A caller of its API.
    #[must_use]
    pub fn ec2(&self) -> &Ec2 {
        &self.ec2
    }

    /// Where its flow logs are.
    #[must_use]
    pub fn flow_log_dir(&self) -> &Path {
        &self.flow_log_dir
    }

    /// How often instances have read their metadata, or asked for a token to.
    ///
    /// # Errors
    /// When the server's output cannot be read.
    pub fn metadata_reads(&self) -> anyhow::Result<usize> {
        let log = fs::read_to_string(self.server.log()).context("the server's output")?;
        let is_read = |line: &&str| line.contains(METADATA_LOG);
        Ok(log.lines().filter(is_read).count())
    }

    /// The end of the server's output.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// The API's URL as reached from inside the VPC: an endpoint in `subnet` with the VPC's default
    /// group.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn endpoint_inside(&self, subnet: &SubnetId) -> anyhow::Result<String> {
        self.endpoint(subnet, &[])
    }

    /// The API's URL as reached from inside the VPC: an endpoint in `subnet` with `group`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn endpoint_with_group(
        &self,
        subnet: &SubnetId,
        group: &SecurityGroupId,
    ) -> anyhow::Result<String> {
        self.endpoint(subnet, &["--groups", group.as_str()])
    }

    fn endpoint(&self, subnet: &SubnetId, options: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.binaries.program("underlay-vpc")?);
        command.args([
            "endpoint",
            "--run",
            self.run.id(),
            "--subnet",
            subnet.as_str(),
        ]);
        Ok(output(command.args(options))?.trim().to_owned())
    }

    /// The namespace that stands for the internet.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn outside(&self) -> anyhow::Result<Netns> {
        let mut command = Command::new(self.binaries.program("underlay-vpc")?);
        let printed = output(command.args(["outside", "--run", self.run.id()]))?;
        Netns::open(Path::new(printed.trim()))
    }

    /// Gives an ENI to a plain namespace called `name`.
    ///
    /// # Errors
    /// When the server refuses, or the namespace does not appear.
    pub fn host(&self, eni: &EniId, name: &str) -> anyhow::Result<Host> {
        let program = self.binaries.program("underlay-vpc")?;
        let mut command = Command::new(program);
        // Names of namespaces are the machine's, not the run's.
        let own = format!("{}-{name}", self.run.id());
        command.args(["host", "--run", self.run.id(), "--eni", eni.as_str()]);
        command.args(["--name", &own]);
        let printed = output(&mut command)?;
        let path = printed
            .split_whitespace()
            .find(|word| word.starts_with('/'));
        let path = path.with_context(|| format!("no namespace in {printed:?}"))?;
        Ok(Host {
            name: name.to_owned(),
            netns: Netns::open(Path::new(path))?,
        })
    }

    /// Lets the VPC outlive this value; [`clean`](Self::clean) removes it.
    pub fn persist(&mut self) {
        self.persistent = true;
        self.server.persist();
    }

    /// Stops the server and removes everything of its run.
    ///
    /// # Errors
    /// When it does not end by itself, or something is left.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.persistent = true; // the drop has nothing to do any more
        let status = self.server.stop(Duration::from_secs(15))?;
        if !status.success() {
            bail!(
                "underlay-vpc ended with {status}:\n{}",
                self.server.log_tail()
            );
        }
        clean(&self.binaries, self.run.id())
    }

    /// Removes everything of the run `id`, whoever started it.
    ///
    /// # Errors
    /// When something is left.
    pub fn clean(id: &str) -> anyhow::Result<()> {
        clean(&Binaries::find()?, id)
    }
}

impl Drop for LocalVpc {
    fn drop(&mut self) {
        if self.persistent {
            return;
        }
        // Failures were reported where they matter; here what can be removed is removed.
        self.server.stop(Duration::from_secs(10)).ok();
        clean(&self.binaries, self.run.id()).ok();
    }
}

/// Starts a server and waits until it is ready.
fn spawn(binaries: &Binaries, options: &LocalVpcOptions) -> anyhow::Result<(Daemon, Ec2)> {
    let log = output_file(&options.run_id);
    let mut command = Command::new(binaries.program("underlay-vpc")?);
    command
        .args(["serve", "--api", "127.0.0.1:0", "--run-id", &options.run_id])
        .arg("--flow-log-window")
        .arg(format!("{}s", options.flow_log_window.as_secs()))
        .args(&options.arguments);
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", format!("error,{METADATA_LOG}=debug"));
    }
    let mut server = Daemon::spawn("underlay-vpc", &mut command, &log)?;
    let endpoint = wait_for("underlay-vpc to be ready", Duration::from_secs(60), || {
        let alive = server.check_alive();
        let text = fs::read_to_string(&log).unwrap_or_default();
        let ready = text.lines().find_map(|line| line.strip_prefix("ready "));
        match ready {
            Some(endpoint) => Ok(Some(endpoint.to_owned())),
            None => alive.map(|()| None),
        }
    })?;
    server.forget_log_name()?;
    Ok((server, Ec2::new(&endpoint)?))
}

fn clean(binaries: &Binaries, id: &str) -> anyhow::Result<()> {
    if Path::new("/run/underlay-vpc").join(id).exists() {
        let mut command = Command::new(binaries.program("underlay-vpc")?);
        output(command.args(["clean", "--run", id]))?;
    }
    match fs::remove_file(output_file(id)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("removing a server's output")
        }
        _ => Ok(()),
    }
}

fn output_file(id: &str) -> PathBuf {
    std::env::temp_dir().join(format!("underlay-vpc-{id}.log"))
}
