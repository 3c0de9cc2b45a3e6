//! Routes.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::{
    Family, IfIndex, KernelError, Request, Socket, dump as decode,
    family::{address_of, byte, octets},
    message::{Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RTNH_F_ONLINK: u32 = 4;

/// The main table.
pub const MAIN: u32 = 254;
/// The table of the kernel's own local and broadcast routes.
pub const LOCAL: u32 = 255;
/// Routes that people and programs without a number of their own add.
pub const PROTOCOL_STATIC: u8 = 4;

/// What a route does with its packets (`rtm_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Sends them on.
    Unicast,
    /// Drops them without a word.
    Blackhole,
    /// Answers that the destination is unreachable.
    Unreachable,
    /// Anything else that the kernel reports (local, broadcast and so on), by its number.
    Other(u8),
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Unicast => 1,
            Self::Blackhole => 6,
            Self::Unreachable => 7,
            Self::Other(byte) => byte,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Unicast,
            6 => Self::Blackhole,
            7 => Self::Unreachable,
            other => Self::Other(other),
        }
    }
}

/// How far away the destination is (`rtm_scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Behind a gateway, 0.
    Universe,
    /// On the device's link, 253.
    Link,
    /// Anything else, by its number.
    Other(u8),
}

impl Scope {
    const fn byte(self) -> u8 {
        match self {
            Self::Universe => 0,
            Self::Link => 253,
            Self::Other(byte) => byte,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Universe,
            253 => Self::Link,
            other => Self::Other(other),
        }
    }
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The table.
    pub table: u32,
    /// The destination; length 0 is the default route.
    pub destination: IpNet,
    /// What happens to the packets.
    pub kind: Kind,
    /// How far away the destination is.
    pub scope: Scope,
    /// The device that they leave by.
    pub dev: Option<IfIndex>,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The source address of packets that the node itself sends.
    pub source: Option<IpAddr>,
    /// Whether the next hop counts as on link though no address says so.
    pub onlink: bool,
    /// The lower, the sooner used.
    pub metric: u32,
    /// Who added it (`rtm_protocol`).
    pub protocol: u8,
}

impl Route {
    /// A route to what is directly on `dev`.
    #[must_use]
    pub const fn direct(destination: IpNet, dev: IfIndex, table: u32) -> Self {
        Self {
            table,
            destination,
            kind: Kind::Unicast,
            scope: Scope::Link,
            dev: Some(dev),
            gateway: None,
            source: None,
            onlink: false,
            metric: 0,
            protocol: PROTOCOL_STATIC,
        }
    }

    /// A route through `gateway` on `dev`, with the gateway taken to be on link.
    #[must_use]
    pub const fn via(destination: IpNet, gateway: IpAddr, dev: IfIndex, table: u32) -> Self {
        Self {
            scope: Scope::Universe,
            gateway: Some(gateway),
            onlink: true,
            ..Self::direct(destination, dev, table)
        }
    }

    /// A route of the main table that answers that `destination` is unreachable.
    #[must_use]
    pub const fn unreachable(destination: IpNet) -> Self {
        Self {
            table: MAIN,
            destination,
            kind: Kind::Unreachable,
            scope: Scope::Universe,
            dev: None,
            gateway: None,
            source: None,
            onlink: false,
            metric: 0,
            protocol: PROTOCOL_STATIC,
        }
    }

    /// Without `gateway` being taken to be on link.
    #[must_use]
    pub const fn without_onlink(mut self) -> Self {
        self.onlink = false;
        self
    }

    fn request(&self, op: &'static str, kind: u16, flags: u16) -> Request {
        let destination = self.destination;
        let table = u8::try_from(self.table).unwrap_or(0);
        // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
        let mut header = [0; 12];
        header[0] = byte(Family::of(destination.addr()));
        header[1] = destination.prefix_len();
        header[4] = table;
        header[5] = self.protocol;
        header[6] = self.scope.byte();
        header[7] = self.kind.byte();
        let route_flags = if self.onlink { RTNH_F_ONLINK } else { 0 };
        header[8..].copy_from_slice(&route_flags.to_ne_bytes());
        let mut message = Message::new(kind, flags, &header);
        message.attr_u32(RTA_TABLE, self.table);
        if destination.prefix_len() > 0 {
            message.attr(RTA_DST, &octets(destination.network()));
        }
        if let Some(dev) = self.dev {
            message.attr_u32(RTA_OIF, dev.0);
        }
        if let Some(gateway) = self.gateway {
            message.attr(RTA_GATEWAY, &octets(gateway));
        }
        if let Some(source) = self.source {
            message.attr(RTA_PREFSRC, &octets(source));
        }
        if self.metric != 0 {
            message.attr_u32(RTA_PRIORITY, self.metric);
        }
        Request::new(op, self.to_string(), message)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.destination)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(dev) = self.dev {
            write!(f, " dev {dev}")?;
        }
        write!(f, " table {}", self.table)
    }
}

/// Adds a route; refused with `EEXIST` if the table has one to the same destination and metric.
#[must_use]
pub fn add(route: &Route) -> Request {
    route.request("add route", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL)
}

/// Adds a route, or puts it in the place of the one to the same destination and metric.
#[must_use]
pub fn replace(route: &Route) -> Request {
    route.request("replace route", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Deletes a route; refused with `ESRCH` if there is none like it.
#[must_use]
pub fn delete(route: &Route) -> Request {
    route.request("delete route", RTM_DELROUTE, 0)
}

/// All routes of `family` in the socket's namespace, of all tables.
///
/// # Errors
/// When the namespace changes faster than it can be read.
pub fn dump(socket: &mut Socket, family: Family) -> Result<Vec<Route>, KernelError> {
    let mut header = [0; 12];
    header[0] = byte(family);
    socket.dump("routes", &Message::new(RTM_GETROUTE, 0, &header), parse)
}

fn parse(payload: &[u8]) -> Option<Route> {
    let family = *payload.first()?;
    let unspecified = if family == byte(Family::V4) {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0; 16])
    };
    let mut destination = unspecified;
    let flags = decode::u32_at(payload, 8)?;
    let mut route = Route {
        table: u32::from(*payload.get(4)?),
        destination: unspecified.into(),
        kind: Kind::from_byte(*payload.get(7)?),
        scope: Scope::from_byte(*payload.get(6)?),
        dev: None,
        gateway: None,
        source: None,
        onlink: flags & RTNH_F_ONLINK != 0,
        metric: 0,
        protocol: *payload.get(5)?,
    };
    for (kind, value) in decode::attributes(payload.get(12..)?) {
        match kind {
            RTA_DST => destination = address_of(value)?,
            RTA_OIF => route.dev = decode::u32_at(value, 0).map(IfIndex),
            RTA_GATEWAY => route.gateway = address_of(value),
            RTA_PRIORITY => route.metric = decode::u32_at(value, 0)?,
            RTA_PREFSRC => route.source = address_of(value),
            RTA_TABLE => route.table = decode::u32_at(value, 0)?,
            _ => {}
        }
    }
    route.destination = IpNet::new(destination, *payload.get(1)?).ok()?;
    Some(route)
}
