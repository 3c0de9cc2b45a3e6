//! `make cluster-test`: what a cluster asks of its network, checked on containerd 2.

mod agent_away;
mod groups;
mod runtime;
mod services;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use underlay_types::Family;

use super::kubernetes::{Kubernetes, items, text};
use crate::screen::Screen;

const MANIFEST: &str = include_str!("../../../cluster/manifests/checks.yaml");

/// A pod of this check.
#[derive(Debug, Clone)]
struct Pod {
    name: String,
    app: String,
    node: String,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl Pod {
    fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

/// What every check of the data path is done over.
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Runs every check.
///
/// # Errors
/// When the cluster does not do what the checks start from.
pub(super) async fn run(screen: &mut Screen, kubernetes: &mut Kubernetes) -> anyhow::Result<()> {
    screen.step("pods on both nodes");
    let pods = start_pods(kubernetes).await?;
    addresses(screen, kubernetes, &pods).await?;
    services::run(screen, kubernetes, &pods)?;
    groups::run(screen, kubernetes, &pods).await?;
    runtime::run(screen, kubernetes)?;
    agent_away::run(screen, kubernetes, &pods).await?;
    Ok(())
}

async fn start_pods(kubernetes: &mut Kubernetes) -> anyhow::Result<Vec<Pod>> {
    kubernetes.kubectl().apply("checks.yaml", MANIFEST)?;
    wait_available(kubernetes).await?;
    pods(kubernetes)
}

/// Waits until all pods of the check are ready.
async fn wait_available(kubernetes: &mut Kubernetes) -> anyhow::Result<()> {
    kubernetes
        .wait("the pods to be ready", |kubectl| {
            let web = kubectl.get(&["deployment", "web"])?;
            let all = web["status"]["availableReplicas"] == web["spec"]["replicas"]
                && web["status"]["replicas"] == web["spec"]["replicas"];
            let sets = kubectl.get(&["daemonsets"])?;
            let mut sets = items(&sets).map(|set| &set["status"]);
            Ok(all && sets.all(|set| set["numberAvailable"] == 2))
        })
        .await
}

/// The pods of the check that are not about to go.
fn pods(kubernetes: &Kubernetes) -> anyhow::Result<Vec<Pod>> {
    let list = kubernetes.kubectl().get(&["pods"])?;
    let alive = items(&list).filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    alive.map(read_pod).collect()
}

fn read_pod(pod: &Value) -> anyhow::Result<Pod> {
    let metadata = &pod["metadata"];
    let all = parse_all(&pod["status"]["podIPs"], |one| &one["ip"])?;
    let [IpAddr::V4(v4), IpAddr::V6(v6)] = all[..] else {
        anyhow::bail!("{} has the addresses {all:?}", metadata["name"]);
    };
    Ok(Pod {
        name: text(&metadata["name"]).to_owned(),
        app: text(&metadata["labels"]["app"]).to_owned(),
        node: text(&pod["spec"]["nodeName"]).to_owned(),
        v4,
        v6,
    })
}

/// The pod of `app` on `node`.
fn pod_of<'a>(pods: &'a [Pod], app: &str, node: &str) -> anyhow::Result<&'a Pod> {
    let mut pods = pods.iter();
    pods.find(|pod| pod.app == app && pod.node == node)
        .with_context(|| format!("no pod of {app} on {node}"))
}

/// The addresses of every pod are ones that EC2 gave to one interface of its node, on more than one
/// interface a node.
async fn addresses(
    screen: &mut Screen,
    kubernetes: &Kubernetes,
    pods: &[Pod],
) -> anyhow::Result<()> {
    for worker in kubernetes.workers() {
        let name = worker.node.name();
        let ec2 = kubernetes.cluster.vpc.ec2();
        let interfaces = ec2.interfaces_of(&worker.instance).await?;
        let mut held: BTreeMap<_, usize> = BTreeMap::new();
        let mut strangers = Vec::new();
        for pod in pods.iter().filter(|pod| pod.node == name) {
            let home = interfaces.iter().find(|one| {
                let mut prefixes = one.ipv6_prefixes.iter();
                one.secondaries.contains(&pod.v4) && prefixes.any(|block| block.contains(&pod.v6))
            });
            match home {
                Some(home) => *held.entry(home.id.clone()).or_default() += 1,
                None => strangers.push(&pod.name),
            }
        }
        screen.line(format!("{name}: {held:?}"));
        let said = if !strangers.is_empty() {
            Err(format!("EC2 knows nothing of {strangers:?}"))
        } else if held.len() < 2 {
            Err(format!("all on {held:?}"))
        } else {
            Ok(())
        };
        screen.check(
            format!("{name}: pods have addresses of both families, on two interfaces"),
            said,
        );
    }
    Ok(())
}

/// What the agent of a node holds for pods.
fn leases(kubernetes: &Kubernetes, worker: usize) -> anyhow::Result<BTreeSet<IpAddr>> {
    let status = kubernetes.cluster.agent_status(worker)?;
    let leases = status["leases"]
        .as_array()
        .context("a status without leases")?;
    let addresses = leases
        .iter()
        .map(|lease| parse_all(&lease["addresses"], |one| one));
    let addresses: Vec<Vec<IpAddr>> = addresses.collect::<Result<_, _>>()?;
    Ok(addresses.into_iter().flatten().collect())
}

/// The addresses in a list, each found by `field`.
fn parse_all(list: &Value, field: impl Fn(&Value) -> &Value) -> anyhow::Result<Vec<IpAddr>> {
    let texts = list.as_array().into_iter().flatten().map(field).map(text);
    texts
        .map(|one| {
            one.parse()
                .with_context(|| format!("reading the address {one:?}"))
        })
        .collect()
}

/// An error as a check's reason.
fn reason(result: anyhow::Result<()>) -> Result<(), String> {
    result.map_err(|error| format!("{error:#}"))
}

/// Fails unless `seen` is all of `wanted`.
fn all_seen(seen: &BTreeSet<&str>, wanted: &BTreeSet<&str>) -> anyhow::Result<()> {
    let missing: Vec<_> = wanted.difference(seen).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} never answered: {missing:?}",
        missing.len(),
        wanted.len()
    );
    let strangers: Vec<_> = seen.difference(wanted).collect();
    ensure!(strangers.is_empty(), "answers from {strangers:?}");
    Ok(())
}
