//! What the allocator is told once.

use std::time::Duration;

/// Limits of the instance type, on network card 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceLimits {
    /// ENIs that can be attached, the primary one included.
    pub max_enis: u16,
    /// IPv4 addresses of one ENI, its primary one included.
    pub ipv4_per_eni: u16,
}

impl InstanceLimits {
    /// Addresses of one ENI that pods may get: all but its primary one.
    #[must_use]
    pub const fn pod_addresses_per_eni(self) -> u16 {
        self.ipv4_per_eni.saturating_sub(1)
    }
}

/// What the allocator is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Limits of the instance type.
    pub limits: InstanceLimits,
    /// Free addresses to keep in the default pool. Refilled to this when fewer than half are left.
    pub warm_default: u16,
    /// Free addresses to keep in a pool of an explicit set that has pods. Never a reason to attach
    /// an ENI.
    pub warm_explicit: u16,
    /// How long a released address stays unavailable.
    pub cooldown: Duration,
    /// How long an ENI stays attached without pods before it is given back, if not needed sooner.
    pub idle_release: Duration,
    /// The first operation id to use; must be above every id of an earlier run.
    pub first_op: u64,
}

impl Config {
    /// The defaults for an instance type: warm 5 and 2, cooldown 30 s, idle ENIs for 10 minutes.
    #[must_use]
    pub const fn for_limits(limits: InstanceLimits) -> Self {
        Self {
            limits,
            warm_default: 5,
            warm_explicit: 2,
            cooldown: Duration::from_secs(30),
            idle_release: Duration::from_secs(600),
            first_op: 1,
        }
    }
}
