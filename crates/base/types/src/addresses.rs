//! Address families, and the addresses of a pod.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Families of addresses, such as those that every pod of a node gets an address of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Families {
    /// IPv4 alone.
    #[default]
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Dual,
}

impl Families {
    /// That one alone.
    #[must_use]
    pub const fn only(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }

    /// These and `family`.
    #[must_use]
    pub const fn and(self, family: Family) -> Self {
        if self.has(family) { self } else { Self::Dual }
    }

    /// Whether `family` is one of them.
    #[must_use]
    pub const fn has(self, family: Family) -> bool {
        matches!(
            (self, family),
            (Self::Dual, _) | (Self::V4, Family::V4) | (Self::V6, Family::V6)
        )
    }
}

/// The addresses of a pod: of one family or of both, never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<IpAddr>", try_from = "Vec<IpAddr>")]
pub struct PodAddresses {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

/// Why a list is not the addresses of a pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: a pod has one address of one family, or one of each")]
pub struct PodAddressesError(Vec<IpAddr>);

impl PodAddresses {
    /// These addresses; `None` if there is none.
    #[must_use]
    pub fn new(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Option<Self> {
        (v4.is_some() || v6.is_some()).then_some(Self { v4, v6 })
    }

    /// The IPv4 address.
    #[must_use]
    pub const fn v4(&self) -> Option<Ipv4Addr> {
        self.v4
    }

    /// The IPv6 address.
    #[must_use]
    pub const fn v6(&self) -> Option<Ipv6Addr> {
        self.v6
    }

    /// One or two addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.v4.map(IpAddr::V4);
        v4.into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

impl From<Ipv4Addr> for PodAddresses {
    fn from(v4: Ipv4Addr) -> Self {
        Self {
            v4: Some(v4),
            v6: None,
        }
    }
}

impl From<PodAddresses> for Vec<IpAddr> {
    fn from(addresses: PodAddresses) -> Self {
        addresses.iter().collect()
    }
}

impl TryFrom<Vec<IpAddr>> for PodAddresses {
    type Error = PodAddressesError;

    fn try_from(list: Vec<IpAddr>) -> Result<Self, Self::Error> {
        let (v4, v6) = match *list {
            [IpAddr::V4(v4)] => (Some(v4), None),
            [IpAddr::V6(v6)] => (None, Some(v6)),
            [IpAddr::V4(v4), IpAddr::V6(v6)] => (Some(v4), Some(v6)),
            _ => return Err(PodAddressesError(list)),
        };
        Ok(Self { v4, v6 })
    }
}

impl fmt::Display for PodAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(|address| address.to_string()).collect();
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_an_address_of_each_family_at_most_and_one_at_least() {
        let (v4, v6) = ("10.0.0.9".parse().unwrap(), "2600::9".parse().unwrap());
        assert_eq!(PodAddresses::new(None, None), None);
        let both = PodAddresses::new(Some(v4), Some(v6)).unwrap();
        assert_eq!(both.to_string(), "10.0.0.9, 2600::9");
        let list: Vec<IpAddr> = both.into();
        assert_eq!(list, [IpAddr::V4(v4), IpAddr::V6(v6)]);
        assert_eq!(PodAddresses::try_from(list), Ok(both));
        assert_eq!(PodAddresses::from(v4).v6(), None);
        for bad in [vec![], vec![IpAddr::V4(v4); 2], vec![IpAddr::V6(v6); 3]] {
            assert!(PodAddresses::try_from(bad).is_err());
        }
    }

    #[test]
    fn families_say_which_addresses_a_pod_gets() {
        let table = [Families::V4, Families::V6, Families::Dual]
            .map(|families| (families.has(Family::V4), families.has(Family::V6)));
        assert_eq!(table, [(true, false), (false, true), (true, true)]);
        assert_eq!(Family::of("::1".parse().unwrap()), Family::V6);
        let v6 = Families::only(Family::V6);
        assert_eq!(
            (v6.and(Family::V6), v6.and(Family::V4)),
            (v6, Families::Dual)
        );
    }
}
