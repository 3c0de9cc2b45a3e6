//! IPv4 for pods that have IPv6 alone: each has an address of a block that every node has for itself,
//! and what it sends to IPv4 destinations has the node's primary address outside.
//!
//! The block exists on the node alone, so nothing else may come to it from anywhere: not from another
//! pod either. Only pods of the default set have one, for the reason that [`crate::snat`] gives.

use std::net::Ipv4Addr;

use crate::{
    SourcePorts,
    numbers::{EGRESS_BLOCK, POD_GROUP, SNAT_CONNMARK},
    ruleset::Rule,
    snat,
};

/// How packets of such pods are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Egress {
    /// The node's primary address.
    pub address: Ipv4Addr,
    /// Which port a connection gets.
    pub ports: SourcePorts,
}

/// The rules that say whose connections are translated, and that nobody calls the block.
pub(crate) fn rules() -> Vec<Rule> {
    vec![
        (
            snat::DECISION,
            format!(
                "meta iifgroup {POD_GROUP:#x} ct direction original ct state new \
                 ip saddr {EGRESS_BLOCK} fib daddr type unicast \
                 ct mark set ct mark or {SNAT_CONNMARK:#x}"
            ),
        ),
        (
            "forward",
            format!("ip daddr {EGRESS_BLOCK} ct state invalid,new,untracked drop"),
        ),
    ]
}
