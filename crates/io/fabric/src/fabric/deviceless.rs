//! ENIs without a device of their own: branches, whose packets come by their trunk's device with a
//! tag, and those of NAT gateways.

use std::net::IpAddr;

use underlay_fabric_abi as abi;
use underlay_types::EniId;

use super::{port_entry::check_groups, ports::Seat};
use crate::{Fabric, FabricError, PortConfig};

/// Such an ENI.
#[derive(Debug)]
pub(crate) struct Deviceless {
    pub(super) config: PortConfig,
    /// What it was before, as far as the programs may still know it.
    stale: Vec<PortConfig>,
    number: u32,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Branch { trunk: EniId, vlan: u16 },
    Nat,
}

impl Fabric {
    /// Gives a branch ENI the tag `vlan` on the device of a trunk, which need not be a port yet.
    ///
    /// # Errors
    /// When the ENI is a port already, its subnet is unknown, it has too many groups, or the
    /// kernel refuses. Nothing is left behind.
    pub fn add_branch(
        &mut self,
        config: PortConfig,
        trunk: &EniId,
        vlan: u16,
    ) -> Result<(), FabricError> {
        let trunk = trunk.clone();
        self.add_deviceless(config, Kind::Branch { trunk, vlan })
    }

    /// Makes an ENI a NAT gateway's, which translates to the ENI's IPv4 addresses, at most eight.
    ///
    /// # Errors
    /// As [`Self::add_branch`]; with more addresses.
    pub fn add_nat_gateway(&mut self, config: PortConfig) -> Result<(), FabricError> {
        self.add_deviceless(config, Kind::Nat)
    }

    fn add_deviceless(&mut self, config: PortConfig, kind: Kind) -> Result<(), FabricError> {
        let eni = config.eni.clone();
        if self.ports.contains_key(&eni) || self.deviceless.contains_key(&eni) {
            return Err(FabricError::AlreadyPort(eni));
        }
        check_groups(&config)?;
        self.subnet_of(&config)?;
        self.finish_removal(&eni)?;
        let number = self.enis.of(&eni);
        let port = Deviceless {
            config,
            stale: Vec::new(),
            number,
            kind,
        };
        self.deviceless.insert(eni.clone(), port);
        let published = self.publish_deviceless(&eni);
        if published.is_err() {
            self.remove_deviceless(&eni)?;
        }
        published
    }

    pub(super) fn update_deviceless(&mut self, config: PortConfig) -> Result<(), FabricError> {
        let eni = config.eni.clone();
        let unknown = || FabricError::UnknownPort(eni.clone());
        let port = self.deviceless.get_mut(&eni).ok_or_else(unknown)?;
        let before = std::mem::replace(&mut port.config, config);
        port.stale.push(before);
        self.publish_deviceless(&eni)
    }

    /// One that is not there is no error.
    pub(super) fn remove_deviceless(&mut self, eni: &EniId) -> Result<(), FabricError> {
        if let Some(port) = self.deviceless.remove(eni) {
            self.leaving.deviceless.insert(eni.clone(), port);
        }
        let Some(port) = self.leaving.deviceless.get(eni) else {
            return Ok(());
        };
        let (kind, number) = (port.kind.clone(), port.number);
        let configs: Vec<_> = port.stale.iter().chain([&port.config]).cloned().collect();
        match kind {
            Kind::Branch { trunk, vlan } => {
                let key = self.branch_key(&trunk, vlan);
                // The tag may be another branch's already.
                if self.maps.branches.find(key)? == Some(number) {
                    self.maps.branches.remove(key)?;
                }
            }
            Kind::Nat => self.maps.nat_gateways.remove(number)?,
        }
        configs
            .iter()
            .try_for_each(|config| self.withdraw(config, number))?;
        self.leaving.deviceless.remove(eni);
        Ok(())
    }

    /// Has the branches of a trunk follow its device.
    pub(super) fn republish_branches(&mut self, of: &EniId) -> Result<(), FabricError> {
        self.republish_deviceless(
            |port| matches!(&port.kind, Kind::Branch { trunk, .. } if trunk == of),
        )
    }

    pub(super) fn republish_deviceless(
        &mut self,
        which: impl Fn(&Deviceless) -> bool,
    ) -> Result<(), FabricError> {
        let ports = self.deviceless.values().filter(|port| which(port));
        let enis: Vec<_> = ports.map(|port| port.config.eni.clone()).collect();
        enis.iter().try_for_each(|eni| self.publish_deviceless(eni))
    }

    fn publish_deviceless(&mut self, eni: &EniId) -> Result<(), FabricError> {
        let unknown = || FabricError::UnknownPort(eni.clone());
        let port = self.deviceless.get(eni).ok_or_else(unknown)?;
        let (config, number, kind) = (port.config.clone(), port.number, port.kind.clone());
        let stale = port.stale.clone();
        match kind {
            Kind::Branch { trunk, vlan } => {
                let device = self.ports.get(&trunk).map(|port| port.pair.near.0);
                let seat = Seat {
                    ifindex: device.unwrap_or(0),
                    vlan,
                    is_nat: false,
                };
                self.publish_at(&config, number, &seat, &stale)?;
                let key = self.branch_key(&trunk, vlan);
                self.maps.branches.set(key, number)?;
            }
            Kind::Nat => {
                let seat = Seat {
                    is_nat: true,
                    ..Seat::default()
                };
                self.publish_at(&config, number, &seat, &stale)?;
                let gateway = nat_gateway(&config)?;
                self.maps.nat_gateways.set(number, gateway)?;
            }
        }
        if let Some(port) = self.deviceless.get_mut(eni) {
            port.stale.clear();
        }
        Ok(())
    }

    fn branch_key(&mut self, trunk: &EniId, vlan: u16) -> abi::BranchKey {
        abi::BranchKey {
            trunk: self.enis.of(trunk),
            vlan: vlan.into(),
        }
    }
}

fn nat_gateway(config: &PortConfig) -> Result<abi::NatGateway, FabricError> {
    let v4 = config.addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(address.octets()),
        IpAddr::V6(_) => None,
    });
    let addresses: Vec<_> = v4.collect();
    if addresses.len() > abi::NAT_ADDRESSES {
        return Err(FabricError::TooMany {
            what: format!("addresses of the NAT gateway of {}", config.eni),
            count: addresses.len(),
            limit: abi::NAT_ADDRESSES,
        });
    }
    let mut gateway = abi::NatGateway {
        count: u32::try_from(addresses.len()).unwrap_or(0),
        addresses_be: [[0; 4]; abi::NAT_ADDRESSES],
    };
    for (slot, address) in gateway.addresses_be.iter_mut().zip(addresses) {
        *slot = address;
    }
    Ok(gateway)
}
