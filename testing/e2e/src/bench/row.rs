//! One row of the results, as written to `bench.json`. Ids are never renamed.

use serde::Serialize;

use super::statistics::quantile;

/// The ids of all rows, in order.
pub(super) const IDS: [&str; 18] = [
    "agent.rss250",
    "cni.add",
    "cni.add.1000",
    "cni.burst250",
    "cni.burst30",
    "cni.del",
    "fabric.ns",
    "fabric.ns.1000",
    "fabric.ns.rules",
    "fabric.rtt",
    "node.calls_per_eni",
    "node.calls_per_restart",
    "node.cold40",
    "plugin.instructions",
    "sim.schedules",
    "vpc.attach",
    "vpc.calls",
    "vpc.describe.75000",
];

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    Higher,
    Lower,
}

/// What a row is about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) id: &'static str,
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) peer_name: Option<String>,
}

/// Values measured interleaved, in the row's unit; empty where there is no floor or no peer.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    pub(super) ours: Vec<f64>,
    pub(super) floor: Vec<f64>,
    pub(super) peer: Vec<f64>,
}

/// One row. Ratios are always ours divided by the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) stat: &'static str,
    pub(super) better: Better,
    pub(super) n: usize,
    pub(super) ours: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) floor: Option<f64>,
    pub(super) peer: Option<f64>,
    pub(super) peer_name: Option<String>,
    pub(super) ratio_to_floor: Option<f64>,
    pub(super) ratio_to_peer: Option<f64>,
}

impl Row {
    /// The medians of `samples`, and the 99th percentile of ours where lower is better.
    pub(super) fn of(subject: Subject, samples: &Samples) -> Self {
        let median = |values: &[f64]| quantile(values, 0.5);
        let ours = median(&samples.ours);
        let floor = median(&samples.floor);
        let peer = median(&samples.peer);
        let ratio = |other: Option<f64>| Some(rounded(ours? / other.filter(|value| *value > 0.0)?));
        let p99 = match subject.better {
            Better::Lower => quantile(&samples.ours, 0.99),
            Better::Higher => None,
        };
        Self {
            id: subject.id,
            what: subject.what,
            unit: subject.unit,
            stat: "p50",
            better: subject.better,
            n: samples.ours.len(),
            ours: ours.map(rounded),
            p99: p99.map(rounded),
            floor: floor.map(rounded),
            peer: peer.map(rounded),
            peer_name: subject.peer_name.filter(|_| peer.is_some()),
            ratio_to_floor: ratio(floor),
            ratio_to_peer: ratio(peer),
        }
    }
}

impl Row {
    /// A number that stands for itself.
    pub(super) fn alone(subject: Subject, number: f64) -> Self {
        let samples = Samples {
            ours: vec![number],
            ..Samples::default()
        };
        Self::of(subject, &samples)
    }
}

/// Three decimals: the clock's noise is far above the fourth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_fields_that_were_agreed_and_nulls_where_there_is_nothing() {
        let subject = Subject {
            id: "cni.add",
            what: "one ADD".to_owned(),
            unit: "ms",
            better: Better::Lower,
            peer_name: Some("ptp 1.9.1".to_owned()),
        };
        let samples = Samples {
            ours: vec![3.0, 1.0, 2.0],
            floor: vec![1.0],
            peer: Vec::new(),
        };
        let json = serde_json::to_value(Row::of(subject, &samples)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "id": "cni.add", "what": "one ADD", "unit": "ms", "stat": "p50",
                "better": "lower", "n": 3, "ours": 2.0, "p99": 3.0, "floor": 1.0, "peer": null,
                "peer_name": null, "ratio_to_floor": 2.0, "ratio_to_peer": null,
            })
        );
    }
}
