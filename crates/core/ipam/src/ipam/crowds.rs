//! Pods that come one soon after another: growth waits until they are all there, so that each ENI
//! is asked for once.

use std::time::Duration;

use underlay_types::{PoolKey, Timestamp};

use super::Ipam;

/// How many times as long as for the next pod growth waits at most.
const LONGEST: u32 = 10;

/// Pods of one pool that came since its growth was last decided on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    first: Timestamp,
    last: Timestamp,
    /// Growth waits for its end.
    awaited: bool,
}

impl Crowd {
    fn ends(self, gather: Duration) -> Timestamp {
        (self.last + gather).min(self.first + gather * LONGEST)
    }
}

impl Ipam {
    /// Another pod came.
    pub(super) fn join_crowd(&mut self, pool: &PoolKey) {
        let (now, gather) = (self.now, self.config.gather);
        let new = Crowd {
            first: now,
            last: now,
            awaited: false,
        };
        let crowd = self.crowds.entry(pool.clone()).or_insert(new);
        if crowd.ends(gather) > now {
            crowd.last = now;
        } else if !crowd.awaited {
            *crowd = new;
        }
    }

    /// Whether growth of `pool` has to wait, as more pods may be about to come.
    pub(super) fn awaits_crowd(&mut self, pool: &PoolKey) -> bool {
        let (now, gather) = (self.now, self.config.gather);
        match self.crowds.get_mut(pool) {
            Some(crowd) if crowd.ends(gather) > now => {
                crowd.awaited = true;
                true
            }
            _ => {
                self.crowds.remove(pool);
                false
            }
        }
    }

    /// Whether growth of `pool` is decided on soon.
    pub(super) fn gathers(&self, pool: &PoolKey) -> bool {
        let crowd = self.crowds.get(pool);
        crowd.is_some_and(|crowd| crowd.awaited && crowd.ends(self.config.gather) > self.now)
    }

    /// When growth is decided on that waits.
    pub(super) fn crowds_end(&self) -> impl Iterator<Item = Timestamp> {
        let awaited = self.crowds.values().filter(|crowd| crowd.awaited);
        awaited.map(|crowd| crowd.ends(self.config.gather))
    }

    /// Forgets what nobody waits for.
    pub(super) fn end_crowds(&mut self) {
        let (now, gather) = (self.now, self.config.gather);
        self.crowds.retain(|_, crowd| crowd.ends(gather) > now);
    }
}
