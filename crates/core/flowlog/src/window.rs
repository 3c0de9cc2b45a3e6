//! Adding up what a fabric counted until an aggregation window closes.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use underlay_types::{EniId, Timestamp};

use crate::{EniFacts, FlowKey, FlowRecord, is_unlogged};

/// The open aggregation window of every ENI.
///
/// Drained counters come in whenever it suits the fabric, in any number of parts; the sums of a
/// window are the same.
#[derive(Debug)]
pub struct Windows {
    length: Duration,
    start: Timestamp,
    enis: BTreeMap<EniId, Open>,
}

#[derive(Debug)]
struct Open {
    facts: EniFacts,
    flows: BTreeMap<FlowKey, FlowRecord>,
    skipped: u64,
}

/// The closed window of one ENI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniWindow {
    /// The ENI, as it was when its last packet was counted, else when the window closed.
    pub facts: EniFacts,
    /// When the window opened.
    pub start: Timestamp,
    /// When it closed.
    pub end: Timestamp,
    /// What was seen.
    pub outcome: Outcome,
}

/// What was seen at one ENI in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No packet that a flow log would show.
    NoData,
    /// One record per flow, in the order of their keys.
    Flows {
        /// The records.
        records: Vec<FlowRecord>,
        /// Records that were lost on the way here.
        skipped: u64,
    },
}

impl Windows {
    /// Opens the first window.
    #[must_use]
    pub fn new(now: Timestamp, length: Duration) -> Self {
        Self {
            length,
            start: now,
            enis: BTreeMap::new(),
        }
    }

    /// When the open window is to be closed.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        self.start + self.length
    }

    /// Counts packets seen at an ENI, unless no flow log shows them.
    pub fn absorb(&mut self, eni: &EniFacts, record: &FlowRecord) {
        if record.packets == 0 || is_unlogged(&record.key, &eni.network) {
            return;
        }
        match self.open(eni).flows.entry(record.key) {
            Entry::Occupied(mut counted) => counted.get_mut().absorb(record),
            Entry::Vacant(new) => {
                new.insert(*record);
            }
        }
    }

    /// Notes that `count` records of an ENI were lost before they got here.
    pub fn skip(&mut self, eni: &EniFacts, count: u64) {
        if count > 0 {
            let open = self.open(eni);
            open.skipped = open.skipped.saturating_add(count);
        }
    }

    /// Closes the window and opens the next one: what was seen at each ENI, in the order of their
    /// ids. `present` are the ENIs that exist now: of those without packets, it says so.
    pub fn close<'a>(
        &mut self,
        now: Timestamp,
        present: impl IntoIterator<Item = &'a EniFacts>,
    ) -> Vec<EniWindow> {
        let (start, end) = (self.start, now);
        let mut closed: BTreeMap<EniId, EniWindow> = present
            .into_iter()
            .map(|facts| {
                let window = EniWindow {
                    facts: facts.clone(),
                    start,
                    end,
                    outcome: Outcome::NoData,
                };
                (facts.id.clone(), window)
            })
            .collect();
        for (id, open) in std::mem::take(&mut self.enis) {
            let outcome = Outcome::Flows {
                records: open.flows.into_values().collect(),
                skipped: open.skipped,
            };
            let window = EniWindow {
                facts: open.facts,
                start,
                end,
                outcome,
            };
            closed.insert(id, window);
        }
        self.start = now;
        closed.into_values().collect()
    }

    fn open(&mut self, eni: &EniFacts) -> &mut Open {
        let open = self.enis.entry(eni.id.clone()).or_insert_with(|| Open {
            facts: eni.clone(),
            flows: BTreeMap::new(),
            skipped: 0,
        });
        if open.facts != *eni {
            open.facts.clone_from(eni);
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        TcpFlags,
        line::tests::{facts, flow},
    };

    const WINDOW: Duration = Duration::from_secs(60);

    fn part(port: u16, packets: u64, bytes: u64, first: u64, raw_flags: u8) -> FlowRecord {
        FlowRecord {
            key: flow("10.0.1.4", "10.0.2.9", 6, port, 443),
            packets,
            bytes,
            first: Timestamp::from_secs(first),
            last: Timestamp::from_secs(first + 1),
            tcp_flags: TcpFlags::of_packet(raw_flags),
        }
    }

    #[test]
    fn parts_of_a_flow_become_one_record() {
        let mut windows = Windows::new(Timestamp::from_secs(100), WINDOW);
        windows.absorb(&facts(), &part(1, 2, 120, 130, 0x02));
        windows.absorb(&facts(), &part(1, 3, 900, 101, 0x11));
        assert_eq!(windows.next_deadline(), Timestamp::from_secs(160));
        let closed = windows.close(Timestamp::from_secs(160), []);
        let whole = FlowRecord {
            packets: 5,
            bytes: 1020,
            first: Timestamp::from_secs(101),
            last: Timestamp::from_secs(131),
            tcp_flags: TcpFlags::from_reported(3),
            ..part(1, 0, 0, 0, 0)
        };
        assert_eq!(
            closed,
            [EniWindow {
                facts: facts(),
                start: Timestamp::from_secs(100),
                end: Timestamp::from_secs(160),
                outcome: Outcome::Flows {
                    records: vec![whole],
                    skipped: 0
                },
            }]
        );
        assert_eq!(windows.next_deadline(), Timestamp::from_secs(220));
        assert_eq!(windows.close(Timestamp::from_secs(220), []), []);
    }

    #[test]
    fn an_eni_with_only_unlogged_traffic_saw_nothing() {
        let mut windows = Windows::new(Timestamp::ZERO, WINDOW);
        let mut metadata = part(1, 2, 120, 130, 0x02);
        metadata.key.dst = "169.254.169.254".parse().unwrap();
        windows.absorb(&facts(), &metadata);
        windows.absorb(&facts(), &part(1, 0, 0, 0, 0));
        windows.skip(&facts(), 0);
        let closed = windows.close(Timestamp::from_secs(60), [&facts()]);
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].outcome, Outcome::NoData);
    }

    #[test]
    fn losses_are_kept_even_without_records() {
        let mut windows = Windows::new(Timestamp::ZERO, WINDOW);
        windows.skip(&facts(), 3);
        windows.skip(&facts(), 4);
        let closed = windows.close(Timestamp::from_secs(60), [&facts()]);
        assert_eq!(
            closed[0].outcome,
            Outcome::Flows {
                records: vec![],
                skipped: 7
            }
        );
    }

    #[test]
    fn an_eni_that_is_gone_still_has_its_records() {
        let mut windows = Windows::new(Timestamp::ZERO, WINDOW);
        windows.absorb(&facts(), &part(1, 2, 120, 30, 0x02));
        let mut other = facts();
        other.id = "eni-00000001".parse().unwrap();
        let closed = windows.close(Timestamp::from_secs(60), [&other]);
        let ids: Vec<_> = closed
            .iter()
            .map(|window| window.facts.id.as_str())
            .collect();
        assert_eq!(ids, ["eni-00000001", "eni-0123456789abcdef0"]);
    }

    proptest! {
        #[test]
        fn sums_are_preserved_however_counters_are_drained(
            parts in proptest::collection::vec((0_u16..4, 1_u64..1000, 40_u64..10000, 0_u64..60), 1..50),
        ) {
            let mut windows = Windows::new(Timestamp::ZERO, WINDOW);
            for &(port, packets, bytes, first) in &parts {
                windows.absorb(&facts(), &part(port, packets, bytes, first, 0x10));
            }
            let closed = windows.close(Timestamp::from_secs(60), []);
            let Outcome::Flows { records, .. } = &closed[0].outcome else { panic!("no flows") };
            for record in records {
                let port = record.key.src_port;
                let of_flow = || parts.iter().filter(|part| part.0 == port);
                prop_assert_eq!(record.packets, of_flow().map(|part| part.1).sum::<u64>());
                prop_assert_eq!(record.bytes, of_flow().map(|part| part.2).sum::<u64>());
            }
            let mut ports: Vec<_> = parts.iter().map(|part| part.0).collect();
            ports.sort_unstable();
            ports.dedup();
            prop_assert_eq!(records.len(), ports.len());
        }
    }
}
