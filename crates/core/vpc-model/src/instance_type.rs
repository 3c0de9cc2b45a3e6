//! The table of instance types: what EC2 documents about each type's network limits.

use std::{collections::BTreeMap, sync::LazyLock};

/// What an instance type allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceType {
    /// Its name, such as `m5.large`.
    pub name: &'static str,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Interfaces on all cards together.
    pub max_enis: u32,
    /// IPv4 slots per interface; the primary address, a secondary one and a prefix take one each.
    pub ipv4_per_eni: u32,
    /// IPv6 slots per interface.
    pub ipv6_per_eni: u32,
    /// Interfaces on each network card; at least one card.
    pub cards: Vec<u32>,
    /// What its instances run on.
    pub hypervisor: Hypervisor,
    /// Seconds an established TCP connection is tracked while idle, unless configured otherwise.
    pub tcp_established_secs: u32,
    /// Its architecture as EC2 writes it, such as `x86_64`.
    pub architecture: &'static str,
}

/// What instances of a type run on. Prefixes need Nitro, virtualised or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hypervisor {
    /// Bare metal of the Nitro system.
    Metal,
    /// Nitro.
    Nitro,
    /// Xen, or a type so old that EC2 does not say.
    Xen,
}

impl InstanceType {
    /// The type of this name, if EC2 has it.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLE.get(name)
    }

    /// Every type, by name.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        TABLE.values()
    }

    /// Whether its interfaces take prefixes.
    #[must_use]
    pub fn takes_prefixes(&self) -> bool {
        self.hypervisor != Hypervisor::Xen
    }

    /// How many branch interfaces the trunks of an instance carry; 0 for a type that has none.
    ///
    /// No API tells. These numbers follow the table of the VPC resource controller
    /// (aws/amazon-vpc-resource-controller-k8s, `pkg/aws/vpc/limits.go` of 2025-10-06, Apache-2.0):
    /// they go by the type's size but for a few types. Some sixty of its types were compared, not
    /// all.
    #[must_use]
    pub fn branches(&self) -> u32 {
        let (family, _) = self.name.split_once('.').unwrap_or((self.name, ""));
        if self.hypervisor == Hypervisor::Xen || ["t3", "t3a", "t4g"].contains(&family) {
            return 0;
        }
        match (self.name, self.max_enis, self.vcpus) {
            ("a1.medium", ..) => 10,
            ("p4d.24xlarge", ..) => 62,
            ("p5.48xlarge", ..) => 120,
            (_, 15.., _) => 107,
            (_, 8.., _) => 54,
            (_, _, 8..) => 38,
            (_, _, 4..) => 18,
            (_, _, 2..) => 9,
            _ => 4,
        }
    }

    fn parse(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let parsed = Self {
            name: fields.next()?,
            vcpus: fields.next()?.parse().ok()?,
            memory_mib: fields.next()?.parse().ok()?,
            max_enis: fields.next()?.parse().ok()?,
            ipv4_per_eni: fields.next()?.parse().ok()?,
            ipv6_per_eni: fields.next()?.parse().ok()?,
            cards: parse_cards(fields.next()?)?,
            hypervisor: match fields.next()? {
                "metal" => Hypervisor::Metal,
                "nitro" => Hypervisor::Nitro,
                "none" | "xen" => Hypervisor::Xen,
                _ => return None,
            },
            tcp_established_secs: fields.next()?.parse().ok()?,
            architecture: fields.next()?,
        };
        fields.next().is_none().then_some(parsed)
    }
}

/// Reads `2x32` (32 cards of 2 interfaces) or `8x1,7x1`.
fn parse_cards(text: &str) -> Option<Vec<u32>> {
    let mut cards = Vec::new();
    for run in text.split(',') {
        let (enis, count) = run.split_once('x')?;
        let (enis, count): (u32, usize) = (enis.parse().ok()?, count.parse().ok()?);
        cards.extend(std::iter::repeat_n(enis, count));
    }
    (!cards.is_empty()).then_some(cards)
}

fn lines() -> impl Iterator<Item = &'static str> {
    include_str!("../data/instance-types.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
}

static TABLE: LazyLock<BTreeMap<&'static str, InstanceType>> = LazyLock::new(|| {
    lines()
        .filter_map(InstanceType::parse)
        .map(|parsed| (parsed.name, parsed))
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_type() {
        assert_eq!(lines().count(), 1_395);
        assert_eq!(InstanceType::all().count(), 1_395);
        for each in InstanceType::all() {
            assert!(
                each.cards.iter().sum::<u32>() >= each.max_enis,
                "{}",
                each.name
            );
            assert!(each.max_enis > 0 && each.ipv4_per_eni > 0, "{}", each.name);
        }
    }

    #[test]
    fn known_types_have_their_documented_limits() {
        let small = InstanceType::named("m5.large").unwrap();
        assert_eq!(
            (small.max_enis, small.ipv4_per_eni, small.cards.as_slice()),
            (3, 10, &[3][..])
        );
        let large = InstanceType::named("p5.48xlarge").unwrap();
        assert_eq!(
            (large.max_enis, large.ipv4_per_eni, large.cards.len()),
            (64, 50, 32)
        );
        assert!(InstanceType::named("m5.metal").unwrap().takes_prefixes());
        assert!(!InstanceType::named("t2.micro").unwrap().takes_prefixes());
        assert_eq!(InstanceType::named("m5.enormous"), None);
    }
}
