//! What both acts play on: a VPC, three nodes, a flow log.

use std::time::Duration;

use anyhow::Context as _;
use ipnet::Ipv4Net;
use underlay_testkit::{
    Cluster, Cri, FlowLogLine, LocalVpc, LocalVpcOptions, NETWORK_DEADLINE, Netns, Networks,
    NodeSpec, PauseImage, Pod, read_flow_logs, wait_for_async,
};
use underlay_types::EniId;

use crate::screen::Screen;

/// The flow log's format: the pods' own addresses stand in the `pkt-` fields.
const FLOW_LOG_FORMAT: &str = "${interface-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} \
     ${pkt-dstaddr} ${srcport} ${dstport} ${protocol} ${flow-direction} ${packets} ${action}";

/// Name, instance type and subnet of each node. The first has so few addresses on an ENI that ten
/// pods need two; the others have slots for the ENIs of the second act's groups.
const NODES: [(&str, &str, usize); 3] = [
    ("n1", "m5.large", 0),
    ("n2", "m5.xlarge", 1),
    ("n3", "m5.xlarge", 0),
];

/// The blocks of the subnets, as [`Networks`] creates them.
const SUBNETS: [(&str, &str); 2] = [("10.0.1.0/24", "us-east-1a"), ("10.0.2.0/24", "us-east-1b")];

/// A pod on the stage.
#[derive(Debug, Clone)]
pub(super) struct PlacedPod {
    /// The pod.
    pub(super) pod: Pod,
    /// The index of its node.
    pub(super) node: usize,
    /// The ENI that DescribeNetworkInterfaces shows its address on.
    pub(super) eni: Option<EniId>,
    /// Whether that is the node's primary one.
    pub(super) on_primary: bool,
    /// How long RunPodSandbox took.
    pub(super) took: Duration,
    /// How long the runtime says the ADD of all plugins took.
    pub(super) add_took: Duration,
}

/// What it takes to create pods on a node, apart from the stage.
#[derive(Debug)]
pub(super) struct Worker {
    /// The index of the node.
    pub(super) node: usize,
    /// Its runtime.
    pub(super) cri: Cri,
    /// Its network namespace.
    pub(super) netns: Netns,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stage {
    /// The VPC and the nodes.
    pub(super) cluster: Cluster,
    /// The pods of act one.
    pub(super) pods: Vec<PlacedPod>,
    /// The pods of act two.
    pub(super) tier_pods: Vec<PlacedPod>,
}

impl Stage {
    /// Brings up the VPC and the nodes.
    pub(super) async fn set(screen: &mut Screen, run_id: &str) -> anyhow::Result<Self> {
        screen.step("a VPC with two availability zones, behind an EC2 API");
        let vpc = LocalVpc::start(&LocalVpcOptions {
            run_id: run_id.to_owned(),
            flow_log_window: Duration::from_secs(1),
            arguments: Vec::new(),
        })?;
        let networks = Networks::create(vpc.ec2()).await?;
        vpc.ec2()
            .create_flow_log(&networks.vpc, FLOW_LOG_FORMAT)
            .await?;
        screen.line(format!(
            "{}  10.0.0.0/16  API at {}",
            networks.vpc,
            vpc.ec2().endpoint()
        ));
        for (id, (block, zone)) in networks.subnets.iter().zip(SUBNETS) {
            screen.line(format!("{id}  {block}  {zone}"));
        }

        screen.step("three nodes: instances with containerd and the Underlay agent");
        let image = PauseImage::build(vpc.run_dir().path())?;
        let mut cluster = Cluster {
            nodes: Vec::new(),
            networks,
            vpc,
        };
        for (name, instance_type, subnet) in NODES {
            let spec = NodeSpec::new(name, instance_type, subnet);
            let node = cluster.launch(&spec, &image).await?;
            cluster.nodes.push(node);
            screen.line(format!("{name} started"));
        }
        for node in &mut cluster.nodes {
            let ready = node.node.wait_network_ready(NETWORK_DEADLINE).await;
            ready.with_context(|| format!("waiting for {}", node.node.name()))?;
        }
        Ok(Self {
            cluster,
            pods: Vec::new(),
            tier_pods: Vec::new(),
        })
    }

    /// What it takes to create pods on a node.
    pub(super) async fn worker(&self, node: usize) -> anyhow::Result<Worker> {
        let inside = &self.cluster.nodes[node].node;
        Ok(Worker {
            node,
            cri: inside.cri().await?,
            netns: inside.netns().clone(),
        })
    }

    /// The instance type of a node.
    pub(super) fn instance_type(node: usize) -> &'static str {
        NODES[node].1
    }

    /// The block and the zone of a node's subnet.
    pub(super) fn subnet(node: usize) -> (&'static str, &'static str) {
        SUBNETS[NODES[node].2]
    }

    /// Whether an address is of a node's subnet.
    pub(super) fn is_of_subnet(node: usize, address: std::net::Ipv4Addr) -> bool {
        Self::subnet(node)
            .0
            .parse::<Ipv4Net>()
            .is_ok_and(|block| block.contains(&address))
    }

    /// Waits until the flow logs hold a line for each of `wanted`, at most `deadline`; returns the
    /// lines read last, whether complete or not.
    pub(super) async fn flow_logs(
        &self,
        deadline: Duration,
        complete: impl Fn(&[FlowLogLine]) -> bool,
    ) -> anyhow::Result<Vec<FlowLogLine>> {
        let folder = self.cluster.vpc.flow_log_dir();
        let waited = wait_for_async("flow logs", deadline, || async {
            let lines = read_flow_logs(folder)?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(complete(&lines).then_some(lines))
        });
        match waited.await {
            Ok(lines) => Ok(lines),
            Err(_) => read_flow_logs(folder),
        }
    }
}
