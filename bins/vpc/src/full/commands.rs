//! What a person tells a VPC that runs, and the options that full mode is started with.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use underlay_types::{EniId, SecurityGroupId, SubnetId, chain};

use super::{
    CleanError, Ending, FullOptions, RunDir, RunDirError, RunId,
    admin::{AdminError, Client, EndpointRequest, HostRequest, Status},
    clean,
    namespaces::Namespaces,
    stop,
};

const SHORTEST_WINDOW: Duration = Duration::from_millis(100);

/// Options of full mode.
#[derive(Debug, Clone, Args)]
pub struct FullArgs {
    /// The run's name: what it makes is recorded in this folder below /run/underlay-vpc
    #[arg(long, value_name = "ID", conflicts_with = "control_plane")]
    run_id: Option<RunId>,
    /// Resolver for names that are not the VPC's; without it they fail with SERVFAIL
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "control_plane")]
    dns_upstream: Option<SocketAddr>,
    /// Length of a flow-log window, such as 60s; shorter than EC2's for tests and demos
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = window)]
    flow_log_window: Duration,
    /// Where flow logs are written; in the run's folder unless named
    #[arg(long, value_name = "DIR", conflicts_with = "control_plane")]
    flow_log_dir: Option<PathBuf>,
    /// Leave everything in place at SIGTERM: packets go on, and a start with the same --run-id
    /// goes on with the run
    #[arg(long, conflicts_with = "control_plane", requires = "run_id")]
    keep: bool,
}

fn window(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(window) if window >= SHORTEST_WINDOW => Ok(window),
        Ok(_) => Err("at least 100ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl FullArgs {
    /// What full mode is started with. `random` names the run if nobody else did.
    #[must_use]
    pub fn options(&self, api: SocketAddr, random: u64) -> FullOptions {
        FullOptions {
            api,
            run: self.run_id.clone().unwrap_or_else(|| RunId::random(random)),
            dns_upstream: self.dns_upstream,
            flow_log_window: self.flow_log_window,
            flow_log_dir: self.flow_log_dir.clone(),
            ending: if self.keep {
                Ending::Leave
            } else {
                Ending::Remove
            },
        }
    }
}

/// Commands about runs.
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// Remove what runs left: processes, namespaces, links, mounts and folders that they recorded
    Clean {
        /// Which run
        #[arg(long, value_name = "ID", required_unless_present = "all")]
        run: Option<RunId>,
        /// All runs of this machine
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
    /// Serve the EC2 API at an address inside the VPC, and print its URL
    Endpoint {
        /// Of which run
        #[arg(long, value_name = "ID")]
        run: RunId,
        /// In which subnet
        #[arg(long)]
        subnet: SubnetId,
        /// The endpoint's groups; the VPC's default group unless named
        #[arg(long, value_name = "GROUP", value_delimiter = ',')]
        groups: Vec<SecurityGroupId>,
        /// The endpoint's address; any free one unless named
        #[arg(long)]
        address: Option<Ipv4Addr>,
    },
    /// Close the open flow-log window, write its files and print their names
    FlushFlowLogs {
        /// Of which run
        #[arg(long, value_name = "ID")]
        run: RunId,
    },
    /// Give an ENI to a new namespace, configured, and print its path
    Host {
        /// Of which run
        #[arg(long, value_name = "ID")]
        run: RunId,
        /// An ENI that is attached to nothing
        #[arg(long)]
        eni: EniId,
        /// The namespace's name below /run/netns
        #[arg(long)]
        name: String,
    },
    /// Print the path of the namespace that stands for the internet: what runs there may use any
    /// public address
    Outside {
        /// Of which run
        #[arg(long, value_name = "ID")]
        run: RunId,
    },
    /// Start a run's server anew, by the program as it is now; packets go on meanwhile
    Restart {
        /// Which run
        #[arg(long, value_name = "ID")]
        run: RunId,
    },
    /// Show what runs
    Status {
        /// Which run; all of them unless named
        #[arg(long, value_name = "ID")]
        run: Option<RunId>,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// End a run in order; it removes what it made
    Stop {
        /// Which run
        #[arg(long, value_name = "ID")]
        run: RunId,
    },
}

/// Why a command about runs failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The run did not answer, or refused.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Flow-log files were not written.
    #[error("not all flow-log lines were written: {0}")]
    FlowLogs(String),
    /// Things of a run are still there.
    #[error("{left}", left = .0.iter().map(|error| chain(error)).collect::<Vec<_>>().join("; "))]
    Left(Vec<CleanError>),
    /// Standard output does not take what is printed.
    #[error("write to standard output")]
    Output(#[from] io::Error),
    /// Only root may look at runs.
    #[error("runs belong to root; try again as root")]
    Root,
    /// The folder of runs cannot be read.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// There is no such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
}

impl RunCommand {
    /// Carries out the command, printing to `out`.
    ///
    /// # Errors
    /// What could not be done.
    pub fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        if !rustix::process::geteuid().is_root() {
            return Err(CommandError::Root);
        }
        match self {
            Self::Clean { run, .. } => clean_runs(run.as_ref(), out),
            Self::Endpoint {
                run,
                subnet,
                groups,
                address,
            } => {
                let request = EndpointRequest {
                    subnet,
                    groups,
                    address,
                };
                let endpoint = client(&run)?.endpoint(&request)?;
                Ok(writeln!(out, "{}", endpoint.url)?)
            }
            Self::FlushFlowLogs { run } => {
                let flushed = client(&run)?.flush_flow_logs()?;
                for file in &flushed.files {
                    writeln!(out, "{}", file.display())?;
                }
                if flushed.errors.is_empty() {
                    Ok(())
                } else {
                    Err(CommandError::FlowLogs(flushed.errors.join("; ")))
                }
            }
            Self::Host { run, eni, name } => {
                let host = client(&run)?.host(&HostRequest { eni, name })?;
                Ok(writeln!(out, "{}", host.netns.display())?)
            }
            Self::Outside { run } => {
                let name = existing(&run)?.netns_name("outside");
                Ok(writeln!(out, "{}", Namespaces::path(&name).display())?)
            }
            Self::Restart { run } => Ok(client(&run)?.restart()?),
            Self::Status { run, json } => show_status(run.as_ref(), json, out),
            Self::Stop { run } => {
                let dir = existing(&run)?;
                left(stop(&dir))?;
                // One that was to leave everything in place did.
                left(clean(&dir))
            }
        }
    }
}

fn client(run: &RunId) -> Result<Client, CommandError> {
    Ok(Client::new(&existing(run)?))
}

fn existing(run: &RunId) -> Result<RunDir, CommandError> {
    let dir = RunDir::of(run);
    if dir.path().exists() {
        Ok(dir)
    } else {
        Err(CommandError::Unknown(run.clone()))
    }
}

fn chosen(run: Option<&RunId>) -> Result<Vec<RunDir>, CommandError> {
    match run {
        Some(run) => Ok(vec![RunDir::of(run)]),
        None => Ok(RunDir::all()?),
    }
}

/// A run that is not there has nothing to remove.
fn clean_runs(run: Option<&RunId>, out: &mut impl Write) -> Result<(), CommandError> {
    let runs = chosen(run)?;
    left(runs.iter().flat_map(clean).collect())?;
    for dir in &runs {
        writeln!(out, "run {}: nothing of it is left", dir.id())?;
    }
    if runs.is_empty() {
        writeln!(out, "no run has left anything")?;
    }
    Ok(())
}

fn left(errors: Vec<CleanError>) -> Result<(), CommandError> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(CommandError::Left(errors))
    }
}

fn show_status(run: Option<&RunId>, json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let mut all = Vec::new();
    if let Some(run) = run {
        all.push(client(run)?.status()?);
    } else {
        for dir in RunDir::all()? {
            match Client::new(&dir).status() {
                Ok(status) => all.push(status),
                Err(error) => writeln!(out, "run {}: {}", dir.id(), chain(&error))?,
            }
        }
    }
    if json {
        let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)?;
        return Ok(writeln!(out, "{text}")?);
    }
    for status in &all {
        out.write_all(describe(status).as_bytes())?;
    }
    Ok(())
}

fn describe(status: &Status) -> String {
    let mut text = format!(
        "run {}: process {}, API at {}, flow logs in {}\n  {} VPCs, {} subnets, {} free ENIs, {} \
         ENIs of endpoints and hosts\n",
        status.run,
        status.pid,
        status.api,
        status.flow_log_dir.display(),
        status.vpcs,
        status.subnets,
        status.free_enis,
        status.external_enis
    );
    let mut line = |part: String| {
        // Writing to a String cannot fail.
        writeln!(text, "  {part}").unwrap_or_default();
    };
    for instance in &status.instances {
        let enis: Vec<_> = instance
            .enis
            .iter()
            .map(|(id, ip)| format!("{ip} ({id})"))
            .collect();
        line(format!(
            "{} {} {}: {}",
            instance.id,
            instance.instance_type,
            instance.zone,
            enis.join(", ")
        ));
    }
    for (name, count) in &status.packets {
        line(format!("packets {name}: {count}"));
    }
    text
}
