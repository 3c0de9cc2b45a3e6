//! The addresses of one subnet: which are taken, and which to take next.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{AddressOrder, ReservationKind, rng::Rng};

/// Addresses of a prefix: a /28.
const PREFIX_SIZE: u32 = 16;
const PREFIX_LEN: u8 = 28;

/// Which addresses of a subnet are taken: one bit each, the first and last always among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressPool {
    cidr: Ipv4Net,
    /// Bit `i % 64` of word `i / 64` is the subnet's address number `i`.
    taken: Vec<u64>,
    /// Likewise, which addresses are kept for one use.
    kept: Vec<u64>,
    /// What is kept for prefixes.
    for_prefixes: Vec<Ipv4Net>,
    /// How many addresses are neither taken nor kept.
    free: u32,
}

impl AddressPool {
    /// A pool of all addresses but the five that every subnet reserves: network, router, DNS,
    /// future use, and broadcast.
    pub(crate) fn new(cidr: Ipv4Net) -> Self {
        let cidr = cidr.trunc();
        let size = size_of(cidr);
        let mut pool = Self {
            cidr,
            taken: vec![0; usize_of(size.div_ceil(64))],
            kept: Vec::new(),
            for_prefixes: Vec::new(),
            free: size,
        };
        for offset in [0, 1, 2, 3, size - 1] {
            pool.set(offset, 1, true);
        }
        pool
    }

    /// How many addresses are free, and not kept for one use.
    pub(crate) const fn free(&self) -> u32 {
        self.free
    }

    /// Whether the subnet has `block`.
    pub(crate) fn has(&self, block: Ipv4Net) -> bool {
        self.cidr.contains(&block)
    }

    /// Whether the subnet has `block` and keeps none of it for itself.
    pub(crate) fn is_assignable(&self, block: Ipv4Net) -> bool {
        let (first, last) = (self.offset(block.network()), self.offset(block.broadcast()));
        first
            .zip(last)
            .is_some_and(|(first, last)| first >= 4 && last + 1 < size_of(self.cidr))
    }

    /// Whether the block lies within the subnet and all of it is free.
    pub(crate) fn is_free(&self, block: Ipv4Net) -> bool {
        self.cidr.contains(&block)
            && self
                .offset(block.network())
                .is_some_and(|first| none_set(&self.taken, first, size_of(block)))
    }

    /// Takes a free block. The caller has asked `is_free`.
    pub(crate) fn take(&mut self, block: Ipv4Net) {
        debug_assert!(self.is_free(block), "{block} is not free");
        if let Some(offset) = self.offset(block.network()) {
            self.set(offset, size_of(block), true);
        }
    }

    /// Gives a taken block back.
    pub(crate) fn release(&mut self, block: Ipv4Net) {
        if let Some(offset) = self.offset(block.network()) {
            self.set(offset, size_of(block), false);
        }
    }

    /// Keeps a part of the subnet for one use.
    pub(crate) fn keep(&mut self, part: Ipv4Net, kind: ReservationKind) {
        self.kept.resize(self.taken.len(), 0);
        self.set_kept(part, true);
        if kind == ReservationKind::Prefix {
            self.for_prefixes.push(part);
        }
    }

    /// Ends what [`Self::keep`] began.
    pub(crate) fn unkeep(&mut self, part: Ipv4Net) {
        self.set_kept(part, false);
        self.for_prefixes.retain(|each| *each != part);
        if self.kept.iter().all(|word| *word == 0) {
            self.kept.clear();
        }
    }

    /// Whether a part is kept for prefixes: those that are not named come from there.
    pub(crate) const fn keeps_prefixes(&self) -> bool {
        !self.for_prefixes.is_empty()
    }

    /// Takes a free address that is not kept.
    pub(crate) fn take_any(&mut self, order: AddressOrder, rng: &mut Rng) -> Option<Ipv4Addr> {
        let all = (0, size_of(self.cidr));
        let found = next_free(all, 1, order, rng, |word| self.unavailable(word))?;
        self.set(found, 1, true);
        Some(self.address(found))
    }

    /// Takes a free aligned /28: of what is kept for prefixes, if anything is.
    pub(crate) fn take_any_prefix(
        &mut self,
        order: AddressOrder,
        rng: &mut Rng,
    ) -> Option<Ipv4Net> {
        let found = if self.keeps_prefixes() {
            self.next_kept_prefix(order, rng)?
        } else {
            let all = (0, size_of(self.cidr));
            next_free(all, PREFIX_SIZE, order, rng, |word| self.unavailable(word))?
        };
        self.set(found, PREFIX_SIZE, true);
        Ipv4Net::new(self.address(found), PREFIX_LEN).ok()
    }

    fn next_kept_prefix(&self, order: AddressOrder, rng: &mut Rng) -> Option<u32> {
        let mut parts = self.for_prefixes.clone();
        if order == AddressOrder::Random {
            let first = rng.below(u32::try_from(parts.len()).unwrap_or(u32::MAX));
            parts.rotate_left(usize_of(first));
        }
        parts.into_iter().find_map(|part| {
            let first = self.offset(part.network())?;
            let part = (first, first + size_of(part));
            next_free(part, PREFIX_SIZE, order, rng, |word| {
                word_of(&self.taken, word)
            })
        })
    }

    /// Which of a word's addresses are taken, or kept for one use.
    fn unavailable(&self, word: u32) -> u64 {
        word_of(&self.taken, word) | word_of(&self.kept, word)
    }

    fn set(&mut self, first: u32, size: u32, taken: bool) {
        for offset in first..first + size {
            let is_kept = !none_set(&self.kept, offset, 1);
            let was_taken = set_bit(&mut self.taken, offset, taken);
            debug_assert!(was_taken != taken, "address {offset} of {}", self.cidr);
            if !is_kept {
                self.count(taken);
            }
        }
    }

    fn set_kept(&mut self, part: Ipv4Net, kept: bool) {
        let Some(first) = self.offset(part.network()) else {
            return;
        };
        for offset in first..first + size_of(part) {
            let is_taken = !none_set(&self.taken, offset, 1);
            if set_bit(&mut self.kept, offset, kept) != kept && !is_taken {
                self.count(kept);
            }
        }
    }

    const fn count(&mut self, gone: bool) {
        if gone {
            self.free -= 1;
        } else {
            self.free += 1;
        }
    }

    fn offset(&self, address: Ipv4Addr) -> Option<u32> {
        let offset = || address.to_bits() - self.cidr.network().to_bits();
        self.cidr.contains(&address).then(offset)
    }

    fn address(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + offset)
    }
}

/// The first block of `size` (1 or 16) aligned addresses without one in `used` (by word), between
/// two offsets, looked for cyclically from some block on. A word of 64 addresses is one step.
fn next_free(
    (first, end): (u32, u32),
    size: u32,
    order: AddressOrder,
    rng: &mut Rng,
    used: impl Fn(u32) -> u64,
) -> Option<u32> {
    let start = match order {
        AddressOrder::Random => first + rng.below((end - first) / size) * size,
        AddressOrder::Sequential => first,
    };
    let lowest = |from: u32, to: u32| {
        (from / 64..to.div_ceil(64)).find_map(|word| {
            let bits = free_blocks(used(word), size) & within(word, from, to);
            (bits != 0).then(|| word * 64 + bits.trailing_zeros())
        })
    };
    lowest(start, end).or_else(|| lowest(first, start))
}

/// The first bit of each block of 1 or 16 bits of which none is set.
const fn free_blocks(used: u64, size: u32) -> u64 {
    if size == 1 {
        return !used;
    }
    let mut any = used;
    any |= any >> 8;
    any |= any >> 4;
    any |= any >> 2;
    any |= any >> 1;
    !any & 0x0001_0001_0001_0001
}

/// The bits of a word that lie between two offsets.
fn within(word: u32, from: u32, to: u32) -> u64 {
    let below = |offset: u32| match offset.saturating_sub(word * 64) {
        bits @ 0..64 => (1_u64 << bits) - 1,
        _ => u64::MAX,
    };
    below(to) & !below(from)
}

fn word_of(bits: &[u64], word: u32) -> u64 {
    bits.get(usize_of(word)).copied().unwrap_or(0)
}

/// Whether none of `size` bits from `first` on is set: a word at a time where they lie in one.
/// There are none where no word is.
fn none_set(bits: &[u64], first: u32, size: u32) -> bool {
    let word = |offset: u32| word_of(bits, offset / 64);
    if size < 64 && first % 64 + size <= 64 {
        return word(first) >> (first % 64) & ((1 << size) - 1) == 0;
    }
    (first..first + size).all(|offset| word(offset) & (1 << (offset % 64)) == 0)
}

/// Sets or clears a bit; what it was.
fn set_bit(bits: &mut [u64], offset: u32, value: bool) -> bool {
    let Some(word) = bits.get_mut(usize_of(offset / 64)) else {
        return false;
    };
    let bit = 1 << (offset % 64);
    let was = *word & bit != 0;
    if value {
        *word |= bit;
    } else {
        *word &= !bit;
    }
    was
}

/// Addresses in a block. Blocks here are /16 at the widest, so that the number fits.
fn size_of(block: Ipv4Net) -> u32 {
    1_u32
        .checked_shl(32 - u32::from(block.prefix_len()))
        .unwrap_or(u32::MAX)
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cidr: &str) -> AddressPool {
        AddressPool::new(cidr.parse().unwrap())
    }

    fn next(pool: &mut AddressPool) -> Option<Ipv4Addr> {
        pool.take_any(AddressOrder::Sequential, &mut Rng::new(0))
    }

    #[test]
    fn five_addresses_are_reserved() {
        let mut pool = pool("10.0.0.0/28");
        assert_eq!(pool.free(), 11);
        let taken: Vec<_> = std::iter::from_fn(|| next(&mut pool)).collect();
        let expected: Vec<_> = (4..15).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect();
        assert_eq!((taken, pool.free()), (expected, 0));
    }

    #[test]
    fn a_prefix_is_aligned_and_needs_all_its_addresses_free() {
        let mut pool = pool("10.0.0.0/26");
        pool.take("10.0.0.20/32".parse().unwrap());
        let mut rng = Rng::new(0);
        let mut prefix = || pool.take_any_prefix(AddressOrder::Sequential, &mut rng);
        // The first and last blocks hold reserved addresses, the second a taken one.
        assert_eq!(prefix(), Some("10.0.0.32/28".parse().unwrap()));
        assert_eq!(prefix(), None);
        assert_eq!(pool.free(), 64 - 5 - 1 - 16);
    }

    #[test]
    fn random_order_finds_the_last_free_address() {
        let mut pool = pool("10.0.0.0/24");
        let mut rng = Rng::new(7);
        let mut taken: Vec<_> =
            std::iter::from_fn(|| pool.take_any(AddressOrder::Random, &mut rng)).collect();
        assert_ne!(
            taken[..3],
            [4, 5, 6].map(|last| Ipv4Addr::new(10, 0, 0, last))
        );
        taken.sort_unstable();
        let expected: Vec<_> = (4..255).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect();
        assert_eq!(taken, expected);
    }

    #[test]
    fn the_lowest_free_block_is_found_wherever_it_lies() {
        for size in [1, PREFIX_SIZE] {
            for free in (0..1024 / size).map(|block| block * size) {
                let used = |word: u32| match free / 64 == word {
                    true => !(((1 << size) - 1) << (free % 64)),
                    false => u64::MAX,
                };
                let found = |first, end| {
                    let mut rng = Rng::new(free.into());
                    [AddressOrder::Sequential, AddressOrder::Random]
                        .map(|order| next_free((first, end), size, order, &mut rng, used))
                };
                assert_eq!(found(0, 1024), [Some(free); 2]);
                assert_eq!(found(free, free + size), [Some(free); 2]);
                assert_eq!(found(free + size, 1024 + size), [None; 2]);
            }
        }
    }

    #[test]
    fn a_released_block_is_free_again() {
        let mut pool = pool("10.0.0.0/24");
        let before = pool.clone();
        let prefix = "10.0.0.16/28".parse().unwrap();
        pool.take(prefix);
        assert!(!pool.is_free("10.0.0.17/32".parse().unwrap()));
        pool.release(prefix);
        assert_eq!(pool, before);
    }

    #[test]
    fn addresses_elsewhere_are_neither_free_nor_available() {
        let pool = pool("10.0.0.0/24");
        assert!(!pool.is_free("10.0.1.4/32".parse().unwrap()));
        assert!(!pool.is_free("10.0.0.0/23".parse().unwrap()));
        assert!(!pool.is_assignable("10.0.0.3/32".parse().unwrap()));
        assert!(!pool.is_assignable("10.0.0.255/32".parse().unwrap()));
        assert!(pool.is_assignable("10.0.0.4/32".parse().unwrap()));
        assert!(!pool.is_assignable("10.0.0.240/28".parse().unwrap()));
    }
}
