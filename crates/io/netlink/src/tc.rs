//! eBPF classifiers at devices: the qdisc `clsact` and filters of the kind `bpf` (direct action).
//!
//! A filter belongs to its device and keeps its program, and with it the program's maps, whoever
//! made it lives or not. By the same priority and handle another program takes its place without
//! a packet passing in between.

use std::{
    fmt,
    os::fd::{AsRawFd, BorrowedFd},
};

use crate::{
    IfIndex, KernelError, Request, Socket, dump as decode,
    message::{Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
};

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TC_H_CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
/// In network byte order, as the kernel wants the protocol.
const ETH_P_ALL_BE: u32 = 0x0300;
const HEADER_LEN: usize = 20;

/// Where at a device a filter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// What leaves by the device.
    Egress,
    /// What comes in by it.
    Ingress,
}

impl Side {
    const fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        })
    }
}

/// The place of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The device.
    pub device: IfIndex,
    /// The side.
    pub side: Side,
    /// The lower, the sooner asked.
    pub priority: u16,
    /// The number among filters of this priority; not 0.
    pub handle: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} priority {} handle {:#x}",
            self.side, self.device, self.priority, self.handle
        )
    }
}

/// An eBPF filter that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Where.
    pub place: Place,
    /// The name that it was given.
    pub name: String,
    /// The kernel's id of its program.
    pub program: u32,
}

/// `struct tcmsg`: family, pad, device, handle, parent, priority and protocol.
fn header(device: IfIndex, handle: u32, parent: u32, info: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    for (number, at) in [device.0, handle, parent, info]
        .into_iter()
        .zip([4, 8, 12, 16])
    {
        header[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    header
}

fn clsact(op: &'static str, device: IfIndex, kind: u16, flags: u16) -> Request {
    let header = header(device, CLSACT_HANDLE, TC_H_CLSACT, 0);
    let mut message = Message::new(kind, flags, &header);
    message.attr_text(TCA_KIND, "clsact");
    Request::new(op, device.to_string(), message)
}

/// Gives a device the qdisc that filters stand at; refused with `EEXIST` if it has one.
#[must_use]
pub fn add_clsact(device: IfIndex) -> Request {
    clsact(
        "add clsact",
        device,
        RTM_NEWQDISC,
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Takes the qdisc away, with every filter.
#[must_use]
pub fn delete_clsact(device: IfIndex) -> Request {
    clsact("delete clsact", device, RTM_DELQDISC, 0)
}

fn filter(
    op: &'static str,
    place: &Place,
    kind: u16,
    flags: u16,
) -> (Message, String, &'static str) {
    let info = u32::from(place.priority) << 16 | ETH_P_ALL_BE;
    let header = header(place.device, place.handle, place.side.parent(), info);
    let mut message = Message::new(kind, flags, &header);
    message.attr_text(TCA_KIND, "bpf");
    (message, place.to_string(), op)
}

/// Puts a program in a place, instead of the one that stands there.
#[must_use]
pub fn replace_filter(place: &Place, name: &str, program: BorrowedFd<'_>) -> Request {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    let (mut message, object, op) = filter("put eBPF filter", place, RTM_NEWTFILTER, flags);
    message.nest(TCA_OPTIONS, |options| {
        options.attr(TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes());
        options.attr_text(TCA_BPF_NAME, name);
        options.attr_u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    });
    Request::new(op, object, message)
}

/// Deletes the filter in a place; refused with `ENOENT` if there is none.
#[must_use]
pub fn delete_filter(place: &Place) -> Request {
    let (message, object, op) = filter("delete eBPF filter", place, RTM_DELTFILTER, 0);
    Request::new(op, object, message)
}

/// The eBPF filters at one side of a device.
///
/// # Errors
/// When the kernel does not list them.
pub fn filters(
    socket: &mut Socket,
    device: IfIndex,
    side: Side,
) -> Result<Vec<Filter>, KernelError> {
    let message = Message::new(RTM_GETTFILTER, 0, &header(device, 0, side.parent(), 0));
    socket.dump("eBPF filters", &message, |payload| parse(payload, side))
}

fn parse(payload: &[u8], side: Side) -> Option<Filter> {
    let number = |at| decode::u32_at(payload, at);
    let place = Place {
        device: IfIndex(number(4)?),
        side,
        priority: u16::try_from(number(16)? >> 16).ok()?,
        handle: number(8)?,
    };
    let (mut name, mut program) = (String::new(), None);
    for (kind, value) in decode::attributes(payload.get(HEADER_LEN..)?) {
        if kind != TCA_OPTIONS {
            continue;
        }
        for (kind, value) in decode::attributes(value) {
            match kind {
                TCA_BPF_NAME => name = decode::text(value),
                TCA_BPF_ID => program = decode::u32_at(value, 0),
                _ => {}
            }
        }
    }
    // Each priority also has an entry without a program.
    Some(Filter {
        place,
        name,
        program: program?,
    })
}
