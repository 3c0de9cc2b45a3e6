//! Act one: 30 pods, each with an address of its node's ENIs, and everybody reaches everybody.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::task::JoinSet;
use underlay_testkit::{
    FlowLogLine, Netns, PodSpec, cni_setups,
    probe::{Endpoint, Seen, udp_matrix},
};

use super::{
    address_views, host_ports, node_table,
    stage::{PlacedPod, Stage, Worker},
};
use crate::screen::{Screen, Tone};

/// Pods a node in this act.
const PODS_PER_NODE: u16 = 10;
/// The port of the reachability matrix.
const MATRIX_PORT: u16 = 7777;

pub(super) async fn play(screen: &mut Screen, stage: &mut Stage) -> anyhow::Result<()> {
    screen.act("Act one: pods on the VPC");
    screen.step("30 pods, made by containerd over CRI");
    stage.pods = create_pods(stage).await?;
    locate(stage).await?;
    screen.line(format!("{} pods", stage.pods.len()));
    for placed in &stage.pods {
        let held = address_is_of_its_node(placed);
        screen.count(
            format!("pod {} has an address of its node", placed.pod.name),
            held,
        );
    }
    node_table::show(screen, stage).await?;

    screen.step("who reaches whom, by direct addresses, and as whom");
    let endpoints = endpoints(stage)?;
    let seen = udp_matrix(&endpoints, MATRIX_PORT).await?;
    show_matrix(screen, stage, &endpoints, &seen);

    screen.step("the VPC's flow logs show the pods themselves");
    flow_logs(screen, stage).await?;

    screen.step("one address, four views: EC2, IMDS, CNI result, inside the pod");
    address_views::play(screen, stage).await
}

/// One pod after the other on each node, the nodes side by side.
async fn create_pods(stage: &Stage) -> anyhow::Result<Vec<PlacedPod>> {
    let mut workers = JoinSet::new();
    for (index, node) in stage.cluster.nodes.iter().enumerate() {
        let specs = (0..PODS_PER_NODE).map(|number| PodSpec {
            port_mappings: host_ports::mappings(index, number),
            ..PodSpec::named(format!("{}-p{number}", node.node.name()))
        });
        workers.spawn(create_each(stage.worker(index).await?, specs.collect()));
    }
    let mut pods = Vec::new();
    while let Some(created) = workers.join_next().await {
        pods.extend(created.context("creating pods")??);
    }
    pods.sort_by_key(|placed| placed.node);
    Ok(pods)
}

/// Creates pods on one node, one after the other.
pub(super) async fn create_each(
    mut worker: Worker,
    specs: Vec<PodSpec>,
) -> anyhow::Result<Vec<PlacedPod>> {
    let mut pods = Vec::new();
    for spec in specs {
        // The runtime has no such metric before its first pod.
        let before = cni_setups(&worker.netns).map_or(Duration::ZERO, |setups| setups.took);
        let since = Instant::now();
        let pod = worker.cri.run_pod(&spec).await?;
        let took = since.elapsed();
        let after = cni_setups(&worker.netns)?;
        pods.push(PlacedPod {
            pod,
            node: worker.node,
            eni: None,
            on_primary: false,
            took,
            add_took: after.took.saturating_sub(before),
        });
    }
    Ok(pods)
}

/// Finds the ENI of each pod in DescribeNetworkInterfaces.
pub(super) async fn locate(stage: &mut Stage) -> anyhow::Result<()> {
    let interfaces = stage
        .cluster
        .vpc
        .ec2()
        .interfaces(&stage.cluster.networks.vpc)
        .await?;
    for placed in stage.pods.iter_mut().chain(&mut stage.tier_pods) {
        let instance = &stage.cluster.nodes[placed.node].instance;
        let holder = interfaces.iter().find(|interface| {
            interface.instance.as_ref() == Some(instance)
                && interface.secondaries.contains(&placed.pod.address)
        });
        placed.eni = holder.map(|holder| holder.id.clone());
        placed.on_primary = holder.is_some_and(|holder| holder.device_index == Some(0));
    }
    Ok(())
}

fn address_is_of_its_node(placed: &PlacedPod) -> Result<(), String> {
    let address = placed.pod.address;
    if placed.eni.is_none() {
        return Err(format!("{address} is on none of the node's ENIs"));
    }
    if !Stage::is_of_subnet(placed.node, address) {
        return Err(format!(
            "{address} is not of {}",
            Stage::subnet(placed.node).0
        ));
    }
    Ok(())
}

fn endpoints(stage: &Stage) -> anyhow::Result<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    for placed in &stage.pods {
        endpoints.push(Endpoint {
            name: placed.pod.name.clone(),
            address: placed.pod.address,
            netns: Netns::clone(placed.pod.netns()?),
        });
    }
    for node in &stage.cluster.nodes {
        endpoints.push(Endpoint {
            name: node.node.name().to_owned(),
            address: node.address,
            netns: node.node.netns().clone(),
        });
    }
    Ok(endpoints)
}

/// A row for each sender: who it is, and a mark for each receiver.
fn show_matrix(screen: &mut Screen, stage: &Stage, endpoints: &[Endpoint], seen: &[Vec<Seen>]) {
    let (mut reached, mut unchanged, mut pairs) = (0, 0, 0);
    let mut rows = Vec::new();
    for (from, row) in endpoints.iter().zip(seen) {
        let mut marks = String::new();
        for (index, (to, seen)) in endpoints.iter().zip(row).enumerate() {
            if index > 0 && index % usize::from(PODS_PER_NODE) == 0 {
                marks.push(' ');
            }
            if from.address == to.address {
                marks.push('-');
                continue;
            }
            pairs += 1;
            reached += usize::from(seen.is_some());
            let held = match seen {
                None => Err("no answer".to_owned()),
                Some(source) if source.ip() == from.address => Ok(()),
                Some(source) => Err(format!("was seen as {}", source.ip())),
            };
            unchanged += usize::from(held.is_ok());
            marks.push(match (&held, seen) {
                (Ok(()), _) => 'o',
                (Err(_), Some(_)) => 'N',
                (Err(_), None) => 'x',
            });
            screen.count(format!("{} reaches {} as itself", from.name, to.name), held);
        }
        let placed = stage
            .pods
            .iter()
            .find(|placed| placed.pod.address == from.address);
        let eni = placed
            .and_then(|placed| placed.eni.as_ref())
            .map(ToString::to_string);
        let eni = eni.unwrap_or_else(|| "(node)".to_owned());
        rows.push(vec![
            from.name.clone(),
            eni,
            from.address.to_string(),
            marks,
        ]);
    }
    screen.table(
        &["pod", "ENI", "address", "to n1's pods, n2's, n3's, nodes"],
        &rows,
    );
    screen.line(screen.tone(
        Tone::Faint,
        "o reached, the receiver saw the sender's own address   N another address   x no answer",
    ));
    screen.line(format!(
        "{pairs} pairs: {reached} reached, {unchanged} with the sender's own address: no NAT"
    ));
}

/// Waits for the matrix's probes between pods of different nodes in the flow logs.
async fn flow_logs(screen: &mut Screen, stage: &Stage) -> anyhow::Result<()> {
    let pods: BTreeSet<String> = stage
        .pods
        .iter()
        .map(|placed| placed.pod.address.to_string())
        .collect();
    let between_pods = |line: &FlowLogLine| {
        pods.contains(line.field("pkt-srcaddr")) && pods.contains(line.field("pkt-dstaddr"))
    };
    let senders = |lines: &[FlowLogLine]| {
        let lines = lines.iter().filter(|line| between_pods(line));
        lines
            .map(|line| line.field("pkt-srcaddr").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let deadline = Duration::from_secs(10);
    let lines = stage
        .flow_logs(deadline, |lines| senders(lines) == pods)
        .await?;
    let found = senders(&lines);
    let port = MATRIX_PORT.to_string();
    let port = port.as_str();
    let shown: Vec<Vec<String>> = ["egress", "ingress"]
        .into_iter()
        .flat_map(|way| {
            let of_way = move |line: &&FlowLogLine| line.field("flow-direction") == way;
            lines
                .iter()
                .filter(|line| between_pods(line) && line.field("dstport") == port)
                .filter(of_way)
                .take(2)
        })
        .map(|line| {
            FIELDS
                .iter()
                .map(|field| line.field(field).to_owned())
                .collect()
        })
        .collect();
    screen.table(&FIELDS, &shown);
    let missing: Vec<&String> = pods.difference(&found).collect();
    let held = if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("no line in {deadline:?} from {missing:?}"))
    };
    screen.check(
        format!("{} pods appear with their own address", found.len()),
        held,
    );
    Ok(())
}

/// The fields shown, of those in the stage's format.
const FIELDS: [&str; 7] = [
    "interface-id",
    "srcaddr",
    "dstaddr",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "flow-direction",
    "action",
];
