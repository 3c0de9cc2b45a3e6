//! The course of a window: count, close, deliver.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use underlay_fabric::Drained;
use underlay_flowlog::{Action, Direction, EniFacts, FlowKey, FlowRecord, TcpFlags, Windows};
use underlay_types::{EniId, Timestamp};

use super::{Aggregation, Delivery, DeliveryError, LogState, Writer};

/// A long window is so many short ones: 600 seconds and 60.
const SHORT_WINDOWS: u32 = 10;

/// Keeps the open windows of all ENIs and writes them out when they close.
///
/// Counters may be handed in as often as suits; [`close`](Recorder::close) is to be called at
/// [`next_deadline`](Recorder::next_deadline), and once more at the end of a run so that nothing
/// is lost.
#[derive(Debug)]
pub struct Recorder {
    /// Of all ENIs.
    short: Windows,
    /// Of those that are not on a Nitro-based instance.
    long: Windows,
    writer: Writer,
    /// The ENIs of this window, those that were deleted during it included.
    enis: BTreeMap<EniId, EniFacts>,
    /// Packets of ENIs that were never shown to us.
    unknown: BTreeMap<EniId, u64>,
}

impl Recorder {
    /// Opens the first window. Files go below `dir`, which need not exist yet.
    ///
    /// `now` is on the wall clock, as are all times of records. `window` stands for EC2's 60
    /// seconds, and ten times as much for its 600.
    #[must_use]
    pub fn new(dir: PathBuf, now: Timestamp, window: Duration) -> Self {
        Self {
            short: Windows::new(now, window),
            long: Windows::new(now, window.saturating_mul(SHORT_WINDOWS)),
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
                Some(facts) => {
                    let record = flow_record(record);
                    self.short.absorb(facts, &record);
                    if !facts.nitro {
                        self.long.absorb(facts, &record);
                    }
                }
                None => *self.unknown.entry(record.eni.clone()).or_default() += record.packets,
            }
        }
        for (eni, packets) in &drained.losses {
            match self.enis.get(eni) {
                Some(facts) => {
                    self.short.skip(facts, *packets);
                    if !facts.nitro {
                        self.long.skip(facts, *packets);
                    }
                }
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
        self.short.next_deadline()
    }

    /// Closes the short window, and the long one if its time has come; opens the next ones, and
    /// writes what the flow logs want.
    ///
    /// What could not be written is kept, reported, and tried again at the next close.
    pub fn close(&mut self, now: Timestamp, state: LogState) -> Delivery {
        let ends_long = self.long.next_deadline() <= now;
        self.deliver(now, state, ends_long)
    }

    /// Closes both windows, whatever their time.
    pub fn close_all(&mut self, now: Timestamp, state: LogState) -> Delivery {
        self.deliver(now, state, true)
    }

    fn deliver(&mut self, now: Timestamp, state: LogState, ends_long: bool) -> Delivery {
        let logs = &state.subscriptions;
        let closed = self.short.close(now, &state.enis);
        let mut delivery = self.writer.deliver(now, Aggregation::Minute, &closed, logs);
        if ends_long {
            let slow = state.enis.iter().filter(|facts| !facts.nitro);
            let closed = self.long.close(now, slow);
            let length = Aggregation::TenMinutes;
            delivery.absorb(self.writer.deliver(now, length, &closed, logs));
        }
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
