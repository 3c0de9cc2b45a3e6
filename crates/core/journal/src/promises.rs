//! What the allocator must know of an earlier run before it looks at EC2.

use std::{collections::BTreeMap, time::Duration};

use underlay_ipam::{Cooldown, Lease, Parting, Place};
use underlay_types::{EniId, Timestamp};

use crate::State;

/// What the allocator is told at a start, in this boot's time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Promises {
    /// Leases of pods that still live.
    pub leases: Vec<Lease>,
    /// Addresses that cool down.
    pub cooldowns: Vec<Cooldown>,
    /// What was being asked back.
    pub partings: Vec<Parting>,
    /// Where the ENIs of the leases were attached when their pods were wired.
    pub places: BTreeMap<EniId, Place>,
}

/// What the journal promises: `wall_ms` since 1970 and `boot` are the two clocks now. What has no
/// address is in neither leases nor cooldowns.
#[must_use]
pub fn promises(state: &State, wall_ms: u64, boot: Timestamp, cooldown: Duration) -> Promises {
    // What is not a pool's is none of the allocator's business.
    let shared = || {
        let leases = state.leases.values();
        leases.filter(|record| record.interface.branch().is_none())
    };
    let leases = shared().filter_map(|record| {
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
    let places = shared().map(|record| (record.eni.clone(), record.place));
    Promises {
        leases: leases.collect(),
        cooldowns: cooldowns.collect(),
        partings: partings.collect(),
        places: places.collect(),
    }
}
