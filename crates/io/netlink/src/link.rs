//! Network devices.

mod parse;
mod veth;

use std::os::fd::{AsRawFd, BorrowedFd};

pub use parse::Link;
use underlay_types::Mac;
pub use veth::{Veth, VethEnd, add_veth, create_veth};

use crate::{
    Errno, IfIndex, KernelError, Request, Socket,
    message::{Message, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL},
};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINKPROP: u16 = 108;
const RTM_DELLINKPROP: u16 = 109;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;

const IFF_UP: u32 = 1;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

/// `struct ifinfomsg`: family, pad, type, index, flags, change.
fn header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn change(op: &'static str, index: IfIndex, fill: impl FnOnce(&mut Message)) -> Request {
    let mut message = Message::new(RTM_NEWLINK, 0, &header(index.0, 0, 0));
    fill(&mut message);
    Request::new(op, index.to_string(), message)
}

/// Brings a device up or takes it down.
#[must_use]
pub fn set_up(index: IfIndex, up: bool) -> Request {
    let flags = if up { IFF_UP } else { 0 };
    let message = Message::new(RTM_NEWLINK, 0, &header(index.0, flags, IFF_UP));
    let op = if up { "set link up" } else { "set link down" };
    Request::new(op, index.to_string(), message)
}

/// Gives a device another name; it must be down on kernels before 6.2.
#[must_use]
pub fn rename(index: IfIndex, name: &str) -> Request {
    change("rename link", index, |message| {
        message.attr_text(IFLA_IFNAME, name);
    })
}

/// Sets the Ethernet address.
#[must_use]
pub fn set_mac(index: IfIndex, mac: Mac) -> Request {
    change("set link address", index, |message| {
        message.attr(IFLA_ADDRESS, &mac.0);
    })
}

/// Sets the MTU.
#[must_use]
pub fn set_mtu(index: IfIndex, mtu: u32) -> Request {
    change("set link mtu", index, |message| {
        message.attr_u32(IFLA_MTU, mtu);
    })
}

/// Puts a device into a group; see [`delete_group`].
#[must_use]
pub fn set_group(index: IfIndex, group: u32) -> Request {
    change("set link group", index, |message| {
        message.attr_u32(IFLA_GROUP, group);
    })
}

/// Moves a device into another namespace, where it has another index and is down.
#[must_use]
pub fn move_to(index: IfIndex, netns: BorrowedFd<'_>) -> Request {
    change("move link", index, |message| {
        message.attr(IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
    })
}

/// As [`move_to`], with another name there. Should only the name be refused, the device is moved all
/// the same.
#[must_use]
pub fn move_to_as(index: IfIndex, netns: BorrowedFd<'_>, name: &str) -> Request {
    change("move link", index, |message| {
        message.attr(IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
        message.attr_text(IFLA_IFNAME, name);
    })
}

fn prop(op: &'static str, kind: u16, flags: u16, index: IfIndex, name: &str) -> Request {
    let mut message = Message::new(kind, flags, &header(index.0, 0, 0));
    message.nest(IFLA_PROP_LIST, |list| {
        list.attr_text(IFLA_ALT_IFNAME, name);
    });
    Request::new(op, format!("{index} altname {name}"), message)
}

/// Gives a device a further name, up to 127 bytes.
#[must_use]
pub fn add_altname(index: IfIndex, name: &str) -> Request {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    prop("add link", RTM_NEWLINKPROP, flags, index, name)
}

/// Takes a further name away.
#[must_use]
pub fn delete_altname(index: IfIndex, name: &str) -> Request {
    prop("delete link", RTM_DELLINKPROP, 0, index, name)
}

/// Deletes a device; of a veth, both ends. Waits for RCU: 20 to 30 ms for each device.
#[must_use]
pub fn delete(index: IfIndex) -> Request {
    let message = Message::new(RTM_DELLINK, 0, &header(index.0, 0, 0));
    Request::new("delete link", index.to_string(), message)
}

/// Deletes a device by its name or a further name.
#[must_use]
pub fn delete_by_name(name: &str) -> Request {
    let mut message = Message::new(RTM_DELLINK, 0, &header(0, 0, 0));
    name_attribute(&mut message, name);
    Request::new("delete link", name, message)
}

/// Deletes every device of a group in one go, for the price of one. Refused with `ENODEV` if the
/// group is empty, and as a whole if one of its devices cannot be deleted.
#[must_use]
pub fn delete_group(group: u32) -> Request {
    let mut message = Message::new(RTM_DELLINK, 0, &header(0, 0, 0));
    message.attr_u32(IFLA_GROUP, group);
    Request::new("delete link group", group.to_string(), message)
}

fn name_attribute(message: &mut Message, name: &str) {
    let kind = if name.len() < 16 {
        IFLA_IFNAME
    } else {
        IFLA_ALT_IFNAME
    };
    message.attr_text(kind, name);
}

/// Finds a device by its name or a further name.
///
/// # Errors
/// `ENODEV` if there is none.
pub fn by_name(socket: &mut Socket, name: &str) -> Result<Link, KernelError> {
    let mut message = Message::new(RTM_GETLINK, NLM_F_ACK, &header(0, 0, 0));
    name_attribute(&mut message, name);
    message.attr_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    socket.query(&Request::new("find link", name, message), parse::link)
}

/// Finds a device by its index.
///
/// # Errors
/// `ENODEV` if there is none.
pub fn by_index(socket: &mut Socket, index: IfIndex) -> Result<Link, KernelError> {
    let mut message = Message::new(RTM_GETLINK, NLM_F_ACK, &header(index.0, 0, 0));
    message.attr_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    let request = Request::new("find link", index.to_string(), message);
    socket.query(&request, parse::link)
}

/// Finds the device with the Ethernet address `mac`.
///
/// # Errors
/// `ENODEV` if there is none.
pub fn by_mac(socket: &mut Socket, mac: Mac) -> Result<Link, KernelError> {
    dump(socket)?
        .into_iter()
        .find(|link| link.mac == Some(mac))
        .ok_or_else(|| KernelError::new("find link", mac.to_string(), Errno::NODEV))
}

/// All devices of the socket's namespace.
///
/// # Errors
/// When the namespace changes faster than it can be read.
pub fn dump(socket: &mut Socket) -> Result<Vec<Link>, KernelError> {
    let mut message = Message::new(RTM_GETLINK, 0, &header(0, 0, 0));
    message.attr_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    socket.dump("links", &message, parse::link)
}
