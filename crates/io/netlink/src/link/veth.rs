//! Pairs of veth devices.

use std::os::fd::{AsRawFd, BorrowedFd};

use underlay_types::Mac;

use super::{
    IFF_UP, IFLA_ADDRESS, IFLA_GROUP, IFLA_IFNAME, IFLA_MTU, IFLA_NET_NS_FD, Link, RTM_NEWLINK,
    by_name, header, parse,
};
use crate::{
    KernelError, Request, Socket,
    message::{Message, NLM_F_CREATE, NLM_F_EXCL},
};

const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const VETH_INFO_PEER: u16 = 1;

/// One end of a pair to be made.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Its name, 1 to 15 bytes.
    pub name: &'a str,
    /// Its Ethernet address; a random one if absent.
    pub mac: Option<Mac>,
    /// Bytes of a packet; 1500 if absent.
    pub mtu: Option<u32>,
    /// Its group, 0 for none.
    pub group: u32,
    /// The namespace that it is born in; the socket's if absent.
    pub netns: Option<BorrowedFd<'a>>,
}

impl<'a> VethEnd<'a> {
    /// An end in the socket's namespace with the kernel's choice of everything but the name.
    #[must_use]
    pub const fn named(name: &'a str) -> Self {
        Self {
            name,
            mac: None,
            mtu: None,
            group: 0,
            netns: None,
        }
    }

    fn encode(&self, message: &mut Message) {
        message.attr_text(IFLA_IFNAME, self.name);
        if let Some(mac) = self.mac {
            message.attr(IFLA_ADDRESS, &mac.0);
        }
        if let Some(mtu) = self.mtu {
            message.attr_u32(IFLA_MTU, mtu);
        }
        if self.group != 0 {
            message.attr_u32(IFLA_GROUP, self.group);
        }
        // One queue: with more, creation waits for an expedited RCU grace period.
        message.attr_u32(IFLA_NUM_TX_QUEUES, 1);
        message.attr_u32(IFLA_NUM_RX_QUEUES, 1);
        if let Some(netns) = self.netns {
            message.attr(IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
        }
    }
}

/// A pair to be made.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// The end that the message is about.
    pub near: VethEnd<'a>,
    /// Whether the near end is up at once. The far end cannot be: it is set up afterwards.
    pub near_up: bool,
    /// The other end.
    pub far: VethEnd<'a>,
}

/// Makes a pair and returns its near end.
///
/// # Errors
/// `EEXIST` if either name is taken.
pub fn create_veth(socket: &mut Socket, veth: &Veth<'_>) -> Result<Link, KernelError> {
    match socket.run_echoed(&add_veth(veth), parse::link)? {
        Some(link) => Ok(link),
        // Kernels before 6.2 do not show what they made.
        None => by_name(socket, veth.near.name),
    }
}

/// Makes a pair; refused with `EEXIST` if either name is taken.
#[must_use]
pub fn add_veth(veth: &Veth<'_>) -> Request {
    let flags = if veth.near_up { IFF_UP } else { 0 };
    let mut message = Message::new(
        RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        &header(0, flags, flags),
    );
    veth.near.encode(&mut message);
    message.nest(IFLA_LINKINFO, |info| {
        info.attr_text(IFLA_INFO_KIND, "veth");
        info.nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                peer.raw(&header(0, 0, 0));
                veth.far.encode(peer);
            });
        });
    });
    let object = format!("{} with peer {}", veth.near.name, veth.far.name);
    Request::new("add veth", object, message)
}
