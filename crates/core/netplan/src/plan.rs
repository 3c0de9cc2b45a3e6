//! Operations on the kernel, as data.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use underlay_types::{Family, WholeEni};

use crate::{Object, PodWiring, whole};

/// One operation. Adding what is there and removing what is not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Makes an object exist.
    Add(Object),
    /// Makes the pair of devices of a pod, the far end in the pod's namespace. Not repeatable.
    AddPodDevice(PodWiring),
    /// Inside the pod: device up, address, gateway, default route.
    ConfigurePod(PodWiring),
    /// Inside a pod that owns an ENI: device up, addresses, default routes, and what is closed.
    ConfigureOwner {
        /// The pod.
        pod: PodWiring,
        /// Its ENI.
        eni: WholeEni,
        /// Whether the pod may reach the instance metadata service.
        reaches_metadata: bool,
    },
    /// Deletes a device and waits until it is gone.
    DeleteDevice(String),
    /// Moves the device of an ENI into the pod that is to own it, under the name it has there.
    LendEni(PodWiring, WholeEni),
    /// Brings a device up with an MTU and, as one that goes with the device, an address.
    RaiseDevice {
        /// The device.
        device: String,
        /// The addresses that the device is to have, at most one of each family. That of IPv6 is a
        /// source for nothing that leaves by another device.
        addresses: Vec<IpAddr>,
        /// Bytes of a packet.
        mtu: u32,
    },
    /// Makes an object not exist.
    Remove(Object),
    /// Hands a pod's device to the reaper; its packets are dropped from now on.
    RetireDevice(String),
    /// Moves the device of an ENI back to the node, if the pod has it. What was configured of it is
    /// gone with that.
    ReturnEni(PodWiring, WholeEni),
    /// Carries out a script of `nft`, all or nothing.
    Script(String),
    /// Sets a value under /proc/sys/net.
    Sysctl {
        /// The path below /proc/sys/net.
        name: String,
        /// The value.
        value: String,
    },
}

impl Op {
    /// The object that the operation adds (`true`) or removes, if it does.
    #[must_use]
    pub fn change(&self) -> Option<(&Object, bool)> {
        match self {
            Self::Add(object) => Some((object, true)),
            Self::Remove(object) => Some((object, false)),
            _ => None,
        }
    }

    /// What takes the operation back. `None` where that is not needed (the inside of a pod goes
    /// with its device) or not wanted (what all pods share stays).
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        match self {
            Self::Add(object) => Some(Self::Remove(object.clone())),
            Self::AddPodDevice(pod) => Some(Self::DeleteDevice(pod.host_device())),
            Self::LendEni(pod, eni) => Some(Self::ReturnEni(pod.clone(), *eni)),
            Self::Remove(object) => Some(Self::Add(object.clone())),
            Self::ConfigureOwner { .. }
            | Self::ConfigurePod(_)
            | Self::DeleteDevice(_)
            | Self::RaiseDevice { .. }
            | Self::RetireDevice(_)
            | Self::ReturnEni(..)
            | Self::Script(_)
            | Self::Sysctl { .. } => None,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(object) => write!(f, "add {object}"),
            Self::AddPodDevice(pod) => write!(
                f,
                "add veth {} ({}) with peer {} ({}) in the pod, mtu {}",
                pod.host_device(),
                pod.host_mac(),
                pod.key.ifname,
                pod.pod_mac(),
                pod.mtu
            ),
            Self::ConfigureOwner {
                pod,
                reaches_metadata,
                ..
            } => {
                let ips: String = pod.ips().map(in_pod).collect();
                write!(f, "in the pod: {} up, mtu {}{ips}", pod.key.ifname, pod.mtu)?;
                whole::closed(pod, *reaches_metadata)
                    .try_for_each(|to| write!(f, ", {to} unreachable"))
            }
            Self::ConfigurePod(pod) => write!(
                f,
                "in the pod: {} up{}",
                pod.key.ifname,
                pod.inside()
                    .map(|own| in_pod((IpNet::from(own), PodWiring::gateway(Family::of(own)))))
                    .collect::<String>()
            ),
            Self::DeleteDevice(device) => write!(f, "delete {device}"),
            Self::LendEni(pod, eni) => {
                write!(f, "move {} into the pod as {}", eni.mac, pod.key.ifname)
            }
            Self::RaiseDevice {
                device,
                addresses,
                mtu,
            } => {
                write!(f, "set {device} up, mtu {mtu}")?;
                let mut addresses = addresses.iter().copied().map(IpNet::from);
                addresses.try_for_each(|address| write!(f, ", address {address}"))
            }
            Self::Remove(object) => write!(f, "remove {object}"),
            Self::RetireDevice(device) => write!(f, "retire {device}"),
            Self::ReturnEni(_, eni) => write!(f, "move {} back to the node", eni.mac),
            Self::Script(script) => write!(f, "nft:\n{script}"),
            Self::Sysctl { name, value } => write!(f, "set net/{name} to {value}"),
        }
    }
}

fn in_pod((address, gateway): (IpNet, IpAddr)) -> String {
    format!(", address {address}, default via {gateway}")
}

/// Operations in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan(pub Vec<Op>);

impl Plan {
    /// The operations in runs that can be sent to the kernel together: only like with like, so that
    /// the order of the plan holds. Each batch is one effect: it is there or it is not.
    pub fn batches(&self) -> impl Iterator<Item = &[Op]> {
        self.0
            .chunk_by(|one, next| match (one.change(), next.change()) {
                (Some((one, add)), Some((next, too))) => {
                    add == too
                        && one.is_element() == next.is_element()
                        && one.is_of_programs() == next.is_of_programs()
                }
                _ => false,
            })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for op in &self.0 {
            writeln!(f, "{op}")?;
        }
        Ok(())
    }
}

impl FromIterator<Op> for Plan {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        Self(ops.into_iter().collect())
    }
}
