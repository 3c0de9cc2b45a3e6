//! What EC2 answers, as the parts of it that a node needs.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use underlay_types::{
    AttachmentId, EniId, InstanceId, Mac, SecurityGroupId, SecurityGroupRuleId, SubnetId, VpcId,
};

/// Tags of a resource, by key.
pub type Tags = BTreeMap<String, String>;

/// An ENI to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInterface {
    /// The subnet its addresses come from.
    pub subnet: SubnetId,
    /// The groups it carries; empty means the VPC's default group.
    pub groups: Vec<SecurityGroupId>,
    /// Shown in the console.
    pub description: String,
    /// Put on the ENI in the same call, so that none exists without its owner's tag.
    pub tags: Tags,
    /// A repeated request with this token answers the same ENI; 1 to 64 ASCII characters.
    pub client_token: String,
    /// IPv4 addresses to assign at once, besides the primary one.
    pub ipv4: Ipv4Grant,
    /// IPv6 prefixes, /80, to assign at once.
    pub ipv6_prefixes: u32,
}

/// IPv4 addresses for an ENI, chosen by EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4Grant {
    /// That many secondary addresses.
    Addresses(u32),
    /// That many /28 prefixes.
    Prefixes(u32),
}

/// What EC2 assigned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Secondary addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// /28 prefixes.
    pub prefixes: Vec<Ipv4Net>,
}

/// Where an ENI is to be plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plug {
    /// The instance.
    pub instance: InstanceId,
    /// Unique per network card; 0 is the primary ENI's.
    pub device_index: u32,
    /// The network card, 0 on most types.
    pub network_card: u32,
}

/// An ENI as `DescribeNetworkInterfaces` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// Its id.
    pub id: EniId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its availability zone.
    pub zone: String,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Where it is in its life.
    pub status: InterfaceStatus,
    /// What its creator wrote.
    pub description: String,
    /// The groups it carries, in EC2's order.
    pub groups: Vec<SecurityGroupId>,
    /// The primary IPv4 address; absent only in IPv6-only subnets.
    pub primary: Option<Ipv4Addr>,
    /// The secondary IPv4 addresses, in EC2's order.
    pub secondary: Vec<Ipv4Addr>,
    /// Delegated /28 prefixes.
    pub prefixes: Vec<Ipv4Net>,
    /// The IPv6 addresses, in EC2's order.
    pub ipv6: Vec<Ipv6Addr>,
    /// Delegated /80 prefixes.
    pub ipv6_prefixes: Vec<Ipv6Net>,
    /// Whether packets that are neither from nor to the ENI's addresses are dropped.
    pub source_dest_check: bool,
    /// `interface`, `trunk`, `branch`, `efa`, ...
    pub interface_type: String,
    /// Whether an AWS service owns it.
    pub requester_managed: bool,
    /// Its tags.
    pub tags: Tags,
    /// Where it is plugged in.
    pub attachment: Option<Attachment>,
}

/// Where an ENI is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceStatus {
    /// Created and free.
    Available,
    /// Joined to a trunk.
    Associated,
    /// On its way to an instance.
    Attaching,
    /// On its way from an instance.
    Detaching,
    /// Attached.
    InUse,
    /// Created, not usable yet.
    Pending,
    /// A word this version does not know.
    Other(String),
}

/// An ENI's place on an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id, which `detach_network_interface` wants.
    pub id: AttachmentId,
    /// The instance; absent for attachments that AWS services made.
    pub instance: Option<InstanceId>,
    /// Unique per network card; 0 is the primary ENI's.
    pub device_index: u32,
    /// The network card.
    pub network_card: u32,
    /// `attaching`, `attached`, `detaching` or `detached`.
    pub status: AttachmentStatus,
    /// Whether the ENI goes when the instance does.
    pub delete_on_termination: bool,
}

/// Where an attachment is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentStatus {
    /// Usable.
    Attached,
    /// On its way.
    Attaching,
    /// Gone.
    Detached,
    /// On its way out.
    Detaching,
    /// A word this version does not know.
    Other(String),
}

/// What an instance type can carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTypeLimits {
    /// The type's name.
    pub instance_type: String,
    /// ENIs over all network cards.
    pub interfaces: u32,
    /// IPv4 slots of each ENI, its primary address included.
    pub ipv4_per_interface: u32,
    /// Network cards in order of their index; never empty.
    pub cards: Vec<CardLimits>,
    /// Whether ENIs may have prefixes: Nitro and bare metal types only.
    pub prefixes: bool,
    /// Whether ENIs may have IPv6 addresses.
    pub ipv6: bool,
}

/// What one network card can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardLimits {
    /// The card's index.
    pub index: u32,
    /// ENIs on it.
    pub interfaces: u32,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its availability zone.
    pub zone: String,
    /// Its IPv4 block.
    pub cidr: Ipv4Net,
    /// Its IPv6 blocks; none where it has no IPv6.
    pub ipv6_cidrs: Vec<Ipv6Net>,
    /// Free IPv4 addresses, as EC2 counts them.
    pub available_addresses: u32,
    /// Its tags.
    pub tags: Tags,
}

/// A security group without its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its name, unique in its VPC.
    pub name: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its tags.
    pub tags: Tags,
}

/// One rule of a security group: allows, never denies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// Its id.
    pub id: SecurityGroupRuleId,
    /// The group it belongs to.
    pub group: SecurityGroupId,
    /// Whether it allows what the group's members send (else what they receive).
    pub egress: bool,
    /// The protocol; `None` is every protocol and every port.
    pub protocol: Option<u8>,
    /// First port, or the ICMP type; -1 is any.
    pub from_port: i32,
    /// Last port, or the ICMP code; -1 is any.
    pub to_port: i32,
    /// The other side.
    pub peer: RulePeer,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulePeer {
    /// The addresses of the ENIs that carry this group.
    Group(SecurityGroupId),
    /// An IPv4 block.
    Ipv4(Ipv4Net),
    /// An IPv6 block.
    Ipv6(Ipv6Net),
    /// A managed prefix list, by id.
    PrefixList(String),
}

/// Which ENIs to describe. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceQuery {
    pub(crate) ids: Vec<EniId>,
    pub(crate) filters: Vec<Filter>,
}

/// Which security groups to describe. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupQuery {
    pub(crate) ids: Vec<SecurityGroupId>,
    pub(crate) filters: Vec<Filter>,
}

/// A name and the values of which one must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

// === impl InterfaceQuery ===

impl InterfaceQuery {
    /// These ENIs. EC2 answers `InvalidNetworkInterfaceID.NotFound` if one does not exist.
    #[must_use]
    pub fn ids(ids: impl IntoIterator<Item = EniId>) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            filters: Vec::new(),
        }
    }

    /// Those of these ENIs that exist.
    #[must_use]
    pub fn any_of(ids: &[EniId]) -> Self {
        let filter = Filter {
            name: "network-interface-id".to_owned(),
            values: ids.iter().map(ToString::to_string).collect(),
        };
        Self {
            ids: Vec::new(),
            filters: vec![filter],
        }
    }

    /// The ENIs of this instance.
    #[must_use]
    pub fn attached_to(instance: &InstanceId) -> Self {
        Self::default().and("attachment.instance-id", instance.to_string())
    }

    /// The ENIs with this tag.
    #[must_use]
    pub fn tagged(key: &str, value: &str) -> Self {
        Self::default().and(format!("tag:{key}"), value)
    }

    /// Also requires EC2's filter `name` to match `value`.
    #[must_use]
    pub fn and(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.filters.push(Filter {
            name: name.into(),
            values: vec![value.into()],
        });
        self
    }
}

// === impl GroupQuery ===

impl GroupQuery {
    /// These groups. EC2 answers `InvalidGroup.NotFound` if one does not exist.
    #[must_use]
    pub fn ids(ids: impl IntoIterator<Item = SecurityGroupId>) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            filters: Vec::new(),
        }
    }

    /// The groups with this tag.
    #[must_use]
    pub fn tagged(key: &str, value: &str) -> Self {
        Self::default().and(format!("tag:{key}"), value)
    }

    /// Also requires EC2's filter `name` to match `value`.
    #[must_use]
    pub fn and(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.filters.push(Filter {
            name: name.into(),
            values: vec![value.into()],
        });
        self
    }
}
