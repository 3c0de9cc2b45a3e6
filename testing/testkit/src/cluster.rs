//! A VPC with nodes in it: what most tests and the demo start from.

use std::time::Duration;

use anyhow::Context as _;
use ipnet::Ipv4Net;
use underlay_types::{InstanceId, SecurityGroupId, SubnetId, VpcId};

use crate::{
    AgentSettings, Binaries, Ec2, IngressRule, LocalVpc, LocalVpcOptions, Node, PauseImage, Source,
    preflight, wait_for,
};

/// The networks of a cluster, as ids.
#[derive(Debug, Clone)]
pub struct Networks {
    /// The VPC, 10.0.0.0/16.
    pub vpc: VpcId,
    /// A subnet in each of two zones: 10.0.1.0/24 and 10.0.2.0/24.
    pub subnets: [SubnetId; 2],
    /// The group of the nodes: everything from each other.
    pub node_group: SecurityGroupId,
    /// The group of the EC2 API's endpoints: HTTP from the whole VPC.
    pub endpoint_group: SecurityGroupId,
}

/// A node to be.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// Its instance type, which limits ENIs and addresses.
    pub instance_type: String,
    /// The index of its subnet.
    pub subnet: usize,
    /// Sections of its agent's configuration.
    pub agent_config: String,
}

impl NodeSpec {
    /// A node with the agent's defaults.
    #[must_use]
    pub fn new(name: &str, instance_type: &str, subnet: usize) -> Self {
        Self {
            name: name.to_owned(),
            instance_type: instance_type.to_owned(),
            subnet,
            agent_config: String::new(),
        }
    }

    /// With sections of the agent's configuration.
    #[must_use]
    pub fn with_agent_config(mut self, config: &str) -> Self {
        config.clone_into(&mut self.agent_config);
        self
    }
}

/// A node of a cluster.
#[derive(Debug)]
pub struct ClusterNode {
    /// Its processes and namespaces.
    pub node: Node,
    /// Its instance.
    pub instance: InstanceId,
    /// Its primary address.
    pub address: std::net::Ipv4Addr,
    /// Its own IPv6 address, where its subnet has IPv6.
    pub ipv6: Option<std::net::Ipv6Addr>,
    /// How its agent was started.
    pub agent: AgentSettings,
}

/// A VPC with nodes. Dropping it removes everything: the nodes first, then the VPC.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<ClusterNode>,
    /// The ids.
    pub networks: Networks,
    /// The VPC.
    pub vpc: LocalVpc,
}

impl ClusterNode {
    /// Starts its agent, without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(&mut self, binaries: &Binaries) -> anyhow::Result<()> {
        self.node.start_agent(binaries, &self.agent)
    }
}

impl Networks {
    /// Creates them.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn create(ec2: &Ec2) -> anyhow::Result<Self> {
        Self::create_with(ec2, false).await
    }

    /// As [`Self::create`], with IPv6 blocks; nodes get an address.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_with_ipv6(ec2: &Ec2) -> anyhow::Result<Self> {
        Self::create_with(ec2, true).await
    }

    /// As [`Self::create`]; `ipv6` gives VPC and subnets IPv6 blocks, and nodes an address.
    async fn create_with(ec2: &Ec2, ipv6: bool) -> anyhow::Result<Self> {
        let block = |text: &str| text.parse::<Ipv4Net>().context("a block");
        let own = block("10.0.0.0/16")?;
        let zones = [("10.0.1.0/24", "us-east-1a"), ("10.0.2.0/24", "us-east-1b")];
        let mut subnets = Vec::new();
        let vpc = if ipv6 {
            let (vpc, all) = ec2.create_vpc_with_ipv6(own).await?;
            for ((own, zone), ipv6) in zones.into_iter().zip(all.subnets(64)?) {
                let own = block(own)?;
                subnets.push(ec2.create_subnet_with_ipv6(&vpc, own, ipv6, zone).await?);
            }
            vpc
        } else {
            let vpc = ec2.create_vpc(own).await?;
            for (own, zone) in zones {
                subnets.push(ec2.create_subnet(&vpc, block(own)?, zone).await?);
            }
            vpc
        };
        let subnets: [SubnetId; 2] = subnets.try_into().ok().context("two subnets")?;
        let endpoint_group = ec2.create_group(&vpc, "endpoint", false).await?;
        let anybody = Source::Block(block("10.0.0.0/16")?);
        let rule = IngressRule {
            tcp_port: Some(80),
            source: anybody,
        };
        ec2.allow(&endpoint_group, rule).await?;
        let node_group = ec2.create_group(&vpc, "node", false).await?;
        let each_other = IngressRule {
            tcp_port: None,
            source: Source::Group(&node_group),
        };
        ec2.allow(&node_group, each_other).await?;
        Ok(Self {
            vpc,
            subnets,
            node_group,
            endpoint_group,
        })
    }
}

impl Cluster {
    /// Starts a VPC of its own for the test `name`, with `nodes` that are ready for pods.
    ///
    /// # Errors
    /// When anything does not come up; with what was tried and the end of the log.
    pub async fn start(name: &str, nodes: &[NodeSpec]) -> anyhow::Result<Self> {
        Self::start_with(name, nodes, false).await
    }

    /// As [`Self::start`], in subnets with IPv6.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with_ipv6(name: &str, nodes: &[NodeSpec]) -> anyhow::Result<Self> {
        Self::start_with(name, nodes, true).await
    }

    async fn start_with(name: &str, nodes: &[NodeSpec], ipv6: bool) -> anyhow::Result<Self> {
        preflight()?;
        let vpc = LocalVpc::start(&LocalVpcOptions::unique(name))?;
        let networks = Networks::create_with(vpc.ec2(), ipv6).await?;
        let image = PauseImage::build(vpc.run_dir().path())?;
        let mut cluster = Self {
            nodes: Vec::new(),
            networks,
            vpc,
        };
        for spec in nodes {
            let node = cluster.launch(spec, &image).await?;
            cluster.nodes.push(node);
        }
        for node in &mut cluster.nodes {
            node.node.wait_network_ready(NETWORK_DEADLINE).await?;
        }
        Ok(cluster)
    }

    /// Runs an instance and, in it, Debian's runtime and the agent; does not wait for the agent.
    ///
    /// # Errors
    /// When the API refuses or a process does not start.
    pub async fn launch(&self, spec: &NodeSpec, image: &PauseImage) -> anyhow::Result<ClusterNode> {
        let mut node = self.boot(spec, image).await?;
        node.start_agent(self.vpc.binaries())?;
        node.node.start_containerd(image).await?;
        Ok(node)
    }

    /// Runs an instance as a node in which nothing runs yet.
    ///
    /// # Errors
    /// When the API refuses or a namespace cannot be made.
    pub async fn boot(&self, spec: &NodeSpec, image: &PauseImage) -> anyhow::Result<ClusterNode> {
        let subnet = self
            .networks
            .subnets
            .get(spec.subnet)
            .context("no such subnet")?;
        let groups = [&self.networks.node_group];
        let ec2 = self.vpc.ec2();
        let instance = ec2
            .run_instance(&spec.instance_type, subnet, &groups, &spec.name)
            .await?;
        let interfaces = ec2.interfaces_of(&instance).await?;
        let primary = interfaces
            .first()
            .context("an instance without an interface")?;
        let netns = std::path::Path::new("/run/netns").join(instance.as_str());
        let binaries = self.vpc.binaries();
        let node = Node::boot(self.vpc.run_dir(), &spec.name, &netns, binaries, image)?;
        let agent = AgentSettings {
            ec2_endpoint: self
                .vpc
                .endpoint_with_group(subnet, &self.networks.endpoint_group)?,
            config: spec.agent_config.clone(),
        };
        Ok(ClusterNode {
            node,
            instance,
            address: primary.primary,
            ipv6: primary.ipv6.first().copied(),
            agent,
        })
    }

    /// Starts the agent of a node again, after it was killed, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart_agent(&mut self, node: usize) -> anyhow::Result<()> {
        let binaries = self.vpc.binaries();
        let one = self.nodes.get_mut(node).context("no such node")?;
        one.start_agent(binaries)?;
        let node = &one.node;
        wait_for("the agent to answer", NETWORK_DEADLINE, || {
            Ok(node.agent_status(binaries).ok())
        })
        .with_context(|| node.agent_log_tail())?;
        Ok(())
    }

    /// The agent's status of a node.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub fn agent_status(&self, node: usize) -> anyhow::Result<serde_json::Value> {
        let node = self.nodes.get(node).context("no such node")?;
        node.node.agent_status(self.vpc.binaries())
    }

    /// Lets everything outlive this value.
    pub fn persist(&mut self) {
        for node in &mut self.nodes {
            node.node.persist();
        }
        self.vpc.persist();
    }

    /// Stops everything in order.
    ///
    /// # Errors
    /// When something does not end by itself or is left.
    pub fn stop(self) -> anyhow::Result<()> {
        let Self {
            nodes,
            networks: _,
            vpc,
        } = self;
        drop(nodes);
        vpc.stop()
    }
}

/// How long a node may take from the agent's start until the runtime has a network.
pub const NETWORK_DEADLINE: Duration = Duration::from_secs(60);
