//! Services and host ports from pods, from nodes and from elsewhere in the VPC.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, ensure};
use underlay_testkit::ClusterNode;
use underlay_types::Family;

use super::{FAMILIES, Pod, all_seen, parse_all, pod_of, reason};
use crate::{
    cluster::{
        control_plane::DNS_ADDRESSES,
        kubernetes::{Kubernetes, WORKERS},
    },
    screen::Screen,
};

/// Calls of one row: so many that each of 30 servers answers with all but certainty.
const CALLS: usize = 600;

/// A shell command that calls `url` by `family` again and again, each time by a new connection, and
/// prints who answered.
fn calls(url: &str, count: usize, family: Family) -> String {
    format!(
        "curl --{} --silent --show-error --fail --connect-timeout 10 --max-time 60 \
         --header 'Connection: close' --write-out '\\n' '{url}?[1-{count}]'",
        family.to_string().to_lowercase()
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
    for family in FAMILIES {
        screen.step(&format!("Services and host ports, {family}"));
        let case = Case {
            kubernetes,
            pods,
            family,
        };
        case.names(screen)?;
        case.machines(screen)?;
        for (name, _) in WORKERS {
            let client = From::Pod(pod_of(pods, "client", name)?);
            for (target, _) in WORKERS {
                case.ports(screen, &client, (&format!("a pod on {name}"), target))?;
            }
        }
    }
    Ok(())
}

/// The checks of one family.
#[derive(Clone, Copy)]
struct Case<'a> {
    kubernetes: &'a Kubernetes,
    pods: &'a [Pod],
    family: Family,
}

impl Case<'_> {
    /// Services by name, from pods.
    fn names(self, screen: &mut Screen) -> anyhow::Result<()> {
        let all = servers(self.pods, None);
        for (name, _) in WORKERS {
            let client = From::Pod(pod_of(self.pods, "client", name)?);
            let url = "http://web.default.svc.cluster.local/hostname";
            let said = self.expect(&client, url, CALLS, &all);
            screen.check(
                format!("a pod on {name} reaches a Service by name"),
                reason(said),
            );
            screen.check(
                format!("a pod on {name} asks the name server by {}", self.family),
                reason(self.resolves(&client)),
            );
        }
        Ok(())
    }

    /// The name server, reached by this family, knows the Service's addresses of both.
    fn resolves(self, client: &From<'_>) -> anyhow::Result<()> {
        let server = DNS_ADDRESSES[usize::from(self.family == Family::V6)];
        let dig = |kind| {
            format!("dig +short +time=5 +tries=6 @{server} {kind} web.default.svc.cluster.local")
        };
        let printed = shell(
            self.kubernetes,
            client,
            &format!("{}; {}", dig("A"), dig("AAAA")),
        )?;
        let found: BTreeSet<&str> = printed.split_whitespace().collect();
        let wanted: Vec<String> = self.cluster_ips()?.iter().map(IpAddr::to_string).collect();
        all_seen(&found, &wanted.iter().map(String::as_str).collect())
    }

    fn cluster_ips(self) -> anyhow::Result<Vec<IpAddr>> {
        let service = self.kubernetes.kubectl().get(&["service", "web"])?;
        parse_all(&service["spec"]["clusterIPs"], |one| one)
    }

    /// Everything from machines.
    fn machines(self, screen: &mut Screen) -> anyhow::Result<()> {
        let own = |address: &IpAddr| Family::of(*address) == self.family;
        let address = self.cluster_ips()?.into_iter().find(own);
        let address = address.with_context(|| format!("a Service without {}", self.family))?;
        let all = servers(self.pods, None);
        for (index, name) in [(1, "n1"), (2, "n2"), (0, "another instance")] {
            let from = From::Machine(index);
            if index > 0 {
                let url = format!("http://{}/hostname", SocketAddr::from((address, 80)));
                let said = self.expect(&from, &url, CALLS, &all);
                screen.check(format!("{name} reaches a Service"), reason(said));
            }
            for (target, _) in WORKERS {
                self.ports(screen, &from, (name, target))?;
            }
        }
        Ok(())
    }

    /// The ports of the node `target`.
    fn ports(
        self,
        screen: &mut Screen,
        from: &From<'_>,
        (who, target): (&str, &str),
    ) -> anyhow::Result<()> {
        let mut machines = self.kubernetes.workers().iter();
        let machine = machines.find(|one| one.node.name() == target);
        let machine = machine.with_context(|| format!("no node {target}"))?;
        let address = address_of(machine, self.family)?;
        let url = |port, path| format!("http://{}/{path}", SocketAddr::from((address, port)));
        let own = pod_of(self.pods, "host-port", target)?;
        let own = BTreeSet::from([own.name.as_str()]);
        let said = self.expect(from, &url(8085, "hostname"), 20, &own);
        screen.check(
            format!("{who} reaches a host port of {target}"),
            reason(said),
        );
        let all = servers(self.pods, None);
        let said = self.expect(from, &url(30080, "hostname"), CALLS, &all);
        screen.check(
            format!("{who} reaches a node port of {target}"),
            reason(said),
        );
        if matches!(from, From::Machine(0)) {
            let near = servers(self.pods, Some(target));
            let said = self.expect(from, &url(30081, "hostname"), CALLS, &near);
            screen.check(
                format!("{who} reaches only {target}'s pods where traffic is local"),
                reason(said),
            );
            let said = self.source(from, &url(30081, "clientip"));
            screen.check(
                format!("... and they see who it is ({target})"),
                reason(said),
            );
        }
        Ok(())
    }

    /// Calls `url` and expects answers from each of `wanted`, and nobody else.
    fn expect(
        self,
        from: &From<'_>,
        url: &str,
        count: usize,
        wanted: &BTreeSet<&str>,
    ) -> anyhow::Result<()> {
        let printed = shell(self.kubernetes, from, &calls(url, count, self.family))?;
        let seen: BTreeSet<&str> = printed.split_whitespace().collect();
        all_seen(&seen, wanted)
    }

    /// The servers must see the caller's own address.
    fn source(self, from: &From<'_>, url: &str) -> anyhow::Result<()> {
        let printed = shell(self.kubernetes, from, &calls(url, 20, self.family))?;
        let own = match from {
            From::Pod(pod) => pod.address(self.family),
            From::Machine(index) => {
                address_of(&self.kubernetes.cluster.nodes[*index], self.family)?
            }
        };
        let mut lines = printed.lines().filter(|line| !line.is_empty());
        let is_own = |line: &str| line.parse().is_ok_and(|seen: SocketAddr| seen.ip() == own);
        ensure!(lines.all(is_own), "seen as {printed}, not {own}");
        Ok(())
    }
}

/// A machine's own address.
fn address_of(machine: &ClusterNode, family: Family) -> anyhow::Result<IpAddr> {
    match family {
        Family::V4 => Ok(machine.address.into()),
        Family::V6 => {
            let own = machine.ipv6.map(IpAddr::V6);
            own.with_context(|| format!("{} has no IPv6 address", machine.node.name()))
        }
    }
}

/// The servers' names: of all nodes, or of one.
fn servers<'a>(pods: &'a [Pod], node: Option<&str>) -> BTreeSet<&'a str> {
    let web = pods.iter().filter(|pod| pod.app == "web");
    let on = web.filter(|pod| node.is_none_or(|node| pod.node == node));
    on.map(|pod| pod.name.as_str()).collect()
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
