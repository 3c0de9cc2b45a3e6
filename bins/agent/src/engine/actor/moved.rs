//! ENIs that are attached elsewhere than when their pods were wired: somebody detached them.

use tracing::{info, warn};
use underlay_journal::{Change, LeaseRecord};
use underlay_netplan::PodWiring;
use underlay_types::{EniId, LeaseKey};

use super::{Actor, wiring};

impl Actor {
    /// Records where an ENI is now for each of its leases, before the kernel hears of it: a successor
    /// goes on from what is recorded, whole or in part.
    pub(in crate::engine) fn record_place(&mut self, eni: &EniId) -> Result<(), String> {
        let Some(place) = self.enis.get(eni).and_then(|facts| facts.place) else {
            return Ok(());
        };
        let moved: Vec<LeaseRecord> = self
            .leases_of(eni)
            .filter(|lease| lease.place != place)
            .cloned()
            .collect();
        for lease in moved {
            info!(key = %lease.key, %eni, from = %lease.place, to = %place, "a pod's ENI has moved");
            self.record(Change::Lease(LeaseRecord { place, ..lease }))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The same for every ENI.
    pub(in crate::engine) fn record_places(&mut self) {
        for eni in self.enis.keys().cloned().collect::<Vec<_>>() {
            if let Err(error) = self.record_place(&eni) {
                warn!(%eni, error, "where it is cannot be recorded yet: its pods are cut off");
            }
        }
    }

    /// The pods of an ENI as they are to be wired.
    pub(in crate::engine) fn pods_of(&self, eni: &EniId) -> Vec<PodWiring> {
        let pods = self.leases_of(eni);
        pods.filter_map(|lease| wiring(lease, self.mtus.pod).ok())
            .collect()
    }

    /// Gives a pod its ENI, which was attached again and whose device is in the node's namespace.
    pub(super) fn eni_returned(&mut self, key: &LeaseKey) {
        if let Some(held) = self.held(key) {
            self.give_again(&held);
        }
    }

    /// A branch ENI is not at a place of its own.
    fn leases_of(&self, eni: &EniId) -> impl Iterator<Item = &LeaseRecord> {
        let leases = self.journal.state().leases.values();
        leases.filter(move |lease| lease.eni == *eni && lease.interface.branch().is_none())
    }
}
