//! Packets of pods to what is outside of the VPC, with the node's address as their source.
//!
//! Only for pods of the default set: what the node sends by its primary ENI is judged by that ENI's
//! groups, and a pod with a set of its own must be judged by its own, out there too.
//!
//! Whether a connection is translated is decided at its first packet, after Services were: the
//! address that counts is where it really goes. Others of the connection follow its mark.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;

use crate::{
    Op, Plan,
    numbers::{
        ENI_MARK_MASK, NFT_POD_EXPLICIT, NFT_SOURCE_KEPT, NFT_TABLE, POD_GROUP, SNAT_CONNMARK,
    },
    ruleset::Rule,
};

/// The chain in which it is decided.
pub(crate) const DECISION: &str = "leaving-vpc";
/// The chain that translates.
pub(crate) const TRANSLATION: &str = "source-nat";

/// Services of the place, which answer on every ENI.
const LINK_LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);

/// Which port a translated connection gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourcePorts {
    /// The pod's own, unless another connection has it.
    Keep,
    /// One that follows from a hash of the addresses.
    Random,
    /// A random one: two connections that begin at once hardly ever want the same.
    #[default]
    RandomFully,
}

/// Why a text names no way to choose ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be \"random-fully\", \"random\" or \"keep\", not {0:?}")]
pub struct SourcePortsError(pub String);

impl FromStr for SourcePorts {
    type Err = SourcePortsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Keep, Self::Random, Self::RandomFully]
            .into_iter()
            .find(|ports| ports.to_string() == text)
            .ok_or_else(|| SourcePortsError(text.to_owned()))
    }
}

impl fmt::Display for SourcePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Random => "random",
            Self::RandomFully => "random-fully",
        })
    }
}

/// How packets that leave the VPC are translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snat {
    /// The node's primary address.
    pub address: Ipv4Addr,
    /// Which port a connection gets.
    pub ports: SourcePorts,
    /// Who sees the pods' own addresses: the blocks of the VPC and others that route back to them.
    pub kept: Vec<Ipv4Net>,
}

/// Says anew who sees the pods' own addresses. Connections go on as they began.
#[must_use]
pub fn keep(kept: &[Ipv4Net]) -> Plan {
    let script = format!("add table inet {NFT_TABLE}\n{}{}", set(), elements(kept));
    Plan(vec![Op::Script(script)])
}

/// The statement that makes the set.
pub(crate) fn set() -> String {
    format!("add set inet {NFT_TABLE} {NFT_SOURCE_KEPT} {{ type ipv4_addr; flags interval; }}\n")
}

/// Statements that give the set its elements.
pub(crate) fn elements(kept: &[Ipv4Net]) -> String {
    let mut all = kept.to_vec();
    all.push(LINK_LOCAL);
    // Blocks that overlap or touch are one: the kernel refuses overlaps.
    let all = Ipv4Net::aggregate(&all);
    let blocks: Vec<_> = all.iter().map(Ipv4Net::to_string).collect();
    format!(
        "flush set inet {NFT_TABLE} {NFT_SOURCE_KEPT}\n\
         add element inet {NFT_TABLE} {NFT_SOURCE_KEPT} {{ {} }}\n",
        blocks.join(", ")
    )
}

/// The rule that says which connections are translated.
pub(crate) fn rules() -> Vec<Rule> {
    vec![(
        DECISION,
        format!(
            "meta iifgroup {POD_GROUP:#x} ct direction original ct state new \
             iif != @{NFT_POD_EXPLICIT} ip daddr != @{NFT_SOURCE_KEPT} fib daddr type unicast \
             ct mark set ct mark or {SNAT_CONNMARK:#x}"
        ),
    )]
}

/// The rules that translate them, after all that decide.
pub(crate) fn translation(
    address: Ipv4Addr,
    ports: SourcePorts,
    primary_device: &str,
) -> Vec<Rule> {
    let flag = match ports {
        SourcePorts::Keep => "",
        SourcePorts::Random => " random",
        SourcePorts::RandomFully => " fully-random",
    };
    let marked = format!("ct mark and {SNAT_CONNMARK:#x} != 0");
    vec![
        // Without the mark of an ENI they leave by main, which is the primary ENI.
        (
            DECISION,
            format!(
                "meta iifgroup {POD_GROUP:#x} ct direction original {marked} \
                 meta mark set meta mark and {:#x}",
                !ENI_MARK_MASK
            ),
        ),
        (
            TRANSLATION,
            format!("oifname \"{primary_device}\" {marked} snat ip to {address}{flag}"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_round_trip_and_reject_other_words() {
        for text in ["keep", "random", "random-fully"] {
            assert_eq!(text.parse::<SourcePorts>().unwrap().to_string(), text);
        }
        for text in ["", "none", "Random"] {
            let refused = text.parse::<SourcePorts>();
            assert_eq!(refused, Err(SourcePortsError(text.to_owned())));
        }
    }

    #[test]
    fn blocks_that_overlap_or_touch_are_one() {
        let blocks = [
            "10.0.0.0/16",
            "10.0.5.0/24",
            "10.1.0.0/16",
            "169.254.0.0/24",
        ];
        let text = elements(&blocks.map(|block| block.parse().unwrap()));
        assert!(
            text.ends_with("{ 10.0.0.0/15, 169.254.0.0/16 }\n"),
            "{text}"
        );
        let none = elements(&[]);
        assert!(none.ends_with("{ 169.254.0.0/16 }\n"), "{none}");
    }
}
