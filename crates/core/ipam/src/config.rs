//! What the allocator is told once.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use underlay_types::{Families, SecurityGroupSet};

/// Where an ENI is plugged in. Device indices are unique per network card only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The network card.
    pub card: u8,
    /// The device index on it.
    pub index: u8,
}

impl Place {
    /// The primary ENI's.
    pub const PRIMARY: Self = Self { card: 0, index: 0 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.card > 0 {
            write!(f, "card {} ", self.card)?;
        }
        write!(f, "index {}", self.index)
    }
}

/// Limits of the instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLimits {
    /// ENIs that each network card takes, the primary one included.
    pub enis_per_card: Vec<u8>,
    /// ENIs to use at most, the primary one included, if fewer than the cards take.
    pub enis: Option<usize>,
    /// IPv4 addresses of one ENI, its primary one included.
    pub ipv4_per_eni: u16,
    /// Whether ENIs may have prefixes, of either family; on Xen types they may not.
    pub prefixes: bool,
}

impl InstanceLimits {
    /// Places of one ENI for secondary addresses and prefixes: all but its primary address's.
    #[must_use]
    pub const fn places_per_eni(&self) -> u16 {
        self.ipv4_per_eni.saturating_sub(1)
    }

    /// ENIs that can be attached, the primary one included.
    #[must_use]
    pub fn max_enis(&self) -> usize {
        let cards = self
            .enis_per_card
            .iter()
            .map(|enis| usize::from(*enis))
            .sum();
        self.enis.map_or(cards, |enis| enis.min(cards))
    }

    /// ENIs that a network card takes, the primary one included; none where there is no such card.
    #[must_use]
    pub fn enis_of_card(&self, card: u8) -> usize {
        self.enis_per_card
            .get(usize::from(card))
            .map_or(0, |enis| usize::from(*enis))
    }

    /// How many ENIs a card takes.
    pub(crate) fn enis_on(&self, card: u8) -> usize {
        let enis = self.enis_per_card.get(usize::from(card));
        enis.copied().unwrap_or(0).into()
    }

    /// Places for further ENIs in the order they are used: index 0 last, as few types offer it on
    /// cards other than the first.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        (0u8..).zip(&self.enis_per_card).flat_map(|(card, enis)| {
            let last = (card > 0 && *enis > 0).then_some(0);
            (1..*enis)
                .chain(last)
                .map(move |index| Place { card, index })
        })
    }
}

/// How long a delegated IPv4 prefix is, in bits (Amazon EC2 User Guide, "Prefix delegation").
pub const PREFIX_LENGTH: u8 = 28;
/// The addresses of one; pods may get all of them.
pub const ADDRESSES_PER_PREFIX: u16 = 1 << (32 - PREFIX_LENGTH);

/// What one of an ENI's places holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Delegation {
    /// One secondary address.
    #[default]
    Addresses,
    /// A /28 prefix: 16 addresses.
    Prefixes,
}

impl Delegation {
    /// Addresses for pods that one place gives.
    #[must_use]
    pub const fn per_place(self) -> u16 {
        match self {
            Self::Addresses => 1,
            Self::Prefixes => ADDRESSES_PER_PREFIX,
        }
    }
}

/// How long a delegated IPv6 prefix is, in bits (as above).
pub const IPV6_PREFIX_LENGTH: u8 = 80;
/// The addresses of one.
pub(crate) const IPV6_PREFIX_SIZE: usize = 1 << (128 - IPV6_PREFIX_LENGTH);

/// What the allocator is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Limits of the instance type.
    pub limits: InstanceLimits,
    /// The families that each pod gets an address of, both of the same ENI. IPv6 comes as one /80
    /// prefix for each ENI, so the type must take prefixes. Numbers of addresses below are IPv4
    /// ones; without IPv4 one prefix serves any number of pods.
    pub families: Families,
    /// What EC2 is asked for: addresses where the type takes no prefixes. What an ENI has already,
    /// of either kind, is used too.
    pub delegation: Delegation,
    /// Addresses to hold at least in the default pool, used or not.
    pub minimum: u16,
    /// Addresses to hold at most, in all pools together; none for what the ENIs carry.
    pub maximum: Option<u16>,
    /// Free addresses to keep in the default pool. Refilled to this when fewer than half are left.
    pub warm_default: u16,
    /// Free addresses to keep in a pool of an explicit set that has pods. Never a reason to attach
    /// an ENI.
    pub warm_explicit: u16,
    /// How long a released address stays unavailable.
    pub cooldown: Duration,
    /// How long an ENI stays attached without pods before it is given back, if not needed sooner,
    /// and how long a pool may hold more free addresses than it should.
    pub idle_release: Duration,
    /// Groups of the default pool's ENIs; `None`: those of the primary one.
    pub default_groups: Option<SecurityGroupSet>,
    /// Whether a new ENI may be in another subnet than one whose subnet is full.
    pub several_subnets: bool,
    /// How long growth waits for more pods after one that came: pods come in crowds, and one call
    /// for many costs what one for each does. A crowd that does not end is cut at ten times that.
    pub gather: Duration,
    /// The first operation id to use; must be above every id of an earlier run.
    pub first_op: u64,
}

impl Config {
    /// The defaults for an instance type: warm 5 and 2, cooldown 30 s, idle ENIs for 10 minutes.
    #[must_use]
    pub const fn for_limits(limits: InstanceLimits) -> Self {
        Self {
            limits,
            families: Families::V4,
            delegation: Delegation::Addresses,
            minimum: 0,
            maximum: None,
            warm_default: 5,
            warm_explicit: 2,
            cooldown: Duration::from_secs(30),
            idle_release: Duration::from_secs(600),
            default_groups: None,
            several_subnets: false,
            gather: Duration::from_millis(20),
            first_op: 1,
        }
    }
}
