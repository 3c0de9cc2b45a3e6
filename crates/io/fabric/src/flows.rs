//! Flow records: what the programs counted in a window.

use std::{net::IpAddr, thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use underlay_fabric_abi as abi;
use underlay_types::{EniId, Timestamp};

use crate::{Fabric, FabricError};

/// A program that read the old window's number has counted its packet by then.
const SETTLE: Duration = Duration::from_millis(2);

/// Which way a packet goes, seen from the ENI's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the owner.
    Egress,
    /// To the owner.
    Ingress,
}

/// What the ENI's groups said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The packet passed.
    Accept,
    /// The packet was refused.
    Reject,
}

/// The packets of one flow at one ENI in one window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowRecord {
    /// The ENI.
    pub eni: EniId,
    /// Which way they went.
    pub direction: Direction,
    /// Their own source address.
    pub source: IpAddr,
    /// Their own destination address.
    pub destination: IpAddr,
    /// 0 unless TCP or UDP.
    pub source_port: u16,
    /// 0 unless TCP or UDP.
    pub destination_port: u16,
    /// IANA number.
    pub protocol: u8,
    /// What the ENI's groups said.
    pub action: Action,
    /// How many there were; of a segmented one, its segments.
    pub packets: u64,
    /// Their bytes, IP headers included.
    pub bytes: u64,
    /// When the first came, on the Unix clock.
    pub first: Timestamp,
    /// When the last came, on the Unix clock.
    pub last: Timestamp,
    /// FIN 1, SYN 2, RST 4, and 16 for ACK beside SYN, of all packets together.
    pub tcp_flags: u8,
}

/// What a closed window held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// The records, sorted.
    pub records: Vec<FlowRecord>,
    /// Packets per ENI that no record had room for.
    pub losses: Vec<(EniId, u64)>,
}

impl Fabric {
    /// Closes the open flow-log window, opens the next, and takes out what the closed one held.
    ///
    /// A packet that is counted in the very moment of closing may come with the next call.
    ///
    /// # Errors
    /// When the kernel refuses to read or clear a map.
    pub fn close_window(&mut self) -> Result<Drained, FabricError> {
        let closed = self.window;
        self.window = closed.wrapping_add(1);
        self.maps.set_window(self.window)?;
        thread::sleep(SETTLE);
        self.drain(closed)
    }

    fn drain(&mut self, closed: u32) -> Result<Drained, FabricError> {
        let mut drained = Drained::default();
        let to_unix = unix_minus_monotonic();
        for key in self.maps.flows.keys_where(|key| key.window <= closed)? {
            let Some(flow) = self.maps.flows.find(key)? else {
                continue;
            };
            self.maps.flows.remove(key)?;
            if let Some(eni) = self.enis.id(key.eni) {
                drained.records.push(record(eni, &key, &flow, to_unix));
            }
        }
        for key in self
            .maps
            .flow_losses
            .keys_where(|key| key.window <= closed)?
        {
            let lost = self.maps.flow_losses.find(key)?.unwrap_or(0);
            self.maps.flow_losses.remove(key)?;
            if let Some(eni) = self.enis.id(key.eni) {
                drained.losses.push((eni.clone(), lost));
            }
        }
        drained.records.sort_unstable();
        drained.losses.sort_unstable();
        Ok(drained)
    }
}

fn record(eni: &EniId, key: &abi::FlowKey, flow: &abi::Flow, to_unix: u64) -> FlowRecord {
    FlowRecord {
        eni: eni.clone(),
        direction: if key.direction == abi::EGRESS {
            Direction::Egress
        } else {
            Direction::Ingress
        },
        source: abi::address_of(key.source_be),
        destination: abi::address_of(key.destination_be),
        source_port: u16::from_be_bytes(key.source_port_be),
        destination_port: u16::from_be_bytes(key.destination_port_be),
        protocol: key.protocol,
        action: if key.action == abi::REJECT {
            Action::Reject
        } else {
            Action::Accept
        },
        packets: flow.packets,
        bytes: flow.bytes,
        first: Timestamp::from_nanos(flow.first_ns.saturating_add(to_unix)),
        last: Timestamp::from_nanos(flow.last_ns.saturating_add(to_unix)),
        tcp_flags: u8::try_from(flow.tcp_flags & 0xff).unwrap_or(0),
    }
}

/// What to add to a time of the programs to make it a time of the Unix clock.
fn unix_minus_monotonic() -> u64 {
    nanos(ClockId::Realtime).saturating_sub(monotonic())
}

/// A time of the programs: now.
pub(crate) fn monotonic() -> u64 {
    nanos(ClockId::Monotonic)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}
