//! A port as the programs' maps hold it.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::IpNet;
use underlay_fabric_abi as abi;
use underlay_types::Mac;

use crate::{FabricError, PortConfig, Subnet};

pub(super) fn check_groups(config: &PortConfig) -> Result<(), FabricError> {
    let count = config.groups.len();
    if count <= abi::GROUPS_PER_PORT {
        return Ok(());
    }
    let what = format!("groups of {}", config.eni);
    Err(FabricError::TooMany {
        what,
        count,
        limit: abi::GROUPS_PER_PORT,
    })
}

pub(super) fn address_keys(vpc: u32, config: &PortConfig) -> Vec<abi::AddressKey> {
    let key = |address: IpAddr, prefix_length| abi::AddressKey {
        vpc,
        address_be: abi::address_bytes(address),
        prefix_length,
    };
    let address = |address: &IpAddr| key(*address, abi::ADDRESS_BITS);
    let addresses = config.addresses.iter().map(address);
    let prefix = |prefix: &IpNet| match prefix {
        IpNet::V4(_) => key(prefix.network(), abi::PREFIX_V4_BITS),
        IpNet::V6(_) => key(prefix.network(), abi::PREFIX_V6_BITS),
    };
    addresses
        .chain(config.prefixes.iter().map(prefix))
        .collect()
}

/// The numbers that the programs know a port's surroundings by.
pub(super) struct PortNumbers {
    pub(super) ifindex: u32,
    pub(super) vpc: u32,
    pub(super) route_table: u32,
    pub(super) subnet: u32,
    pub(super) acl: u32,
    pub(super) holder: u32,
    pub(super) vlan: u32,
    pub(super) is_nat: bool,
}

pub(super) fn encode(
    config: &PortConfig,
    subnet: &Subnet,
    groups: &[u32],
    of: &PortNumbers,
) -> abi::Port {
    let mut numbers = [0; abi::GROUPS_PER_PORT];
    for (slot, group) in numbers.iter_mut().zip(groups) {
        *slot = *group;
    }
    let check = if config.source_dest_check {
        abi::PORT_SOURCE_DEST_CHECK
    } else {
        0
    };
    let nat = if of.is_nat { abi::PORT_NAT } else { 0 };
    abi::Port {
        ifindex: of.ifindex,
        vpc: of.vpc,
        route_table: of.route_table,
        flags: check | nat,
        subnet: of.subnet,
        acl: of.acl,
        holder: of.holder,
        allowance: config.allowance.flows,
        v6_bits: subnet.v6().map_or(0, |block| block.prefix_len().into()),
        router_be: v4_bytes(subnet.router()),
        broadcast_be: v4_bytes(subnet.v4().map(|block| block.broadcast())),
        resolver_be: v4_bytes(subnet.resolver),
        subnet_v6_be: subnet
            .v6()
            .map_or([0; 16], |block| block.network().octets()),
        mac: config.mac.0,
        gateway_mac: gateway_mac(subnet, of.subnet).0,
        group_count: u32::try_from(groups.len()).unwrap_or(0),
        groups: numbers,
        vlan: of.vlan,
        tcp_established_ns: nanos(config.timeouts.tcp_established),
        udp_ns: nanos(config.timeouts.udp),
        udp_stream_ns: nanos(config.timeouts.udp_stream),
    }
}

/// Without an IPv4 block, the mapped form of 0.0.0.0, which no packet goes to.
fn v4_bytes(address: Option<Ipv4Addr>) -> [u8; 16] {
    abi::address_bytes(IpAddr::V4(address.unwrap_or(Ipv4Addr::UNSPECIFIED)))
}

/// Nobody has it: the fabric answers for the router. It differs from the ENIs', which the VPC
/// model gives out, by its second byte, and from those of subnets with IPv4 by its third.
fn gateway_mac(subnet: &Subnet, number: u32) -> Mac {
    let [a, b, c, d] = match subnet.router() {
        Some(router) => router.octets(),
        None => number.to_be_bytes(),
    };
    Mac([0x02, 0xff, a, b, c, d])
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
