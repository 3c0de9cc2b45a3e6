//! IPv6: /80 prefixes, of which no node sees the end.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Addresses;

impl Addresses<Ipv6Net> {
    /// The address that a pod gets next: the one after all that are in use, so that one rests long
    /// before it comes again. `is_held` says what this ENI or another one has in use.
    pub(crate) fn next_free(&self, is_held: impl Fn(Ipv6Addr) -> bool) -> Option<Ipv6Addr> {
        self.prefixes.iter().find_map(|prefix| {
            // The first address names the prefix.
            let (first, last) = (
                u128::from(prefix.network()) + 1,
                u128::from(prefix.broadcast()),
            );
            let within = self.slots.range(prefix.network()..=prefix.broadcast());
            let next = within
                .map(|(address, _)| u128::from(*address) + 1)
                .next_back()
                .unwrap_or(first);
            let candidates = (next..=last).chain(first..next.min(last));
            candidates
                .map(Ipv6Addr::from)
                .find(|address| !is_held(*address))
        })
    }

    /// Addresses of the prefixes, in use or not.
    pub(crate) fn size(&self) -> usize {
        let sizes = self.prefixes.iter().map(prefix_size);
        sizes.fold(0, usize::saturating_add)
    }
}

fn prefix_size(prefix: &Ipv6Net) -> usize {
    let bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
    1_usize.checked_shl(bits).unwrap_or(usize::MAX)
}
