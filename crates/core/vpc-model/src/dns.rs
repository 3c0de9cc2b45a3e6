//! What the VPC's own DNS resolver answers: names of interfaces' addresses and of instances, and
//! addresses back to names.
//!
//! Ideal vs reality: EC2 lets instances and subnets turn off the records of resource names
//! (`PrivateDnsNameOptions`); here an instance's resource name always has records. EC2 documents
//! that a name of the form `ip-a-b-c-d` resolves; whether it does for an address that nothing has
//! is not documented: here it does not.

use std::net::{IpAddr, Ipv4Addr};

use underlay_types::{InstanceId, VpcId};

use crate::{InstanceState, Model};

/// What the resolver of a VPC says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The name has these addresses, of either family; perhaps none of the one asked for.
    Addresses(Vec<IpAddr>),
    /// The name is not one of the VPC's: another resolver may know it.
    Elsewhere,
    /// The name stands for an address that has this name.
    Name(String),
    /// There is no such name, and nobody else may say otherwise.
    NoSuchName,
    /// The VPC has no resolver: attribute `enableDnsSupport` is off.
    Off,
}

impl Model {
    /// The domain of private names.
    #[must_use]
    pub fn private_domain(&self) -> String {
        match self.config().region.as_str() {
            "us-east-1" => "ec2.internal".to_owned(),
            region => format!("{region}.compute.internal"),
        }
    }

    /// The private DNS name of an address: by its dashes, under the Region's domain.
    #[must_use]
    pub fn private_dns_name(&self, address: Ipv4Addr) -> String {
        let [a, b, c, d] = address.octets();
        format!("ip-{a}-{b}-{c}-{d}.{}", self.private_domain())
    }

    /// What the resolver of `vpc` says of `name`, which has no dot at its end.
    #[must_use]
    pub fn resolve(&self, vpc: &VpcId, name: &str) -> Resolution {
        let Some(vpc) = self.vpc(vpc).filter(|vpc| vpc.dns_support) else {
            return Resolution::Off;
        };
        let name = name.to_ascii_lowercase();
        if let Some(address) = reverse_v4(&name) {
            return match address {
                Some(address) if self.eni_by_address(&vpc.id, address).is_some() => {
                    Resolution::Name(self.private_dns_name(address))
                }
                Some(address) if vpc.contains(address) => Resolution::NoSuchName,
                _ => Resolution::Elsewhere,
            };
        }
        let domain = self.private_domain();
        let Some(host) = name.strip_suffix(domain.as_str()) else {
            return Resolution::Elsewhere;
        };
        match host.strip_suffix('.') {
            Some(label) => self.private_host(&vpc.id, label),
            None if host.is_empty() => Resolution::Addresses(Vec::new()),
            None => Resolution::Elsewhere,
        }
    }

    fn private_host(&self, vpc: &VpcId, label: &str) -> Resolution {
        if let Some(address) = ip_name(label) {
            return match self.eni_by_address(vpc, address) {
                Some(_) => Resolution::Addresses(vec![address.into()]),
                None => Resolution::NoSuchName,
            };
        }
        let instance = label.parse::<InstanceId>().ok();
        let instance = instance.and_then(|id| self.instance(&id));
        let alive = instance
            .filter(|instance| instance.vpc == *vpc && instance.state != InstanceState::Terminated);
        let Some(instance) = alive else {
            return Resolution::NoSuchName;
        };
        let enis = self.enis_of(&instance.id);
        let addresses = enis.first().map(|eni| &eni.addresses);
        let both = addresses.into_iter().flat_map(|addresses| {
            let v6 = addresses.v6.first().map(|address| IpAddr::from(*address));
            [Some(addresses.primary.into()), v6]
        });
        Resolution::Addresses(both.flatten().collect())
    }
}

/// The address that `ip-a-b-c-d` names.
fn ip_name(label: &str) -> Option<Ipv4Addr> {
    let mut octets = label.strip_prefix("ip-")?.split('-');
    let address = octets_of(&mut octets)?;
    octets.next().is_none().then_some(address)
}

/// The address whose reverse name this is: `None` when it is no reverse name of IPv4, `Some(None)`
/// when it is one of a block rather than an address.
fn reverse_v4(name: &str) -> Option<Option<Ipv4Addr>> {
    let labels = name.strip_suffix(".in-addr.arpa")?;
    let mut octets = labels.rsplit('.');
    let address = octets_of(&mut octets);
    Some(address.filter(|_| octets.next().is_none()))
}

/// Four decimal octets without leading zeros.
fn octets_of<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Ipv4Addr> {
    let mut octet = || {
        let part = parts.next()?;
        let value = part.parse::<u8>().ok()?;
        (value.to_string() == part).then_some(value)
    };
    Some(Ipv4Addr::new(octet()?, octet()?, octet()?, octet()?))
}
