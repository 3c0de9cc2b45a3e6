//! Elastic network interfaces and their attachments.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use underlay_types::{
    AttachmentId, EniId, InstanceId, Mac, SecurityGroupId, SubnetId, Timestamp, VpcId,
};

use crate::{AvailabilityZone, ConnectionTracking, Tags};

/// An elastic network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eni {
    /// Its id.
    pub id: EniId,
    /// Its subnet's VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its subnet's availability zone.
    pub zone: AvailabilityZone,
    /// Its Ethernet address.
    pub mac: Mac,
    /// What its creator wrote about it.
    pub description: String,
    /// Its security groups, sorted, without duplicates; at least one, but for a NAT gateway's,
    /// which has none.
    pub groups: Vec<SecurityGroupId>,
    /// What kind of interface it is.
    pub interface_type: InterfaceType,
    /// Who created it when that was a service; `None` for the account itself.
    pub requester: Option<String>,
    /// Whether it may only send and receive packets that are its own.
    pub source_dest_check: bool,
    /// How long its flows are tracked while idle.
    pub tracking: ConnectionTracking,
    /// Its addresses, as the VPC delivers them.
    pub addresses: EniAddresses,
    /// Whether it is still being made.
    pub pending: bool,
    /// What it is attached to.
    pub attachment: Option<Attachment>,
    /// Its tags.
    pub tags: Tags,
}

/// The addresses of an interface. All lie in its subnet, and no two interfaces share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniAddresses {
    /// The primary address, which stays for life.
    pub primary: Ipv4Addr,
    /// The secondary addresses, in the order in which they were assigned.
    pub secondary: Vec<Ipv4Addr>,
    /// The /28 prefixes, in the order in which they were assigned.
    pub prefixes: Vec<Ipv4Net>,
    /// The IPv6 addresses, in the order in which they were assigned.
    pub v6: Vec<Ipv6Addr>,
    /// The one of `v6` that stays while the interface is attached, if there is such a one.
    pub primary_v6: Option<Ipv6Addr>,
    /// The /80 prefixes, in the order in which they were assigned.
    pub v6_prefixes: Vec<Ipv6Net>,
}

impl EniAddresses {
    /// Whether `address` is one of these, or within one of the prefixes.
    #[must_use]
    pub fn contains(&self, address: impl Into<IpAddr>) -> bool {
        match address.into() {
            IpAddr::V4(address) => {
                self.primary == address
                    || self.secondary.contains(&address)
                    || self.prefixes.iter().any(|prefix| prefix.contains(&address))
            }
            IpAddr::V6(address) => {
                self.v6.contains(&address)
                    || self
                        .v6_prefixes
                        .iter()
                        .any(|prefix| prefix.contains(&address))
            }
        }
    }

    /// The addresses of both families, the primary one first; none of the prefixes' members.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = std::iter::once(self.primary).chain(self.secondary.iter().copied());
        let v6 = self.v6.iter().copied();
        v4.map(IpAddr::V4).chain(v6.map(IpAddr::V6))
    }

    /// All of these as blocks: addresses and prefixes.
    pub fn blocks(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.prefixes.iter().copied().map(IpNet::V4);
        let v6 = self.v6_prefixes.iter().copied().map(IpNet::V6);
        self.iter().map(IpNet::from).chain(v4).chain(v6)
    }

    /// How many of the interface's IPv4 slots are taken: a prefix takes one.
    #[must_use]
    pub fn slots(&self) -> usize {
        1 + self.secondary.len() + self.prefixes.len()
    }

    /// How many of the interface's IPv6 slots are taken: a prefix takes one.
    #[must_use]
    pub fn v6_slots(&self) -> usize {
        self.v6.len() + self.v6_prefixes.len()
    }
}

/// Where an interface is in its life. See [`Eni::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EniStatus {
    /// Being made.
    Pending,
    /// Carried by a trunk interface.
    Associated,
    /// Attached to nothing.
    Available,
    /// On its way to an instance.
    Attaching,
    /// Attached.
    InUse,
    /// On its way from an instance.
    Detaching,
}

impl EniStatus {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Associated => "associated",
            Self::Available => "available",
            Self::Attaching => "attaching",
            Self::InUse => "in-use",
            Self::Detaching => "detaching",
        }
    }
}

/// What kind of interface an ENI is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceType {
    /// One that a trunk interface is to carry, or carries.
    Branch,
    /// An ordinary one.
    Interface,
    /// That of a NAT gateway.
    NatGateway,
    /// One that can carry branch interfaces.
    Trunk,
    /// One that a service placed here for an endpoint.
    VpcEndpoint,
}

impl InterfaceType {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Interface => "interface",
            Self::NatGateway => "nat_gateway",
            Self::Trunk => "trunk",
            Self::VpcEndpoint => "vpc_endpoint",
        }
    }
}

/// An interface's attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// What the interface is attached to.
    pub holder: AttachmentHolder,
    /// The slot on the network card; 0 on card 0 is the primary interface.
    pub device_index: u32,
    /// The network card.
    pub network_card: u32,
    /// How far attaching or detaching has come.
    pub status: AttachmentStatus,
    /// When the interface was attached, by the Unix clock.
    pub attach_time: Timestamp,
    /// Whether the interface is deleted with the instance.
    pub delete_on_termination: bool,
}

impl Attachment {
    /// The instance, if the holder is one.
    #[must_use]
    pub fn instance(&self) -> Option<&InstanceId> {
        match &self.holder {
            AttachmentHolder::Instance(id) => Some(id),
            AttachmentHolder::External { .. } | AttachmentHolder::Trunk(_) => None,
        }
    }
}

/// What an interface is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachmentHolder {
    /// An instance of this account.
    Instance(InstanceId),
    /// Something that is not an instance, such as a managed database's host.
    External {
        /// The account or service that owns it, shown as `instanceOwnerId`.
        owner: String,
    },
    /// A trunk interface that carries it. The API shows no attachment.
    Trunk(EniId),
}

/// How far attaching or detaching has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachmentStatus {
    /// Asked for.
    Attaching,
    /// Done.
    Attached,
    /// Going away.
    Detaching,
}

impl AttachmentStatus {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
        }
    }
}

// === impl Eni ===

impl Eni {
    /// Where it is in its life, as `Status` of DescribeNetworkInterfaces shows it.
    ///
    /// EC2 shows `in-use` from the attach call on; the attachment's status tells the rest.
    #[must_use]
    pub fn status(&self) -> EniStatus {
        match self.attachment.as_ref().map(|attachment| attachment.status) {
            None if self.pending => EniStatus::Pending,
            Some(_) if self.shown_attachment().is_none() => EniStatus::Associated,
            None => EniStatus::Available,
            Some(AttachmentStatus::Attaching | AttachmentStatus::Attached) => EniStatus::InUse,
            Some(AttachmentStatus::Detaching) => EniStatus::Detaching,
        }
    }

    /// What kind of interface the API shows: one that a trunk carries is a branch.
    #[must_use]
    pub fn shown_type(&self) -> InterfaceType {
        match self.attachment.as_ref().map(|held| &held.holder) {
            Some(AttachmentHolder::Trunk(_)) => InterfaceType::Branch,
            _ => self.interface_type,
        }
    }

    /// The attachment that the API shows: to an instance or something else, not to a trunk.
    #[must_use]
    pub fn shown_attachment(&self) -> Option<&Attachment> {
        let held = self.attachment.as_ref();
        held.filter(|held| !matches!(held.holder, AttachmentHolder::Trunk(_)))
    }

    /// The instance it is attached to, or on its way to or from.
    #[must_use]
    pub fn instance(&self) -> Option<&InstanceId> {
        self.attachment.as_ref().and_then(Attachment::instance)
    }

    /// Whether it is attached, and neither on its way in nor out. Its device is there only while its
    /// instance has power: [`Model::is_live`](crate::Model::is_live) says.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attachment
            .as_ref()
            .is_some_and(|attachment| attachment.status == AttachmentStatus::Attached)
    }
}
