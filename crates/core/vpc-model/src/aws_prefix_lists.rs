//! The prefix lists that Amazon keeps in every Region.

use std::collections::BTreeMap;

use ipnet::IpNet;
use underlay_types::PrefixListId;

use crate::{AddressFamily, PrefixList, PrefixListEntry, PrefixListOwner, PrefixListState, Tags};

/// What stands for the Region in a name.
const REGION: &str = "{region}";

/// Name, weight and blocks (Amazon VPC User Guide, "AWS-managed prefix lists"). The weights are the
/// documented ones. The real lists are longer and change; these are some of their blocks.
const LISTS: [(&str, u32, &[&str]); 5] = [
    (
        "com.amazonaws.global.cloudfront.origin-facing",
        55,
        &["120.52.22.96/27", "130.176.0.0/17", "205.251.249.0/24"],
    ),
    (
        "com.amazonaws.{region}.dynamodb",
        1,
        &["3.218.180.0/22", "52.94.0.0/22", "52.119.224.0/20"],
    ),
    (
        "com.amazonaws.{region}.ipv6.vpc-lattice",
        10,
        &["fd00:ec2:80::/64"],
    ),
    (
        "com.amazonaws.{region}.s3",
        1,
        &["3.5.0.0/19", "52.216.0.0/15", "54.231.0.0/16"],
    ),
    (
        "com.amazonaws.{region}.vpc-lattice",
        10,
        &["169.254.171.0/24"],
    ),
];

/// The lists of a Region.
pub(crate) fn of_region(region: &str) -> Vec<PrefixList> {
    (1..).zip(LISTS).map(|each| list(region, each)).collect()
}

fn list(region: &str, (serial, (name, weight, blocks)): (u64, (&str, u32, &[&str]))) -> PrefixList {
    let entries = blocks.iter().map(|block| PrefixListEntry {
        cidr: block.parse().expect("the table holds blocks"),
        description: String::new(),
    });
    let entries: Vec<_> = entries.collect();
    let first: Option<&IpNet> = entries.first().map(|entry| &entry.cidr);
    PrefixList {
        id: PrefixListId::from_serial(serial),
        name: name.replace(REGION, region),
        family: first.map_or(AddressFamily::Ipv4, AddressFamily::of),
        owner: PrefixListOwner::Aws,
        max_entries: weight,
        version: 1,
        versions: BTreeMap::from([(1, entries)]),
        state: PrefixListState::CreateComplete,
        state_message: None,
        tags: Tags::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_sorted_canonical_blocks_of_one_family() {
        for list in of_region("eu-west-1") {
            let blocks: Vec<_> = list.entries().iter().map(|entry| entry.cidr).collect();
            assert!(blocks.is_sorted() && !blocks.is_empty(), "{}", list.name);
            for block in blocks {
                assert_eq!(block, block.trunc(), "{}", list.name);
                assert_eq!(AddressFamily::of(&block), list.family, "{}", list.name);
            }
        }
    }
}
