//! The allocator's state for people.

use serde::Serialize;
use underlay_types::{EniId, LeaseKey, PodAddresses, PoolKey};

use crate::{
    Ec2Failure, Ipam, Numbers, Place, Standing,
    eni::{Slot, Stage},
};

/// The allocator's state for people, in a fixed order.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether the node gives everything back.
    pub draining: bool,
    /// Every ENI, by id.
    pub enis: Vec<EniReport>,
    /// Every pool, by key.
    pub pools: Vec<PoolReport>,
    /// Every lease, by key.
    pub leases: Vec<LeaseReport>,
    /// Requests without an address yet, oldest first.
    pub waiting: Vec<WaiterReport>,
    /// EC2 calls under way.
    pub calls: Vec<String>,
    /// Whether EC2 asked for fewer calls, and none is made for now.
    pub throttled: bool,
}

/// One ENI.
#[derive(Debug, Clone, Serialize)]
pub struct EniReport {
    /// Its id.
    pub eni: EniId,
    /// Its pool.
    pub pool: String,
    /// Whether it is the instance's primary one.
    pub primary: bool,
    /// Where it is attached.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// How far it is on its way in or out.
    stage: Stage,
    /// What may be done with it.
    pub standing: Standing,
    /// Whether its groups differ from its pool's, so that no address of it is handed out.
    pub suspended: bool,
    /// IPv4 prefixes delegated to it.
    pub prefixes: usize,
    /// IPv6 prefixes delegated to it.
    pub ipv6_prefixes: usize,
    /// Addresses for pods, those of its prefixes included: of IPv4, unless pods have none.
    pub total: usize,
    /// Of these: free.
    pub free: usize,
    /// Of these: used by pods.
    pub leased: usize,
    /// Of these: cooling down.
    pub cooling: usize,
}

/// One pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolReport {
    /// Its key.
    pub pool: PoolKey,
    /// Its addresses.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Requests that wait for an address of it.
    pub waiting: usize,
    /// Why it did not grow the last time.
    pub last_failure: Option<Ec2Failure>,
}

/// One lease.
#[derive(Debug, Clone, Serialize)]
pub struct LeaseReport {
    /// Who has it.
    pub key: LeaseKey,
    /// The addresses.
    pub addresses: PodAddresses,
    /// Their ENI.
    pub eni: EniId,
    /// Whether EC2 no longer reports one of them on that ENI.
    pub missing: bool,
}

/// One request without an address yet.
#[derive(Debug, Clone, Serialize)]
pub struct WaiterReport {
    /// Who waits.
    pub key: LeaseKey,
    /// For which pool.
    pub pool: String,
    /// For how long so far.
    pub waited_ms: u128,
    /// For what.
    pub waits_for: String,
}

impl Ipam {
    /// The state for people.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            draining: self.draining,
            enis: self.eni_reports(),
            pools: self.pool_reports(),
            leases: self.lease_reports(),
            waiting: self
                .waiting
                .iter()
                .map(|waiter| WaiterReport {
                    key: waiter.key.clone(),
                    pool: waiter.pool.to_string(),
                    waited_ms: self.now.saturating_since(waiter.since).as_millis(),
                    waits_for: self.under_way(&waiter.pool),
                })
                .collect(),
            calls: self.ops.values().map(ToString::to_string).collect(),
            throttled: self.is_throttled(),
        }
    }

    fn eni_reports(&self) -> Vec<EniReport> {
        self.enis
            .iter()
            .map(|(id, eni)| EniReport {
                eni: id.clone(),
                pool: eni.pool.to_string(),
                primary: eni.primary,
                place: eni.place,
                stage: eni.stage,
                standing: eni.standing,
                suspended: eni.suspended,
                prefixes: eni.slots.prefixes().len(),
                ipv6_prefixes: eni.ipv6.prefixes().len(),
                total: eni.total(),
                free: eni.free(),
                leased: eni.in_use(),
                cooling: eni.at_rest(),
            })
            .collect()
    }

    fn pool_reports(&self) -> Vec<PoolReport> {
        let mut pools: Vec<&PoolKey> = self
            .enis
            .values()
            .map(|eni| &eni.pool)
            .chain(self.waiting.iter().map(|waiter| &waiter.pool))
            .chain(self.backoffs.keys())
            .collect();
        pools.sort_unstable();
        pools.dedup();
        pools
            .into_iter()
            .map(|pool| PoolReport {
                pool: pool.clone(),
                numbers: self.numbers(pool),
                waiting: self
                    .waiting
                    .iter()
                    .filter(|waiter| waiter.pool == *pool)
                    .count(),
                last_failure: self
                    .backoffs
                    .get(pool)
                    .and_then(|backoff| backoff.last().cloned()),
            })
            .collect()
    }

    fn lease_reports(&self) -> Vec<LeaseReport> {
        let missing = |eni: &EniId, addresses: &PodAddresses| {
            let eni = self.enis.get(eni);
            let v4 = eni.and_then(|eni| eni.slots.get(addresses.v4()?));
            let v6 = eni.and_then(|eni| eni.ipv6.get(addresses.v6()?));
            let missing =
                |slot: Option<&Slot>| matches!(slot, Some(Slot::Leased { missing: true, .. }));
            missing(v4) || missing(v6)
        };
        self.leases
            .iter()
            .map(|(key, (eni, addresses))| LeaseReport {
                key: key.clone(),
                addresses: *addresses,
                eni: eni.clone(),
                missing: missing(eni, addresses),
            })
            .collect()
    }
}
