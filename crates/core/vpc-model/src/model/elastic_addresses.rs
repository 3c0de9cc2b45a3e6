//! Elastic addresses: allocating, associating, releasing.

use std::net::Ipv4Addr;

use underlay_types::{AllocationId, ElasticAssociationId, EniId, InstanceId, VpcId};

use super::public_addresses::{PublicUse, no_capacity};
use crate::{Ec2Error, ElasticAddress, Eni, ErrorCode, InstanceState, Model, Tags};

/// What an elastic address is to stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssociationTarget {
    /// The primary address of this instance's only interface.
    Instance(InstanceId),
    /// This interface.
    Eni(EniId),
}

impl Model {
    /// The elastic addresses, by id.
    pub fn elastic_addresses(&self) -> impl Iterator<Item = &ElasticAddress> {
        self.elastic_addresses.values()
    }

    /// An elastic address.
    #[must_use]
    pub fn elastic_address(&self, id: &AllocationId) -> Option<&ElasticAddress> {
        self.elastic_addresses.get(id)
    }

    /// AllocateAddress: this address if it is free, else any.
    ///
    /// # Errors
    /// `AddressLimitExceeded`; `InvalidAddress.NotFound` for an address that is not to be had;
    /// `InsufficientAddressCapacity`.
    pub fn allocate_address(
        &mut self,
        wanted: Option<Ipv4Addr>,
        tags: Tags,
    ) -> Result<AllocationId, Ec2Error> {
        if self.elastic_addresses.len() >= self.config.limits.elastic_addresses {
            let text = "The maximum number of addresses has been reached.";
            return Err(Ec2Error::new(ErrorCode::AddressLimitExceeded, text));
        }
        let address = match wanted {
            Some(address) if self.is_free_public(address) => address,
            Some(address) => return Err(no_address(address)),
            None if self.free_public_addresses() == 0 => return Err(no_capacity()),
            None => self.draw_public_address().ok_or_else(no_capacity)?,
        };
        let id = AllocationId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let elastic = ElasticAddress {
            id: id.clone(),
            address,
            association: None,
            tags,
        };
        self.elastic_addresses.insert(id.clone(), elastic);
        self.public_addresses
            .insert(address, PublicUse::Elastic(id.clone()));
        Ok(id)
    }

    /// ReleaseAddress.
    ///
    /// # Errors
    /// `InvalidAllocationID.NotFound`; `InvalidIPAddress.InUse` while it is associated.
    pub fn release_address(&mut self, id: &AllocationId) -> Result<(), Ec2Error> {
        let elastic = self.require_elastic_address(id)?;
        let address = elastic.address;
        if elastic.association.is_some() {
            let text = format!("Address {address} is in use.");
            return Err(Ec2Error::new(ErrorCode::InvalidIpAddressInUse, text));
        }
        self.elastic_addresses.remove(id);
        self.public_addresses.remove(&address);
        Ok(())
    }

    /// AssociateAddress with a private address of the target: its primary one without `private`.
    ///
    /// What the private address had before is free again. An elastic address that stands for
    /// something else moves only with `reassociate`.
    ///
    /// # Errors
    /// `InvalidAllocationID.NotFound`; `InvalidInstanceID.NotFound`; `InvalidInstanceID` for an
    /// instance that is pending or ends, or has several interfaces; `InvalidNetworkInterfaceID.NotFound`;
    /// `InvalidParameterValue` for an address that the interface does not have;
    /// `Gateway.NotAttached` for a VPC without internet gateway; `Resource.AlreadyAssociated`;
    /// `OperationNotPermitted` for a service's interface.
    pub fn associate_address(
        &mut self,
        id: &AllocationId,
        target: &AssociationTarget,
        private: Option<Ipv4Addr>,
        reassociate: bool,
    ) -> Result<ElasticAssociationId, Ec2Error> {
        let eni = match target {
            AssociationTarget::Eni(eni) => self.require_eni(eni)?,
            AssociationTarget::Instance(instance) => {
                let states = [
                    InstanceState::Running,
                    InstanceState::Stopping,
                    InstanceState::Stopped,
                ];
                self.only_eni_of(instance, &states)?
            }
        };
        super::addresses::check_not_managed(eni)?;
        let private = private.unwrap_or(eni.addresses.primary);
        if private != eni.addresses.primary && !eni.addresses.secondary.contains(&private) {
            let text = format!(
                "Private address {private} is not assigned to interface {}",
                eni.id
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if self.internet_gateway_of(&eni.vpc).is_none() {
            return Err(no_gateway(&eni.vpc));
        }
        if let Some(held) = &self.require_elastic_address(id)?.association {
            if (&held.eni, held.private) == (&eni.id, private) {
                return Ok(held.id.clone());
            }
            if !reassociate {
                let text = format!(
                    "resource {id} is already associated with associate-id {}",
                    held.id
                );
                return Err(Ec2Error::new(ErrorCode::ResourceAlreadyAssociated, text));
            }
            super::addresses::check_not_managed(self.require_eni(&held.eni)?)?;
        }
        let eni = eni.id.clone();
        Ok(self.put_association(id, eni, private))
    }

    /// DisassociateAddress.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `OperationNotPermitted` for a service's interface.
    pub fn disassociate_address(&mut self, id: &ElasticAssociationId) -> Result<(), Ec2Error> {
        let held = self.elastic_addresses.values().find_map(|elastic| {
            let held = elastic.association.as_ref()?;
            (&held.id == id).then(|| (held.eni.clone(), held.private))
        });
        let Some((eni, private)) = held else {
            let text = format!("The association ID '{id}' does not exist");
            return Err(Ec2Error::new(ErrorCode::InvalidAssociationIdNotFound, text));
        };
        super::addresses::check_not_managed(self.require_eni(&eni)?)?;
        self.drop_public_address(&eni, private);
        Ok(())
    }

    /// The interface of an instance that is in one of these states and has no other.
    pub(crate) fn only_eni_of(
        &self,
        instance: &InstanceId,
        states: &[InstanceState],
    ) -> Result<&Eni, Ec2Error> {
        let state = self.require_instance(instance)?.state;
        if !states.contains(&state) {
            let text = format!(
                "The {} instance '{instance}' is not in a valid state for this operation.",
                state.as_str()
            );
            return Err(Ec2Error::new(ErrorCode::InvalidInstanceId, text));
        }
        self.sole_eni_of(instance)
    }
}

fn no_address(address: Ipv4Addr) -> Ec2Error {
    let text = format!("Address '{address}' not found.");
    Ec2Error::new(ErrorCode::InvalidAddressNotFound, text)
}

pub(crate) fn no_gateway(vpc: &VpcId) -> Ec2Error {
    let text = format!("Network {vpc} is not attached to any internet gateway");
    Ec2Error::new(ErrorCode::GatewayNotAttached, text)
}
