//! The addresses of one subnet: which are taken, and which to take next.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{AddressOrder, rng::Rng};

/// Addresses of a prefix: a /28.
const PREFIX_SIZE: u32 = 16;
const PREFIX_LEN: u8 = 28;

/// Which addresses of a subnet are taken: one bit each, the first and last always among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressPool {
    cidr: Ipv4Net,
    /// Bit `i % 64` of word `i / 64` is the subnet's address number `i`.
    taken: Vec<u64>,
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
            free: size,
        };
        for offset in [0, 1, 2, 3, size - 1] {
            pool.set(offset, 1, true);
        }
        pool
    }

    /// How many addresses are free.
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
                .is_some_and(|first| self.none_taken(first, size_of(block)))
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

    /// Takes a free address.
    pub(crate) fn take_any(&mut self, order: AddressOrder, rng: &mut Rng) -> Option<Ipv4Addr> {
        self.take_next(1, order, rng).map(|block| block.network())
    }

    /// Takes a free aligned /28.
    pub(crate) fn take_any_prefix(
        &mut self,
        order: AddressOrder,
        rng: &mut Rng,
    ) -> Option<Ipv4Net> {
        self.take_next(PREFIX_SIZE, order, rng)
    }

    /// The first free block of `size` aligned addresses from a starting point on, cyclically.
    fn take_next(&mut self, size: u32, order: AddressOrder, rng: &mut Rng) -> Option<Ipv4Net> {
        let blocks = size_of(self.cidr) / size;
        let start = match order {
            AddressOrder::Random => rng.below(blocks),
            AddressOrder::Sequential => 0,
        };
        let found = (start..blocks)
            .chain(0..start)
            .find(|block| self.none_taken(block * size, size))?;
        self.set(found * size, size, true);
        let length = if size == 1 { 32 } else { PREFIX_LEN };
        Ipv4Net::new(self.address(found * size), length).ok()
    }

    /// Whether `size` addresses from `first` on are free: a word at a time where they lie in one.
    fn none_taken(&self, first: u32, size: u32) -> bool {
        let word = |offset: u32| {
            self.taken
                .get(usize_of(offset / 64))
                .copied()
                .unwrap_or(u64::MAX)
        };
        if size < 64 && first % 64 + size <= 64 {
            return word(first) >> (first % 64) & ((1 << size) - 1) == 0;
        }
        (first..first + size).all(|offset| word(offset) & (1 << (offset % 64)) == 0)
    }

    fn set(&mut self, first: u32, size: u32, taken: bool) {
        for offset in first..first + size {
            let Some(word) = self.taken.get_mut(usize_of(offset / 64)) else {
                continue;
            };
            let bit = 1 << (offset % 64);
            debug_assert!(
                (*word & bit != 0) != taken,
                "address {offset} of {}",
                self.cidr
            );
            if taken {
                *word |= bit;
            } else {
                *word &= !bit;
            }
        }
        if taken {
            self.free -= size;
        } else {
            self.free += size;
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
