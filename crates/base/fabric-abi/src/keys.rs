//! Keys of the maps.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Of `addresses`: an address, or a /28 (IPv4) or /80 (IPv6) prefix, of a VPC. The value is the ENI's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddressKey {
    /// Number of the VPC.
    pub vpc: u32,
    /// The address; of a prefix, its first.
    pub address_be: [u8; 16],
    /// [`crate::ADDRESS_BITS`], [`crate::PREFIX_V4_BITS`] or [`crate::PREFIX_V6_BITS`].
    pub prefix_length: u32,
}
const _: () = assert!(size_of::<AddressKey>() == 4 + 16 + 4);

/// Of `routes` and `list_blocks`, longest-prefix tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RouteKey {
    /// 32 bits of the table, and the destination's.
    pub prefix_length: u32,
    /// Twice the number of the route table or prefix list; plus 1 for IPv6.
    pub table_be: [u8; 4],
    /// First address of the destination.
    pub destination_be: [u8; 16],
}
const _: () = assert!(size_of::<RouteKey>() == 4 + 4 + 16);

/// Of `group_rules` and `acl_rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RulesKey {
    /// Number of the group or of the network ACL.
    pub list: u32,
    /// [`crate::INGRESS`] or [`crate::EGRESS`].
    pub direction: u32,
    /// Which [`crate::RULES_PER_CHUNK`] rules.
    pub chunk: u32,
}
const _: () = assert!(size_of::<RulesKey>() == 4 + 4 + 4);

/// Of `members`: that an ENI carries a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemberKey {
    /// Number of the ENI.
    pub eni: u32,
    /// Number of the group.
    pub group: u32,
}
const _: () = assert!(size_of::<MemberKey>() == 4 + 4);

/// Of `tracks`: a flow as one ENI sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrackKey {
    /// Number of the ENI.
    pub eni: u32,
    /// The address on the ENI's side.
    pub local_be: [u8; 16],
    /// The other address.
    pub remote_be: [u8; 16],
    /// The port on the ENI's side; of an ICMP echo, its id.
    pub local_port_be: [u8; 2],
    /// The other port; of an ICMP echo, who asks.
    pub remote_port_be: [u8; 2],
    /// IANA number.
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}
const _: () = assert!(size_of::<TrackKey>() == 4 + 2 * 16 + 2 * 2 + 1 + 3);

/// Of `flows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowKey {
    /// Number of the flow-log window.
    pub window: u32,
    /// Number of the ENI.
    pub eni: u32,
    /// The packet's source address.
    pub source_be: [u8; 16],
    /// The packet's destination address.
    pub destination_be: [u8; 16],
    /// 0 where the protocol has none.
    pub source_port_be: [u8; 2],
    /// 0 where the protocol has none.
    pub destination_port_be: [u8; 2],
    /// IANA number.
    pub protocol: u8,
    /// [`crate::INGRESS`] or [`crate::EGRESS`].
    pub direction: u8,
    /// [`crate::ACCEPT`] or [`crate::REJECT`].
    pub action: u8,
    /// Zero.
    pub pad: u8,
}
const _: () = assert!(size_of::<FlowKey>() == 2 * 4 + 2 * 16 + 2 * 2 + 4);

/// Of `flow_losses`: the value counts packets that no entry of `flows` had room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LossKey {
    /// Number of the flow-log window.
    pub window: u32,
    /// Number of the ENI.
    pub eni: u32,
}
const _: () = assert!(size_of::<LossKey>() == 4 + 4);

/// Of `branches`: a branch ENI on its trunk. The value is its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BranchKey {
    /// Number of the trunk ENI.
    pub trunk: u32,
    /// The tag.
    pub vlan: u32,
}
const _: () = assert!(size_of::<BranchKey>() == 4 + 4);

/// Of `caller_ids`, and value of `callers`: who calls a link-local service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Caller {
    /// Number of the ENI.
    pub eni: u32,
    /// The source address of the caller's packets.
    pub address_be: [u8; 16],
    /// Where they went, as the caller calls it.
    pub service_be: [u8; 16],
}
const _: () = assert!(size_of::<Caller>() == 4 + 2 * 16);
