//! What network ACLs let through: at the edge of a subnet only, without memory.

use std::net::IpAddr;

use underlay_types::SubnetId;

use super::{DropReason, Packet, Transport};
use crate::{AclAction, AclDirection, AclTraffic, Model, NetworkAclEntry};

impl Model {
    /// Whether the ACL of a subnet lets a packet pass its edge.
    pub(super) fn pass(
        &self,
        subnet: &SubnetId,
        direction: AclDirection,
        packet: &Packet,
    ) -> Result<(), DropReason> {
        let Some(acl) = self.network_acl_of(subnet) else {
            return Ok(());
        };
        let remote = match direction {
            AclDirection::Egress => packet.destination,
            AclDirection::Ingress => packet.source,
        };
        let mut entries = acl.entries_of(direction);
        match entries.find(|entry| matches(entry, remote, packet)) {
            Some(entry) if entry.action == AclAction::Allow => Ok(()),
            _ => Err(DropReason::NetworkAcl(acl.id.clone(), direction)),
        }
    }
}

fn matches(entry: &NetworkAclEntry, remote: IpAddr, packet: &Packet) -> bool {
    entry.cidr.contains(&remote) && speaks_of(entry.traffic, packet)
}

fn speaks_of(traffic: AclTraffic, packet: &Packet) -> bool {
    match (traffic, packet.transport) {
        (AclTraffic::All, _) => true,
        (AclTraffic::Tcp(ports), Transport::Tcp { destination, .. })
        | (AclTraffic::Udp(ports), Transport::Udp { destination, .. }) => {
            ports.contains(destination)
        }
        (
            AclTraffic::Icmp { kind, code },
            Transport::Icmp {
                kind: k, code: c, ..
            }
            | Transport::IcmpError {
                kind: k, code: c, ..
            },
        ) => packet.source.is_ipv4() && is(kind, k) && is(code, c),
        (
            AclTraffic::Icmpv6 { kind, code },
            Transport::Icmp {
                kind: k, code: c, ..
            }
            | Transport::IcmpError {
                kind: k, code: c, ..
            },
        ) => packet.source.is_ipv6() && is(kind, k) && is(code, c),
        (AclTraffic::Protocol(wanted), Transport::Other(number)) => wanted == number,
        _ => false,
    }
}

fn is(wanted: Option<u8>, value: u8) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}
