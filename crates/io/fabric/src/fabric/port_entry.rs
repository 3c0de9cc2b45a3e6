//! A port as the programs' maps hold it.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
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
    let key = |address: Ipv4Addr, prefix_length| abi::AddressKey {
        vpc,
        address_be: address.octets(),
        prefix_length,
    };
    let addresses = config.addresses.iter().map(|address| key(*address, 32));
    let prefix = |prefix: &Ipv4Net| key(prefix.network(), 28);
    addresses
        .chain(config.prefixes.iter().map(prefix))
        .collect()
}

pub(super) fn encode(
    config: &PortConfig,
    subnet: &Subnet,
    groups: &[u32],
    ifindex: u32,
    vpc: u32,
    route_table: u32,
) -> abi::Port {
    let mut numbers = [0; abi::GROUPS_PER_PORT];
    for (slot, group) in numbers.iter_mut().zip(groups) {
        *slot = *group;
    }
    abi::Port {
        ifindex,
        vpc,
        route_table,
        flags: if config.source_dest_check {
            abi::PORT_SOURCE_DEST_CHECK
        } else {
            0
        },
        subnet_address_be: subnet.cidr.network().octets(),
        subnet_mask_be: subnet.cidr.netmask().octets(),
        router_address_be: subnet.router().octets(),
        mac: config.mac.0,
        gateway_mac: gateway_mac(subnet).0,
        group_count: u32::try_from(groups.len()).unwrap_or(0),
        groups: numbers,
        pad: 0,
        tcp_established_ns: nanos(config.timeouts.tcp_established),
        udp_ns: nanos(config.timeouts.udp),
        udp_stream_ns: nanos(config.timeouts.udp_stream),
    }
}

/// Nobody has it: the fabric answers for the router. It differs from the ENIs', which the VPC
/// model gives out, by its second byte.
fn gateway_mac(subnet: &Subnet) -> Mac {
    let [a, b, c, d] = subnet.router().octets();
    Mac([0x02, 0xff, a, b, c, d])
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
