//! Packets as Ethernet frames, and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use underlay_types::Mac;
use underlay_vpc_model::{Packet, Quoted, QuotedTransport, Segment, Transport};

const ETHERNET: usize = 14;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// The frame in which `from` sends the packet. Its checksums are right.
pub(crate) fn frame(packet: &Packet, from: Mac) -> Vec<u8> {
    // The router's address does not matter: the fabric looks at nothing but IP.
    let mut frame = vec![0x02, 0xff, 0, 0, 0, 1];
    frame.extend(from.0);
    frame.extend(match packet.source {
        IpAddr::V4(_) => [0x08, 0x00],
        IpAddr::V6(_) => [0x86, 0xdd],
    });
    let ends = (packet.source, packet.destination);
    let (protocol, mut payload) = transport(ends, packet.transport);
    let length = usize::from(packet.length);
    payload.resize(length - header_length(packet.source), 0);
    if protocol == UDP {
        let length = u16::try_from(payload.len()).unwrap();
        payload[4..6].copy_from_slice(&length.to_be_bytes());
    }
    let sum = transport_sum(ends, protocol, &payload);
    if let Some(at) = checksum_at(protocol) {
        payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    frame.extend(ip_header(ends, protocol, length, packet.dont_fragment));
    frame.extend(payload);
    frame
}

const fn header_length(source: IpAddr) -> usize {
    match source {
        IpAddr::V4(_) => V4_HEADER,
        IpAddr::V6(_) => V6_HEADER,
    }
}

fn ip_header(ends: (IpAddr, IpAddr), protocol: u8, length: usize, dont_fragment: bool) -> Vec<u8> {
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = u16::try_from(length).unwrap();
            let mut header = vec![0x45, 0];
            header.extend(length.to_be_bytes());
            let flags = if dont_fragment { 0x40 } else { 0 };
            header.extend([0, 7, flags, 0, 64, protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = sum_of(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(length - V6_HEADER).unwrap();
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length.to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        mixed => panic!("{mixed:?} are of two families"),
    }
}

fn transport(ends: (IpAddr, IpAddr), transport: Transport) -> (u8, Vec<u8>) {
    let v6 = ends.0.is_ipv6();
    let icmp = if v6 { ICMPV6 } else { ICMP };
    match transport {
        Transport::Icmp { kind, code, id } => (icmp, icmp_message(kind, code, id)),
        Transport::IcmpError { kind, code, about } => {
            let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
            message.extend(quote(&about));
            (icmp, message)
        }
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
            (TCP, header)
        }
        Transport::Udp {
            source,
            destination,
        } => {
            let mut header = ports(source, destination);
            header.extend([0; 4]);
            (UDP, header)
        }
    }
}

fn icmp_message(kind: u8, code: u8, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![kind, code, 0, 0, high, low, 0, 1]
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    let mut ports = source.to_be_bytes().to_vec();
    ports.extend(destination.to_be_bytes());
    ports
}

/// The header of the packet that an error is about, and eight bytes of what it carried.
fn quote(about: &Quoted) -> Vec<u8> {
    let ends = (about.source, about.destination);
    let carried = match about.transport {
        QuotedTransport::Icmp { kind, code, id } => Transport::Icmp { kind, code, id },
        QuotedTransport::Other(number) => Transport::Other(number),
        QuotedTransport::Tcp {
            source,
            destination,
        } => Transport::Tcp {
            source,
            destination,
            segment: Segment::Data,
        },
        QuotedTransport::Udp {
            source,
            destination,
        } => Transport::Udp {
            source,
            destination,
        },
    };
    let (protocol, mut payload) = transport(ends, carried);
    payload.truncate(8);
    let length = header_length(about.source) + payload.len();
    let mut bytes = ip_header(ends, protocol, length, true);
    bytes.extend(payload);
    bytes
}

/// A frame as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// To whom.
    pub(crate) to: Mac,
    /// What.
    pub(crate) packet: Packet,
}

/// Reads a frame.
///
/// # Panics
/// When a checksum is wrong.
pub(crate) fn read(frame: &[u8]) -> Seen {
    let (ethernet, ip) = frame.split_at(ETHERNET);
    let to = Mac(ethernet[..6].try_into().unwrap());
    let (ends, protocol, header) = read_ip(ip);
    let total = match ends.0 {
        IpAddr::V4(_) => usize::from(u16_at(ip, 2)),
        IpAddr::V6(_) => V6_HEADER + usize::from(u16_at(ip, 4)),
    };
    if ends.0.is_ipv4() {
        assert_eq!(sum_of(&[&ip[..header]]), 0, "checksum of the header");
    }
    let payload = &ip[header..total];
    if checksum_at(protocol).is_some() {
        let sum = transport_sum(ends, protocol, payload);
        assert!(sum == 0 || sum == 0xffff, "checksum of {protocol}: {sum:x}");
    }
    let transport = read_transport(ends, protocol, payload);
    let packet = Packet {
        source: ends.0,
        destination: ends.1,
        transport,
        length: u16::try_from(total).unwrap(),
        dont_fragment: ends.0.is_ipv6() || ip[6] & 0x40 != 0,
    };
    Seen { to, packet }
}

fn read_ip(ip: &[u8]) -> ((IpAddr, IpAddr), u8, usize) {
    let v4 = |at: usize| {
        let octets: [u8; 4] = ip[at..at + 4].try_into().unwrap();
        IpAddr::from(Ipv4Addr::from(octets))
    };
    let v6 = |at: usize| {
        let octets: [u8; 16] = ip[at..at + 16].try_into().unwrap();
        IpAddr::from(Ipv6Addr::from(octets))
    };
    match ip[0] >> 4 {
        4 => ((v4(12), v4(16)), ip[9], V4_HEADER),
        6 => ((v6(8), v6(24)), ip[6], V6_HEADER),
        other => panic!("IP version {other}"),
    }
}

fn read_transport(ends: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> Transport {
    let (source, destination) = (u16_at(payload, 0), u16_at(payload, 2));
    match protocol {
        ICMP | ICMPV6 => {
            let (kind, code, id) = (payload[0], payload[1], u16_at(payload, 4));
            let is_error = match ends.0 {
                IpAddr::V4(_) => [3, 11, 12].contains(&kind),
                IpAddr::V6(_) => kind < 128,
            };
            if is_error {
                let about = read_quote(&payload[8..]);
                Transport::IcmpError { kind, code, about }
            } else {
                Transport::Icmp { kind, code, id }
            }
        }
        TCP => {
            let segment = match payload[13] {
                0x02 => Segment::Syn,
                0x11 => Segment::Fin,
                flags if flags & 0x04 != 0 => Segment::Rst,
                _ => Segment::Data,
            };
            Transport::Tcp {
                source,
                destination,
                segment,
            }
        }
        UDP => Transport::Udp {
            source,
            destination,
        },
        other => Transport::Other(other),
    }
}

fn read_quote(ip: &[u8]) -> Quoted {
    let (ends, protocol, header) = read_ip(ip);
    if ends.0.is_ipv4() {
        assert_eq!(sum_of(&[&ip[..header]]), 0, "checksum of a quoted header");
    }
    let payload = &ip[header..];
    let (first, second) = (u16_at(payload, 0), u16_at(payload, 2));
    let transport = match protocol {
        ICMP | ICMPV6 => QuotedTransport::Icmp {
            kind: payload[0],
            code: payload[1],
            id: u16_at(payload, 4),
        },
        TCP => QuotedTransport::Tcp {
            source: first,
            destination: second,
        },
        UDP => QuotedTransport::Udp {
            source: first,
            destination: second,
        },
        other => QuotedTransport::Other(other),
    };
    Quoted {
        source: ends.0,
        destination: ends.1,
        transport,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

const fn checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        ICMP | ICMPV6 => Some(2),
        TCP => Some(16),
        UDP => Some(6),
        _ => None,
    }
}

/// The sum over a payload, with the pseudo header where the protocol has one.
fn transport_sum(ends: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> u16 {
    if protocol == ICMP {
        return sum_of(&[payload]);
    }
    let mut pseudo = Vec::new();
    for end in [ends.0, ends.1] {
        match end {
            IpAddr::V4(address) => pseudo.extend(address.octets()),
            IpAddr::V6(address) => pseudo.extend(address.octets()),
        }
    }
    let length = u16::try_from(payload.len()).unwrap();
    pseudo.extend(length.to_be_bytes());
    pseudo.extend([0, protocol]);
    sum_of(&[&pseudo, payload])
}

/// The checksum of the internet (RFC 1071). Each part but the last has an even length.
fn sum_of(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}
