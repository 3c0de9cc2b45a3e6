//! The node under measurement: an instance of the local VPC with a running agent.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use underlay_testkit::{
    AgentSettings, IngressRule, LocalVpc, LocalVpcOptions, Node, PauseImage, Source, wait_for,
};

use super::{contender::Contender, worker::Setup};

/// Addresses for pods on each ENI of the largest node there is.
const PER_ENI: usize = 49;
const READY: Duration = Duration::from_secs(120);

/// What a node under measurement is like.
pub(in crate::bench) struct Shape {
    pub(in crate::bench) instance_type: &'static str,
    /// Of the agent, besides its paths.
    pub(in crate::bench) config: String,
    /// Of the VPC's server.
    pub(in crate::bench) arguments: Vec<String>,
}

impl Shape {
    /// 64 ENIs with 50 addresses each, of which it holds what `pods` need and may take no more, so
    /// that no growth goes on while the plugin is measured.
    pub(super) fn large(pods: usize) -> Self {
        let enis = pods.div_ceil(PER_ENI) + 1;
        Self {
            instance_type: "p5.48xlarge",
            config: format!("[addresses]\nwarm_target = {pods}\nmax_enis = {enis}\n"),
            arguments: Vec::new(),
        }
    }
}

/// A node with its VPC. Dropping it removes both, the node first.
pub(in crate::bench) struct BenchNode {
    node: Node,
    vpc: LocalVpc,
    settings: AgentSettings,
}

impl BenchNode {
    /// Starts everything but the agent.
    pub(in crate::bench) async fn boot(shape: &Shape) -> anyhow::Result<Self> {
        let vpc = LocalVpc::start(&LocalVpcOptions {
            arguments: shape.arguments.clone(),
            ..LocalVpcOptions::unique("bench-cni")
        })?;
        let ec2 = vpc.ec2();
        let network = ec2.create_vpc("10.0.0.0/16".parse()?).await?;
        let subnet = ec2
            .create_subnet(&network, "10.0.0.0/20".parse()?, "us-east-1a")
            .await?;
        let group = ec2.create_group(&network, "bench", false).await?;
        let api_port = IngressRule {
            tcp_port: Some(80),
            source: Source::Block("10.0.0.0/16".parse()?),
        };
        ec2.allow(&group, api_port).await?;
        let instance = ec2
            .run_instance(shape.instance_type, &subnet, &[&group], "bench")
            .await?;
        let image = PauseImage::build(vpc.run_dir().path())?;
        let netns = Path::new("/run/netns").join(instance.as_str());
        let node = Node::boot(vpc.run_dir(), "bench", &netns, vpc.binaries(), &image)?;
        let settings = AgentSettings {
            ec2_endpoint: vpc.endpoint_with_group(&subnet, &group)?,
            config: shape.config.clone(),
        };
        Ok(Self {
            node,
            vpc,
            settings,
        })
    }

    /// Starts everything.
    pub(in crate::bench) async fn start(shape: &Shape) -> anyhow::Result<Self> {
        let mut node = Self::boot(shape).await?;
        node.start_agent()?;
        Ok(node)
    }

    pub(in crate::bench) fn start_agent(&mut self) -> anyhow::Result<()> {
        self.node.start_agent(self.vpc.binaries(), &self.settings)
    }

    pub(in crate::bench) fn kill_agent(&mut self) -> anyhow::Result<()> {
        self.node.kill_agent()
    }

    /// What `underlay-vpc` prints for a command about this VPC.
    pub(in crate::bench) fn vpc_command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let program = self.vpc.binaries().program("underlay-vpc")?;
        let output = Command::new(program)
            .args(arguments)
            .args(["--run", self.vpc.run_dir().id(), "--json"])
            .output()
            .context("running underlay-vpc")?;
        let words = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "underlay-vpc {arguments:?}: {words}"
        );
        String::from_utf8(output.stdout).context("reading underlay-vpc's output")
    }

    pub(in crate::bench) fn agent_pid(&self) -> anyhow::Result<u32> {
        self.node.agent_pid().context("the agent has ended")
    }

    /// Resident memory of the agent.
    pub(super) fn agent_rss_mib(&self) -> anyhow::Result<f64> {
        self.agent_memory_mib("VmRSS")
    }

    /// A row of the agent's /proc status.
    pub(in crate::bench) fn agent_memory_mib(&self, row: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.agent_pid()?))?;
        let rows = status.lines().filter_map(|line| line.split_once(':'));
        let value = rows
            .filter(|(name, _)| *name == row)
            .map(|(_, value)| value)
            .next();
        let kib = value.and_then(|value| value.split_whitespace().next());
        let kib: f64 = kib
            .with_context(|| format!("no {row} in the agent's status"))?
            .parse()?;
        Ok(kib / 1024.0)
    }

    /// The real plugin, run inside the node as its container runtime would.
    pub(in crate::bench) fn contender(&self) -> anyhow::Result<Contender> {
        let plugin = self.node.bin_dir().join("underlay-cni");
        let setup = Setup {
            plugin: fs::canonicalize(&plugin)
                .with_context(|| format!("finding {}", plugin.display()))?,
            env: BTreeMap::from([(
                "CNI_PATH".to_owned(),
                self.node.bin_dir().display().to_string(),
            )]),
            config: self.plugin_config()?,
            daemon: None,
        };
        // `env` ends where the worker's program and arguments begin.
        Contender::start("underlay", self.node.command(Path::new("env")), &setup)
    }

    pub(in crate::bench) fn stop(self) -> anyhow::Result<()> {
        drop(self.node);
        self.vpc.stop()
    }

    /// The first plugin's configuration in the conflist that the agent wrote, as a runtime passes
    /// it on.
    fn plugin_config(&self) -> anyhow::Result<String> {
        let list: Value = wait_for("the agent's conflist", READY, || {
            let files = fs::read_dir(self.node.conf_dir()).context("reading the conf_dir")?;
            let path = files.flatten().map(|file| file.path()).find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "conflist")
            });
            let Some(path) = path else { return Ok(None) };
            let text = fs::read_to_string(&path).context("reading the conflist")?;
            serde_json::from_str(&text)
                .map(Some)
                .context("understanding the conflist")
        })?;
        let mut plugin = list["plugins"][0].clone();
        for key in ["cniVersion", "name"] {
            plugin[key] = list[key].clone();
        }
        Ok(plugin.to_string())
    }

    /// Waits until the agent holds free addresses for `pods` pods and does nothing about it.
    pub(in crate::bench) fn wait_for_addresses(&self, pods: usize) -> anyhow::Result<()> {
        let settled = wait_for("addresses for the bench's pods", READY, || {
            Ok(self
                .status()
                .filter(|status| free_addresses(status) >= pods && is_idle(status)))
        });
        settled.map(drop).with_context(|| {
            let status = self
                .status()
                .map_or_else(|| "none".to_owned(), |value| value.to_string());
            format!(
                "node status: {status}\nagent:\n{}",
                self.node.agent_log_tail()
            )
        })
    }

    /// `None` while the agent does not answer.
    pub(in crate::bench) fn status(&self) -> Option<Value> {
        let program = self.vpc.binaries().program("underlay").ok()?;
        let output = self
            .node
            .output(program.to_str()?, &["node", "status", "--json"])
            .ok()?;
        serde_json::from_str(&output).ok()
    }
}

fn free_addresses(status: &Value) -> usize {
    let pools = status["pools"].as_array().map_or(&[][..], Vec::as_slice);
    let free: u64 = pools.iter().filter_map(|pool| pool["free"].as_u64()).sum();
    usize::try_from(free).unwrap_or(usize::MAX)
}

pub(in crate::bench) fn is_idle(status: &Value) -> bool {
    status["calls"].as_array().is_none_or(Vec::is_empty)
}
