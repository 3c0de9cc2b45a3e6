//! Pods: what each needs on the node and in its own namespace.

use std::fmt;

use ipnet::Ipv4Net;
use underlay_types::{Mac, PoolGroups};

use crate::{
    EniSlot, NodeState, Object, Op, Plan, PodWiring, names,
    numbers::MAIN_TABLE,
    object::{Route, Target},
};

/// An address as a block of one.
fn alone(address: std::net::Ipv4Addr) -> Ipv4Net {
    Ipv4Net::from(address)
}

/// The pod's route in `table`.
pub(crate) fn route(pod: &PodWiring, table: u32) -> Object {
    Object::Route(Route {
        table,
        destination: alone(pod.address),
        target: Target::Device(pod.host_device()),
    })
}

/// Everything that the pod needs on the node besides its device, in the order of its coming:
/// what decides over its packets before what brings packets to it, main last.
#[must_use]
pub fn objects(state: &NodeState, pod: &PodWiring) -> Vec<Object> {
    let device = pod.host_device();
    let mut objects = vec![Object::Neighbour {
        device: device.clone(),
        address: pod.address,
        mac: pod.pod_mac(),
    }];
    if let PoolGroups::Exactly(set) = &pod.groups {
        objects.push(Object::PodExplicit {
            device: device.clone(),
        });
        objects.push(Object::PodPolicy {
            device: device.clone(),
            chain: names::set_chain(set),
        });
    }
    objects.push(Object::PodMark {
        device,
        address: pod.address,
        mark: pod.eni.mark(),
    });
    let tables = state.tables_of(&pod.groups);
    objects.extend(tables.chain([MAIN_TABLE]).map(|table| route(pod, table)));
    objects
}

/// Wires a pod. Each operation can be taken back, in the reverse order.
///
/// # Errors
/// When the pod's ENI is not in use, or carries other groups than the pod must have.
pub fn wire(state: &NodeState, pod: &PodWiring) -> Result<Plan, WrongEni> {
    match state.enis().get(&pod.eni) {
        Some(eni) if eni.wiring.groups == pod.groups => {}
        other => {
            return Err(WrongEni {
                slot: pod.eni,
                is_used: other.is_some(),
            });
        }
    }
    let mut ops = vec![Op::AddPodDevice(pod.clone()), Op::ConfigurePod(pod.clone())];
    ops.extend(objects(state, pod).into_iter().map(Op::Add));
    Ok(Plan(ops))
}

/// Takes a pod off the network; its device remains, retired.
#[must_use]
pub fn unwire(state: &NodeState, pod: &PodWiring) -> Plan {
    let mut ops: Vec<_> = objects(state, pod).into_iter().map(Op::Remove).collect();
    ops.reverse();
    ops.push(Op::RetireDevice(pod.host_device()));
    Plan(ops)
}

/// Why a pod cannot be wired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ENI in slot {slot} {}", if *is_used { "carries other groups than the pod" } else { "is not in use" })]
pub struct WrongEni {
    /// The slot.
    pub slot: EniSlot,
    /// Whether an ENI is in use there.
    pub is_used: bool,
}

/// A fact about a pod's pair of devices or the inside of its namespace, for CHECK.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodFact {
    /// An address of the pod's end.
    Address(Ipv4Net),
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
    Neighbour(std::net::Ipv4Addr, Mac),
    /// A route of the pod's end.
    Route(Ipv4Net, Option<std::net::Ipv4Addr>),
}

impl fmt::Display for PodFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address} in the pod"),
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
    vec![
        PodFact::Address(alone(pod.address)),
        device(pod.host_device(), pod.host_mac(), crate::numbers::POD_GROUP),
        device(pod.key.ifname.to_string(), pod.pod_mac(), 0),
        PodFact::Neighbour(PodWiring::GATEWAY, pod.host_mac()),
        PodFact::Route(Ipv4Net::default(), Some(PodWiring::GATEWAY)),
        PodFact::Route(alone(PodWiring::GATEWAY), None),
    ]
}
