//! Addresses of a block that the node has for itself: EC2 is not asked for them, and every node may
//! give the same ones.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;

/// The next address of `block` for a pod, of those that are not `taken`; `None` if all are. It is the
/// first one after `last`, the one given before, so that an address rests as long as can be.
#[must_use]
pub fn next_node_local(
    block: Ipv4Net,
    taken: &BTreeSet<Ipv4Addr>,
    last: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let hosts = || block.hosts().filter(|address| !taken.contains(address));
    // From the beginning again, where none is left behind the last one.
    hosts()
        .find(|address| last.is_none_or(|last| *address > last))
        .or_else(|| hosts().next())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 172, 0), 28);

    fn host(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(169, 254, 172, number)
    }

    #[test]
    fn an_address_comes_again_when_all_others_have_come() {
        let mut last = None;
        let given: Vec<_> = (0..15)
            .map(|_| {
                last = next_node_local(BLOCK, &BTreeSet::new(), last);
                last.unwrap()
            })
            .collect();
        assert_eq!(given[..14], (1..=14).map(host).collect::<Vec<_>>());
        assert_eq!(given[14], host(1));
    }

    #[test]
    fn a_full_block_gives_nothing_and_a_foreign_last_one_does_no_harm() {
        let all: BTreeSet<_> = BLOCK.hosts().collect();
        assert_eq!(next_node_local(BLOCK, &all, Some(host(3))), None);
        for last in [
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::BROADCAST,
            host(14),
            host(15),
        ] {
            let given = next_node_local(BLOCK, &BTreeSet::new(), Some(last));
            assert_eq!(given, Some(host(1)));
        }
    }

    proptest! {
        #[test]
        fn what_is_given_is_a_hosts_and_nobody_elses(
            taken in prop::collection::btree_set(0..18_u8, 0..18),
            last in prop::option::of(0..18_u8),
        ) {
            let taken: BTreeSet<_> = taken.into_iter().map(host).collect();
            let free: Vec<_> = BLOCK.hosts().filter(|one| !taken.contains(one)).collect();
            match next_node_local(BLOCK, &taken, last.map(host)) {
                Some(given) => prop_assert!(free.contains(&given)),
                None => prop_assert!(free.is_empty()),
            }
        }
    }
}
