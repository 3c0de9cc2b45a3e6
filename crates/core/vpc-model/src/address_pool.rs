//! The addresses of one subnet: which are taken, and which to take next.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{AddressOrder, rng::Rng};

/// Addresses of a prefix: a /28.
const PREFIX_SIZE: u32 = 16;
const PREFIX_LEN: u8 = 28;

/// Which addresses of a subnet are taken: one bit each, the first and last always among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressPool {
    cidr: Ipv4Net,
    taken: Vec<bool>,
    free: u32,
}

impl AddressPool {
    /// A pool of all addresses but the five that every subnet reserves: network, router, DNS,
    /// future use, and broadcast.
    pub(crate) fn new(cidr: Ipv4Net) -> Self {
        let cidr = cidr.trunc();
        let size = 1_u32
            .checked_shl(32 - u32::from(cidr.prefix_len()))
            .unwrap_or(u32::MAX);
        let mut pool = Self {
            cidr,
            taken: vec![false; usize_of(size)],
            free: size,
        };
        for offset in [0, 1, 2, 3, size - 1] {
            pool.set(offset, 1);
        }
        pool
    }

    /// How many addresses are free.
    pub(crate) const fn free(&self) -> u32 {
        self.free
    }

    /// Whether `address` is one of the five that nobody gets.
    pub(crate) fn is_reserved(&self, address: Ipv4Addr) -> bool {
        self.offset(address)
            .is_none_or(|offset| offset < 4 || offset + 1 == self.size())
    }

    /// Whether the block lies within the subnet and all of it is free.
    pub(crate) fn is_free(&self, block: Ipv4Net) -> bool {
        self.offset(block.network())
            .zip(self.offset(block.broadcast()))
            .is_some_and(|(first, last)| {
                self.taken[usize_of(first)..=usize_of(last)]
                    .iter()
                    .all(|taken| !taken)
            })
    }

    /// Takes a free block. The caller has asked `is_free`.
    pub(crate) fn take(&mut self, block: Ipv4Net) {
        debug_assert!(self.is_free(block), "{block} is not free");
        if let Some(offset) = self.offset(block.network()) {
            self.set(offset, size_of(block));
        }
    }

    /// Gives a taken block back.
    pub(crate) fn release(&mut self, block: Ipv4Net) {
        let Some(first) = self.offset(block.network()).map(usize_of) else {
            return;
        };
        for slot in self
            .taken
            .iter_mut()
            .skip(first)
            .take(usize_of(size_of(block)))
        {
            debug_assert!(*slot, "{block} was not taken");
            *slot = false;
        }
        self.free += size_of(block);
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
        let blocks = self.size() / size;
        let start = match order {
            AddressOrder::Random => rng.below(blocks),
            AddressOrder::Sequential => 0,
        };
        let free = |block: &u32| {
            let first = usize_of(block * size);
            self.taken[first..first + usize_of(size)]
                .iter()
                .all(|taken| !taken)
        };
        let found = (start..blocks).chain(0..start).find(free)?;
        self.set(found * size, size);
        let length = if size == 1 { 32 } else { PREFIX_LEN };
        Ipv4Net::new(self.address(found * size), length).ok()
    }

    fn set(&mut self, offset: u32, size: u32) {
        for slot in self
            .taken
            .iter_mut()
            .skip(usize_of(offset))
            .take(usize_of(size))
        {
            *slot = true;
        }
        self.free -= size;
    }

    fn size(&self) -> u32 {
        u32::try_from(self.taken.len()).unwrap_or(u32::MAX)
    }

    fn offset(&self, address: Ipv4Addr) -> Option<u32> {
        self.cidr
            .contains(&address)
            .then(|| address.to_bits() - self.cidr.network().to_bits())
    }

    fn address(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.cidr.network().to_bits() + offset)
    }
}

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
        assert!(pool.is_reserved("10.0.0.3".parse().unwrap()));
        assert!(!pool.is_reserved("10.0.0.4".parse().unwrap()));
    }
}
