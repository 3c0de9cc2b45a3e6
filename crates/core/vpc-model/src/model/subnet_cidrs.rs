//! The IPv6 blocks of subnets.

use ipnet::{IpNet, Ipv6Net};
use underlay_types::{SubnetCidrAssociationId, SubnetId, Timestamp, VpcId};

use super::lifecycle::Timer;
use crate::{
    Change, CidrReservation, CidrState, Ec2Error, ErrorCode, Model, Subnet, SubnetCidrAssociation,
};

/// Lengths a subnet's IPv6 block may have: in steps of 4 (Amazon VPC User Guide, "Subnet CIDR
/// blocks").
const LENGTHS: std::ops::RangeInclusive<u8> = 44..=64;

impl Model {
    /// AssociateSubnetCidrBlock.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `InvalidParameterValue` when the subnet has a block already;
    /// those of the block.
    pub fn associate_subnet_v6(
        &mut self,
        id: &SubnetId,
        cidr: Ipv6Net,
        now: Timestamp,
    ) -> Result<SubnetCidrAssociationId, Ec2Error> {
        let subnet = self.require_subnet(id)?;
        if subnet.v6.is_some() {
            // "You can only associate a single IPv6 CIDR block with your subnet": in which words
            // EC2 refuses a second one is not documented.
            let text = format!("The subnet '{id}' already has an IPv6 CIDR block.");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.check_subnet_v6(&subnet.vpc, cidr)?;
        Ok(self.add_subnet_v6(id, cidr.trunc(), now))
    }

    /// DisassociateSubnetCidrBlock: the subnet, and the block it had.
    ///
    /// # Errors
    /// `InvalidSubnetCidrBlockAssociationID.NotFound`; `InvalidCidrBlock.InUse` while interfaces
    /// have addresses of the block, new ones are to get one, or parts of it are reserved.
    pub fn disassociate_subnet_v6(
        &mut self,
        association: &SubnetCidrAssociationId,
        now: Timestamp,
    ) -> Result<(SubnetId, Ipv6Net), Ec2Error> {
        let held = |subnet: &'_ Subnet| {
            let held = subnet.v6.as_ref();
            let held = held.filter(|held| &held.id == association && held.state.is_live())?;
            Some((subnet.id.clone(), held.cidr))
        };
        let (id, cidr) = self.subnets.values().find_map(held).ok_or_else(|| {
            let text =
                format!("The subnet CIDR block association ID '{association}' does not exist");
            Ec2Error::new(ErrorCode::InvalidSubnetCidrBlockAssociationIdNotFound, text)
        })?;
        let subnet = self.require_subnet(&id)?;
        let in_use = |why: &str| {
            let text = format!(
                "The subnet IPv6 CIDR block with association ID {association} may not be \
                 disassociated, because {why}"
            );
            Err(Ec2Error::new(ErrorCode::InvalidCidrBlockInUse, text))
        };
        if subnet.assign_v6_on_creation {
            return in_use("its subnet has assign-ipv6-address-on-creation set to true.");
        }
        if self
            .enis
            .of_subnet(&id)
            .any(|eni| eni.addresses.v6_slots() > 0)
        {
            return in_use("network interfaces of its subnet have addresses of it.");
        }
        let part = |each: &CidrReservation| each.subnet == id && matches!(each.cidr, IpNet::V6(_));
        if self.reservations.values().any(part) {
            return in_use("parts of it are reserved.");
        }
        self.begin_subnet_cidr_state(&id, CidrState::Disassociating, now);
        Ok((id, cidr))
    }

    /// Whether a subnet of the VPC may have this block.
    ///
    /// # Errors
    /// `InvalidSubnet.Range` unless the block is part of one of the VPC's and of a length that
    /// subnets have; `InvalidSubnet.Conflict` when it overlaps another subnet's.
    pub(super) fn check_subnet_v6(&self, vpc: &VpcId, given: Ipv6Net) -> Result<(), Ec2Error> {
        let cidr = given.trunc();
        let length = cidr.prefix_len();
        let within = |block: Ipv6Net| block.contains(&cidr);
        let fits = LENGTHS.contains(&length) && length.is_multiple_of(4);
        if !fits || !self.require_vpc(vpc)?.v6_blocks().any(within) {
            let text = format!("The CIDR '{given}' is invalid.");
            return Err(Ec2Error::new(ErrorCode::InvalidSubnetRange, text));
        }
        let siblings = self.subnets.values().filter(|each| &each.vpc == vpc);
        let mut held = siblings.filter_map(|each| each.v6.as_ref());
        if held.any(|held| held.cidr.contains(&cidr) || cidr.contains(&held.cidr)) {
            let text = format!("The CIDR '{given}' conflicts with another subnet");
            return Err(Ec2Error::new(ErrorCode::InvalidSubnetConflict, text));
        }
        Ok(())
    }

    /// Gives a subnet without an IPv6 block one that was checked.
    pub(super) fn add_subnet_v6(
        &mut self,
        id: &SubnetId,
        cidr: Ipv6Net,
        now: Timestamp,
    ) -> SubnetCidrAssociationId {
        let association = SubnetCidrAssociationId::from_serial(self.rng.next());
        if let Some(subnet) = self.subnets.get_mut(id) {
            subnet.v6 = Some(SubnetCidrAssociation {
                id: association.clone(),
                cidr,
                state: CidrState::Associating,
            });
        }
        self.begin_subnet_cidr_state(id, CidrState::Associating, now);
        association
    }

    fn begin_subnet_cidr_state(&mut self, id: &SubnetId, state: CidrState, now: Timestamp) {
        let held = self.subnets.get_mut(id).and_then(|each| each.v6.as_mut());
        let Some(held) = held else {
            return;
        };
        held.state = state;
        let association = held.id.clone();
        self.changes.push(Change::SubnetChanged(id.clone()));
        let delay = self.draw_delay(self.config.timings.cidr);
        let timer = Timer::SubnetCidr(id.clone(), association, state);
        self.schedule(now, delay, timer);
    }

    pub(crate) fn end_subnet_cidr_state(
        &mut self,
        id: &SubnetId,
        association: &SubnetCidrAssociationId,
        from: CidrState,
    ) {
        let Some(subnet) = self.subnets.get_mut(id) else {
            return;
        };
        let same = |held: &SubnetCidrAssociation| &held.id == association && held.state == from;
        if !subnet.v6.as_ref().is_some_and(same) {
            return;
        }
        if from == CidrState::Disassociating {
            subnet.v6 = None;
        } else if let Some(held) = &mut subnet.v6 {
            held.state = CidrState::Associated;
        }
        self.changes.push(Change::SubnetChanged(id.clone()));
    }
}
