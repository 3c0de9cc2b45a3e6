//! The process in a contender's namespaces: makes pod namespaces and runs the plugin in them.
//!
//! It reads one JSON request a line from standard input and answers each with a line on standard
//! output. At the end of its input it removes the namespaces it made, ends its daemon, and exits.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use underlay_netlink::netns;
use underlay_testkit::wait_for;

/// What a worker runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The plugin.
    pub(super) plugin: PathBuf,
    /// Variables besides the standard ones, `CNI_PATH` among them.
    pub(super) env: BTreeMap<String, String>,
    /// The network configuration, which the plugin gets on standard input.
    pub(super) config: String,
    /// A program that the plugin talks to, with its arguments, and the socket that shows it ready.
    pub(super) daemon: Option<(Vec<String>, PathBuf)>,
}

/// What a worker is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Request {
    CreateNetns {
        container: String,
    },
    Exec {
        command: String,
        container: String,
    },
    /// Runs one plugin for each container, all at once.
    ExecAll {
        command: String,
        containers: Vec<String>,
    },
    RemoveNetns {
        container: String,
    },
}

/// What a worker answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Reply {
    /// From exec to exit; zero where nothing was run.
    pub(super) nanos: u64,
    /// What went wrong.
    pub(super) error: Option<String>,
}

/// Works until its input ends. `setup` is a [`Setup`] as JSON.
pub(crate) fn run(setup: &str) -> anyhow::Result<()> {
    let setup: Setup = serde_json::from_str(setup).context("reading the worker's setup")?;
    let mut worker = Worker {
        daemon: None,
        netns: Vec::new(),
        setup,
    };
    worker.start_daemon()?;
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request = serde_json::from_str(&line.context("reading a request")?)
            .context("understanding a request")?;
        let reply = match worker.serve(&request) {
            Ok(took) => Reply {
                nanos: u64::try_from(took.as_nanos())?,
                error: None,
            },
            Err(error) => Reply {
                nanos: 0,
                error: Some(format!("{error:#}")),
            },
        };
        writeln!(output, "{}", serde_json::to_string(&reply)?).context("answering")?;
    }
    Ok(())
}

struct Worker {
    setup: Setup,
    daemon: Option<Child>,
    netns: Vec<String>,
}

impl Worker {
    fn start_daemon(&mut self) -> anyhow::Result<()> {
        let Some((arguments, socket)) = &self.setup.daemon else {
            return Ok(());
        };
        let (program, arguments) = arguments.split_first().context("an empty command")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        self.daemon = Some(child);
        wait_for("the daemon's socket", Duration::from_secs(10), || {
            Ok(socket.exists().then_some(()))
        })
    }

    fn serve(&mut self, request: &Request) -> anyhow::Result<Duration> {
        match request {
            Request::CreateNetns { container } => {
                drop(netns::create_named(container)?);
                self.netns.push(container.clone());
                Ok(Duration::ZERO)
            }
            Request::Exec { command, container } => self.exec(command, container),
            Request::ExecAll {
                command,
                containers,
            } => self.exec_all(command, containers),
            Request::RemoveNetns { container } => {
                netns::remove_named(container)?;
                self.netns.retain(|name| name != container);
                Ok(Duration::ZERO)
            }
        }
    }

    /// From the first exec to the last exit.
    fn exec_all(&self, command: &str, containers: &[String]) -> anyhow::Result<Duration> {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let running: Vec<_> = containers
                .iter()
                .map(|container| scope.spawn(move || self.exec(command, container)))
                .collect();
            running.into_iter().try_for_each(|thread| {
                let ended = thread.join();
                ended
                    .map_err(|_panic| anyhow::anyhow!("a thread panicked"))?
                    .map(drop)
            })
        })?;
        Ok(start.elapsed())
    }

    fn exec(&self, command: &str, container: &str) -> anyhow::Result<Duration> {
        let mut plugin = Command::new(&self.setup.plugin);
        plugin
            .env_clear()
            .envs(&self.setup.env)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", container)
            .env("CNI_NETNS", Path::new("/run/netns").join(container))
            .env("CNI_IFNAME", "eth0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = plugin.spawn().context("starting the plugin")?;
        let mut stdin = child.stdin.take().context("a piped input")?;
        stdin
            .write_all(self.setup.config.as_bytes())
            .context("writing the configuration")?;
        drop(stdin);
        let mut output = String::new();
        let mut stdout = child.stdout.take().context("a piped output")?;
        stdout
            .read_to_string(&mut output)
            .context("reading the plugin's output")?;
        let status = child.wait().context("waiting for the plugin")?;
        let took = start.elapsed();
        if !status.success() {
            let mut words = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr
                    .read_to_string(&mut words)
                    .context("reading the plugin's words")?;
            }
            anyhow::bail!("{command} of {container} ended with {status}: {output}{words}");
        }
        Ok(took)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // An error means that it has ended already.
            daemon.kill().ok();
            daemon.wait().ok();
        }
        for name in &self.netns {
            // What cannot be removed goes with the worker's mount namespace.
            netns::remove_named(name).ok();
        }
        fs::remove_dir("/run/netns").ok();
    }
}
