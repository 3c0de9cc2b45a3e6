//! What containerd 2 does that version 1 did not: CNI 1.1.0, and STATUS every few seconds.

use anyhow::{Context as _, ensure};

use super::reason;
use crate::{cluster::kubernetes::Kubernetes, screen::Screen};

/// Where agents serve their metrics.
const METRICS: &str = "http://127.0.0.1:61678/metrics";

pub(super) fn run(screen: &mut Screen, kubernetes: &Kubernetes) -> anyhow::Result<()> {
    screen.step("what the runtime asks");
    for worker in kubernetes.workers() {
        let name = worker.node.name();
        let metrics = worker.node.output("curl", &["--silent", METRICS])?;
        let (count, seconds) = status_calls(&metrics).context("reading the agent's metrics")?;
        screen.check(
            format!("the runtime asks {name} by STATUS whether pods may come"),
            reason(asked(count)),
        );
        let mean = seconds * 1000.0 / f64::from(count.max(1));
        screen.line(format!("{count} calls, {mean:.2} ms each in the agent"));
    }
    Ok(())
}

fn asked(count: u32) -> anyhow::Result<()> {
    ensure!(count > 0, "no call of STATUS that was answered well");
    Ok(())
}

/// Number and time of the STATUS calls that were answered well.
fn status_calls(metrics: &str) -> anyhow::Result<(u32, f64)> {
    let value = |name: &str| {
        let labels = r#"{command="STATUS",code="0"} "#;
        let start = format!("underlay_cni_call_seconds_{name}{labels}");
        metrics.lines().find_map(|line| line.strip_prefix(&start))
    };
    let count = value("count").unwrap_or("0").parse()?;
    let seconds = value("sum").unwrap_or("0").parse()?;
    Ok((count, seconds))
}
