//! Things that must exist in the node's namespace.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{BranchIpv4, Family, Mac, VlanId};

/// A route of the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The table.
    pub table: u32,
    /// The destination.
    pub destination: IpNet,
    /// Where it leads.
    pub target: Target,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// To what is directly behind a device.
    Device(String),
    /// To a router on a device, taken to be on link.
    Router {
        /// The device.
        device: String,
        /// The router.
        router: IpAddr,
    },
    /// Nowhere: asked last, so that what belongs to an ENI that has no route never goes on to main.
    Unreachable,
}

/// Every destination of a family.
pub(crate) fn everywhere(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::default()),
        Family::V6 => IpNet::V6(Ipv6Net::default()),
    }
}

/// A rule of an agent of before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleOfBefore {
    /// Of which packets.
    pub family: Family,
    /// Where it stands.
    pub priority: u32,
    /// The mark,
    pub mark: u32,
    /// under this mask.
    pub mask: u32,
    /// The table.
    pub table: u32,
}

/// A thing that must exist in the node's namespace. Devices are called by their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A branch ENI that the programs at its trunk's device know.
    Branch {
        /// The trunk's device.
        device: String,
        /// The tag.
        vlan: VlanId,
        /// Its IPv4 address, and the router.
        ipv4: Option<BranchIpv4>,
        /// Its IPv6 address.
        ipv6: Option<Ipv6Addr>,
        /// Its Ethernet address.
        mac: Mac,
    },
    /// An ENI that pods use.
    Eni {
        /// The ENI's device.
        device: String,
    },
    /// A permanent neighbour, so that nobody asks for a pod's Ethernet address.
    Neighbour {
        /// The device.
        device: String,
        /// The pod's address.
        address: IpAddr,
        /// The Ethernet address of its end.
        mac: Mac,
    },
    /// A pod with an explicit group set: the node's addresses are guarded from it.
    PodExplicit {
        /// The pod's device.
        device: String,
    },
    /// What a pod may send: packets with its address, which leave by an ENI.
    PodMark {
        /// The pod's device.
        device: String,
        /// The pod's address.
        address: IpAddr,
        /// The ENI's mark.
        mark: u32,
    },
    /// The rules for what a pod sends to others of its set on this node.
    PodPolicy {
        /// The pod's device.
        device: String,
        /// The chain of its set.
        chain: String,
    },
    /// A route.
    Route(Route),
    /// A rule that sends packets with a mark to a table.
    Rule {
        /// Of which packets.
        family: Family,
        /// The mark, under the mask of ENI marks.
        mark: u32,
        /// The table.
        table: u32,
    },
    /// A rule of an agent of before at a priority where none has one any more. It is never wanted.
    RuleOfBefore(RuleOfBefore),
    /// A rule that leads what has a mark towards the rules of ENIs.
    Step {
        /// Of which packets.
        family: Family,
        /// The rule's priority.
        priority: u32,
        /// The mark,
        mark: u32,
        /// under this mask; 0 is all packets.
        mask: u32,
        /// The priority where it goes on; `None` is the next rule.
        to: Option<u32>,
    },
    /// The programs that put tags on and take them off, at a trunk's device.
    Tags {
        /// The device.
        device: String,
    },
}

impl Object {
    /// Whether nftables holds the object, and not the routing tables.
    #[must_use]
    pub const fn is_element(&self) -> bool {
        matches!(
            self,
            Self::Eni { .. }
                | Self::PodExplicit { .. }
                | Self::PodMark { .. }
                | Self::PodPolicy { .. }
        )
    }

    /// Whether eBPF programs, or their maps, are the object.
    #[must_use]
    pub const fn is_of_programs(&self) -> bool {
        matches!(self, Self::Branch { .. } | Self::Tags { .. })
    }

    /// The device that the object is about, if it is about one.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Branch { device, .. }
            | Self::Eni { device }
            | Self::Neighbour { device, .. }
            | Self::PodExplicit { device }
            | Self::PodMark { device, .. }
            | Self::PodPolicy { device, .. }
            | Self::Tags { device } => Some(device),
            Self::Route(route) => match &route.target {
                Target::Device(device) | Target::Router { device, .. } => Some(device),
                Target::Unreachable => None,
            },
            Self::Rule { .. } | Self::RuleOfBefore(_) | Self::Step { .. } => None,
        }
    }
}

impl fmt::Display for RuleOfBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            priority,
            mark,
            mask,
            table,
        } = self;
        write!(
            f,
            "{family} rule of an earlier agent {priority} mark {mark:#x}/{mask:#x} table {table}"
        )
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch {
                device,
                vlan,
                ipv4,
                ipv6,
                mac,
            } => {
                write!(f, "branch {mac}")?;
                if let Some(BranchIpv4 { address, router }) = ipv4 {
                    write!(f, " {address} router {router}")?;
                }
                if let Some(address) = ipv6 {
                    write!(f, " {address}")?;
                }
                write!(f, " VLAN {vlan} on {device}")
            }
            Self::Eni { device } => write!(f, "ENI {device}"),
            Self::Neighbour {
                device,
                address,
                mac,
            } => {
                write!(f, "neighbour {address} dev {device} lladdr {mac}")
            }
            Self::PodExplicit { device } => write!(f, "guard of the node from {device}"),
            Self::PodMark {
                device,
                address,
                mark,
            } => {
                write!(f, "mark {mark:#x} for {address} from {device}")
            }
            Self::PodPolicy { device, chain } => write!(f, "policy {chain} for {device}"),
            Self::Route(route) => fmt::Display::fmt(route, f),
            Self::Rule {
                family,
                mark,
                table,
            } => write!(f, "{family} rule mark {mark:#x} table {table}"),
            Self::RuleOfBefore(rule) => rule.fmt(f),
            Self::Step {
                family,
                priority,
                mark,
                mask,
                to,
            } => {
                write!(f, "{family} step {priority} mark {mark:#x}/{mask:#x}")?;
                to.map_or(Ok(()), |to| write!(f, " to {to}"))
            }
            Self::Tags { device } => write!(f, "programs for tags on {device}"),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Device(device) => write!(f, "route {} dev {device}", self.destination)?,
            Target::Router { device, router } => {
                write!(f, "route {} via {router} dev {device}", self.destination)?;
            }
            Target::Unreachable => write!(f, "route {} unreachable", self.destination)?,
        }
        write!(f, " table {}", self.table)
    }
}
