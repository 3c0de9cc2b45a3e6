//! What the allocator must know of an earlier run before it looks at EC2.

use std::time::Duration;

use underlay_ipam::{Cooldown, Lease, Parting};
use underlay_types::Timestamp;

use crate::State;

/// Leases, cooldowns and partings of the journal, in this boot's time: `wall_ms` since 1970 and `boot` are
/// the two clocks now. What has no address is in neither.
#[must_use]
pub fn promises(
    state: &State,
    wall_ms: u64,
    boot: Timestamp,
    cooldown: Duration,
) -> (Vec<Lease>, Vec<Cooldown>, Vec<Parting>) {
    // What is not a pool's is none of the allocator's business.
    let shared = state
        .leases
        .values()
        .filter(|record| record.interface.branch().is_none());
    let leases = shared.filter_map(|record| {
        Some(Lease {
            key: record.key.clone(),
            addresses: record.addresses()?,
            eni: record.eni.clone(),
            pool: record.pool.clone(),
        })
    });
    let cooldowns = state.cooling.values().filter_map(|cooling| {
        let left = cooling.left(wall_ms, boot, cooldown);
        let addresses = cooling.addresses()?;
        // What is over is history: the devices of that time were deleted before this is read.
        (!left.is_zero()).then(|| Cooldown {
            addresses,
            eni: cooling.eni.clone(),
            until: boot + left,
            device: Some(cooling.key.clone()),
        })
    });
    let partings = state.partings.iter().map(|parting| Parting {
        eni: parting.eni.clone(),
        addresses: parting.addresses.clone(),
        prefixes: parting.prefixes.clone(),
        until: boot + parting.left(wall_ms, boot),
    });
    (leases.collect(), cooldowns.collect(), partings.collect())
}
