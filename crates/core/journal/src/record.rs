//! What the journal says.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use underlay_ipam::Place;
use underlay_types::{
    EniId, Families, Interface, KubernetesPod, LeaseKey, PodAddresses, PoolKey, Timestamp,
};

/// One record after the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A lease, in whichever state.
    Lease(LeaseRecord),
    /// A lease that is recorded has come to another state. Since version 2; before, the whole lease
    /// was written again.
    LeaseState(StateChange),
    /// A lease ended; its address cools down.
    Cooling(Cooling),
    /// A lease ended whose address is not a pool's.
    Ended(LeaseKey),
    /// An ENI is about to be created.
    Creating(Creation),
    /// The creation with this token ended; its ENI, if there is one, is known by its tags.
    Created(String),
    /// Something is about to be asked back of an ENI.
    Parting(Parting),
}

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Which interface of which container.
    pub key: LeaseKey,
    /// At least one of the two is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
    /// As `ipv4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
    /// Its IPv4 address inside the node, where it has none of the VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Ipv4Addr>,
    /// The ENI that holds it.
    pub eni: EniId,
    /// Where the ENI was attached: marks and tables follow from it.
    pub place: Place,
    /// The pool it came from; of a branch ENI, the default one, which it counts as on its node.
    pub pool: PoolKey,
    /// What the pod has of the ENI. Addresses of a branch ENI are not a pool's and do not cool
    /// down.
    #[serde(default, skip_serializing_if = "Interface::is_shared")]
    pub interface: Interface,
    /// Families whose default route another interface of the pod has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_in: Option<Families>,
    /// Whose interface it is, where known.
    pub pod: Option<KubernetesPod>,
    /// `CNI_NETNS` as given.
    pub netns_path: String,
    /// `SO_NETNS_COOKIE`: never reused, as inode numbers are.
    pub netns_cookie: u64,
    /// How far the pod is.
    pub state: LeaseState,
    /// Since when it has the address, in milliseconds since 1970.
    pub since_wall_ms: u64,
}

/// How far a pod with a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// The address is taken; the pod may be wired in part. Nobody has been told.
    Reserved,
    /// The pod is wired.
    Active,
    /// The pod may be unwired in part.
    Deleting,
}

/// A new state of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Whose lease it is.
    pub key: LeaseKey,
    /// The state.
    pub state: LeaseState,
    /// The namespace it is wired in, if that is another than was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns_cookie: Option<u64>,
    /// As in [`LeaseRecord`], of one that is active now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_in: Option<Families>,
}

/// The addresses of a lease that cool down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooling {
    /// The lease that had it, whose device may still exist.
    pub key: LeaseKey,
    /// As in [`LeaseRecord`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
    /// As in [`LeaseRecord`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
    /// The ENI that holds them.
    pub eni: EniId,
    /// When they may be used again, in milliseconds since 1970,
    pub until_wall_ms: u64,
    /// and in time since boot. Wall time may jump, time since boot begins anew with each boot.
    pub until_boot: Timestamp,
}

impl LeaseRecord {
    fn step(&mut self, change: &StateChange) {
        self.state = change.state;
        self.netns_cookie = change.netns_cookie.unwrap_or(self.netns_cookie);
        if self.state == LeaseState::Active {
            self.second_in = change.second_in;
        }
    }

    /// The addresses; `None` for a record that no version of the agent writes.
    #[must_use]
    pub fn addresses(&self) -> Option<PodAddresses> {
        PodAddresses::new(self.ipv4, self.ipv6)
    }
}

impl Cooling {
    /// As [`LeaseRecord::addresses`].
    #[must_use]
    pub fn addresses(&self) -> Option<PodAddresses> {
        PodAddresses::new(self.ipv4, self.ipv6)
    }

    /// How long the addresses must still rest, for cooldowns of `cooldown`: until both clocks have
    /// passed. A boot time further away than a whole cooldown is an earlier boot's and says
    /// nothing; a wall time further away means that the wall clock was set back.
    #[must_use]
    pub fn left(&self, wall_ms: u64, boot: Timestamp, cooldown: Duration) -> Duration {
        left(
            (self.until_wall_ms, self.until_boot),
            (wall_ms, boot),
            cooldown,
        )
    }
}

impl Parting {
    /// How long it may still be on its way; as [`Cooling::left`].
    #[must_use]
    pub fn left(&self, wall_ms: u64, boot: Timestamp) -> Duration {
        left(
            (self.until_wall_ms, self.until_boot),
            (wall_ms, boot),
            PARTS_FOR,
        )
    }
}

fn left(until: (u64, Timestamp), now: (u64, Timestamp), longest: Duration) -> Duration {
    let by_wall = Duration::from_millis(until.0.saturating_sub(now.0));
    let by_boot = until.1.saturating_since(now.1);
    let by_boot = if by_boot > longest {
        Duration::ZERO
    } else {
        by_boot
    };
    by_wall.min(longest).max(by_boot)
}

/// How long what was asked back may still be shown, and the asking still be on its way: a call
/// outlives the process that made it.
pub const PARTS_FOR: Duration = Duration::from_mins(3);

/// What is about to be asked back of an ENI: these addresses and prefixes, or, without any, the
/// whole ENI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parting {
    /// The ENI.
    pub eni: EniId,
    /// Its addresses that part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Ipv4Addr>,
    /// Its prefixes that part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<Ipv4Net>,
    /// Until when it may be on its way, as in [`Cooling`].
    pub until_wall_ms: u64,
    /// As in [`Cooling`].
    pub until_boot: Timestamp,
}

/// Addresses that are leased, and cool down, together.
pub type Addresses = (Option<Ipv4Addr>, Option<Ipv6Addr>);

/// The intent to create an ENI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// The `ClientToken` of the call.
    pub token: String,
    /// The pool it is for.
    pub pool: PoolKey,
    /// How many addresses it is to come with.
    pub addresses: u16,
}

/// What all records together say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Leases that have not ended.
    pub leases: BTreeMap<LeaseKey, LeaseRecord>,
    /// Addresses that cool down, or did.
    pub cooling: BTreeMap<Addresses, Cooling>,
    /// Creations whose end was not recorded, by token.
    pub creations: BTreeMap<String, Creation>,
    /// What was asked back lately, in the order of the asking.
    pub partings: Vec<Parting>,
}

impl State {
    /// What it says after one record more.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Lease(lease) => {
                self.cooling.remove(&(lease.ipv4, lease.ipv6));
                self.leases.insert(lease.key.clone(), lease);
            }
            Change::LeaseState(change) => {
                if let Some(lease) = self.leases.get_mut(&change.key) {
                    lease.step(&change);
                }
            }
            Change::Cooling(cooling) => {
                let addresses = (cooling.ipv4, cooling.ipv6);
                if self
                    .leases
                    .get(&cooling.key)
                    .is_some_and(|lease| (lease.ipv4, lease.ipv6) == addresses)
                {
                    self.leases.remove(&cooling.key);
                }
                self.cooling.insert(addresses, cooling);
            }
            Change::Ended(key) => {
                self.leases.remove(&key);
            }
            Change::Creating(creation) => {
                self.creations.insert(creation.token.clone(), creation);
            }
            Change::Created(token) => {
                self.creations.remove(&token);
            }
            Change::Parting(parting) => self.partings.push(parting),
        }
    }

    /// The change in the words of `version`.
    #[must_use]
    pub fn worded(&self, change: Change, version: u32) -> Change {
        let Change::LeaseState(step) = &change else {
            return change;
        };
        match self.leases.get(&step.key) {
            Some(lease) if version < 2 => {
                let mut lease = lease.clone();
                lease.step(step);
                Change::Lease(lease)
            }
            _ => change,
        }
    }

    /// The fewest changes that lead here.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let cooling = self.cooling.values().cloned().map(Change::Cooling);
        let leases = self.leases.values().cloned().map(Change::Lease);
        // Leases first: the record of one ends a cooldown of its address.
        leases
            .chain(cooling)
            .chain(self.creations.values().cloned().map(Change::Creating))
            .chain(self.partings.iter().cloned().map(Change::Parting))
    }

    /// Forgets cooldowns and partings that have ended by both clocks.
    pub fn forget_cooled(&mut self, wall_ms: u64, boot: Timestamp, cooldown: Duration) {
        self.cooling
            .retain(|_, cooling| !cooling.left(wall_ms, boot, cooldown).is_zero());
        self.partings
            .retain(|parting| !parting.left(wall_ms, boot).is_zero());
    }
}
