//! What a plan is made from.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use underlay_datapath_abi::BRANCH_MARK_SHIFT;
use underlay_types::{
    Enforcement, EniId, Families, Family, Interface, LeaseKey, Mac, PodAddresses, PoolGroups,
    VlanId, WholeEni,
};

use crate::{
    Egress, NodePort, Snat, names,
    numbers::{BRANCH_MARK, BRANCH_TABLE_BASE, ENI_MARK_SHIFT, ENI_TABLE_BASE, ROUTER_V6},
    whole,
};

/// The node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// The name of the primary ENI's device.
    pub primary_device: String,
    /// Ports of the node that pods with an explicit group set may open connections to.
    pub open_ports: Vec<NodePort>,
    /// The families that pods get addresses of.
    pub families: Families,
    /// Whether pods may reach the instance metadata service, and with it the node's credentials.
    pub pods_reach_metadata: bool,
    /// How packets of pods that leave the VPC are translated; `None` is not at all.
    pub snat: Option<Snat>,
    /// How packets of pods without an IPv4 address of the VPC get to IPv4 destinations; `None` is not
    /// at all.
    pub egress: Option<Egress>,
}

/// The place of an ENI on its node, which gives it its mark and its table. It follows from where
/// the ENI is attached, so that a restarted agent comes to the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EniSlot(u16);

/// Why an attachment has no slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("network card {card}, device {device}: only cards and devices 0 to 31 can be used")]
pub struct SlotOutOfRange {
    /// The network card.
    pub card: u8,
    /// The device index on the card.
    pub device: u8,
}

impl EniSlot {
    /// The primary ENI.
    pub const PRIMARY: Self = Self(0);

    /// The slot of device `device` of network card `card`.
    ///
    /// # Errors
    /// For the 32nd and later cards and devices; no instance type has them.
    pub fn new(card: u8, device: u8) -> Result<Self, SlotOutOfRange> {
        // The very last one, 31 on 31, would need an eleventh bit of the mark.
        if card > 31 || device > 31 || (card, device) == (31, 31) {
            return Err(SlotOutOfRange { card, device });
        }
        Ok(Self(u16::from(card) * 32 + u16::from(device)))
    }

    /// The place of a branch ENI, whichever trunk it is on: a node has one.
    #[must_use]
    pub fn branch(vlan: VlanId) -> Self {
        Self(BRANCHES + vlan.number())
    }

    /// The mark of packets that leave by this ENI.
    #[must_use]
    pub fn mark(self) -> u32 {
        match self.tag() {
            None => (u32::from(self.0) + 1) << ENI_MARK_SHIFT,
            Some(tag) => BRANCH_MARK | u32::from(tag) << BRANCH_MARK_SHIFT,
        }
    }

    /// The table that they are routed by.
    #[must_use]
    pub fn table(self) -> u32 {
        match self.tag() {
            None => ENI_TABLE_BASE + u32::from(self.0),
            Some(tag) => BRANCH_TABLE_BASE + u32::from(tag),
        }
    }

    /// Of a branch ENI.
    const fn tag(self) -> Option<u16> {
        self.0.checked_sub(BRANCHES)
    }
}

impl fmt::Display for EniSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag() {
            None => fmt::Display::fmt(&self.0, f),
            Some(vlan) => write!(f, "VLAN {vlan}"),
        }
    }
}

/// Slots of branch ENIs begin here.
const BRANCHES: u16 = 1024;

/// The IPv4 router of a subnet.
fn router_v4(subnet: Ipv4Net) -> IpAddr {
    let first = u32::from(subnet.network()).saturating_add(1);
    IpAddr::V4(Ipv4Addr::from(first))
}

/// An ENI that pods use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniWiring {
    /// Its place on the node.
    pub slot: EniSlot,
    /// Its id.
    pub eni: EniId,
    /// Its Ethernet address, by which its device is found.
    pub mac: Mac,
    /// Its own (primary) address, if the node is to give it to the device: on an ENI that is not
    /// the instance's primary one nobody else does, and ARP for the router needs a sender.
    pub address: Option<Ipv4Addr>,
    /// The same of IPv6, where its pods have IPv6: the address that names its prefix, which no pod
    /// gets. What kube-proxy masquerades on its way out by this ENI must have a source of it.
    pub address_v6: Option<Ipv6Addr>,
    /// The IPv4 block of its subnet.
    pub subnet: Ipv4Net,
    /// The families of its pods. IPv4 is routed in any case: pods of an earlier choice may live.
    pub families: Families,
    /// Whose pods it carries.
    pub groups: PoolGroups,
    /// Bytes of a packet, 9001 in a VPC.
    pub mtu: u32,
}

impl EniWiring {
    /// The addresses that the node gives to its device.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.address.map(IpAddr::V4).into_iter();
        v4.chain(self.address_v6.map(IpAddr::V6))
    }

    /// The subnet's routers. IPv4: the first address after the block's own. IPv6: the address that
    /// the router of every subnet has (Amazon VPC User Guide, "Subnet sizing for IPv6"), so that
    /// nothing waits for a router advertisement.
    pub fn routers(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v6 = self.families.has(Family::V6);
        let v6 = v6.then_some(IpAddr::V6(ROUTER_V6));
        [router_v4(self.subnet)].into_iter().chain(v6)
    }
}

/// A pod and where it is wired to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodWiring {
    /// The lease, which gives the devices their names and Ethernet addresses.
    pub key: LeaseKey,
    /// The pod's addresses.
    pub addresses: PodAddresses,
    /// What it sends IPv4 packets from where it has no IPv4 address of the VPC: an address that its
    /// node alone knows.
    pub egress: Option<Ipv4Addr>,
    /// The ENI that holds `addresses`.
    pub eni: EniSlot,
    /// The groups of that ENI.
    pub groups: PoolGroups,
    /// Bytes of a packet: the ENI's.
    pub mtu: u32,
    /// What the pod has of the ENI.
    pub interface: Interface,
    /// Families whose default route another interface of the pod has. There its packets with this
    /// interface's address, and so all its replies, leave by this one, by a table of its own.
    pub second_in: Option<Families>,
    /// Of a pod with a branch ENI: the device of the trunk, while there is one. The node's state
    /// knows it ([`NodeState::on_trunk`](crate::NodeState::on_trunk)).
    pub trunk: Option<String>,
}

impl PodWiring {
    /// The next hop of every pod's IPv4 default route; no device has it.
    pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
    /// The same for IPv6.
    pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    /// The next hop of a pod's default route for `family`.
    #[must_use]
    pub const fn gateway(family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(Self::GATEWAY_V4),
            Family::V6 => IpAddr::V6(Self::GATEWAY_V6),
        }
    }

    /// Whether another interface of the pod has the default route of `family`.
    #[must_use]
    pub fn is_second(&self, family: Family) -> bool {
        self.second_in.is_some_and(|families| families.has(family))
    }

    /// Every address that the pod's end has.
    pub fn inside(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.addresses.iter().chain(self.egress.map(IpAddr::V4))
    }

    /// The ENI, if the pod has it as a whole.
    #[must_use]
    pub const fn whole(&self) -> Option<WholeEni> {
        match self.interface {
            Interface::Shared | Interface::Branch(_) => None,
            Interface::Whole(eni) => Some(eni),
        }
    }

    /// The addresses as the pod's device has them, each with the next hop of its family's default
    /// route.
    pub fn ips(&self) -> impl Iterator<Item = (IpNet, IpAddr)> + use<> {
        let interface = self.interface;
        self.addresses.iter().map(move |address| {
            let family = Family::of(address);
            match interface {
                Interface::Shared | Interface::Branch(_) => {
                    (IpNet::from(address), Self::gateway(family))
                }
                Interface::Whole(eni) => {
                    let router = match family {
                        Family::V4 => router_v4(eni.subnet),
                        Family::V6 => IpAddr::V6(ROUTER_V6),
                    };
                    (whole::on_device(address, eni), router)
                }
            }
        })
    }

    /// The pods of this node that it meets directly: those whose ENIs have these groups. `None`
    /// is nobody: every packet crosses the VPC.
    #[must_use]
    pub fn meets(&self) -> Option<&PoolGroups> {
        match self.interface.branch().map(|branch| branch.enforcement) {
            Some(Enforcement::Strict) => None,
            // Its own groups stand between it and the VPC only.
            Some(Enforcement::Standard) | None => Some(&self.groups),
        }
    }

    /// The name of the node's end.
    #[must_use]
    pub fn host_device(&self) -> String {
        names::host_device(&self.key)
    }

    /// The Ethernet address of the node's end.
    #[must_use]
    pub fn host_mac(&self) -> Mac {
        names::host_mac(&self.key)
    }

    /// The Ethernet address of the pod's end.
    #[must_use]
    pub fn pod_mac(&self) -> Mac {
        names::pod_mac(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{ENI_MARK_MASK, ENI_TABLE_END, is_own_table};

    #[test]
    fn every_slot_has_a_mark_and_a_table_of_its_own() {
        let slots: Vec<_> = (0..32)
            .flat_map(|card| (0..32).filter_map(move |device| EniSlot::new(card, device).ok()))
            .collect();
        assert_eq!(slots.len(), 1023);
        for (index, slot) in slots.iter().enumerate() {
            assert_eq!(slot.mark() & !ENI_MARK_MASK, 0);
            assert_ne!(slot.mark(), 0);
            assert!(slot.table() < ENI_TABLE_END);
            assert_eq!(
                usize::try_from(slot.mark() >> ENI_MARK_SHIFT).unwrap(),
                index + 1
            );
        }
        assert_eq!(
            EniSlot::new(31, 31),
            Err(SlotOutOfRange {
                card: 31,
                device: 31
            })
        );
        assert_eq!(EniSlot::new(0, 0), Ok(EniSlot::PRIMARY));
    }

    #[test]
    fn a_branch_has_the_mark_that_the_programs_read_its_tag_from() {
        use underlay_datapath_abi as abi;
        for tag in [1, 120, VlanId::MAX] {
            let slot = EniSlot::branch(tag.try_into().unwrap());
            let mark = slot.mark();
            assert_ne!(mark & abi::BRANCH_MARK, 0);
            assert_eq!(
                (mark >> BRANCH_MARK_SHIFT) & abi::BRANCH_VLAN_MASK,
                u32::from(tag)
            );
            assert_eq!(mark & !ENI_MARK_MASK, 0);
            assert!(slot.table() > ENI_TABLE_END && is_own_table(slot.table()));
            assert_eq!(slot.to_string(), format!("VLAN {tag}"));
        }
    }
}
