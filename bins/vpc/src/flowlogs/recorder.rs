//! The course of a window: count, close, deliver.

use std::{path::PathBuf, time::Duration};

use underlay_flowlog::{EniFacts, FlowRecord, Windows};
use underlay_types::Timestamp;

use super::{Delivery, LogState, Writer};

/// Keeps the open windows of all ENIs and writes them out when they close.
///
/// Counters may be handed in as often as suits; [`close`](Recorder::close) is to be called at
/// [`next_deadline`](Recorder::next_deadline), and once more at the end of a run so that nothing
/// is lost.
#[derive(Debug)]
pub struct Recorder {
    windows: Windows,
    writer: Writer,
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
        }
    }

    /// Counts packets seen at an ENI since the last time.
    pub fn absorb(&mut self, eni: &EniFacts, record: &FlowRecord) {
        self.windows.absorb(eni, record);
    }

    /// Notes that records of an ENI were lost: its logs will say SKIPDATA.
    pub fn skip(&mut self, eni: &EniFacts, count: u64) {
        self.windows.skip(eni, count);
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
        delivery
    }
}
