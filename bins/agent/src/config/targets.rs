//! How many addresses a node holds, as people say it: in addresses, prefixes and ENIs at once.

use toml::Value;
use underlay_ipam::{ADDRESSES_PER_PREFIX, Delegation, InstanceLimits};
use underlay_types::Families;

use super::mistakes::{Section, list_of, number};

/// More than any node carries.
const MOST: u32 = 20_000;

/// An amount of addresses, said in up to three units; the largest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Addresses.
    pub addresses: u32,
    /// /28 prefixes.
    pub prefixes: u32,
    /// ENIs: all that they carry for pods.
    pub enis: u32,
}

/// What the default pool holds, and the node at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    /// `families`: the families that each pod gets an address of.
    pub families: Families,
    /// `delegation`: what EC2 is asked for, of IPv4.
    pub delegation: Delegation,
    /// `warm_target`, `warm_prefixes`, `warm_enis`: free ahead of need.
    pub warm: Amount,
    /// `minimum_target`, `minimum_prefixes`, `minimum_enis`: held at least, used or not.
    pub minimum: Amount,
    /// `maximum_target`: addresses to hold at most.
    pub maximum_addresses: Option<u32>,
    /// `maximum_prefixes`: the same in prefixes.
    pub maximum_prefixes: Option<u32>,
    /// `max_enis`: ENIs to use at most, the primary included; the instance type's limit if absent.
    pub max_enis: Option<u32>,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            families: Families::V4,
            delegation: Delegation::Addresses,
            warm: Amount {
                addresses: 8,
                ..Amount::default()
            },
            minimum: Amount::default(),
            maximum_addresses: None,
            maximum_prefixes: None,
            max_enis: None,
        }
    }
}

impl Amount {
    /// In addresses, where an ENI carries `per_eni`.
    #[must_use]
    pub fn in_addresses(self, per_eni: u32) -> u32 {
        let prefixes = self.prefixes.saturating_mul(ADDRESSES_PER_PREFIX.into());
        let enis = self.enis.saturating_mul(per_eni);
        self.addresses.max(prefixes).max(enis)
    }
}

impl Targets {
    /// The allocator's targets on an instance with these limits.
    #[must_use]
    pub fn on(&self, limits: InstanceLimits) -> underlay_ipam::Config {
        let delegation = if limits.prefixes {
            self.delegation
        } else {
            Delegation::Addresses
        };
        let per_eni = u32::from(limits.places_per_eni()) * u32::from(delegation.per_place());
        let count = |amount: Amount| saturated(amount.in_addresses(per_eni));
        if self.families == Families::V6 {
            // One prefix ahead serves any number of pods.
            return underlay_ipam::Config {
                families: self.families,
                warm_default: 1,
                warm_explicit: 1,
                ..underlay_ipam::Config::for_limits(limits)
            };
        }
        underlay_ipam::Config {
            families: self.families,
            delegation,
            warm_default: count(self.warm),
            minimum: count(self.minimum),
            maximum: self.maximum().map(saturated),
            ..underlay_ipam::Config::for_limits(limits)
        }
    }

    /// The least of all maxima, in addresses.
    fn maximum(&self) -> Option<u32> {
        let prefixes = self
            .maximum_prefixes
            .map(|count| count.saturating_mul(ADDRESSES_PER_PREFIX.into()));
        self.maximum_addresses.into_iter().chain(prefixes).min()
    }

    pub(super) const KEYS: [&str; 11] = [
        "delegation",
        "families",
        "max_enis",
        "maximum_prefixes",
        "maximum_target",
        "minimum_enis",
        "minimum_prefixes",
        "minimum_target",
        "warm_enis",
        "warm_prefixes",
        "warm_target",
    ];

    /// Reads the keys of one section, and notes what contradicts each other.
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut targets = Self::default();
        let counting = section.present(&COUNT_IPV4);
        section.read("families", &mut targets.families, families);
        section.read("delegation", &mut targets.delegation, |value| {
            match value.as_str() {
                Some("addresses") => Ok(Delegation::Addresses),
                Some("prefixes") => Ok(Delegation::Prefixes),
                _ => Err("must be \"addresses\" or \"prefixes\"".to_owned()),
            }
        });
        let Amount {
            addresses,
            prefixes,
            enis,
        } = &mut targets.warm;
        read_count(section, "warm_target", addresses);
        read_count(section, "warm_prefixes", prefixes);
        read_count(section, "warm_enis", enis);
        let Amount {
            addresses,
            prefixes,
            enis,
        } = &mut targets.minimum;
        read_count(section, "minimum_target", addresses);
        read_count(section, "minimum_prefixes", prefixes);
        read_count(section, "minimum_enis", enis);
        read_limit(section, "maximum_target", &mut targets.maximum_addresses);
        read_limit(section, "maximum_prefixes", &mut targets.maximum_prefixes);
        read_limit(section, "max_enis", &mut targets.max_enis);
        targets.note_contradictions(section);
        if targets.families == Families::V6 {
            for key in counting {
                section.mistake(key, "counts IPv4 addresses, which pods get none of");
            }
        }
        targets
    }

    fn note_contradictions(&self, section: &mut Section<'_>) {
        let by_prefixes = [
            ("warm_prefixes", self.warm.prefixes),
            ("minimum_prefixes", self.minimum.prefixes),
            ("maximum_prefixes", self.maximum_prefixes.unwrap_or(0)),
        ];
        for (key, _) in by_prefixes.iter().filter(|(_, count)| *count > 0) {
            if self.delegation == Delegation::Addresses {
                section.mistake(key, "counts prefixes: set delegation = \"prefixes\" too");
            }
        }
        if let Some(maximum) = self.maximum() {
            let least = [("warm", self.warm), ("minimum", self.minimum)];
            for (name, amount) in least {
                let amount = amount.in_addresses(0);
                if amount > maximum {
                    let what = format!("is {amount} addresses, more than the maximum of {maximum}");
                    section.mistake(&format!("{name}_target"), &what);
                }
            }
        }
        if let Some(most) = self.max_enis {
            for (key, enis) in [
                ("warm_enis", self.warm.enis),
                ("minimum_enis", self.minimum.enis),
            ] {
                if enis > most {
                    section.mistake(key, &format!("is {enis}, more than max_enis, {most}"));
                }
            }
        }
    }
}

/// Keys about IPv4 addresses.
const COUNT_IPV4: [&str; 9] = [
    "delegation",
    "maximum_prefixes",
    "maximum_target",
    "minimum_enis",
    "minimum_prefixes",
    "minimum_target",
    "warm_enis",
    "warm_prefixes",
    "warm_target",
];

fn families(value: Value) -> Result<Families, String> {
    let shape = "must be [\"v4\"], [\"v6\"] or [\"v4\", \"v6\"]";
    let names: Vec<String> = list_of(value).map_err(|_other_shape| shape.to_owned())?;
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    match *names {
        ["v4"] => Ok(Families::V4),
        ["v6"] => Ok(Families::V6),
        ["v4", "v6"] => Ok(Families::Dual),
        _ => Err(shape.to_owned()),
    }
}

fn read_count(section: &mut Section<'_>, key: &str, count: &mut u32) {
    section.read(key, count, |value| number(&value, 0, MOST));
}

fn read_limit(section: &mut Section<'_>, key: &str, limit: &mut Option<u32>) {
    section.read(key, limit, |value| number(&value, 1, MOST).map(Some));
}

fn saturated(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
