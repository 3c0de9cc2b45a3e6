//! Compares what stands with what must.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
};

use ipnet::{IpNet, Ipv4Net};
use underlay_netlink::{
    Family, IfIndex, KernelError, address,
    link::{self, Link},
    neighbour,
    route::{self, Kind},
};
use underlay_netplan::{
    NodeState, Object, PodWiring, diff,
    pod::{self, PodFact},
};

use super::{Failure, Kernel, failure::refused, lock, observe::Observed, workers::Context};

impl Kernel {
    /// Compares what stands in the kernel with what must; one line of text for each difference.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn check_pod(
        &self,
        pod: &PodWiring,
        netns: BorrowedFd<'_>,
    ) -> Result<Vec<String>, Failure> {
        let clean = |error| Failure::clean(format!("check pod {}", pod.key), error);
        let _topology = self.read_topology();
        let (state, pod) = (lock(&self.state).clone(), pod.clone());
        let netns = netns.try_clone_to_owned().map_err(|error| {
            clean(refused(
                "duplicate",
                "namespace descriptor",
                error.to_string(),
            ))
        })?;
        let checked = self
            .workers
            .run(move |context| differences(context, &state, &pod, netns.as_fd()));
        checked.and_then(|checked| checked).map_err(clean)
    }
}

/// The differences between what the pod must have and what it has.
pub(super) fn differences(
    context: &mut Context,
    state: &NodeState,
    pod: &PodWiring,
    netns: BorrowedFd<'_>,
) -> Result<Vec<String>, KernelError> {
    let observed = Observed::read(context)?;
    let device = pod.host_device();
    let own = Ipv4Net::from(pod.address);
    let is_of_pod = |object: &Object| {
        let leads_to_it = matches!(object, Object::Route(route) if route.destination == own);
        leads_to_it || object.device() == Some(&device)
    };
    let found = observed.objects.into_iter().filter(is_of_pod).collect();
    let wanted = pod::objects(state, pod).into_iter().collect();
    let mut lines = diff::describe(&wanted, &found);

    let mut facts = BTreeSet::new();
    let host = observed.pod_devices.get(&device);
    facts.extend(host.map(device_fact));
    let inside = inside(context, pod, netns, &mut facts)?;
    lines.extend(diff::describe(
        &pod::facts(pod).into_iter().collect(),
        &facts,
    ));
    if let (Some(host), Some(inside)) = (host, inside)
        && host.peer != Some(inside)
    {
        lines.push(format!(
            "{} in the pod is not the other end of {device}",
            pod.key.ifname
        ));
    }
    Ok(lines)
}

fn device_fact(link: &Link) -> PodFact {
    PodFact::Device {
        name: link.name.clone(),
        mac: link.mac.unwrap_or(underlay_types::Mac([0; 6])),
        mtu: link.mtu,
        up: link.up,
        group: link.group,
    }
}

/// Adds what stands inside the pod; returns the index of its device.
fn inside(
    context: &Context,
    pod: &PodWiring,
    netns: BorrowedFd<'_>,
    facts: &mut BTreeSet<PodFact>,
) -> Result<Option<IfIndex>, KernelError> {
    let mut socket = context.socket_in(netns)?;
    let link = match link::by_name(&mut socket, pod.key.ifname.as_str()) {
        Ok(link) => link,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    facts.insert(device_fact(&link));
    for found in address::dump(&mut socket)? {
        if let IpNet::V4(address) = found.address
            && found.dev == link.index
        {
            facts.insert(PodFact::Address(address));
        }
    }
    for found in neighbour::dump(&mut socket, Family::V4)? {
        if let (IpAddr::V4(address), Some(mac), true) = (
            found.address,
            found.mac,
            found.permanent && found.dev == link.index,
        ) {
            facts.insert(PodFact::Neighbour(address, mac));
        }
    }
    for found in route::dump(&mut socket, Family::V4)? {
        let is_own = found.table == route::MAIN && found.dev == Some(link.index);
        let router = match found.gateway {
            None => None,
            Some(IpAddr::V4(router)) => Some(router),
            Some(IpAddr::V6(_)) => continue,
        };
        if let (IpNet::V4(to), Kind::Unicast, true) = (found.destination, found.kind, is_own) {
            facts.insert(PodFact::Route(to, router));
        }
    }
    Ok(Some(link.index))
}
