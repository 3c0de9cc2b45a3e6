//! Refused calls in the VPC's flow logs.

use std::{collections::BTreeSet, time::Duration};

use underlay_testkit::FlowLogLine;

use super::{stage::Stage, tiers::Party};
use crate::screen::Screen;

/// The fields shown, of those in the stage's format.
const FIELDS: [&str; 6] = [
    "interface-id",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "dstport",
    "flow-direction",
    "action",
];

/// Source address, destination address and port.
type Flow = (String, String, String);

/// Each refused pair must be in the flow logs as REJECT, with the pods' own addresses.
pub(super) async fn play(
    screen: &mut Screen,
    stage: &Stage,
    parties: &[Party],
) -> anyhow::Result<()> {
    let refused = refused(parties);
    let deadline = Duration::from_secs(10);
    let lines = stage
        .flow_logs(deadline, |lines| refused.is_subset(&rejected(lines)))
        .await?;
    let found = rejected(&lines);
    let shown = lines
        .iter()
        .filter(|line| is_reject(line) && refused.contains(&flow(line)));
    let rows: Vec<Vec<String>> = shown
        .take(5)
        .map(|line| {
            FIELDS
                .iter()
                .map(|field| line.field(field).to_owned())
                .collect()
        })
        .collect();
    screen.table(&FIELDS, &rows);
    for flow in &refused {
        let (from, to, port) = flow;
        let held = if found.contains(flow) {
            Ok(())
        } else {
            Err("no such line".to_owned())
        };
        screen.count(
            format!("REJECT {from} -> {to}:{port} is in the flow logs"),
            held,
        );
    }
    let logged = refused.intersection(&found).count();
    screen.line(format!(
        "{logged} of {} refused calls are in the flow logs, with the pods' own addresses",
        refused.len()
    ));
    Ok(())
}

/// The calls that the groups do not allow.
fn refused(parties: &[Party]) -> BTreeSet<Flow> {
    let pairs = parties
        .iter()
        .flat_map(|from| parties.iter().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from.address != to.address && !from.role.may_call(to.role))
        .filter_map(|(from, to)| {
            let target = to.served_at()?;
            Some((
                from.address.to_string(),
                target.ip().to_string(),
                target.port().to_string(),
            ))
        })
        .collect()
}

fn rejected(lines: &[FlowLogLine]) -> BTreeSet<Flow> {
    lines
        .iter()
        .filter(|line| is_reject(line))
        .map(flow)
        .collect()
}

fn is_reject(line: &FlowLogLine) -> bool {
    line.field("action") == "REJECT"
}

fn flow(line: &FlowLogLine) -> Flow {
    let field = |name| line.field(name).to_owned();
    (field("pkt-srcaddr"), field("pkt-dstaddr"), field("dstport"))
}
