//! What IPv6 addresses a call asks for, and finding them before the model changes.
//!
//! No pool says which addresses of a subnet are taken: there are too many. What the interfaces
//! hold is looked up, and what this call has taken is remembered.

use std::{collections::BTreeSet, net::Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};
use underlay_types::VpcId;

use super::{
    address_plan::{no_free_address, no_free_block},
    eni_table::EniTable,
};
use crate::{AddressOrder, Ec2Error, ErrorCode, ReservationKind, rng::Rng};

/// Length of a prefix that interfaces take.
const PREFIX_LEN: u8 = 80;

/// How often a random address is drawn before the lowest free one is taken.
const DRAWS: usize = 16;

/// IPv6 addresses that a caller asks for: of exactly one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum V6Request {
    /// None.
    Nothing,
    /// These addresses.
    Addresses(Vec<Ipv6Addr>),
    /// So many addresses, whichever are free.
    Count(u32),
    /// These /80 prefixes.
    Prefixes(Vec<Ipv6Net>),
    /// So many /80 prefixes, whichever are free.
    PrefixCount(u32),
}

impl V6Request {
    /// How many of the interface's slots it takes.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Addresses(addresses) => addresses.len(),
            Self::Prefixes(prefixes) => prefixes.len(),
            Self::Count(count) | Self::PrefixCount(count) => {
                usize::try_from(*count).unwrap_or(usize::MAX)
            }
        }
    }

    pub(crate) const fn has_prefixes(&self) -> bool {
        matches!(self, Self::Prefixes(_) | Self::PrefixCount(_))
    }

    /// Whether some state of the subnet could make it right.
    pub(crate) fn check_sane(&self) -> Result<(), Ec2Error> {
        let repeats = match self {
            Self::Addresses(each) => each.iter().collect::<BTreeSet<_>>().len() != each.len(),
            Self::Prefixes(each) => each.iter().collect::<BTreeSet<_>>().len() != each.len(),
            Self::Count(0) | Self::PrefixCount(0) => {
                let text = "The number of addresses or prefixes must be at least 1";
                return Err(invalid(text));
            }
            _ => false,
        };
        if repeats {
            Err(invalid("Duplicate addresses or prefixes are not allowed"))
        } else {
            Ok(())
        }
    }
}

/// What an assignment of IPv6 addresses added, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AssignedV6 {
    /// Addresses.
    pub addresses: Vec<Ipv6Addr>,
    /// Prefixes.
    pub prefixes: Vec<Ipv6Net>,
}

/// A subnet's IPv6 addresses while a call is planned.
#[derive(Debug, Clone)]
pub(crate) struct V6Plan {
    pub(crate) vpc: VpcId,
    /// The subnet's block; without one there are no addresses.
    pub(crate) cidr: Option<Ipv6Net>,
    /// What is kept of it.
    pub(crate) kept: Vec<(Ipv6Net, ReservationKind)>,
    pub(crate) order: AddressOrder,
    /// What this call took.
    pub(crate) taken: BTreeSet<Ipv6Net>,
}

impl V6Plan {
    /// Takes what is asked for. `enis` says what is taken already.
    pub(crate) fn take(
        &mut self,
        request: &V6Request,
        enis: &EniTable,
        rng: &mut Rng,
    ) -> Result<AssignedV6, Ec2Error> {
        let mut assigned = AssignedV6::default();
        if *request == V6Request::Nothing {
            return Ok(assigned);
        }
        let cidr = self.cidr.ok_or_else(|| {
            // In which words EC2 refuses this is not documented.
            invalid("The subnet of the network interface does not have an IPv6 CIDR block.")
        })?;
        match request {
            V6Request::Nothing => {}
            V6Request::Addresses(addresses) => {
                for address in addresses {
                    self.take_block(cidr, Ipv6Net::from(*address), enis)?;
                    assigned.addresses.push(*address);
                }
            }
            V6Request::Count(count) => {
                for _ in 0..*count {
                    let block = self.any_address(cidr, enis, rng);
                    assigned
                        .addresses
                        .push(block.ok_or_else(no_free_address)?.addr());
                }
            }
            V6Request::Prefixes(prefixes) => {
                for prefix in prefixes {
                    if prefix.prefix_len() != PREFIX_LEN || *prefix != prefix.trunc() {
                        return Err(invalid(format!("{prefix} is not an aligned /80 prefix")));
                    }
                    self.take_block(cidr, *prefix, enis)?;
                    assigned.prefixes.push(*prefix);
                }
            }
            V6Request::PrefixCount(count) => {
                for _ in 0..*count {
                    let block = self.any_prefix(cidr, enis, rng);
                    assigned.prefixes.push(block.ok_or_else(no_free_block)?);
                }
            }
        }
        Ok(assigned)
    }

    /// Takes a block that the caller named.
    fn take_block(
        &mut self,
        cidr: Ipv6Net,
        block: Ipv6Net,
        enis: &EniTable,
    ) -> Result<(), Ec2Error> {
        let (what, shown) = if block.prefix_len() == PREFIX_LEN {
            ("Prefix", block.to_string())
        } else {
            ("Address", block.addr().to_string())
        };
        if !cidr.contains(&block) {
            let text = format!("{what} does not fall within the subnet's address range");
            return Err(invalid(text));
        }
        if reserved(cidr).into_iter().any(|each| overlap(each, block)) {
            let text = format!("{what} is in subnet's reserved address range");
            return Err(invalid(text));
        }
        if self.holder_of(block, enis).is_some() {
            let text = format!("{what} {shown} is in use.");
            return Err(Ec2Error::new(ErrorCode::InvalidIpAddressInUse, text));
        }
        self.taken.insert(block);
        Ok(())
    }

    /// Takes an address that is nobody's and not kept.
    fn any_address(&mut self, cidr: Ipv6Net, enis: &EniTable, rng: &mut Rng) -> Option<Ipv6Net> {
        let mut found = None;
        if self.order == AddressOrder::Random {
            let host = u128::from_be_bytes([0xff; 16]) >> cidr.prefix_len();
            for _ in 0..DRAWS {
                let drawn = u128::from(rng.next()) << 64 | u128::from(rng.next());
                let bits = cidr.network().to_bits() | (drawn & host);
                let block = Ipv6Net::from(Ipv6Addr::from_bits(bits));
                if self.obstacle(cidr, block, enis, false).is_none() {
                    found = Some(block);
                    break;
                }
            }
        }
        let lowest = || self.first_free(cidr, cidr, Ipv6Net::from(cidr.network()), enis, false);
        let block = found.or_else(lowest)?;
        self.taken.insert(block);
        Some(block)
    }

    /// Takes a prefix that is nobody's: from the parts that are kept for prefixes if there are any.
    fn any_prefix(&mut self, cidr: Ipv6Net, enis: &EniTable, rng: &mut Rng) -> Option<Ipv6Net> {
        let for_prefixes =
            |(part, kind): &(Ipv6Net, _)| (*kind == ReservationKind::Prefix).then_some(*part);
        let mut parts: Vec<_> = self.kept.iter().filter_map(for_prefixes).collect();
        let kept = !parts.is_empty();
        if !kept {
            parts.push(cidr);
        }
        if self.order == AddressOrder::Random {
            let first = rng.below(u32::try_from(parts.len()).unwrap_or(u32::MAX));
            parts.rotate_left(usize::try_from(first).unwrap_or(0));
        }
        let found = parts.into_iter().find_map(|part| {
            let start = self.start_in(part, rng);
            let later = self.first_free(cidr, part, start, enis, kept);
            later.or_else(|| {
                let lowest = Ipv6Net::new(part.network(), PREFIX_LEN).ok()?;
                self.first_free(cidr, part, lowest, enis, kept)
            })
        })?;
        self.taken.insert(found);
        Some(found)
    }

    /// The prefix of `part` from which on a free one is looked for.
    fn start_in(&self, part: Ipv6Net, rng: &mut Rng) -> Ipv6Net {
        let bits = PREFIX_LEN.saturating_sub(part.prefix_len()).min(31);
        let number = match self.order {
            AddressOrder::Random => rng.below(1 << bits),
            AddressOrder::Sequential => 0,
        };
        let offset = u128::from(number) << (128 - PREFIX_LEN);
        let address = Ipv6Addr::from_bits(part.network().to_bits() | offset);
        Ipv6Net::new_assert(address, PREFIX_LEN)
    }

    /// The first block without an obstacle within `part`, from `start` on, of its length.
    fn first_free(
        &self,
        cidr: Ipv6Net,
        part: Ipv6Net,
        start: Ipv6Net,
        enis: &EniTable,
        kept: bool,
    ) -> Option<Ipv6Net> {
        let mut candidate = start;
        while part.contains(&candidate) {
            let Some(obstacle) = self.obstacle(cidr, candidate, enis, kept) else {
                return Some(candidate);
            };
            let last = obstacle.broadcast().max(candidate.broadcast()).to_bits();
            let next = Ipv6Addr::from_bits(last.checked_add(1)?);
            candidate = Ipv6Net::new(next, candidate.prefix_len()).ok()?;
        }
        None
    }

    /// What stands in the way of giving `block` out: to somebody who may have what is `kept`.
    fn obstacle(
        &self,
        cidr: Ipv6Net,
        block: Ipv6Net,
        enis: &EniTable,
        kept: bool,
    ) -> Option<Ipv6Net> {
        let reserved = reserved(cidr).into_iter();
        let kept_parts = self.kept.iter().map(|(part, _)| *part).filter(|_| !kept);
        let mut fixed = reserved.chain(kept_parts);
        fixed
            .find(|each| overlap(*each, block))
            .or_else(|| self.holder_of(block, enis))
    }

    /// What an interface, or this call, has of the block.
    fn holder_of(&self, block: Ipv6Net, enis: &EniTable) -> Option<Ipv6Net> {
        let from = Ipv6Net::new(block.network(), 0).unwrap_or(block);
        let to = Ipv6Net::from(block.broadcast());
        let around = Ipv6Net::new(block.network(), PREFIX_LEN).map(|prefix| prefix.trunc());
        let around = around.ok().filter(|prefix| self.taken.contains(prefix));
        let ours = self.taken.range(from..=to).next().copied().or(around);
        ours.or_else(|| match enis.overlapping(&self.vpc, IpNet::V6(block))? {
            IpNet::V4(_) => None,
            IpNet::V6(held) => Some(held),
        })
    }
}

/// What every subnet keeps for itself: the first four addresses and the last.
fn reserved(cidr: Ipv6Net) -> [Ipv6Net; 2] {
    let first = Ipv6Net::new(cidr.network(), 126).unwrap_or(cidr);
    [first, Ipv6Net::from(cidr.broadcast())]
}

fn overlap(one: Ipv6Net, other: Ipv6Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn invalid(text: impl Into<String>) -> Ec2Error {
    Ec2Error::new(ErrorCode::InvalidParameterValue, text)
}
