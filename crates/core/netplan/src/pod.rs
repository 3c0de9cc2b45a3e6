//! Pods: what each needs on the node and in its own namespace.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use underlay_types::{Family, Interface, Mac, PoolGroups};

use crate::{
    EniSlot, NodeState, Object, Op, Plan, PodWiring, branch, names,
    numbers::MAIN_TABLE,
    object::{Route, Target, everywhere},
};

/// The pod's routes in `table`.
fn routes(pod: &PodWiring, table: u32) -> impl Iterator<Item = Object> + use<> {
    let device = pod.host_device();
    let routed = pod.addresses.iter();
    // Answers from outside come to the node, which looks in main; no pod may call the address.
    let egress = pod.egress.filter(|_| table == MAIN_TABLE);
    routed.chain(egress.map(IpAddr::V4)).map(move |address| {
        Object::Route(Route {
            table,
            destination: IpNet::from(address),
            target: Target::Device(device.clone()),
        })
    })
}

/// Everything that the pod needs on the node besides its device, in the order of its coming:
/// what decides over its packets before what brings packets to it, main last.
#[must_use]
pub fn objects(pod: &PodWiring) -> Vec<Object> {
    let device = pod.host_device();
    let mut objects = Vec::new();
    if let PoolGroups::Exactly(set) = &pod.groups {
        objects.push(Object::PodExplicit {
            device: device.clone(),
        });
        objects.push(Object::PodPolicy {
            device: device.clone(),
            chain: names::set_chain(set),
        });
    }
    if let Interface::Branch(branch) = &pod.interface {
        objects.extend(branch::objects(pod, branch));
    }
    objects.extend(pod.inside().map(|address| Object::PodMark {
        device: device.clone(),
        address,
        mark: pod.eni.mark(),
    }));
    // With the routes, so that both are one message to the kernel.
    objects.extend(pod.inside().map(|address| Object::Neighbour {
        device: device.clone(),
        address,
        mac: pod.pod_mac(),
    }));
    let tables = pod.meets().map(names::set_table).into_iter();
    objects.extend(
        tables
            .chain([MAIN_TABLE])
            .flat_map(|table| routes(pod, table)),
    );
    objects
}

/// Whether an object that stands on the node is this pod's.
#[must_use]
pub fn is_of(pod: &PodWiring, object: &Object) -> bool {
    let of_branch = pod.interface.branch().is_some() && branch::is_of(pod, object);
    let leads_to_it = matches!(object, Object::Route(route)
        if pod.inside().any(|address| IpNet::from(address) == route.destination));
    of_branch || leads_to_it || object.device() == Some(&pod.host_device())
}

/// Wires a pod. Each operation can be taken back, in the reverse order.
///
/// # Errors
/// When the pod's ENI is not in use, or carries other groups than the pod must have; for a pod with
/// a branch ENI, when there is no trunk.
pub fn wire(state: &NodeState, pod: &PodWiring) -> Result<Plan, WrongEni> {
    match (&pod.interface, state.enis().get(&pod.eni)) {
        (Interface::Branch(_), _) if state.trunk().is_none() => return Err(WrongEni::NoTrunk),
        (Interface::Branch(_), _) => {}
        (_, Some(eni)) if eni.wiring.groups == pod.groups => {}
        (_, Some(_)) => return Err(WrongEni::OtherGroups(pod.eni)),
        (_, None) => return Err(WrongEni::NotInUse(pod.eni)),
    }
    let pod = &state.on_trunk(pod);
    let mut ops = vec![Op::AddPodDevice(pod.clone()), Op::ConfigurePod(pod.clone())];
    ops.extend(objects(pod).into_iter().map(Op::Add));
    Ok(Plan(ops))
}

/// Takes a pod off the network; its device remains, retired.
#[must_use]
pub fn unwire(pod: &PodWiring) -> Plan {
    let mut ops: Vec<_> = objects(pod).into_iter().map(Op::Remove).collect();
    ops.reverse();
    ops.push(Op::RetireDevice(pod.host_device()));
    Plan(ops)
}

/// Why a pod cannot be wired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongEni {
    /// No ENI is in use in the slot.
    #[error("the ENI in slot {0} is not in use")]
    NotInUse(EniSlot),
    /// There is no device that a branch ENI's frames could leave by.
    #[error("the trunk ENI is not in use")]
    NoTrunk,
    /// The ENI in the slot is not for this pod.
    #[error("the ENI in slot {0} carries other groups than the pod")]
    OtherGroups(EniSlot),
}

/// A fact about a pod's pair of devices or the inside of its namespace, for CHECK.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodFact {
    /// An address of the pod's end.
    Address(IpNet),
    /// What the pod must not reach.
    Closed(IpNet),
    /// A device: the node's end or the pod's.
    Device {
        /// Its name.
        name: String,
        /// Its Ethernet address.
        mac: Mac,
        /// Bytes of a packet.
        mtu: u32,
        /// Whether it is up.
        up: bool,
        /// Its group.
        group: u32,
    },
    /// A permanent neighbour of the pod's end.
    Neighbour(IpAddr, Mac),
    /// A route of the pod's end.
    Route(IpNet, Option<IpAddr>),
    /// A route of the pod's end in the table of its own.
    RouteApart(IpNet, Option<IpAddr>),
    /// The rule that sends an address of the pod's end to that table.
    SourceRule(IpAddr),
}

impl fmt::Display for PodFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address} in the pod"),
            Self::Closed(to) => write!(f, "route {to} unreachable in the pod"),
            Self::Device {
                name,
                mac,
                mtu,
                up,
                group,
            } => {
                let up = if *up { "up" } else { "down" };
                write!(f, "device {name} {mac} mtu {mtu} {up} group {group:#x}")
            }
            Self::Neighbour(address, mac) => write!(f, "neighbour {address} {mac} in the pod"),
            Self::Route(to, None) => write!(f, "route {to} in the pod"),
            Self::Route(to, Some(router)) => write!(f, "route {to} via {router} in the pod"),
            Self::RouteApart(to, None) => write!(f, "route {to} in a table of its own in the pod"),
            Self::RouteApart(to, Some(router)) => {
                write!(
                    f,
                    "route {to} via {router} in a table of its own in the pod"
                )
            }
            Self::SourceRule(address) => write!(f, "rule from {address} in the pod"),
        }
    }
}

/// What must hold of the pod's devices and inside its namespace.
#[must_use]
pub fn facts(pod: &PodWiring) -> Vec<PodFact> {
    let device = |name, mac, group| PodFact::Device {
        name,
        mac,
        mtu: pod.mtu,
        up: true,
        group,
    };
    let mut facts = vec![
        device(pod.host_device(), pod.host_mac(), crate::numbers::POD_GROUP),
        device(pod.key.ifname.to_string(), pod.pod_mac(), 0),
    ];
    for address in pod.inside() {
        let family = Family::of(address);
        let gateway = PodWiring::gateway(family);
        facts.extend([
            PodFact::Address(IpNet::from(address)),
            PodFact::Neighbour(gateway, pod.host_mac()),
        ]);
        let route = if pod.is_second(family) {
            facts.push(PodFact::SourceRule(address));
            PodFact::RouteApart
        } else {
            PodFact::Route
        };
        facts.push(route(everywhere(family), Some(gateway)));
        // A link-local gateway of IPv6 is on its device's link without a route.
        if family == Family::V4 {
            facts.push(route(IpNet::from(gateway), None));
        }
    }
    facts
}
