//! Assigning addresses to an interface, and giving them back.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use underlay_types::{EniId, InstanceId, SubnetId, Timestamp};

use super::{
    address_plan::{AddressPlan, Assigned, V4Request, check_sane, no_free_address},
    shown::EniEvent,
    v6_plan::V6Plan,
};
use crate::{Change, Ec2Error, Eni, EniAddresses, ErrorCode, InstanceType, Model};

impl Model {
    pub(crate) fn plan_addresses(&self, subnet: &SubnetId) -> Result<AddressPlan, Ec2Error> {
        let found = self.require_subnet(subnet)?;
        let pool = self.pools.get(subnet).ok_or_else(no_free_address)?.clone();
        let kept = self
            .reservations
            .values()
            .filter(|each| &each.subnet == subnet);
        let kept = kept.filter_map(|each| match each.cidr {
            IpNet::V4(_) => None,
            IpNet::V6(part) => Some((part, each.kind)),
        });
        let v6 = V6Plan {
            vpc: found.vpc.clone(),
            cidr: found.v6_cidr(),
            kept: kept.collect(),
            order: self.config.address_order,
            taken: BTreeSet::new(),
        };
        Ok(AddressPlan {
            pool,
            v6,
            rng: self.rng.clone(),
            order: self.config.address_order,
        })
    }

    /// AssignPrivateIpAddresses: what was added, all or nothing.
    ///
    /// An address that the interface has already stays; with `allow_reassignment`, one that is a
    /// secondary address of another interface of the subnet moves.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `PrivateIpAddressLimitExceeded`;
    /// `InvalidIPAddress.InUse`; `InvalidParameterValue` for addresses outside the subnet, or more
    /// than are free; `InsufficientFreeAddressesInSubnet` when none is free;
    /// `InsufficientCidrBlocks` when no aligned /28 is; `UnsupportedOperation` for prefixes on a
    /// type without Nitro.
    pub fn assign(
        &mut self,
        id: &EniId,
        request: &V4Request,
        allow_reassignment: bool,
        now: Timestamp,
    ) -> Result<Assigned, Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        check_sane(request)?;
        let subnet = eni.subnet.clone();
        let mut plan = self.plan_addresses(&subnet)?;
        let mut moved = Vec::new();
        let request = match request {
            V4Request::Addresses(addresses) => {
                let held = |address: &Ipv4Addr| {
                    eni.addresses.primary == *address || eni.addresses.secondary.contains(address)
                };
                let new: Vec<_> = addresses
                    .iter()
                    .copied()
                    .filter(|each| !held(each))
                    .collect();
                if allow_reassignment {
                    moved = self.reassignable(&subnet, &new);
                }
                for (_, address) in &moved {
                    plan.pool.release(Ipv4Net::from(*address));
                }
                &V4Request::Addresses(new)
            }
            other => other,
        };
        self.check_slots(eni, request)?;
        let assigned = plan.take(request)?;
        self.pools.insert(subnet, plan.pool);
        self.rng = plan.rng;
        for (loser, address) in moved {
            self.change_addresses(&loser, now, |addresses| {
                addresses.secondary.retain(|each| *each != address);
            });
            self.move_public_address(&loser, id, address);
        }
        self.change_addresses(id, now, |addresses| {
            addresses.secondary.extend(&assigned.addresses);
            addresses.prefixes.extend(&assigned.prefixes);
        });
        Ok(assigned)
    }

    /// Which of `wanted` are secondary addresses of other interfaces of the subnet.
    fn reassignable(&self, subnet: &SubnetId, wanted: &[Ipv4Addr]) -> Vec<(EniId, Ipv4Addr)> {
        let holders = self
            .enis
            .values()
            .filter(|eni| &eni.subnet == subnet && eni.requester.is_none());
        let held = holders.flat_map(|eni| {
            eni.addresses
                .secondary
                .iter()
                .map(|address| (eni.id.clone(), *address))
        });
        held.filter(|(_, address)| wanted.contains(address))
            .collect()
    }

    /// UnassignPrivateIpAddresses: all or nothing.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` for the primary address, or
    /// for an address or prefix the interface does not have.
    pub fn unassign(
        &mut self,
        id: &EniId,
        addresses: &[Ipv4Addr],
        prefixes: &[Ipv4Net],
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        if addresses.contains(&eni.addresses.primary) {
            let text = "The primary private IP address of a network interface cannot be unassigned";
            return Err(invalid(text));
        }
        let foreign = addresses
            .iter()
            .find(|each| !eni.addresses.secondary.contains(each));
        let foreign = foreign.map(|each| Ipv4Net::from(*each)).or_else(|| {
            prefixes
                .iter()
                .find(|each| !eni.addresses.prefixes.contains(each))
                .copied()
        });
        if let Some(block) = foreign {
            let text = format!(
                "Some of the specified addresses are not assigned to interface {id}: {block}"
            );
            return Err(invalid(text));
        }
        let gone: BTreeSet<_> = addresses
            .iter()
            .map(|each| Ipv4Net::from(*each))
            .chain(prefixes.iter().copied())
            .collect();
        let subnet = eni.subnet.clone();
        if let Some(pool) = self.pools.get_mut(&subnet) {
            gone.iter().for_each(|block| pool.release(*block));
        }
        for address in addresses {
            self.drop_public_address(id, *address);
        }
        self.change_addresses(id, now, |held| {
            held.secondary.retain(|each| !addresses.contains(each));
            held.prefixes.retain(|each| !prefixes.contains(each));
        });
        Ok(())
    }

    pub(super) fn change_addresses(
        &mut self,
        id: &EniId,
        now: Timestamp,
        change: impl FnOnce(&mut EniAddresses),
    ) {
        let Some(mut eni) = self.enis.get_mut(id) else {
            return;
        };
        let was = eni.clone();
        change(&mut eni.addresses);
        let kept = |block| eni.addresses.blocks().any(|each| each == block);
        let event = if was.addresses.blocks().all(kept) {
            EniEvent::Given
        } else {
            EniEvent::Taken
        };
        drop(eni);
        self.changes.push(Change::EniChanged(id.clone()));
        self.now = self.now.max(now);
        self.note_eni(id, Some(was), event);
    }

    /// Whether the interface's instance, if it has one, allows so many more slots.
    fn check_slots(&self, eni: &Eni, request: &V4Request) -> Result<(), Ec2Error> {
        let Some(instance) = eni.instance() else {
            return Ok(());
        };
        let slots = eni.addresses.slots().saturating_add(request.slots());
        self.check_slots_on(instance, slots, request.has_prefixes())
    }

    /// Whether an instance's type allows an interface of so many slots.
    pub(crate) fn check_slots_on(
        &self,
        instance: &InstanceId,
        slots: usize,
        prefixes: bool,
    ) -> Result<(), Ec2Error> {
        let Some(kind) = self.type_of(instance) else {
            return Ok(());
        };
        check_slots_of_type(kind, slots, prefixes)
    }

    /// Whether the type of an instance allows an interface of so many IPv6 slots; without an
    /// instance, whether any type does: no more would ever be of use, and a subnet has no end.
    pub(crate) fn check_v6_slots_of(
        &self,
        instance: Option<&InstanceId>,
        slots: usize,
        prefixes: bool,
    ) -> Result<(), Ec2Error> {
        match instance.and_then(|instance| self.type_of(instance)) {
            Some(kind) => check_v6_slots_of_type(kind, slots, prefixes),
            None => {
                let most = InstanceType::all().map(|kind| kind.ipv6_per_eni).max();
                check_slot_count(slots, most.unwrap_or(0))
            }
        }
    }

    pub(crate) fn type_of(&self, instance: &InstanceId) -> Option<&'static InstanceType> {
        InstanceType::named(&self.instances.get(instance)?.instance_type)
    }
}

pub(crate) fn check_slots_of_type(
    kind: &InstanceType,
    slots: usize,
    prefixes: bool,
) -> Result<(), Ec2Error> {
    if prefixes && !kind.takes_prefixes() {
        let text = format!("Prefixes are not supported for instance type {}", kind.name);
        return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
    }
    check_slot_count(slots, kind.ipv4_per_eni)
}

/// Whether a type allows an interface of so many IPv6 slots.
pub(crate) fn check_v6_slots_of_type(
    kind: &InstanceType,
    slots: usize,
    prefixes: bool,
) -> Result<(), Ec2Error> {
    if slots == 0 {
        return Ok(());
    }
    if kind.ipv6_per_eni == 0 || (prefixes && !kind.takes_prefixes()) {
        let what = if prefixes {
            "Prefixes"
        } else {
            "IPv6 addresses"
        };
        let text = format!("{what} are not supported for instance type {}", kind.name);
        return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
    }
    // The documentation has no code of its own for too many IPv6 addresses.
    check_slot_count(slots, kind.ipv6_per_eni)
}

fn check_slot_count(slots: usize, limit: u32) -> Result<(), Ec2Error> {
    if u32::try_from(slots).is_ok_and(|slots| slots <= limit) {
        return Ok(());
    }
    let text = "Number of private addresses will exceed limit.";
    Err(Ec2Error::new(
        ErrorCode::PrivateIpAddressLimitExceeded,
        text,
    ))
}

/// Interfaces that a service created are that service's to change.
pub(crate) fn check_not_managed(eni: &Eni) -> Result<(), Ec2Error> {
    if eni.requester.is_none() {
        return Ok(());
    }
    Err(Ec2Error::new(
        ErrorCode::OperationNotPermitted,
        format!(
            "You do not have permission to change the interface '{}'.",
            eni.id
        ),
    ))
}

fn invalid(text: impl Into<String>) -> Ec2Error {
    Ec2Error::new(ErrorCode::InvalidParameterValue, text)
}
