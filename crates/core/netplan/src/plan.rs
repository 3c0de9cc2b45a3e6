//! Operations on the kernel, as data.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use underlay_types::Family;

use crate::{Object, PodWiring};

/// One operation. Adding what is there and removing what is not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Makes an object exist.
    Add(Object),
    /// Makes the pair of devices of a pod, the far end in the pod's namespace. Not repeatable.
    AddPodDevice(PodWiring),
    /// Inside the pod: device up, address, gateway, default route.
    ConfigurePod(PodWiring),
    /// Deletes a device and waits until it is gone.
    DeleteDevice(String),
    /// Brings a device up with an MTU and, as a /32 that goes with the device, an address.
    RaiseDevice {
        /// The device.
        device: String,
        /// The address, where the device is to have one.
        address: Option<Ipv4Addr>,
        /// Bytes of a packet.
        mtu: u32,
    },
    /// Makes an object not exist.
    Remove(Object),
    /// Hands a pod's device to the reaper; its packets are dropped from now on.
    RetireDevice(String),
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
            Self::Remove(object) => Some(Self::Add(object.clone())),
            Self::ConfigurePod(_)
            | Self::DeleteDevice(_)
            | Self::RaiseDevice { .. }
            | Self::RetireDevice(_)
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
            Self::ConfigurePod(pod) => write!(
                f,
                "in the pod: {} up{}",
                pod.key.ifname,
                pod.inside().map(in_pod).collect::<String>()
            ),
            Self::DeleteDevice(device) => write!(f, "delete {device}"),
            Self::RaiseDevice {
                device,
                address,
                mtu,
            } => {
                write!(f, "set {device} up, mtu {mtu}")?;
                address.map_or(Ok(()), |address| write!(f, ", address {address}/32"))
            }
            Self::Remove(object) => write!(f, "remove {object}"),
            Self::RetireDevice(device) => write!(f, "retire {device}"),
            Self::Script(script) => write!(f, "nft:\n{script}"),
            Self::Sysctl { name, value } => write!(f, "set net/{name} to {value}"),
        }
    }
}

fn in_pod(address: IpAddr) -> String {
    let gateway = PodWiring::gateway(Family::of(address));
    format!(", address {}, default via {gateway}", IpNet::from(address))
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
                    add == too && one.is_element() == next.is_element()
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
