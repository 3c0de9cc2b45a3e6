//! Associating branch interfaces with trunk interfaces.
//!
//! The documentation says what such a call takes, and neither its limits nor its refusals. How many
//! branches a type may have is that of the VPC resource controller
//! ([`InstanceType::branches`]); the codes are those of attaching.

use underlay_types::{AttachmentId, EniId, Timestamp, TrunkAssociationId};

use super::{addresses::check_not_managed, enis::in_use};
use crate::{
    Attachment, AttachmentHolder, AttachmentStatus, Change, Ec2Error, Eni, ErrorCode, InstanceType,
    InterfaceType, Model, RouteTarget, TrunkAssociation,
};

/// The highest VLAN id there is (IEEE 802.1Q).
const MAX_VLAN: u16 = 4_094;

impl Model {
    /// AssociateTrunkInterface, by VLAN id.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` for a trunk that is none, a
    /// branch that is one, or a VLAN id out of range or taken; `InvalidNetworkInterface.InUse`
    /// for a branch that is attached or associated; `InvalidParameterCombination` for interfaces
    /// in different zones; `AttachmentLimitExceeded`; `OperationNotPermitted` for a service's;
    /// `UnsupportedOperation` where whoever moves the packets cannot.
    pub fn associate_trunk(
        &mut self,
        branch: &EniId,
        trunk: &EniId,
        vlan: u16,
        now: Timestamp,
    ) -> Result<TrunkAssociationId, Ec2Error> {
        let (carried, carrier) = (self.require_eni(branch)?, self.require_eni(trunk)?);
        check_not_managed(carried)?;
        self.check_association(carried, carrier, vlan)?;
        let id = TrunkAssociationId::from_serial(self.rng.next());
        let attachment = Attachment {
            id: AttachmentId::from_serial(self.rng.next()),
            holder: AttachmentHolder::Trunk(trunk.clone()),
            device_index: 0,
            network_card: 0,
            status: AttachmentStatus::Attached,
            attach_time: now,
            delete_on_termination: false,
        };
        self.put_attachment(branch, attachment);
        let association = TrunkAssociation {
            id: id.clone(),
            branch: branch.clone(),
            trunk: trunk.clone(),
            vlan,
        };
        if self.eni(trunk).is_some_and(|trunk| self.is_live(trunk)) {
            self.announce_branch(&association);
        }
        self.trunk_associations.insert(id.clone(), association);
        Ok(id)
    }

    fn check_association(&self, branch: &Eni, trunk: &Eni, vlan: u16) -> Result<(), Ec2Error> {
        let invalid = |text: String| Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        if trunk.interface_type != InterfaceType::Trunk {
            return invalid(format!("Interface {} is not a trunk interface.", trunk.id));
        }
        if branch.interface_type == InterfaceType::Trunk {
            return invalid(format!("Interface {} is a trunk interface.", branch.id));
        }
        if branch.attachment.is_some() {
            return Err(in_use(&branch.id));
        }
        if branch.zone != trunk.zone {
            let text = "The trunk and the branch interface are not in the same availability zone";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        if !(1..=MAX_VLAN).contains(&vlan) {
            return invalid(format!("Value ({vlan}) for parameter VlanId is invalid."));
        }
        if self.branches_of(&trunk.id).any(|each| each.vlan == vlan) {
            return invalid(format!("VLAN ID {vlan} is already in use on {}.", trunk.id));
        }
        let kind = trunk.instance().and_then(|id| self.type_of(id));
        kind.map_or(Ok(()), |kind| {
            self.check_branches(kind, self.branches_of(&trunk.id).count() + 1)
        })
    }

    /// Whether a trunk on an instance of a type may carry so many branches.
    pub(super) fn check_branches(
        &self,
        kind: &InstanceType,
        branches: usize,
    ) -> Result<(), Ec2Error> {
        let configured = self.config.branch_limits.get(kind.name).copied();
        let limit = configured.unwrap_or_else(|| kind.branches());
        if limit == 0 {
            let text = format!("Instance type {} does not support trunking.", kind.name);
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        if u32::try_from(branches).is_ok_and(|branches| branches <= limit) {
            return Ok(());
        }
        let text = format!(
            "Branch interface count {branches} exceeds the limit for {}",
            kind.name
        );
        Err(Ec2Error::new(ErrorCode::AttachmentLimitExceeded, text))
    }

    /// DisassociateTrunkInterface.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`.
    pub fn disassociate_trunk(&mut self, id: &TrunkAssociationId) -> Result<(), Ec2Error> {
        let association = self.require_trunk_association(id)?.clone();
        self.end_association(&association);
        Ok(())
    }

    /// The associations of trunks with branches, by id.
    pub fn trunk_associations(&self) -> impl Iterator<Item = &TrunkAssociation> {
        self.trunk_associations.values()
    }

    /// The associations of a trunk.
    pub fn branches_of<'a>(
        &'a self,
        trunk: &'a EniId,
    ) -> impl Iterator<Item = &'a TrunkAssociation> {
        let ids = self.trunk_associations.index().of_trunk(trunk);
        self.trunk_associations.all_of(ids)
    }

    /// Whether an interface takes packets now: it is attached to something that
    /// has power, or carried by a trunk that is.
    #[must_use]
    pub fn is_live(&self, eni: &Eni) -> bool {
        match eni.attachment.as_ref().map(|held| &held.holder) {
            Some(AttachmentHolder::Trunk(trunk)) => {
                let trunk = self.eni(trunk);
                trunk.is_some_and(|trunk| trunk.is_attached() && self.has_power(trunk))
            }
            _ => eni.is_attached() && self.has_power(eni),
        }
    }

    /// Tells of all branches of a trunk whose device is there now.
    pub(super) fn announce_branches(&mut self, trunk: &EniId) {
        for each in self.branches_of(trunk).cloned().collect::<Vec<_>>() {
            self.announce_branch(&each);
        }
    }

    /// Tells that all branches of a trunk lose its device now.
    pub(super) fn retire_branches(&mut self, trunk: &EniId) {
        for each in self.branches_of(trunk).cloned().collect::<Vec<_>>() {
            self.retire_branch(&each);
        }
    }

    /// Ends all associations of a trunk that is going away.
    pub(super) fn drop_branches(&mut self, trunk: &EniId) {
        for each in self.branches_of(trunk).cloned().collect::<Vec<_>>() {
            self.end_association(&each);
        }
    }

    /// The branches whose trunk's device is there.
    pub(super) fn live_branches(&self) -> impl Iterator<Item = Change> {
        let carried = |each: &&TrunkAssociation| {
            self.eni(&each.trunk)
                .is_some_and(|trunk| self.is_live(trunk))
        };
        self.trunk_associations
            .values()
            .filter(carried)
            .map(attached)
    }

    fn announce_branch(&mut self, association: &TrunkAssociation) {
        self.changes.push(attached(association));
        self.note_routes_to(&RouteTarget::Eni(association.branch.clone()));
    }

    fn retire_branch(&mut self, association: &TrunkAssociation) {
        self.changes.push(Change::BranchDetached {
            branch: association.branch.clone(),
            trunk: association.trunk.clone(),
        });
        self.note_routes_to(&RouteTarget::Eni(association.branch.clone()));
    }

    fn end_association(&mut self, association: &TrunkAssociation) {
        let trunk = self.eni(&association.trunk);
        let live = trunk.is_some_and(|trunk| self.is_live(trunk));
        self.trunk_associations.remove(&association.id);
        if let Some(mut eni) = self.enis.get_mut(&association.branch) {
            eni.attachment = None;
        }
        if live {
            self.retire_branch(association);
        }
    }
}

fn attached(association: &TrunkAssociation) -> Change {
    Change::BranchAttached {
        branch: association.branch.clone(),
        trunk: association.trunk.clone(),
        vlan: association.vlan,
    }
}
