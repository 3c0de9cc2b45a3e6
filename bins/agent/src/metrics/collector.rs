//! Reads the engine when metrics are asked for.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue},
    metrics::MetricType,
};

use crate::service::{Measures, NodeService};

/// A value and the labels it stands under.
type Labelled<'a, T> = (Vec<(&'static str, &'a str)>, T);

/// Reads the engine when metrics are asked for.
pub(super) struct NodeCollector(Arc<dyn NodeService>);

impl fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeCollector")
    }
}

impl NodeCollector {
    pub(super) const fn new(service: Arc<dyn NodeService>) -> Self {
        Self(service)
    }
}

impl Collector for NodeCollector {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let ready = i64::from(self.0.status().is_ok());
        let what = "Whether a pod of the default set would get an address now";
        gauges(&mut out, "ready", what, [(Vec::new(), ready)])?;
        match self.0.measures() {
            Ok(measures) => {
                pools(&mut out, &measures)?;
                node(&mut out, &measures)?;
                calls(&mut out, &measures)
            }
            // The engine is stopping: what can be said has been.
            Err(_) => Ok(()),
        }
    }
}

fn pools(out: &mut DescriptorEncoder<'_>, measures: &Measures) -> Result<(), fmt::Error> {
    let pools: Vec<_> = measures
        .addresses
        .pools
        .iter()
        .map(|pool| (pool.pool.to_string(), pool))
        .collect();
    let addresses = pools.iter().flat_map(|(name, pool)| {
        let numbers = &pool.numbers;
        let states = [
            ("cooling", numbers.cooling),
            ("free", numbers.free),
            ("leased", numbers.leased),
        ];
        states.map(|(state, count)| {
            (
                vec![("pool", name.as_str()), ("state", state)],
                whole(count),
            )
        })
    });
    gauges(
        out,
        "pool_addresses",
        "Addresses of a pool by state",
        addresses,
    )?;
    let per_pool = |value: fn(&underlay_ipam::PoolReport) -> usize| {
        let labelled = move |(name, pool): &'_ (String, &underlay_ipam::PoolReport)| {
            (name.clone(), whole(value(pool)))
        };
        pools.iter().map(labelled).collect::<Vec<_>>()
    };
    let enis = per_pool(|pool| pool.numbers.enis);
    gauges(
        out,
        "pool_enis",
        "Attached ENIs of a pool",
        named("pool", &enis),
    )?;
    let waiting = per_pool(|pool| pool.waiting);
    let what = "ADDs that wait for an address of a pool";
    gauges(out, "pool_waiting", what, named("pool", &waiting))?;
    let failing = per_pool(|pool| usize::from(pool.last_failure.is_some()));
    let what = "Whether a pool's last try to grow failed";
    gauges(out, "pool_growth_failing", what, named("pool", &failing))
}

fn node(out: &mut DescriptorEncoder<'_>, measures: &Measures) -> Result<(), fmt::Error> {
    let report = &measures.addresses;
    let missing = report.leases.iter().filter(|lease| lease.missing).count();
    let prefixes = report.enis.iter().map(|eni| eni.prefixes).sum();
    let single = [
        ("branch_pods", "Pods with branch ENIs", measures.branch_pods),
        (
            "draining",
            "Whether the node gives everything back",
            usize::from(report.draining),
        ),
        (
            "ec2_calls_under_way",
            "EC2 calls without an answer yet",
            report.calls.len(),
        ),
        (
            "ec2_throttled",
            "Whether EC2 asked for fewer calls",
            usize::from(report.throttled),
        ),
        (
            "leases_missing",
            "Pods whose address EC2 no longer reports on its ENI",
            missing,
        ),
        (
            "prefixes",
            "Prefixes delegated to the node's ENIs",
            prefixes,
        ),
        (
            "retired_devices",
            "Devices of old pods not deleted yet",
            measures.retired_devices,
        ),
    ];
    for (name, what, value) in single {
        gauges(out, name, what, [(Vec::new(), whole(value))])?;
    }
    let repairs = measures.repairs.iter();
    let repairs = repairs.map(|(drift, count)| (vec![("kind", drift.name())], *count));
    let what = "Things of ours that somebody else changed, put right, by kind";
    counters(out, "drift_repairs", what, repairs)?;
    branches(out, measures)?;
    let notices: Vec<_> = measures
        .notices
        .iter()
        .map(|(kind, count)| (*kind, *count))
        .collect();
    let what = "What people were told, by kind";
    counters(
        out,
        "notices",
        what,
        notices
            .iter()
            .map(|(kind, count)| (vec![("kind", *kind)], *count)),
    )
}

fn branches(out: &mut DescriptorEncoder<'_>, measures: &Measures) -> Result<(), fmt::Error> {
    let packets = measures.branch_packets.iter();
    let packets = packets.map(|(what, count)| (vec![("what", *what)], *count));
    let what = "What happened to packets of branch ENIs at the trunk";
    counters(out, "branch_packets", what, packets)
}

fn calls(out: &mut DescriptorEncoder<'_>, measures: &Measures) -> Result<(), fmt::Error> {
    let results = measures.ec2.iter().flat_map(|(action, counters)| {
        counters.results.iter().map(move |(result, count)| {
            (
                vec![("action", action.as_str()), ("result", result.as_str())],
                *count,
            )
        })
    });
    counters(out, "ec2_calls", "EC2 calls by action and result", results)?;
    let waits = measures.ec2.iter().map(|(action, counters)| {
        (
            vec![("action", action.as_str())],
            counters.budget_wait.as_secs_f64(),
        )
    });
    let what = "Seconds that calls waited for the node's own budget";
    counters(out, "ec2_budget_wait_seconds", what, waits)
}

fn named<'a>(
    label: &'static str,
    values: &'a [(String, i64)],
) -> impl Iterator<Item = Labelled<'a, i64>> {
    values
        .iter()
        .map(move |(name, value)| (vec![(label, name.as_str())], *value))
}

fn gauges<'a>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    what: &str,
    values: impl IntoIterator<Item = Labelled<'a, impl EncodeGaugeValue>>,
) -> Result<(), fmt::Error> {
    let mut family = out.encode_descriptor(name, what, None, MetricType::Gauge)?;
    for (labels, value) in values {
        if labels.is_empty() {
            family.encode_gauge(&value)?;
        } else {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

fn counters<'a>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    what: &str,
    values: impl IntoIterator<Item = Labelled<'a, impl EncodeCounterValue>>,
) -> Result<(), fmt::Error> {
    let mut family = out.encode_descriptor(name, what, None, MetricType::Counter)?;
    for (labels, value) in values {
        let mut metric = family.encode_family(&labels)?;
        metric.encode_counter::<prometheus_client::encoding::NoLabelSet, _, f64>(&value, None)?;
    }
    Ok(())
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
