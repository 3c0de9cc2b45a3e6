//! Everything a pod leaves traces in: the node's kernel, the agent, EC2 and the metadata service.

use std::{collections::BTreeSet, net::Ipv4Addr};

use serde_json::Value;
use underlay_testkit::{Cluster, Interface, imds_addresses};

/// What is compared as a whole. Numbers that only tell when something was made are left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    kernel: Vec<(&'static str, Value)>,
    agent: Value,
    ec2: Vec<Interface>,
    imds: BTreeSet<Ipv4Addr>,
    tombstones: usize,
}

/// Commands whose output shows the node's network namespace.
const KERNEL: [(&str, &[&str]); 6] = [
    ("links", &["ip", "-json", "link", "show"]),
    ("addresses", &["ip", "-json", "address", "show"]),
    ("rules", &["ip", "-json", "rule", "show"]),
    ("routes", &["ip", "-json", "route", "show", "table", "all"]),
    (
        "neighbours",
        &["ip", "-json", "neighbour", "show", "nud", "permanent"],
    ),
    ("nftables", &["nft", "--json", "list", "ruleset"]),
];

/// Fields that count, number or date things.
const PASSING: [&str; 8] = [
    "ifindex",
    "link_index",
    "handle",
    "packets",
    "bytes",
    "metainfo",
    "valid_life_time",
    "preferred_life_time",
];

/// Fields that name a device, or the namespace of its other end.
const NAMES: [&str; 4] = ["altnames", "ifname", "link_netnsid", "link_netns"];

impl State {
    pub(crate) async fn read(cluster: &Cluster, node: usize) -> anyhow::Result<Self> {
        let this = &cluster.nodes[node];
        let mut kernel = Vec::new();
        for (what, words) in KERNEL {
            let text = this.node.output(words[0], &words[1..])?;
            let mut shown: Value = serde_json::from_str(&text)?;
            strip(&mut shown);
            kernel.push((what, shown));
        }
        let status = cluster.agent_status(node)?;
        let tombstones = this.node.inside("/run/underlay/tombstones");
        Ok(Self {
            kernel,
            agent: summary(&status),
            ec2: cluster.vpc.ec2().interfaces(&cluster.networks.vpc).await?,
            imds: imds_addresses(this.node.netns())?,
            tombstones: std::fs::read_dir(tombstones).map_or(0, Iterator::count),
        })
    }

    /// Without what the device with this Ethernet address is called: a name changes as the device
    /// goes into a namespace and comes back.
    pub(crate) fn without_names_of(mut self, mac: &str) -> Self {
        for (_, shown) in &mut self.kernel {
            let devices = shown.as_array_mut().into_iter().flatten();
            for device in devices.filter(|device| device["address"] == mac) {
                if let Some(fields) = device.as_object_mut() {
                    fields.retain(|name, _| !NAMES.contains(&name.as_str()));
                }
            }
        }
        self
    }

    /// Whether no address of an ENI is still being probed for duplicates.
    pub(crate) fn is_settled(&self) -> bool {
        let tentative = |(_, shown): &(_, Value)| shown.to_string().contains("\"tentative\"");
        !self.kernel.iter().any(tentative)
    }

    /// The parts that differ, for people.
    pub(crate) fn difference(&self, wanted: &Self) -> String {
        let parts = self.kernel.iter().zip(&wanted.kernel);
        let mut lines: Vec<String> = parts
            .filter(|(is, should)| is != should)
            .map(|((what, is), (_, should))| format!("{what}:\n  is     {is}\n  should {should}"))
            .collect();
        let mut compare = |what: &str, is: String, should: String| {
            if is != should {
                lines.push(format!("{what}:\n  is     {is}\n  should {should}"));
            }
        };
        compare("agent", self.agent.to_string(), wanted.agent.to_string());
        compare(
            "EC2",
            format!("{:?}", self.ec2),
            format!("{:?}", wanted.ec2),
        );
        compare(
            "IMDS",
            format!("{:?}", self.imds),
            format!("{:?}", wanted.imds),
        );
        compare(
            "tombstones",
            self.tombstones.to_string(),
            wanted.tombstones.to_string(),
        );
        lines.join("\n")
    }
}

/// The agent's leases and how many addresses each ENI has for whom.
fn summary(status: &Value) -> Value {
    let fields = ["eni", "pool", "stage", "free", "leased", "cooling", "total"];
    let pick = |eni: &Value| -> Value {
        fields
            .iter()
            .map(|field| ((*field).to_owned(), eni[*field].clone()))
            .collect()
    };
    let enis: Vec<Value> = status["enis"]
        .as_array()
        .into_iter()
        .flatten()
        .map(pick)
        .collect();
    serde_json::json!({
        "leases": status["leases"],
        "enis": enis,
        "draining": status["draining"],
    })
}

pub(crate) fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
