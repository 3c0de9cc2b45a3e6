//! Taking addresses for an interface, and giving them back.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;
use underlay_types::{EniId, InstanceId, SubnetId, Timestamp};

use crate::{
    AddressOrder, Change, Ec2Error, Eni, EniAddresses, ErrorCode, InstanceType, Model,
    address_pool::AddressPool, rng::Rng,
};

/// Addresses beyond the primary one that a caller asks for: of exactly one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum V4Request {
    /// None.
    Nothing,
    /// These addresses.
    Addresses(Vec<Ipv4Addr>),
    /// So many addresses, whichever are free.
    Count(u32),
    /// These /28 prefixes.
    Prefixes(Vec<Ipv4Net>),
    /// So many /28 prefixes, whichever are free.
    PrefixCount(u32),
}

impl V4Request {
    /// How many of the interface's slots it takes.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Addresses(addresses) => addresses.len(),
            Self::Prefixes(prefixes) => prefixes.len(),
            Self::Count(count) | Self::PrefixCount(count) => {
                usize::try_from(*count).unwrap_or(usize::MAX)
            }
        }
    }

    pub(crate) const fn has_prefixes(&self) -> bool {
        matches!(self, Self::Prefixes(_) | Self::PrefixCount(_))
    }
}

/// What an assignment added, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assigned {
    /// Addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Prefixes.
    pub prefixes: Vec<Ipv4Net>,
}

/// A subnet's addresses while a call is planned: taken here first, in the model on success only.
#[derive(Debug, Clone)]
pub(crate) struct AddressPlan {
    pub(crate) pool: AddressPool,
    pub(crate) rng: Rng,
    pub(crate) order: AddressOrder,
}

impl AddressPlan {
    /// Takes a primary address: this one, or any.
    pub(crate) fn take_primary(&mut self, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr, Ec2Error> {
        match wanted {
            Some(address) => {
                self.take_address(address)?;
                Ok(address)
            }
            None => self
                .pool
                .take_any(self.order, &mut self.rng)
                .ok_or_else(no_free_address),
        }
    }

    /// Takes what is asked for beyond the primary address.
    pub(crate) fn take(&mut self, request: &V4Request) -> Result<Assigned, Ec2Error> {
        let mut assigned = Assigned::default();
        match request {
            V4Request::Nothing => {}
            V4Request::Addresses(addresses) => {
                for address in addresses {
                    self.take_address(*address)?;
                    assigned.addresses.push(*address);
                }
            }
            V4Request::Count(count) => {
                self.check_enough(*count)?;
                for _ in 0..*count {
                    assigned.addresses.push(self.take_primary(None)?);
                }
            }
            V4Request::Prefixes(prefixes) => {
                for prefix in prefixes {
                    self.take_prefix(*prefix)?;
                    assigned.prefixes.push(*prefix);
                }
            }
            V4Request::PrefixCount(count) => {
                self.check_enough(count.saturating_mul(16))?;
                for _ in 0..*count {
                    let prefix = self.pool.take_any_prefix(self.order, &mut self.rng);
                    assigned.prefixes.push(prefix.ok_or_else(no_free_block)?);
                }
            }
        }
        Ok(assigned)
    }

    fn check_enough(&self, wanted: u32) -> Result<(), Ec2Error> {
        match self.pool.free() {
            0 => Err(no_free_address()),
            free if free < wanted => Err(Ec2Error::new(
                ErrorCode::InvalidParameterValue,
                "There aren't sufficient free Ipv4 addresses or prefixes",
            )),
            _ => Ok(()),
        }
    }

    fn take_address(&mut self, address: Ipv4Addr) -> Result<(), Ec2Error> {
        let block = Ipv4Net::from(address);
        if !self.pool.has(block) {
            return Err(invalid(
                "Address does not fall within the subnet's address range",
            ));
        }
        if !self.pool.is_assignable(block) {
            return Err(invalid("Address is in subnet's reserved address range"));
        }
        if !self.pool.is_free(block) {
            let text = format!("Address {address} is in use.");
            return Err(Ec2Error::new(ErrorCode::InvalidIpAddressInUse, text));
        }
        self.pool.take(block);
        Ok(())
    }

    fn take_prefix(&mut self, prefix: Ipv4Net) -> Result<(), Ec2Error> {
        if prefix.prefix_len() != 28 || prefix != prefix.trunc() {
            return Err(invalid(format!("{prefix} is not an aligned /28 prefix")));
        }
        if !self.pool.has(prefix) {
            return Err(invalid(
                "Prefix does not fall within the subnet's address range",
            ));
        }
        if !self.pool.is_assignable(prefix) {
            return Err(invalid("Prefix is in subnet's reserved address range"));
        }
        if !self.pool.is_free(prefix) {
            let text = format!("Prefix {prefix} is in use.");
            return Err(Ec2Error::new(ErrorCode::InvalidIpAddressInUse, text));
        }
        self.pool.take(prefix);
        Ok(())
    }
}

impl Model {
    pub(crate) fn plan_addresses(&self, subnet: &SubnetId) -> Result<AddressPlan, Ec2Error> {
        self.require_subnet(subnet)?;
        let pool = self.pools.get(subnet).ok_or_else(no_free_address)?.clone();
        Ok(AddressPlan {
            pool,
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
            V4Request::Addresses(addresses) if allow_reassignment => {
                let held = |address: &Ipv4Addr| eni.addresses.secondary.contains(address);
                let new: Vec<_> = addresses
                    .iter()
                    .copied()
                    .filter(|each| !held(each))
                    .collect();
                moved = self.reassignable(&subnet, &new);
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
        self.change_addresses(id, now, |held| {
            held.secondary.retain(|each| !addresses.contains(each));
            held.prefixes.retain(|each| !prefixes.contains(each));
        });
        Ok(())
    }

    fn change_addresses(
        &mut self,
        id: &EniId,
        now: Timestamp,
        change: impl FnOnce(&mut EniAddresses),
    ) {
        if let Some(eni) = self.enis.get_mut(id) {
            change(&mut eni.addresses);
            self.changes.push(Change::EniChanged(id.clone()));
            self.refresh_metadata_later(id, now);
        }
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
    if u32::try_from(slots).is_ok_and(|slots| slots <= kind.ipv4_per_eni) {
        return Ok(());
    }
    let text = "Number of private addresses will exceed limit.";
    Err(Ec2Error::new(
        ErrorCode::PrivateIpAddressLimitExceeded,
        text,
    ))
}

/// A request that no state of the subnet could make right.
pub(crate) fn check_sane(request: &V4Request) -> Result<(), Ec2Error> {
    let repeats = match request {
        V4Request::Addresses(each) => each.iter().collect::<BTreeSet<_>>().len() != each.len(),
        V4Request::Prefixes(each) => each.iter().collect::<BTreeSet<_>>().len() != each.len(),
        V4Request::Count(0) | V4Request::PrefixCount(0) => {
            return Err(invalid(
                "The number of addresses or prefixes must be at least 1",
            ));
        }
        _ => false,
    };
    if repeats {
        Err(invalid("Duplicate addresses or prefixes are not allowed"))
    } else {
        Ok(())
    }
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

fn no_free_address() -> Ec2Error {
    Ec2Error::new(
        ErrorCode::InsufficientFreeAddressesInSubnet,
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )
}

fn no_free_block() -> Ec2Error {
    Ec2Error::new(
        ErrorCode::InsufficientCidrBlocks,
        "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    )
}

fn invalid(text: impl Into<String>) -> Ec2Error {
    Ec2Error::new(ErrorCode::InvalidParameterValue, text)
}
