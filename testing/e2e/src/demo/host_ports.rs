//! A port of the node leads to a pod, also to one whose address is on a secondary ENI.

use std::time::Duration;

use anyhow::Context as _;
use underlay_testkit::{
    PortMapping,
    probe::{TcpServer, Verdict, tcp_probe},
};

use super::stage::Stage;
use crate::screen::Screen;

/// The pods' port.
const CONTAINER_PORT: u16 = 8000;
/// The first node's port of its first pod; its second has the next, and so on.
const FIRST_HOST_PORT: u16 = 30_080;

/// The number of the first pod that has one.
const FIRST_MAPPED: u16 = 7;

/// The host ports of a pod: the later pods of the first node have one, and of these some do not
/// fit on the primary ENI.
pub(super) fn mappings(node: usize, number: u16) -> Vec<PortMapping> {
    let mapping = PortMapping {
        host: FIRST_HOST_PORT + number,
        container: CONTAINER_PORT,
    };
    if node == 0 && number >= FIRST_MAPPED {
        vec![mapping]
    } else {
        Vec::new()
    }
}

pub(super) async fn play(screen: &mut Screen, stage: &Stage) -> anyhow::Result<()> {
    screen.act("And also");
    screen.step("hostPort of a pod on a secondary ENI, from another node");
    let of_first_node = stage.pods.iter().filter(|placed| placed.node == 0);
    let (number, placed) = of_first_node
        .enumerate()
        .skip(usize::from(FIRST_MAPPED))
        .find(|(_, placed)| !placed.on_primary)
        .context("no pod with a hostPort is on a secondary ENI")?;
    let host_port = FIRST_HOST_PORT + u16::try_from(number).context("a pod's number")?;
    let node = &stage.cluster.nodes[0];
    let from = &stage.cluster.nodes[1];
    let server = TcpServer::start(placed.pod.netns()?, node.address, CONTAINER_PORT)?;
    let target = (node.address, host_port).into();
    let verdict = tcp_probe(from.node.netns(), target, Duration::from_secs(2)).await;
    drop(server);
    let held = match &verdict {
        Verdict::Allowed(source) if source.ip() == from.address => Ok(()),
        other => Err(format!("{other}, wanted to be seen as {}", from.address)),
    };
    screen.check(
        format!(
            "{} ({}) -> {target} answers: pod {} ({}) saw {}",
            from.node.name(),
            from.address,
            placed.pod.name,
            placed.pod.address,
            from.address
        ),
        held,
    );
    Ok(())
}
