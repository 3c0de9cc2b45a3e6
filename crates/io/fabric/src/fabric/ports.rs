//! Ports: ENIs that have a device.

use std::{collections::BTreeSet, os::fd::AsFd, path::Path};

use underlay_fabric_abi as abi;
use underlay_netlink::link;
use underlay_types::{EniId, InstanceId, SubnetId};

use super::port_entry::{PortNumbers, address_keys, check_groups, encode};
use crate::{
    Fabric, FabricError, PortConfig, Subnet, TrackingAllowance,
    device::{self, Pair, Place},
    programs::{self, ProgramName},
};

#[derive(Debug)]
pub(crate) struct PortState {
    pub(super) config: PortConfig,
    /// What it was before, as far as the programs may still know it.
    pub(super) stale: Vec<PortConfig>,
    pub(super) number: u32,
    pub(super) place: Place,
    pub(super) pair: Pair,
}

/// Where the programs find an ENI.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) ifindex: u32,
    pub(super) vlan: u16,
    pub(super) is_nat: bool,
}

impl PortState {
    /// The device on the fabric's side.
    pub(crate) const fn near(&self) -> u32 {
        self.pair.near.0
    }

    pub(crate) const fn allowance(&self) -> &TrackingAllowance {
        &self.config.allowance
    }
}

impl Fabric {
    /// Whether an ENI is a port, with or without a device of its own.
    #[must_use]
    pub fn is_port(&self, eni: &EniId) -> bool {
        self.ports.contains_key(eni) || self.deviceless.contains_key(eni)
    }

    /// Gives an ENI a device in the namespace `netns`: down, without address, with the ENI's
    /// Ethernet address and an MTU of 9001, named `eth<device_index>` or the next free name, with
    /// the ENI's id as a further name. Answers its name. One that was found there while resuming
    /// is taken over as it is.
    ///
    /// # Errors
    /// When the ENI is a port already, its subnet is unknown, it has too many groups, or the
    /// kernel refuses. Nothing is left behind.
    pub fn add_port(
        &mut self,
        config: PortConfig,
        netns: &Path,
        device_index: u32,
    ) -> Result<String, FabricError> {
        if self.ports.contains_key(&config.eni) {
            return Err(FabricError::AlreadyPort(config.eni));
        }
        check_groups(&config)?;
        self.subnet_of(&config)?;
        self.finish_removal(&config.eni)?;
        let place = Place {
            netns: netns.to_owned(),
            device_index,
        };
        if let Some(name) = self.adopt(&config, &place)? {
            return Ok(name);
        }
        let number = self.enis.of(&config.eni);
        if let Some(ledger) = &self.ledger {
            ledger.note_port(&config.eni, &place);
        }
        let pair = self.connect(number, &config, &place)?;
        let name = pair.far_name.clone();
        let eni = config.eni.clone();
        self.ports.insert(
            eni.clone(),
            PortState {
                config,
                stale: Vec::new(),
                number,
                place,
                pair,
            },
        );
        let published = self.publish(&eni);
        match published.and_then(|()| self.republish_branches(&eni)) {
            Ok(()) => Ok(name),
            Err(error) => {
                self.remove_ports(&[eni])?;
                Err(error)
            }
        }
    }

    /// Changes addresses, groups and attributes of a port.
    ///
    /// # Errors
    /// When the ENI is no port, its subnet is unknown, it has too many groups, or the kernel
    /// refuses.
    pub fn update_port(&mut self, config: PortConfig) -> Result<(), FabricError> {
        check_groups(&config)?;
        self.subnet_of(&config)?;
        let eni = config.eni.clone();
        if self.deviceless.contains_key(&eni) {
            return self.update_deviceless(config);
        }
        let state = self
            .ports
            .get_mut(&eni)
            .ok_or_else(|| FabricError::UnknownPort(eni.clone()))?;
        let before = std::mem::replace(&mut state.config, config);
        state.stale.push(before);
        self.publish(&eni)
    }

    /// The ports whose devices are gone, since the namespace that they were moved to is.
    ///
    /// # Errors
    /// When the kernel does not list the fabric's devices.
    pub fn lost_ports(&mut self) -> Result<Vec<EniId>, FabricError> {
        let links = link::dump(&mut self.socket)?;
        let there: BTreeSet<_> = links.iter().map(|link| link.index).collect();
        let lost = self
            .ports
            .values()
            .filter(|state| !there.contains(&state.pair.near));
        Ok(lost.map(|state| state.config.eni.clone()).collect())
    }

    /// Gives a port whose device is gone a device again, in the namespace where it was added.
    /// Answers its name.
    ///
    /// # Errors
    /// When the ENI is no port or the kernel refuses.
    pub fn restore_port(&mut self, eni: &EniId) -> Result<String, FabricError> {
        let unknown = || FabricError::UnknownPort(eni.clone());
        let state = self.ports.get(eni).ok_or_else(unknown)?;
        let (config, place, number) = (state.config.clone(), state.place.clone(), state.number);
        let gone = state.pair.near.0;
        let pair = self.connect(number, &config, &place)?;
        self.maps.enis.remove(gone)?;
        let name = pair.far_name.clone();
        if let Some(state) = self.ports.get_mut(eni) {
            state.pair = pair;
        }
        self.publish(eni)?;
        self.republish_branches(eni)?;
        Ok(name)
    }

    /// Rewrites the ports of a subnet.
    pub(super) fn republish_subnet(&mut self, subnet: &SubnetId) -> Result<(), FabricError> {
        let ports = self
            .ports
            .values()
            .filter(|state| state.config.subnet == *subnet);
        let enis: Vec<_> = ports.map(|state| state.config.eni.clone()).collect();
        enis.iter().try_for_each(|eni| self.publish(eni))?;
        self.republish_deviceless(|port| port.config.subnet == *subnet)
    }

    pub(super) fn subnet_of(&self, config: &PortConfig) -> Result<&Subnet, FabricError> {
        self.subnets
            .get(&config.subnet)
            .ok_or_else(|| FabricError::UnknownSubnet {
                eni: config.eni.clone(),
                subnet: config.subnet.clone(),
            })
    }

    fn connect(
        &mut self,
        number: u32,
        config: &PortConfig,
        place: &Place,
    ) -> Result<Pair, FabricError> {
        let near_name = format!("p{number}");
        let pair = device::make(&mut self.socket, &near_name, &config.eni, config.mac, place)?;
        let netns = self.netns.as_fd();
        match programs::attach(&mut self.object, ProgramName::Eni, &near_name, netns) {
            Ok(()) => Ok(pair),
            Err(error) => {
                self.socket.run(&[link::delete(pair.near)])?;
                Err(error)
            }
        }
    }

    /// Tells the programs what the port is now. What it was before is taken back first where it is
    /// no more.
    pub(super) fn publish(&mut self, eni: &EniId) -> Result<(), FabricError> {
        let state = self
            .ports
            .get(eni)
            .ok_or_else(|| FabricError::UnknownPort(eni.clone()))?;
        let (config, number, ifindex) = (state.config.clone(), state.number, state.pair.near.0);
        let stale = state.stale.clone();
        let seat = Seat {
            ifindex,
            ..Seat::default()
        };
        self.publish_at(&config, number, &seat, &stale)?;
        self.maps.enis.set(ifindex, number)?;
        if let Some(state) = self.ports.get_mut(eni) {
            state.stale.clear();
        }
        Ok(())
    }

    /// Tells the programs what the ENI with this number is now, wherever its packets come and go.
    pub(super) fn publish_at(
        &mut self,
        config: &PortConfig,
        number: u32,
        seat: &Seat,
        stale: &[PortConfig],
    ) -> Result<(), FabricError> {
        let subnet = self.subnet_of(config)?.clone();
        let vpc = self.vpcs.of(&subnet.vpc);
        let groups: Vec<_> = config
            .groups
            .iter()
            .map(|group| self.groups.of(group))
            .collect();
        for before in stale {
            self.withdraw_what_is_gone(config, number, vpc, before)?;
        }
        for group in &groups {
            self.maps.members.set(
                abi::MemberKey {
                    eni: number,
                    group: *group,
                },
                1,
            )?;
        }
        let numbers = PortNumbers {
            ifindex: seat.ifindex,
            vlan: seat.vlan.into(),
            is_nat: seat.is_nat,
            vpc,
            route_table: self.tables.of(&subnet.route_table),
            acl: self.acl_to_ask(subnet.acl.as_ref()),
            holder: self.holder_of(&config.eni, &config.allowance),
            subnet: self.subnet_numbers.of(&config.subnet),
        };
        let port = encode(config, &subnet, &groups, &numbers);
        self.maps.ports.set(number, port)?;
        for key in address_keys(vpc, config) {
            self.maps.addresses.set(key, number)?;
        }
        self.maps.age_rules()
    }

    fn withdraw_what_is_gone(
        &mut self,
        config: &PortConfig,
        number: u32,
        vpc: u32,
        before: &PortConfig,
    ) -> Result<(), FabricError> {
        let kept = address_keys(vpc, config);
        for key in address_keys(vpc, before) {
            if !kept.contains(&key) {
                self.withdraw_address(key, number)?;
            }
        }
        for group in before
            .groups
            .iter()
            .filter(|group| !config.groups.contains(group))
        {
            let group = self.groups.of(group);
            self.maps
                .members
                .remove(abi::MemberKey { eni: number, group })?;
        }
        Ok(())
    }

    /// The number of whoever the tracked flows of an ENI count for.
    pub(crate) fn holder_of(&mut self, eni: &EniId, allowance: &TrackingAllowance) -> u32 {
        let instance = allowance.instance.as_ref();
        let holder = instance.map_or(eni.as_str(), InstanceId::as_str).to_owned();
        self.holders.of(&holder)
    }
}
