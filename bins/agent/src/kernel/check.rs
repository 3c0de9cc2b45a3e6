//! Compares what stands with what must.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd},
};

use underlay_netlink::{
    Family, IfIndex, KernelError, address,
    link::{self, Link},
    neighbour,
    route::{self, Kind},
    rule,
};
use underlay_netplan::{
    NodeState, PodWiring, diff,
    eni::EniInUse,
    numbers::{INSIDE_RULE_PRIORITY, INSIDE_TABLE_BASE},
    pod::{self, PodFact},
    steps,
    trunk::TrunkInUse,
};
use underlay_types::Interface;

use super::{
    Failure, Kernel, lock,
    observe::{Observed, is_link_local},
    wire::duplicate,
    workers::Context,
};

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
        let doing = format!("check pod {}", pod.key);
        let clean = |error| Failure::clean(&doing, error);
        let netns = duplicate(netns).map_err(clean)?;
        if let Some(eni) = pod.whole() {
            return self.check_owner(pod, eni, netns).map_err(clean);
        }
        let _topology = self.read_topology();
        let state = lock(&self.state).clone();
        let pod = state.on_trunk(pod);
        let checked = self
            .workers
            .run(move |context| all_differences(context, &state, &pod, netns.as_fd()));
        checked.and_then(|checked| checked).map_err(clean)
    }
}

/// The differences between what the pod must have and what it has.
pub(super) fn differences(
    context: &mut Context,
    pod: &PodWiring,
    netns: BorrowedFd<'_>,
) -> Result<Vec<String>, KernelError> {
    let observed = Observed::read(context)?;
    of_pod(context, &observed, pod, netns)
}

/// The same, and what the pod's ENI lacks: it shares that with other pods.
fn all_differences(
    context: &mut Context,
    state: &NodeState,
    pod: &PodWiring,
    netns: BorrowedFd<'_>,
) -> Result<Vec<String>, KernelError> {
    let observed = Observed::read(context)?;
    let mut lines = of_pod(context, &observed, pod, netns)?;
    let of_carrier = match &pod.interface {
        Interface::Shared | Interface::Whole(_) => {
            state.enis().get(&pod.eni).map(EniInUse::objects)
        }
        Interface::Branch(_) => state.trunk().map(TrunkInUse::objects),
    };
    match of_carrier {
        None => lines.push(format!("missing: the ENI in slot {}", pod.eni)),
        Some(objects) => {
            let families = pod.addresses.iter().map(Family::of);
            let steps = families.flat_map(steps::objects);
            let wanted = objects.into_iter().chain(steps).collect::<BTreeSet<_>>();
            let found = observed.objects.intersection(&wanted).cloned().collect();
            lines.extend(diff::describe(&wanted, &found));
        }
    }
    Ok(lines)
}

fn of_pod(
    context: &Context,
    observed: &Observed,
    pod: &PodWiring,
    netns: BorrowedFd<'_>,
) -> Result<Vec<String>, KernelError> {
    let device = pod.host_device();
    let found = observed
        .objects
        .iter()
        .filter(|object| pod::is_of(pod, object));
    let found = found.cloned().collect();
    let wanted = pod::objects(pod).into_iter().collect();
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

/// Adds what stands inside the pod of its device; returns the index of its device.
pub(super) fn inside(
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
        if found.dev == link.index && !is_link_local(found.address.addr()) {
            facts.insert(PodFact::Address(found.address));
        }
    }
    let apart = INSIDE_TABLE_BASE.saturating_add(link.index.0);
    for family in [Family::V4, Family::V6] {
        for found in neighbour::dump(&mut socket, family)? {
            if let (Some(mac), true) = (found.mac, found.permanent && found.dev == link.index) {
                facts.insert(PodFact::Neighbour(found.address, mac));
            }
        }
        for found in route::dump(&mut socket, family)? {
            let is_own = found.dev == Some(link.index) && found.kind == Kind::Unicast;
            let is_ours = is_own && !is_link_local(found.destination.addr());
            let fact = match found.table {
                route::MAIN => PodFact::Route,
                table if table == apart => PodFact::RouteApart,
                _ => continue,
            };
            if is_ours {
                facts.insert(fact(found.destination, found.gateway));
            }
        }
        if pod.is_second(family) {
            let rules = rule::dump(&mut socket, family)?.into_iter();
            let ours =
                rules.filter(|rule| rule.priority == INSIDE_RULE_PRIORITY && rule.table == apart);
            let sources = ours.filter_map(|rule| rule.source);
            facts.extend(sources.map(|source| PodFact::SourceRule(source.addr())));
        }
    }
    Ok(Some(link.index))
}
