//! What an ADD took, as the runtime measured it.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::{screen::Screen, stage::Stage};

/// containerd's histogram of CNI calls, plugins' processes included.
const METRIC: &str = "containerd_cri_network_plugin_operations_duration_seconds";

pub(super) async fn show(screen: &mut Screen, stage: &Stage) -> anyhow::Result<()> {
    screen.step("what an ADD took");
    let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
    for node in &stage.cluster.nodes {
        let page = "http://127.0.0.1:1338/v1/metrics";
        let text = node.node.output("curl", &["--silent", "--fail", page])?;
        for (limit, count) in text.lines().filter_map(read_bucket) {
            // Limits as microseconds, so that they can be keys.
            *buckets.entry(limit).or_default() += count;
        }
    }
    let p50 = quantile(&buckets, 0.50).context("containerd counted no ADD")?;
    let p99 = quantile(&buckets, 0.99).context("containerd counted no ADD")?;
    screen.line(format!(
        "ADD p50 {p50:.1} ms, p99 {p99:.1} ms (containerd's metric)"
    ));
    Ok(())
}

/// The upper limit in microseconds and the cumulative count of a line such as
/// `..._bucket{operation_type="set_up_pod",le="0.05"} 12`.
fn read_bucket(line: &str) -> Option<(u64, f64)> {
    let labels = line.strip_prefix(METRIC)?.strip_prefix("_bucket")?;
    if !labels.contains("\"set_up_pod\"") {
        return None;
    }
    let (_, rest) = labels.split_once("le=\"")?;
    let (limit, rest) = rest.split_once('"')?;
    let count = rest.split_whitespace().last()?.parse().ok()?;
    let seconds: f64 = limit.parse().ok().filter(|limit: &f64| limit.is_finite())?;
    let limit = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    Some((u64::try_from(limit.as_micros()).ok()?, count))
}

/// The time in milliseconds below which `share` of all calls stayed, linear within a bucket.
fn quantile(buckets: &BTreeMap<u64, f64>, share: f64) -> Option<f64> {
    let wanted = buckets.values().last()? * share;
    let (mut low, mut below) = (0.0, 0.0);
    for (&limit, &count) in buckets {
        let high = std::time::Duration::from_micros(limit).as_secs_f64() * 1000.0;
        if count >= wanted && count > below {
            return Some(low + (high - low) * (wanted - below) / (count - below));
        }
        (low, below) = (high, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_from_buckets() {
        let page = format!(
            "{METRIC}_bucket{{operation_type=\"set_up_pod\",le=\"0.01\"}} 10\n\
             {METRIC}_bucket{{operation_type=\"tear_down_pod\",le=\"0.01\"}} 99\n\
             {METRIC}_bucket{{operation_type=\"set_up_pod\",le=\"0.02\"}} 20\n\
             {METRIC}_bucket{{operation_type=\"set_up_pod\",le=\"+Inf\"}} 20\n"
        );
        let buckets: BTreeMap<_, _> = page.lines().filter_map(read_bucket).collect();
        assert_eq!(buckets, [(10_000, 10.0), (20_000, 20.0)].into());
        let p75 = quantile(&buckets, 0.75).unwrap();
        assert!((p75 - 15.0).abs() < 1e-9, "{p75}");
        assert_eq!(quantile(&BTreeMap::new(), 0.5), None);
    }
}
