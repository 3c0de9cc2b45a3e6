//! Packets as bytes, and their answers.

use std::net::IpAddr;

use underlay_vpc_model::{Packet, Segment, Transport};

/// The packet as IPv4, with `id` to know it again.
pub(crate) fn bytes(packet: &Packet, id: u16) -> Vec<u8> {
    let (protocol, payload) = transport(packet.transport);
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut bytes = vec![0x45, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    // No fragment; TTL 64; the kernel fills in the checksum.
    bytes.extend([0x40, 0, 64, protocol, 0, 0]);
    for address in [packet.source, packet.destination] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend(payload);
    bytes
}

/// The id of a packet as received.
pub(crate) fn id_of(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]))
}

fn transport(transport: Transport) -> (u8, Vec<u8>) {
    match transport {
        Transport::Icmp { kind, code, id } => {
            let [high, low] = id.to_be_bytes();
            (1, vec![kind, code, 0, 0, high, low, 0, 1])
        }
        // Quotes nothing: no packet here is about another.
        Transport::IcmpError { kind, code, .. } => (1, vec![kind, code, 0, 0, 0, 0, 0, 0]),
        Transport::Other(number) => (number, vec![0; 8]),
        Transport::Tcp {
            source,
            destination,
            segment,
        } => {
            let flags = match segment {
                Segment::Syn => 0x02,
                Segment::Data => 0x10,
                Segment::Fin => 0x11,
                Segment::Rst => 0x04,
            };
            let mut header = ports(source, destination);
            header.extend([0; 8]);
            header.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            (6, header)
        }
        Transport::Udp {
            source,
            destination,
        } => {
            let mut header = ports(source, destination);
            header.extend([0, 8, 0, 0]);
            (17, header)
        }
    }
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    let mut ports = source.to_be_bytes().to_vec();
    ports.extend(destination.to_be_bytes());
    ports
}

/// What the receiver of a packet would send back.
pub(crate) fn answer(packet: &Packet, segment: Segment) -> Packet {
    let transport = match packet.transport {
        Transport::Icmp { kind: 8, code, id } => Transport::Icmp { kind: 0, code, id },
        Transport::Tcp {
            source,
            destination,
            ..
        } => Transport::Tcp {
            source: destination,
            destination: source,
            segment,
        },
        Transport::Udp {
            source,
            destination,
        } => Transport::Udp {
            source: destination,
            destination: source,
        },
        same => same,
    };
    Packet {
        source: packet.destination,
        destination: packet.source,
        transport,
    }
}
