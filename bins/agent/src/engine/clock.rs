//! The two clocks: time since boot, which decisions run on, and wall time, for people and for
//! cooldowns that outlive a change of the boot clock's origin.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use underlay_types::Timestamp;

/// Time since boot, suspended time included: the clock of every [`Timestamp`] in the engine.
pub(super) fn boot_time() -> Timestamp {
    let time = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Timestamp::from_secs(secs) + Duration::from_nanos(nanos)
}

/// Milliseconds since 1970.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
