//! Calls as the agent's client sends them.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_ipam::{Grant, Place};
use underlay_types::{AttachmentId, EniId, PoolKey, SubnetId};

/// A call as the agent's client sends it.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Assign {
        eni: EniId,
        grant: Grant,
    },
    Attach {
        eni: EniId,
        place: Place,
    },
    Create(NewEni),
    Delete(EniId),
    Detach(AttachmentId),
    DescribeOne(EniId),
    /// The ENIs attached to the instance.
    DescribeAttached,
    /// The ENIs tagged for the instance.
    DescribeTagged,
    DescribeSubnets,
    SetDeleteOnTermination {
        eni: EniId,
        attachment: AttachmentId,
    },
    Unassign {
        eni: EniId,
        addresses: Vec<Ipv4Addr>,
        prefixes: Vec<Ipv4Net>,
    },
    UnassignIpv6 {
        eni: EniId,
        prefixes: Vec<Ipv6Net>,
    },
}

/// An ENI to be created.
#[derive(Debug, Clone)]
pub(crate) struct NewEni {
    pub(crate) pool: PoolKey,
    pub(crate) subnet: SubnetId,
    pub(crate) grant: Grant,
    pub(crate) ipv6_prefix: bool,
    pub(crate) token: String,
}

// === impl Request ===

impl Request {
    pub(crate) const fn action(&self) -> &'static str {
        match self {
            Self::Assign {
                grant: Grant::Ipv6Prefix,
                ..
            } => "AssignIpv6Addresses",
            Self::Assign { .. } => "AssignPrivateIpAddresses",
            Self::Attach { .. } => "AttachNetworkInterface",
            Self::Create(_) => "CreateNetworkInterface",
            Self::Delete(_) => "DeleteNetworkInterface",
            Self::Detach(_) => "DetachNetworkInterface",
            Self::DescribeOne(_) | Self::DescribeAttached | Self::DescribeTagged => {
                "DescribeNetworkInterfaces"
            }
            Self::DescribeSubnets => "DescribeSubnets",
            Self::SetDeleteOnTermination { .. } => "ModifyNetworkInterfaceAttribute",
            Self::UnassignIpv6 { .. } => "UnassignIpv6Addresses",
            Self::Unassign { .. } => "UnassignPrivateIpAddresses",
        }
    }

    /// Whether the client repeats it when it may have been carried out (`Replay::Harmless`).
    pub(crate) const fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Assign { .. } | Self::Attach { .. })
    }

    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Assign { eni, .. }
            | Self::Attach { eni, .. }
            | Self::Delete(eni)
            | Self::DescribeOne(eni)
            | Self::SetDeleteOnTermination { eni, .. }
            | Self::Unassign { eni, .. }
            | Self::UnassignIpv6 { eni, .. } => vec![eni.to_string()],
            Self::Create(_)
            | Self::Detach(_)
            | Self::DescribeSubnets
            | Self::DescribeAttached
            | Self::DescribeTagged => Vec::new(),
        }
    }

    /// Half of what it counts or lists, as `bins/vpc` halves calls.
    pub(super) fn half(&self) -> Option<Self> {
        match self {
            Self::Assign { eni, grant } if grant.places() > 1 => {
                let half = grant.places() / 2;
                let grant = match grant {
                    Grant::Addresses(_) => Grant::Addresses(half),
                    Grant::Prefixes(_) => Grant::Prefixes(half),
                    Grant::Ipv6Prefix => return None,
                };
                let eni = eni.clone();
                Some(Self::Assign { eni, grant })
            }
            Self::Unassign {
                eni,
                addresses,
                prefixes,
            } if addresses.len() + prefixes.len() > 1 => Some(Self::Unassign {
                eni: eni.clone(),
                addresses: addresses
                    .iter()
                    .take(addresses.len().div_ceil(2))
                    .copied()
                    .collect(),
                prefixes: prefixes.iter().take(prefixes.len() / 2).copied().collect(),
            }),
            _ => None,
        }
    }
}
