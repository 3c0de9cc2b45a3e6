//! The node agent of a node.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Context as _;

use crate::{Binaries, Daemon, Node, process::output, wait_for, wait_for_async};

/// How an agent is started on a machine with systemd.
const UNIT: &str = include_str!("../../../../dist/underlay-agent.service");

/// How an agent is started.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// The EC2 endpoint, as reached from inside the instance.
    pub ec2_endpoint: String,
    /// Sections of its configuration file besides `[paths]`, which is the node's.
    pub config: String,
}

impl Node {
    /// Starts the agent, without waiting for it.
    ///
    /// # Errors
    /// When its configuration cannot be written or it cannot be started.
    pub fn start_agent(
        &mut self,
        binaries: &Binaries,
        settings: &AgentSettings,
    ) -> anyhow::Result<()> {
        let config = self.folder.join("agent.toml");
        fs::write(&config, self.agent_configuration(settings))
            .with_context(|| format!("writing {}", config.display()))?;
        let mut command = self.command(&binaries.program("underlay-agent")?);
        command
            .arg("--config")
            .arg(&config)
            .envs(environment_of(UNIT))
            .env("AWS_ENDPOINT_URL_EC2", &settings.ec2_endpoint);
        let log = self.folder.join("agent.log");
        self.agent = Some(Daemon::spawn("underlay-agent", &mut command, &log)?);
        Ok(())
    }

    fn agent_configuration(&self, settings: &AgentSettings) -> String {
        format!(
            "version = 1\n{}\n[paths]\nconflist_dir = \"{}\"\n",
            settings.config,
            self.conf_dir().display()
        )
    }

    /// Waits until the runtime has a network: the agent has written its configuration.
    ///
    /// # Errors
    /// When the agent ends, or nothing came in time; with the end of its log.
    pub async fn wait_network_ready(&mut self, deadline: Duration) -> anyhow::Result<()> {
        let cri = self.cri().await?;
        let agent = &mut self.agent;
        let waited = wait_for_async("the node's network", deadline, || {
            let alive = agent.as_mut().map_or(Ok(()), Daemon::check_alive);
            let mut cri = cri.clone();
            async move {
                alive?;
                Ok(cri.network_ready().await?.then_some(()))
            }
        });
        waited.await.with_context(|| {
            let tail = self.agent.as_ref().map(Daemon::log_tail);
            format!("agent of {}:\n{}", self.name, tail.unwrap_or_default())
        })
    }

    /// The agent's process, while it runs.
    #[must_use]
    pub fn agent_pid(&self) -> Option<u32> {
        // The daemon is nsenter, which waits for the agent as its child.
        super::first_child(self.agent.as_ref()?.pid())
    }

    /// Kills the agent (SIGKILL), as a crash would.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill_agent(&mut self) -> anyhow::Result<()> {
        let Some(mut daemon) = self.agent.take() else {
            return Ok(());
        };
        // The daemon is nsenter, which waits for the agent as its child.
        let agent = super::first_child(daemon.pid()).context("the agent has ended before")?;
        crate::process::signal(agent, rustix::process::Signal::KILL);
        wait_for("the killed agent to end", Duration::from_secs(5), || {
            Ok((!Path::new(&format!("/proc/{agent}")).exists()).then_some(()))
        })?;
        daemon.kill();
        Ok(())
    }

    /// Asks the agent to end (SIGTERM), as a supervisor does, and waits for that.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop_agent(&mut self) -> anyhow::Result<()> {
        let mut daemon = self.agent.take().context("no agent runs")?;
        let agent = super::first_child(daemon.pid()).context("the agent has ended before")?;
        crate::process::signal(agent, rustix::process::Signal::TERM);
        daemon.wait_or_kill(Duration::from_secs(20));
        Ok(())
    }

    /// Asks the agent with `underlay node ...`; the answer is what it prints.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub fn ask_agent(&self, binaries: &Binaries, query: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(binaries.program("underlay")?);
        command
            .args(["node", "--socket"])
            .arg(self.folder.join("agent.sock"))
            .args(query);
        output(&mut command)
    }

    /// The agent's status.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub fn agent_status(&self, binaries: &Binaries) -> anyhow::Result<serde_json::Value> {
        let text = self.ask_agent(binaries, &["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("reading the status {text:?}"))
    }

    /// The end of the agent's log.
    #[must_use]
    pub fn agent_log_tail(&self) -> String {
        self.agent
            .as_ref()
            .map(Daemon::log_tail)
            .unwrap_or_default()
    }
}

/// The variables that a unit sets, one in a line.
fn environment_of(unit: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = unit.lines();
    let set = lines.filter_map(|line| line.strip_prefix("Environment="));
    set.filter_map(|set| set.split_once('='))
}
