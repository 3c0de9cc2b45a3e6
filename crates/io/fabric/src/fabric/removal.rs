//! Taking ENIs off the fabric.
//!
//! What the kernel refuses to take back is remembered: it goes when the removal is asked for
//! again, at the latest before the ENI becomes a port again.

use std::collections::BTreeMap;

use underlay_fabric_abi as abi;
use underlay_netlink::{IfIndex, link};
use underlay_types::EniId;

use super::{deviceless::Deviceless, port_entry::address_keys, ports::PortState};
use crate::{Fabric, FabricError, PortConfig};

/// The device group of near ends that are to be deleted.
const RETIRED: u32 = 0x0fab;

/// ENIs that were removed, of which the kernel still has something.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub(super) ports: BTreeMap<EniId, PortState>,
    pub(super) deviceless: BTreeMap<EniId, Deviceless>,
}

impl Fabric {
    /// Takes ENIs off the fabric and deletes their devices, wherever they were moved, all at the
    /// price of one. Those that are no ports are passed over.
    ///
    /// # Errors
    /// When the kernel refuses; the others are taken off all the same. Asked again, it is tried
    /// again.
    pub fn remove_ports(&mut self, enis: &[EniId]) -> Result<(), FabricError> {
        let mut outcome = Ok(());
        let mut requests = Vec::new();
        let mut withdrawn = Vec::new();
        for eni in enis {
            let removed = self.remove_deviceless(eni);
            outcome = outcome.and(removed);
            if let Some(state) = self.ports.remove(eni) {
                if let Some(ledger) = &self.ledger {
                    ledger.note_gone(eni);
                }
                self.leaving.ports.insert(eni.clone(), state);
            }
            match self.withdraw_port(eni) {
                Ok(()) => withdrawn.push(eni),
                Err(error) => outcome = outcome.and(Err(error)),
            }
            match self.near_of_leaving(eni) {
                Ok(near) => requests.extend(near.map(|near| link::set_group(near, RETIRED))),
                Err(error) => {
                    withdrawn.retain(|other| *other != eni);
                    outcome = outcome.and(Err(error));
                }
            }
        }
        if !requests.is_empty() {
            requests.push(link::delete_group(RETIRED));
            self.socket.run(&requests)?;
        }
        for eni in withdrawn {
            self.leaving.ports.remove(eni);
        }
        outcome
    }

    /// Ends the removal of an ENI that the kernel refused, before it becomes a port again.
    pub(super) fn finish_removal(&mut self, eni: &EniId) -> Result<(), FabricError> {
        let leaves = self.leaving.ports.contains_key(eni);
        if leaves || self.leaving.deviceless.contains_key(eni) {
            return self.remove_ports(std::slice::from_ref(eni));
        }
        Ok(())
    }

    /// Takes back what the programs know of a port that leaves.
    fn withdraw_port(&mut self, eni: &EniId) -> Result<(), FabricError> {
        let Some(state) = self.leaving.ports.get(eni) else {
            return Ok(());
        };
        let (device, number) = (state.pair.near.0, state.number);
        let configs: Vec<_> = state.stale.iter().chain([&state.config]).cloned().collect();
        self.maps.enis.remove(device)?;
        configs
            .iter()
            .try_for_each(|config| self.withdraw(config, number))?;
        self.republish_branches(eni)
    }

    /// The near end of a port that leaves, if it is there.
    fn near_of_leaving(&mut self, eni: &EniId) -> Result<Option<IfIndex>, FabricError> {
        let Some(state) = self.leaving.ports.get(eni) else {
            return Ok(None);
        };
        match link::by_name(&mut self.socket, &state.pair.near_name) {
            Ok(near) => Ok(Some(near.index)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes back what the programs know of an ENI.
    pub(super) fn withdraw(&mut self, config: &PortConfig, number: u32) -> Result<(), FabricError> {
        self.maps.ports.remove(number)?;
        for group in &config.groups {
            let group = self.groups.of(group);
            self.maps
                .members
                .remove(abi::MemberKey { eni: number, group })?;
        }
        if let Some(subnet) = self.subnets.get(&config.subnet) {
            let vpc = self.vpcs.of(&subnet.vpc);
            for key in address_keys(vpc, config) {
                self.withdraw_address(key, number)?;
            }
        }
        self.maps.age_rules()
    }

    /// An address may have gone to another port already: then it stays there.
    pub(super) fn withdraw_address(
        &mut self,
        key: abi::AddressKey,
        number: u32,
    ) -> Result<(), FabricError> {
        if self.maps.addresses.find(key)? == Some(number) {
            self.maps.addresses.remove(key)?;
        }
        Ok(())
    }
}
