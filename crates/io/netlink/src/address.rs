//! Addresses of devices.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    Family, IfIndex, KernelError, Request, Socket, dump as decode,
    family::{address_of, byte, octets},
    message::{Message, NLM_F_CREATE, NLM_F_EXCL},
};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_DEPRECATED: u32 = 0x20;
/// struct ifa_cacheinfo: preferred for no time, valid for ever; the two moments are the kernel's.
const DEPRECATED: [u8; 16] = [0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0];

/// An address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The device.
    pub dev: IfIndex,
    /// The address with the length of its on-link prefix.
    pub address: IpNet,
    /// Keeps the kernel from adding a route to the prefix.
    pub no_prefix_route: bool,
    /// IPv6: nobody sends from it who has another one to choose (RFC 6724 section 5, rule 3).
    pub deprecated: bool,
}

impl Address {
    /// `address` on `dev`, with the kernel's route to the prefix.
    #[must_use]
    pub const fn new(dev: IfIndex, address: IpNet) -> Self {
        Self {
            dev,
            address,
            no_prefix_route: false,
            deprecated: false,
        }
    }

    fn request(&self, op: &'static str, kind: u16, flags: u16) -> Request {
        let ip = self.address.addr();
        // struct ifaddrmsg: family, prefix length, flags, scope, index.
        let mut header = [
            byte(Family::of(ip)),
            self.address.prefix_len(),
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        header[4..].copy_from_slice(&self.dev.to_ne_bytes());
        let mut message = Message::new(kind, flags, &header);
        message.attr(IFA_LOCAL, &octets(ip));
        message.attr(IFA_ADDRESS, &octets(ip));
        let no_prefix_route = if self.no_prefix_route {
            IFA_F_NOPREFIXROUTE
        } else {
            0
        };
        // Nobody else may hold an address that the VPC assigned: no duplicate detection.
        let no_dad = if ip.is_ipv6() { IFA_F_NODAD } else { 0 };
        if no_prefix_route | no_dad != 0 {
            message.attr_u32(IFA_FLAGS, no_prefix_route | no_dad);
        }
        if self.deprecated {
            message.attr(IFA_CACHEINFO, &DEPRECATED);
        }
        Request::new(op, format!("{} dev {}", self.address, self.dev), message)
    }
}

/// Adds an address; refused with `EEXIST` if it is there.
#[must_use]
pub fn add(address: &Address) -> Request {
    address.request("add address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL)
}

/// Deletes an address; refused with `EADDRNOTAVAIL` if it is not there.
#[must_use]
pub fn delete(address: &Address) -> Request {
    address.request("delete address", RTM_DELADDR, 0)
}

/// All addresses of the socket's namespace.
///
/// # Errors
/// When the namespace changes faster than it can be read.
pub fn dump(socket: &mut Socket) -> Result<Vec<Address>, KernelError> {
    socket.dump("addresses", &Message::new(RTM_GETADDR, 0, &[0; 8]), parse)
}

fn parse(payload: &[u8]) -> Option<Address> {
    let length = *payload.get(1)?;
    let mut flags = u32::from(*payload.get(2)?);
    let mut ip: Option<IpAddr> = None;
    for (kind, value) in decode::attributes(payload.get(8..)?) {
        match kind {
            IFA_LOCAL => ip = address_of(value),
            IFA_ADDRESS => ip = ip.or_else(|| address_of(value)),
            IFA_FLAGS => flags = decode::u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Address {
        dev: IfIndex(decode::u32_at(payload, 4)?),
        address: IpNet::new(ip?, length).ok()?,
        no_prefix_route: flags & IFA_F_NOPREFIXROUTE != 0,
        deprecated: flags & IFA_F_DEPRECATED != 0,
    })
}
