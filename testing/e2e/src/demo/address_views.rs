//! The same address in EC2, IMDS, the CNI result and the pod's own namespace.

use std::{collections::BTreeSet, net::Ipv4Addr};

use underlay_testkit::{addresses_inside, imds_addresses};

use super::stage::{PlacedPod, Stage};
use crate::screen::Screen;

pub(super) async fn play(screen: &mut Screen, stage: &Stage) -> anyhow::Result<()> {
    let mut same = 0;
    for (index, node) in stage.cluster.nodes.iter().enumerate() {
        let interfaces = stage
            .cluster
            .vpc
            .ec2()
            .interfaces_of(&node.instance)
            .await?;
        let ec2: BTreeSet<Ipv4Addr> = interfaces
            .into_iter()
            .flat_map(|interface| interface.secondaries)
            .collect();
        let imds = imds_addresses(node.node.netns())?;
        for placed in stage.pods.iter().filter(|placed| placed.node == index) {
            let held = views_agree(placed, &ec2, &imds);
            let what = format!("the views of {} agree", placed.pod.name);
            same += usize::from(screen.count(what, held));
        }
    }
    if let Some(first) = stage.pods.first() {
        screen.line(format!(
            "{}: {} in DescribeNetworkInterfaces, in IMDS, in the CNI result and on its eth0",
            first.pod.name, first.pod.address
        ));
    }
    screen.line(format!(
        "{same} of {} pods: all four views agree",
        stage.pods.len()
    ));
    Ok(())
}

fn views_agree(
    placed: &PlacedPod,
    ec2: &BTreeSet<Ipv4Addr>,
    imds: &BTreeSet<Ipv4Addr>,
) -> Result<(), String> {
    let pod = &placed.pod;
    let inside = pod
        .netns()
        .and_then(|netns| addresses_inside(netns, "eth0"));
    let inside = inside.map_err(|error| format!("{error:#}"))?;
    let cni = pod.cni_result["Interfaces"]["eth0"]["IPConfigs"][0]["IP"].as_str();
    let differing: Vec<String> = [
        (!ec2.contains(&pod.address)).then(|| "EC2 lacks it".to_owned()),
        (!imds.contains(&pod.address)).then(|| "IMDS lacks it".to_owned()),
        (cni != Some(pod.address.to_string().as_str())).then(|| format!("CNI says {cni:?}")),
        (inside != [pod.address]).then(|| format!("its eth0 has {inside:?}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if differing.is_empty() {
        Ok(())
    } else {
        Err(format!("{}: {}", pod.address, differing.join(", ")))
    }
}
