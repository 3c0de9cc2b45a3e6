//! Assigning IPv6 addresses to an interface, and giving them back.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use underlay_types::{EniId, Timestamp};

use super::{
    addresses::check_not_managed,
    v6_plan::{AssignedV6, V6Request},
};
use crate::{Ec2Error, ErrorCode, Model};

impl Model {
    /// AssignIpv6Addresses: what was added, all or nothing. An address that the interface has
    /// already stays.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `PrivateIpAddressLimitExceeded`;
    /// `InvalidIPAddress.InUse`; `InvalidParameterValue` for addresses outside the subnet;
    /// `InsufficientCidrBlocks` when no aligned /80 is free; `UnsupportedOperation` for what the
    /// instance's type does not take.
    pub fn assign_v6(
        &mut self,
        id: &EniId,
        request: &V6Request,
        now: Timestamp,
    ) -> Result<AssignedV6, Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        request.check_sane()?;
        let new = match request {
            V6Request::Addresses(addresses) => {
                let wanted = addresses.iter().copied();
                let new = wanted.filter(|each| !eni.addresses.v6.contains(each));
                &V6Request::Addresses(new.collect())
            }
            other => other,
        };
        let slots = eni.addresses.v6_slots().saturating_add(new.slots());
        self.check_v6_slots_of(eni.instance(), slots, new.has_prefixes())?;
        let mut plan = self.plan_addresses(&eni.subnet)?;
        let assigned = plan.v6.take(new, &self.enis, &mut plan.rng)?;
        self.rng = plan.rng;
        self.change_addresses(id, now, |held| {
            held.v6.extend(&assigned.addresses);
            held.v6_prefixes.extend(&assigned.prefixes);
        });
        Ok(assigned)
    }

    /// UnassignIpv6Addresses: all or nothing.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` for the primary address, or
    /// for an address or prefix that the interface does not have.
    pub fn unassign_v6(
        &mut self,
        id: &EniId,
        addresses: &[Ipv6Addr],
        prefixes: &[Ipv6Net],
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        let held = &eni.addresses;
        if held
            .primary_v6
            .is_some_and(|primary| addresses.contains(&primary))
        {
            let text = "The primary IPv6 address of a network interface cannot be unassigned";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let foreign = addresses.iter().find(|each| !held.v6.contains(each));
        let foreign = foreign.map(ToString::to_string).or_else(|| {
            let foreign = prefixes
                .iter()
                .find(|each| !held.v6_prefixes.contains(each));
            foreign.map(ToString::to_string)
        });
        if let Some(block) = foreign {
            let text = format!(
                "Some of the specified addresses are not assigned to interface {id}: {block}"
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.change_addresses(id, now, |held| {
            held.v6.retain(|each| !addresses.contains(each));
            held.v6_prefixes.retain(|each| !prefixes.contains(each));
        });
        Ok(())
    }

    /// ModifyNetworkInterfaceAttribute `enablePrimaryIpv6`: the interface's first IPv6 address
    /// stays its primary one until it is detached.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` without an IPv6 address, and
    /// for turning it off; `OperationNotPermitted`.
    pub fn set_primary_v6(&mut self, id: &EniId, on: bool, now: Timestamp) -> Result<(), Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        let held = &eni.addresses;
        let primary = match (on, held.primary_v6) {
            (true, Some(_)) | (false, None) => return Ok(()),
            (false, Some(_)) => {
                let text = "A primary IPv6 address cannot be disabled once it is enabled.";
                return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
            }
            (true, None) => held.v6.first().copied().ok_or_else(no_v6_to_make_primary)?,
        };
        self.change_addresses(id, now, |held| held.primary_v6 = Some(primary));
        Ok(())
    }
}

pub(super) fn no_v6_to_make_primary() -> Ec2Error {
    let text = "The network interface has no IPv6 address that could be primary.";
    Ec2Error::new(ErrorCode::InvalidParameterValue, text)
}
