//! The node itself: forwarding and the nftables table.

use crate::{NodeFacts, Op, Plan, numbers::NFT_TABLE, ruleset};

/// Makes the node ready. Repeatable: elements of maps and chains of group sets stay.
#[must_use]
pub fn setup(facts: &NodeFacts) -> Plan {
    let sysctl = |name: &str, value: &str| Op::Sysctl {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Plan(vec![
        sysctl("ipv4/ip_forward", "1"),
        // The greater of this and a device's own value counts, and ENIs need 0.
        sysctl("ipv4/conf/all/rp_filter", "0"),
        Op::Script(ruleset::base(facts)),
    ])
}

/// Removes what [`setup`] made, except forwarding, which others may rely on by now.
#[must_use]
pub fn teardown() -> Plan {
    // Adding it first makes deleting it succeed where there is none.
    let script = format!("add table inet {NFT_TABLE}\ndelete table inet {NFT_TABLE}\n");
    Plan(vec![Op::Script(script)])
}
