//! A device as the kernel reports it.

use underlay_types::Mac;

use super::{
    IFF_UP, IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_GROUP, IFLA_IFNAME, IFLA_MTU, IFLA_PROP_LIST,
};
use crate::{IfIndex, dump};

const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFF_RUNNING: u32 = 0x40;

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: IfIndex,
    /// Its name.
    pub name: String,
    /// Further names.
    pub altnames: Vec<String>,
    /// Its Ethernet address; absent on devices without one.
    pub mac: Option<Mac>,
    /// Bytes of a packet.
    pub mtu: u32,
    /// Its group; 0 unless set.
    pub group: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it also has a carrier; the kernel says so a little later than it is.
    pub running: bool,
    /// `veth`, `bridge` and so on; absent on real devices.
    pub kind: Option<String>,
    /// The index of the device at its other end, in the other end's namespace.
    pub peer: Option<IfIndex>,
    /// Whether the other end is in another namespace.
    pub peer_is_elsewhere: bool,
}

/// Reads RTM_NEWLINK.
pub(super) fn link(payload: &[u8]) -> Option<Link> {
    let flags = dump::u32_at(payload, 8)?;
    let mut link = Link {
        index: IfIndex(dump::u32_at(payload, 4)?),
        name: String::new(),
        altnames: Vec::new(),
        mac: None,
        mtu: 0,
        group: 0,
        up: flags & IFF_UP != 0,
        running: flags & IFF_RUNNING != 0,
        kind: None,
        peer: None,
        peer_is_elsewhere: false,
    };
    for (kind, value) in dump::attributes(payload.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = dump::text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
            IFLA_MTU => link.mtu = dump::u32_at(value, 0)?,
            IFLA_GROUP => link.group = dump::u32_at(value, 0)?,
            IFLA_LINK => link.peer = dump::u32_at(value, 0).map(IfIndex),
            IFLA_LINK_NETNSID => link.peer_is_elsewhere = true,
            IFLA_LINKINFO => {
                link.kind = dump::attributes(value)
                    .find(|(kind, _)| *kind == IFLA_INFO_KIND)
                    .map(|(_, value)| dump::text(value));
            }
            IFLA_PROP_LIST => {
                let names = dump::attributes(value).filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                link.altnames = names.map(|(_, value)| dump::text(value)).collect();
            }
            _ => {}
        }
    }
    Some(link)
}
