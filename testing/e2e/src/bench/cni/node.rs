//! The node under measurement: an instance of the local VPC with a running agent.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use underlay_testkit::{
    AgentSettings, IngressRule, LocalVpc, LocalVpcOptions, Node, PauseImage, Source, wait_for,
};

use super::{contender::Contender, worker::Setup};

/// 64 ENIs with 50 addresses each: the largest node there is.
const INSTANCE_TYPE: &str = "p5.48xlarge";
/// Addresses for pods on each of its ENIs.
const PER_ENI: usize = 49;
const READY: Duration = Duration::from_secs(120);

/// A node with its VPC. Dropping it removes both, the node first.
pub(super) struct BenchNode {
    node: Node,
    vpc: LocalVpc,
}

impl BenchNode {
    /// Starts everything and waits until the agent holds addresses for `pods` pods and may take no
    /// more ENIs, so that no growth goes on while the plugin is measured.
    pub(super) async fn start(pods: usize) -> anyhow::Result<Self> {
        let vpc = LocalVpc::start(&LocalVpcOptions::unique("bench-cni"))?;
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
            .run_instance(INSTANCE_TYPE, &subnet, &[&group], "bench")
            .await?;
        let image = PauseImage::build(vpc.run_dir().path())?;
        let netns = Path::new("/run/netns").join(instance.as_str());
        let mut node = Node::boot(vpc.run_dir(), "bench", &netns, vpc.binaries(), &image)?;
        let enis = pods.div_ceil(PER_ENI) + 1;
        let settings = AgentSettings {
            ec2_endpoint: vpc.endpoint_with_group(&subnet, &group)?,
            config: format!("[addresses]\nwarm_target = {pods}\nmax_enis = {enis}\n"),
        };
        node.start_agent(vpc.binaries(), &settings)?;
        let node = Self { node, vpc };
        node.wait_for_addresses(pods)?;
        Ok(node)
    }

    /// The real plugin, run inside the node as its container runtime would.
    pub(super) fn contender(&self) -> anyhow::Result<Contender> {
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

    pub(super) fn stop(self) -> anyhow::Result<()> {
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

    fn wait_for_addresses(&self, pods: usize) -> anyhow::Result<()> {
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
    fn status(&self) -> Option<Value> {
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

fn is_idle(status: &Value) -> bool {
    status["calls"].as_array().is_none_or(Vec::is_empty)
}
