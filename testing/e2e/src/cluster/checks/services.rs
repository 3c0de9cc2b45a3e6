//! Services and host ports from pods, from nodes and from elsewhere in the VPC.

use std::collections::BTreeSet;

use anyhow::ensure;

use super::{Pod, all_seen, pod_of, reason};
use crate::{
    cluster::kubernetes::{Kubernetes, WORKERS},
    screen::Screen,
};

/// Calls of one row: so many that each of 30 servers answers with all but certainty.
const CALLS: usize = 600;

/// A shell command that calls `url` again and again, each time by a new connection, and prints who
/// answered.
fn calls(url: &str, count: usize) -> String {
    format!(
        "curl --silent --show-error --fail --connect-timeout 10 --max-time 60 \
         --header 'Connection: close' --write-out '\\n' '{url}?[1-{count}]'"
    )
}

/// Who calls.
enum From<'a> {
    /// A pod.
    Pod(&'a Pod),
    /// A machine: the control plane is 0.
    Machine(usize),
}

pub(super) fn run(
    screen: &mut Screen,
    kubernetes: &Kubernetes,
    pods: &[Pod],
) -> anyhow::Result<()> {
    screen.step("Services and host ports");
    let all = servers(pods, None);
    let service = kubernetes.kubectl().get(&["service", "web"])?;
    let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
    for (name, _) in WORKERS {
        let client = From::Pod(pod_of(pods, "client", name)?);
        let url = "http://web.default.svc.cluster.local/hostname";
        let said = expect(kubernetes, &client, url, CALLS, &all);
        screen.check(
            format!("a pod on {name} reaches a Service by name"),
            reason(said),
        );
    }
    for (index, name) in [(1, "n1"), (2, "n2"), (0, "another instance")] {
        if index > 0 {
            let url = format!("http://{address}/hostname");
            let said = expect(kubernetes, &From::Machine(index), &url, CALLS, &all);
            screen.check(format!("{name} reaches a Service"), reason(said));
        }
        for (target, _) in WORKERS {
            ports(
                screen,
                kubernetes,
                pods,
                &From::Machine(index),
                (name, target),
            )?;
        }
    }
    for (name, _) in WORKERS {
        let client = From::Pod(pod_of(pods, "client", name)?);
        for (target, _) in WORKERS {
            let who = format!("a pod on {name}");
            ports(screen, kubernetes, pods, &client, (&who, target))?;
        }
    }
    Ok(())
}

/// The ports of the node `target`.
fn ports(
    screen: &mut Screen,
    kubernetes: &Kubernetes,
    pods: &[Pod],
    from: &From<'_>,
    (who, target): (&str, &str),
) -> anyhow::Result<()> {
    let machine = kubernetes
        .workers()
        .iter()
        .find(|one| one.node.name() == target);
    let Some(machine) = machine else {
        anyhow::bail!("no node {target}");
    };
    let node = machine.address;
    let own = pod_of(pods, "host-port", target)?;
    let own = BTreeSet::from([own.name.as_str()]);
    let url = format!("http://{node}:8085/hostname");
    let said = expect(kubernetes, from, &url, 20, &own);
    screen.check(
        format!("{who} reaches a host port of {target}"),
        reason(said),
    );
    let url = format!("http://{node}:30080/hostname");
    let said = expect(kubernetes, from, &url, CALLS, &servers(pods, None));
    screen.check(
        format!("{who} reaches a node port of {target}"),
        reason(said),
    );
    if matches!(from, From::Machine(0)) {
        let url = format!("http://{node}:30081/hostname");
        let near = servers(pods, Some(target));
        let said = expect(kubernetes, from, &url, CALLS, &near);
        screen.check(
            format!("{who} reaches only {target}'s pods where traffic is local"),
            reason(said),
        );
        let url = format!("http://{node}:30081/clientip");
        let said = source(kubernetes, from, &url);
        screen.check(
            format!("... and they see who it is ({target})"),
            reason(said),
        );
    }
    Ok(())
}

/// The servers' names: of all nodes, or of one.
fn servers<'a>(pods: &'a [Pod], node: Option<&str>) -> BTreeSet<&'a str> {
    let web = pods.iter().filter(|pod| pod.app == "web");
    let on = web.filter(|pod| node.is_none_or(|node| pod.node == node));
    on.map(|pod| pod.name.as_str()).collect()
}

/// Calls `url` and expects answers from each of `wanted`, and nobody else.
fn expect(
    kubernetes: &Kubernetes,
    from: &From<'_>,
    url: &str,
    count: usize,
    wanted: &BTreeSet<&str>,
) -> anyhow::Result<()> {
    let printed = shell(kubernetes, from, &calls(url, count))?;
    let seen: BTreeSet<&str> = printed.split_whitespace().collect();
    all_seen(&seen, wanted)
}

/// The servers must see the caller's own address.
fn source(kubernetes: &Kubernetes, from: &From<'_>, url: &str) -> anyhow::Result<()> {
    let printed = shell(kubernetes, from, &calls(url, 20))?;
    let own = match from {
        From::Pod(pod) => pod.address,
        From::Machine(index) => kubernetes.cluster.nodes[*index].address,
    };
    let own = format!("{own}:");
    let mut lines = printed.lines().filter(|line| !line.is_empty());
    ensure!(
        lines.all(|line| line.starts_with(&own)),
        "seen as {printed}"
    );
    Ok(())
}

fn shell(kubernetes: &Kubernetes, from: &From<'_>, command: &str) -> anyhow::Result<String> {
    match from {
        From::Pod(pod) => kubernetes.kubectl().shell(&pod.name, command),
        From::Machine(index) => {
            let node = &kubernetes.cluster.nodes[*index].node;
            node.output("/bin/sh", &["-c", command])
        }
    }
}
