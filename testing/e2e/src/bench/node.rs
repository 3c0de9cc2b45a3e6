//! `node.*`: a cold node that gets many pods at once, and what a node costs of EC2's calls.

use std::{fs, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;
use underlay_testkit::wait_for;

use super::{
    Sizes,
    cni::{BenchNode, Shape, is_idle},
    row::{Better, Row, Samples, Subject},
    screen::Screen,
};

/// Pods that come at once.
const PODS: usize = 40;
/// 4 ENIs with 15 addresses each.
const INSTANCE_TYPE: &str = "m5.xlarge";
/// How much later than the change metadata shows it, and how much each EC2 call takes.
const LIMITS: &str = r#"{"timings": {"metadata": "5s..5s"}}"#;
const CALL_DELAY: &str = "200ms..200ms";
const SETTLED: Duration = Duration::from_secs(60);
/// How long an agent that was started again is watched.
const WATCHED: Duration = Duration::from_secs(10);

pub(super) async fn measure(sizes: Sizes, screen: Screen) -> anyhow::Result<Vec<Row>> {
    let mut cold = Samples::default();
    for turn in 0..sizes.cold_nodes {
        screen.say(&format!("bench: {PODS} pods at once on cold node {turn}"));
        cold.ours.push(cold_node().await?);
    }
    screen.say("bench: EC2 calls of a node");
    let (per_eni, per_restart) = count_calls().await?;
    let subject = |id, what: &str, unit| Subject {
        id,
        what: what.to_owned(),
        unit,
        better: Better::Lower,
        peer_name: None,
    };
    let what = format!(
        "{PODS} ADDs at once, all done, on an {INSTANCE_TYPE} whose agent has just started; EC2 \
         calls take 200 ms more, metadata is 5 s behind"
    );
    Ok(vec![
        Row::alone(
            subject(
                "node.calls_per_eni",
                "EC2 calls of a node that gets 40 pods at once, all calls counted, for each ENI attached",
                "calls",
            ),
            per_eni,
        ),
        Row::alone(
            subject(
                "node.calls_per_restart",
                "EC2 calls of a killed agent's successor in its first 10 s, nothing having changed",
                "calls",
            ),
            per_restart,
        ),
        Row::of(subject("node.cold40", &what, "ms"), &cold),
    ])
}

/// Milliseconds until all pods have their address.
async fn cold_node() -> anyhow::Result<f64> {
    let limits = std::env::temp_dir().join(format!("underlay-bench-{}.json", std::process::id()));
    fs::write(&limits, LIMITS).context("writing the VPC's limits")?;
    let shape = Shape {
        arguments: vec!["--limits".to_owned(), limits.display().to_string()],
        ..shape()
    };
    let booted = BenchNode::boot(&shape).await;
    fs::remove_file(&limits).context("removing the VPC's limits")?;
    let mut node = booted?;
    node.vpc_command(&[
        "fault", "on", "slow", "--action", "*", "--delay", CALL_DELAY,
    ])?;
    node.start_agent()?;
    let mut pods = node.contender()?;
    let containers = containers();
    for container in &containers {
        pods.create_netns(container)?;
    }
    let took = pods.exec_all("ADD", &containers)?;
    pods.end()?;
    node.stop()?;
    Ok(took)
}

/// Calls for each ENI of a node that grows, and calls of an agent that takes the grown node over.
async fn count_calls() -> anyhow::Result<(f64, f64)> {
    let mut node = BenchNode::boot(&shape()).await?;
    slow_down(&node)?;
    node.start_agent()?;
    let mut pods = node.contender()?;
    settle(&node)?;
    let (calls, enis) = (calls(&node)?, enis(&node)?);
    let containers = containers();
    for container in &containers {
        pods.create_netns(container)?;
    }
    pods.exec_all("ADD", &containers)?;
    settle(&node)?;
    let grown = enis_more(&node, enis)?;
    let more = calls_since(&node, calls)?;
    node.kill_agent()?;
    let before = self::calls(&node)?;
    node.start_agent()?;
    std::thread::sleep(WATCHED);
    settle(&node)?;
    let after = calls_since(&node, before)?;
    pods.end()?;
    node.stop()?;
    Ok((more / grown, after))
}

fn shape() -> Shape {
    Shape {
        instance_type: INSTANCE_TYPE,
        config: String::new(),
        arguments: Vec::new(),
    }
}

/// Has each EC2 call take as long as it does in a Region.
fn slow_down(node: &BenchNode) -> anyhow::Result<()> {
    let fault = [
        "fault", "on", "slow", "--action", "*", "--delay", CALL_DELAY,
    ];
    node.vpc_command(&fault).map(drop)
}

fn containers() -> Vec<String> {
    (0..PODS).map(|index| format!("cold{index:02}")).collect()
}

/// Waits until the agent has what it wants and nothing more to do.
fn settle(node: &BenchNode) -> anyhow::Result<()> {
    wait_for("the node to settle", SETTLED, || {
        let settled = node.status().filter(|status| {
            let waits = status["waits_for"].as_array();
            is_idle(status) && waits.is_some_and(Vec::is_empty)
        });
        Ok(settled.map(drop))
    })
}

#[derive(Deserialize)]
struct CallCount {
    calls: u64,
}

fn calls(node: &BenchNode) -> anyhow::Result<u64> {
    let counts: Vec<CallCount> = serde_json::from_str(&node.vpc_command(&["calls"])?)?;
    Ok(counts.iter().map(|count| count.calls).sum())
}

fn calls_since(node: &BenchNode, before: u64) -> anyhow::Result<f64> {
    Ok((calls(node)? - before) as f64)
}

fn enis(node: &BenchNode) -> anyhow::Result<usize> {
    let status = node.status().context("the agent does not answer")?;
    Ok(status["enis"].as_array().map_or(0, Vec::len))
}

fn enis_more(node: &BenchNode, before: usize) -> anyhow::Result<f64> {
    let more = enis(node)?.saturating_sub(before);
    anyhow::ensure!(more > 0, "the node did not grow");
    Ok(more as f64)
}
