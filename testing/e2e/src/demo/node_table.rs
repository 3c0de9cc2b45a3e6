//! The nodes with their ENIs and pools: EC2's view and the agents' beside each other.

use serde_json::Value;
use underlay_testkit::Interface;

use super::stage::Stage;
use crate::screen::Screen;

const HEAD: [&str; 11] = [
    "node",
    "instance",
    "type",
    "zone",
    "ENI",
    "own address",
    "more",
    "pods",
    "free",
    "cooling",
    "pool",
];

/// A line for each ENI: the left half from EC2, the right half from the node's agent.
pub(super) async fn show(screen: &mut Screen, stage: &Stage) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for (index, node) in stage.cluster.nodes.iter().enumerate() {
        let name = node.node.name();
        let status = stage.cluster.agent_status(index)?;
        let interfaces = stage
            .cluster
            .vpc
            .ec2()
            .interfaces_of(&node.instance)
            .await?;
        let mut who = [
            name.to_owned(),
            node.instance.to_string(),
            Stage::instance_type(index).to_owned(),
            Stage::subnet(index).1.to_owned(),
        ];
        for interface in &interfaces {
            let eni = eni_status(&status, interface);
            let held = eni
                .map(|_| ())
                .ok_or_else(|| "the agent does not list it".to_owned());
            screen.count(format!("{name} knows its ENI {}", interface.id), held);
            rows.push(who.iter().cloned().chain(cells(interface, eni)).collect());
            who = Default::default();
        }
        let waiting = status["waiting"].as_array().map_or(0, Vec::len);
        let held = if waiting == 0 {
            Ok(())
        } else {
            Err(status["waiting"].to_string())
        };
        screen.count(format!("no pod waits on {name}"), held);
    }
    screen.table(&HEAD, &rows);
    Ok(())
}

fn eni_status<'a>(status: &'a Value, interface: &Interface) -> Option<&'a Value> {
    let enis = status["enis"].as_array()?;
    enis.iter().find(|eni| eni["eni"] == interface.id.as_str())
}

fn cells(interface: &Interface, eni: Option<&Value>) -> [String; 7] {
    let number = |field: &str| {
        let number = eni.and_then(|eni| eni[field].as_u64());
        number.map_or_else(|| "?".to_owned(), |number| number.to_string())
    };
    let pool = eni.and_then(|eni| eni["pool"].as_str());
    [
        interface.id.to_string(),
        interface.primary.to_string(),
        interface.secondaries.len().to_string(),
        number("leased"),
        number("free"),
        number("cooling"),
        pool.unwrap_or("?").to_owned(),
    ]
}
