//! Neighbours: which Ethernet address an IP address on a device has.

use std::net::IpAddr;

use underlay_types::Mac;

use crate::{
    Family, IfIndex, KernelError, Request, Socket, dump as decode,
    family::{address_of, byte, octets},
    message::{Message, NLM_F_CREATE, NLM_F_REPLACE},
};

const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;

/// A neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// The device.
    pub dev: IfIndex,
    /// Its IP address.
    pub address: IpAddr,
    /// Its Ethernet address; absent while the kernel still asks for it.
    pub mac: Option<Mac>,
    /// Whether it never expires. Only such ones can be added here.
    pub permanent: bool,
}

impl Neighbour {
    /// A neighbour that never expires and is never asked for.
    #[must_use]
    pub const fn permanent(dev: IfIndex, address: IpAddr, mac: Mac) -> Self {
        Self {
            dev,
            address,
            mac: Some(mac),
            permanent: true,
        }
    }

    fn request(&self, op: &'static str, kind: u16, flags: u16) -> Request {
        // struct ndmsg: family, 3 bytes of padding, index, state, flags, type.
        let mut header = [0; 12];
        header[0] = byte(Family::of(self.address));
        header[4..8].copy_from_slice(&self.dev.to_ne_bytes());
        header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
        let mut message = Message::new(kind, flags, &header);
        message.attr(NDA_DST, &octets(self.address));
        if let Some(mac) = self.mac {
            message.attr(NDA_LLADDR, &mac.0);
        }
        Request::new(op, format!("{} dev {}", self.address, self.dev), message)
    }
}

/// Adds a permanent neighbour or puts it in the place of a learned one.
#[must_use]
pub fn set(neighbour: &Neighbour) -> Request {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    neighbour.request("set neighbour", RTM_NEWNEIGH, flags)
}

/// Deletes a neighbour; refused with `ENOENT` if it is not there.
#[must_use]
pub fn delete(neighbour: &Neighbour) -> Request {
    neighbour.request("delete neighbour", RTM_DELNEIGH, 0)
}

/// All neighbours of `family` in the socket's namespace.
///
/// # Errors
/// When the namespace changes faster than it can be read.
pub fn dump(socket: &mut Socket, family: Family) -> Result<Vec<Neighbour>, KernelError> {
    let mut header = [0; 12];
    header[0] = byte(family);
    socket.dump("neighbours", &Message::new(RTM_GETNEIGH, 0, &header), parse)
}

fn parse(payload: &[u8]) -> Option<Neighbour> {
    let (mut address, mut mac) = (None, None);
    for (kind, value) in decode::attributes(payload.get(12..)?) {
        match kind {
            NDA_DST => address = address_of(value),
            NDA_LLADDR => mac = value.try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some(Neighbour {
        dev: IfIndex(decode::u32_at(payload, 4)?),
        address: address?,
        mac,
        permanent: decode::u16_at(payload, 8)? & NUD_PERMANENT != 0,
    })
}
