//! Which flows are tracked, and how many.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use underlay_fabric_abi as abi;
use underlay_types::EniId;

use crate::{
    Fabric, FabricError,
    flows::{Direction, monotonic},
};

/// Of [`abi::Track`]'s flags: the ENI's owner began the flow.
const BEGUN_OUTWARD: u8 = 1;

/// Tracked flows of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackingUse {
    /// How many there are.
    pub used: u64,
    /// How many there may be.
    pub allowance: u32,
    /// Packets that were dropped since there was no room for their flow.
    pub exceeded: u64,
}

/// Tracked flows of an ENI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackedFlows {
    /// How many there are.
    pub count: usize,
    /// Those that were used last, as many as were asked for.
    pub latest: Vec<TrackedFlow>,
}

/// A tracked flow, as one ENI sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackedFlow {
    /// For how long no packet of it came.
    pub idle: Duration,
    /// IANA number.
    pub protocol: u8,
    /// The address on the ENI's side, and the port; of an ICMP echo, its id.
    pub local: (IpAddr, u16),
    /// The other address, and the port.
    pub remote: (IpAddr, u16),
    /// Which way the first packet went.
    pub begun: Direction,
    /// How far it is.
    pub phase: FlowPhase,
}

/// How far a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowPhase {
    /// Packets went one way only.
    Opening,
    /// It was answered.
    Established,
    /// UDP: more than one question and answer.
    Stream,
    /// TCP: both ends ended it, or one reset it.
    Closed,
}

impl Fabric {
    /// The tracked flows of the instance that an ENI belongs to.
    ///
    /// # Errors
    /// When the ENI is no port, or the kernel refuses to read the map.
    pub fn tracking(&mut self, eni: &EniId) -> Result<TrackingUse, FabricError> {
        let unknown = || FabricError::UnknownPort(eni.clone());
        let allowance = self.ports.get(eni).ok_or_else(unknown)?.allowance().clone();
        let holder = self.holder_of(eni, &allowance);
        let counted = self.maps.trackings.find(holder)?;
        Ok(TrackingUse {
            used: counted.map_or(0, |counted| counted.used),
            allowance: allowance.flows,
            exceeded: counted.map_or(0, |counted| counted.exceeded),
        })
    }

    /// The flows that are tracked at ENIs, at most `most` of each. Those that come or go meanwhile
    /// may be missed. Reads the whole table of flows.
    ///
    /// # Errors
    /// When the kernel refuses to read the map.
    pub fn tracked_flows(
        &self,
        enis: &BTreeSet<EniId>,
        most: usize,
    ) -> Result<BTreeMap<EniId, TrackedFlows>, FabricError> {
        let mut all: BTreeMap<EniId, TrackedFlows> = BTreeMap::new();
        let wanted = |number| self.enis.id(number).filter(|eni| enis.contains(*eni));
        let now = monotonic();
        for key in self
            .maps
            .tracks
            .keys_where(|key| wanted(key.eni).is_some())?
        {
            let (Some(eni), Some(track)) = (wanted(key.eni), self.maps.tracks.find(key)?) else {
                continue;
            };
            let flows = all.entry(eni.clone()).or_default();
            flows.latest.push(flow(&key, &track, now));
        }
        for flows in all.values_mut() {
            flows.latest.sort_unstable();
            flows
                .latest
                .dedup_by_key(|flow| (flow.protocol, flow.local, flow.remote));
            flows.count = flows.latest.len();
            flows.latest.truncate(most);
        }
        Ok(all)
    }
}

fn flow(key: &abi::TrackKey, track: &abi::Track, now: u64) -> TrackedFlow {
    TrackedFlow {
        idle: Duration::from_nanos(now.saturating_sub(track.last_ns)),
        protocol: key.protocol,
        local: (
            abi::address_of(key.local_be),
            u16::from_be_bytes(key.local_port_be),
        ),
        remote: (
            abi::address_of(key.remote_be),
            u16::from_be_bytes(key.remote_port_be),
        ),
        begun: if track.flags & BEGUN_OUTWARD == 0 {
            Direction::Ingress
        } else {
            Direction::Egress
        },
        // In the order of `enum phase` in bpf/track.h.
        phase: match track.phase {
            0 => FlowPhase::Opening,
            1 => FlowPhase::Established,
            2 => FlowPhase::Stream,
            _ => FlowPhase::Closed,
        },
    }
}
