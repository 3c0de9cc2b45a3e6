//! The course of a window: count, close, deliver.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use underlay_fabric::Drained;
use underlay_flowlog::{Action, Direction, EniFacts, FlowKey, FlowRecord, TcpFlags, Windows};
use underlay_types::{EniId, Timestamp};

use super::{Delivery, DeliveryError, LogState, Writer};

/// Keeps the open windows of all ENIs and writes them out when they close.
///
/// Counters may be handed in as often as suits; [`close`](Recorder::close) is to be called at
/// [`next_deadline`](Recorder::next_deadline), and once more at the end of a run so that nothing
/// is lost.
#[derive(Debug)]
pub struct Recorder {
    windows: Windows,
    writer: Writer,
    /// The ENIs of this window, those that were deleted during it included.
    enis: BTreeMap<EniId, EniFacts>,
    /// Packets of ENIs that were never shown to us.
    unknown: BTreeMap<EniId, u64>,
}

impl Recorder {
    /// Opens the first window. Files go below `dir`, which need not exist yet.
    ///
    /// `now` is on the wall clock, as are all times of records.
    #[must_use]
    pub fn new(dir: PathBuf, now: Timestamp, window: Duration) -> Self {
        Self {
            windows: Windows::new(now, window),
            writer: Writer::new(dir),
            enis: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// Counts what the fabric saw since the last time. `enis` are those that exist now.
    ///
    /// Records of an ENI that was deleted meanwhile are kept, if an earlier call (or
    /// [`observe`](Self::observe)) showed it.
    pub fn absorb(&mut self, drained: &Drained, enis: &[EniFacts]) {
        self.observe(enis);
        for record in &drained.records {
            match self.enis.get(&record.eni) {
                Some(facts) => self.windows.absorb(facts, &flow_record(record)),
                None => *self.unknown.entry(record.eni.clone()).or_default() += record.packets,
            }
        }
        for (eni, packets) in &drained.losses {
            match self.enis.get(eni) {
                Some(facts) => self.windows.skip(facts, *packets),
                None => *self.unknown.entry(eni.clone()).or_default() += packets,
            }
        }
    }

    /// Notes what is known of ENIs, such as before one is deleted.
    pub fn observe(&mut self, enis: &[EniFacts]) {
        for facts in enis {
            if self.enis.get(&facts.id) != Some(facts) {
                self.enis.insert(facts.id.clone(), facts.clone());
            }
        }
    }

    /// When to close the window.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        self.windows.next_deadline()
    }

    /// Closes the window, opens the next one, and writes what the flow logs want.
    ///
    /// What could not be written is kept, reported, and tried again at the next close.
    pub fn close(&mut self, now: Timestamp, state: LogState) -> Delivery {
        let closed = self.windows.close(now, &state.enis);
        let mut delivery = self.writer.deliver(now, &closed, &state.subscriptions);
        let unusable = state.unusable.into_iter().map(Into::into);
        delivery.failed.extend(unusable);
        let unknown = std::mem::take(&mut self.unknown).into_iter();
        let unknown = unknown.map(|(eni, packets)| DeliveryError::UnknownEni { eni, packets });
        delivery.failed.extend(unknown);
        self.enis.clear();
        self.observe(&state.enis);
        delivery
    }
}

fn flow_record(record: &underlay_fabric::FlowRecord) -> FlowRecord {
    FlowRecord {
        key: FlowKey {
            direction: match record.direction {
                underlay_fabric::Direction::Egress => Direction::Egress,
                underlay_fabric::Direction::Ingress => Direction::Ingress,
            },
            src: record.source,
            dst: record.destination,
            src_port: record.source_port,
            dst_port: record.destination_port,
            protocol: record.protocol,
            action: match record.action {
                underlay_fabric::Action::Accept => Action::Accept,
                underlay_fabric::Action::Reject => Action::Reject,
            },
        },
        packets: record.packets,
        bytes: record.bytes,
        first: record.first,
        last: record.last,
        tcp_flags: TcpFlags::from_reported(record.tcp_flags),
    }
}

#[cfg(test)]
mod tests;
