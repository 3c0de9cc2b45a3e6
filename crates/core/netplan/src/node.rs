//! The node itself: forwarding and the nftables table.

use underlay_types::Family;

use crate::{NodeFacts, Op, Plan, numbers::NFT_TABLE, ruleset};

/// Makes the node ready. Repeatable: elements of maps and chains of group sets stay.
#[must_use]
pub fn setup(facts: &NodeFacts) -> Plan {
    let mut ops = sysctls(facts);
    ops.push(rules(facts));
    Plan(ops)
}

/// The node's rules, without those of group sets.
#[must_use]
pub fn rules(facts: &NodeFacts) -> Op {
    Op::Script(ruleset::base(facts))
}

/// The settings that the node must have.
#[must_use]
pub fn sysctls(facts: &NodeFacts) -> Vec<Op> {
    let sysctl = |name: &str, value: &str| Op::Sysctl {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut ops = vec![
        sysctl("ipv4/ip_forward", "1"),
        // The greater of this and a device's own value counts, and ENIs need 0.
        sysctl("ipv4/conf/all/rp_filter", "0"),
    ];
    if facts.families.has(Family::V6) {
        // A router takes no router's word unless told so; before forwarding, which forgets the
        // node's own default route otherwise.
        let accept_ra = format!("ipv6/conf/{}/accept_ra", facts.primary_device);
        ops.extend([
            sysctl("ipv6/conf/all/disable_ipv6", "0"),
            sysctl(&accept_ra, "2"),
            sysctl("ipv6/conf/all/forwarding", "1"),
        ]);
    }
    ops
}

/// Removes what [`setup`] made, except forwarding, which others may rely on by now.
#[must_use]
pub fn teardown() -> Plan {
    // Adding it first makes deleting it succeed where there is none.
    let script = format!("add table inet {NFT_TABLE}\ndelete table inet {NFT_TABLE}\n");
    Plan(vec![Op::Script(script)])
}
