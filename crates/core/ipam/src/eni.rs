//! One ENI and its addresses.

mod addresses;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;
use underlay_types::{EniId, Families, Family, PoolKey, Timestamp};

use crate::{Grant, IPV6_PREFIX_SIZE, OpId, Place, Standing, backoff::Backoff};
pub(crate) use addresses::{Addresses, Slot, Unused};

/// How far an ENI is on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Exists and is not attached: to be attached, or deleted once no pod has its addresses.
    Detached,
    Attaching,
    /// Attached; the node is making itself route through it.
    Preparing,
    Active,
    /// The node is removing its routes.
    Dropping,
    Detaching,
    Deleting,
    /// EC2 does not report it, but pods have its addresses, or had them lately.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Eni {
    pub(crate) pool: PoolKey,
    pub(crate) primary: bool,
    pub(crate) place: Option<Place>,
    /// Where the node had it when it was last in use: the pods it may still have are wired so.
    pub(crate) former: Option<Place>,
    pub(crate) stage: Stage,
    pub(crate) standing: Standing,
    /// Its groups are not the pool's: no address is handed out.
    pub(crate) suspended: bool,
    /// What its pods get.
    families: Families,
    /// Its IPv4 addresses.
    pub(crate) slots: Addresses<Ipv4Net>,
    /// Its IPv6 prefixes, and the addresses in use.
    pub(crate) ipv6: Addresses<Ipv6Net>,
    /// What it will be once the node has dropped it.
    pub(crate) dropped_to: Stage,
    /// The node has been asked to use or drop it and has not answered.
    pub(crate) awaited: bool,
    /// The one EC2 call under way for it.
    pub(crate) op: Option<OpId>,
    /// What that call will bring.
    pub(crate) expecting: Option<Grant>,
    pub(crate) backoff: Backoff,
    /// Its subnet had nothing more to give; an ENI in another subnet may get some.
    pub(crate) full: Backoff,
    /// Since when it has neither leases nor cooling addresses.
    pub(crate) idle_since: Option<Timestamp>,
    /// When this side last changed something: older observations are not judged.
    pub(crate) changed: Timestamp,
    /// Consecutive observations without it, or that show it unattached while it is in use.
    pub(crate) missed: u8,
}

impl Eni {
    pub(crate) fn new(pool: PoolKey, families: Families, stage: Stage, now: Timestamp) -> Self {
        Self {
            pool,
            primary: false,
            place: None,
            former: None,
            stage,
            standing: Standing::default(),
            suspended: false,
            families,
            slots: Addresses::default(),
            ipv6: Addresses::default(),
            dropped_to: Stage::Detaching,
            awaited: false,
            op: None,
            expecting: None,
            backoff: Backoff::default(),
            full: Backoff::default(),
            idle_since: None,
            changed: now,
            missed: 0,
        }
    }

    /// IPv4 addresses that the call under way will bring.
    pub(crate) fn expected_addresses(&self) -> usize {
        self.expecting.map_or(0, |grant| grant.addresses().into())
    }

    /// Pods that it can take, or will once the call under way is done: by IPv4 addresses, which are
    /// scarce, unless pods get none.
    pub(crate) fn supply(&self) -> usize {
        if self.pool.is_whole() {
            let comes = self.lacks_ipv6() && self.expecting == Some(Grant::Ipv6Prefix);
            return self.free().max(usize::from(comes && self.is_idle()));
        }
        let prefix = self.expecting == Some(Grant::Ipv6Prefix);
        let expected = match self.families {
            Families::V6 if prefix => IPV6_PREFIX_SIZE,
            Families::V4 | Families::V6 | Families::Dual => self.expected_addresses(),
        };
        self.free() + expected
    }

    /// Pods that its free addresses can serve; counted as in [`Self::supply`].
    pub(crate) fn free(&self) -> usize {
        if self.pool.is_whole() {
            return usize::from(self.is_idle() && self.has_addresses());
        }
        match self.families {
            Families::V4 | Families::Dual => self.slots.free(),
            Families::V6 => self.ipv6.size().saturating_sub(self.ipv6.len()),
        }
    }

    /// Whether it has what one pod needs, used or not.
    fn has_addresses(&self) -> bool {
        match self.families {
            Families::V4 | Families::Dual => !self.slots.is_empty(),
            Families::V6 => !self.lacks_ipv6(),
        }
    }

    /// All its addresses for pods; counted as in [`Self::supply`].
    pub(crate) fn total(&self) -> usize {
        match self.families {
            Families::V4 | Families::Dual => self.slots.len(),
            Families::V6 => self.free() + self.ipv6.len(),
        }
    }

    /// Addresses that pods have; counted as in [`Self::supply`].
    pub(crate) fn in_use(&self) -> usize {
        match self.families {
            Families::V4 | Families::Dual => self.slots.leased(),
            Families::V6 => self.ipv6.leased(),
        }
    }

    /// Addresses that cool down; counted as in [`Self::supply`].
    pub(crate) fn at_rest(&self) -> usize {
        match self.families {
            Families::V4 | Families::Dual => self.slots.cooling(),
            Families::V6 => self.ipv6.cooling(),
        }
    }

    /// Pods that have its addresses, of whichever family: of an earlier choice there may be pods
    /// with an address of the other one alone.
    pub(crate) fn leased(&self) -> usize {
        self.slots.leased().max(self.ipv6.leased())
    }

    /// Pods whose addresses cool down, of whichever family.
    fn cooling(&self) -> usize {
        self.slots.cooling().max(self.ipv6.cooling())
    }

    /// When each cooldown ends at the earliest.
    pub(crate) fn cooling_ends(&self) -> impl Iterator<Item = Timestamp> {
        self.slots.cooling_ends().chain(self.ipv6.cooling_ends())
    }

    /// Its pods need IPv6 addresses, and it has none to give.
    pub(crate) fn lacks_ipv6(&self) -> bool {
        self.families.has(Family::V6) && self.ipv6.prefixes().is_empty()
    }

    /// Every address of both families, as far as it is noted.
    pub(crate) fn all_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values().chain(self.ipv6.values())
    }

    /// EC2 does not have it any more.
    pub(crate) fn lose_addresses(&mut self) {
        self.slots.lose();
        self.ipv6.lose();
    }

    /// Neither pods nor cooling addresses keep it.
    pub(crate) fn is_idle(&self) -> bool {
        self.leased() == 0 && self.cooling() == 0
    }

    /// The node routes through it, or is about to.
    pub(crate) const fn is_used(&self) -> bool {
        matches!(self.stage, Stage::Preparing | Stage::Active)
    }

    /// Takes a device slot of the instance.
    pub(crate) const fn takes_slot(&self) -> bool {
        matches!(
            self.stage,
            Stage::Attaching
                | Stage::Preparing
                | Stage::Active
                | Stage::Dropping
                | Stage::Detaching
        )
    }

    /// Its free addresses serve pods now or soon.
    pub(crate) const fn supplies(&self) -> bool {
        self.is_open()
            && matches!(
                self.stage,
                Stage::Attaching | Stage::Preparing | Stage::Active
            )
    }

    /// Pods may get its addresses, once the node uses it.
    pub(crate) const fn is_open(&self) -> bool {
        !self.suspended && matches!(self.standing, Standing::Serving)
    }

    /// Nothing about it is changed in EC2.
    pub(crate) const fn is_unmanaged(&self) -> bool {
        matches!(self.standing, Standing::Unmanaged)
    }

    /// It can be detached, and its place given to another one.
    pub(crate) const fn may_leave(&self) -> bool {
        !self.primary && !self.is_unmanaged()
    }

    /// EC2 can add addresses that will serve pods.
    pub(crate) const fn is_attached(&self) -> bool {
        self.is_open() && self.is_used()
    }

    pub(crate) const fn leaves(&self) -> bool {
        matches!(self.stage, Stage::Dropping | Stage::Detaching)
    }

    /// Pods have its addresses, and it is not attached.
    pub(crate) fn is_stranded(&self) -> bool {
        self.stage == Stage::Detached && self.leased() > 0
    }

    /// It has no place any more.
    pub(crate) fn leave_place(&mut self) {
        let place = self.place.take();
        self.former = self.former.or(place);
    }

    /// The card that it is to come back to, if that matters or is known.
    pub(crate) fn former_card(&self) -> Option<u8> {
        let former = self.former.map(|place| place.card);
        self.pool.card.or(former)
    }

    /// Neither the node nor EC2 is at work on it: it may be sent away.
    pub(crate) const fn is_settled(&self) -> bool {
        self.is_used() && self.op.is_none() && !self.awaited
    }

    pub(crate) fn serves(&self, pool: &PoolKey) -> bool {
        self.pool == *pool && self.stage == Stage::Active && self.is_open() && !self.lacks_ipv6()
    }
}

/// Sorts a map's ENIs: the primary one first, then the fullest, then by id.
pub(crate) fn packing_order(
    (left_id, left): &(&EniId, &Eni),
    (right_id, right): &(&EniId, &Eni),
) -> std::cmp::Ordering {
    (right.primary, right.leased())
        .cmp(&(left.primary, left.leased()))
        .then_with(|| left_id.cmp(right_id))
}
