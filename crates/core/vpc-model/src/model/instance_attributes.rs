//! Changing attributes of instances.

use underlay_types::{InstanceId, SecurityGroupId};

use super::{addresses::check_slots_of_type, attach::check_place, launch::check_type_named};
use crate::{
    Ec2Error, Eni, ErrorCode, Instance, InstanceAttribute, InstanceState, InstanceType, Model,
};

impl Model {
    /// ModifyInstanceAttribute.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `IncorrectInstanceState` for an attribute that only a
    /// stopped instance takes; `InvalidInstanceID` for groups or a check of one with several
    /// interfaces; `InvalidParameterValue`, `AttachmentLimitExceeded` and
    /// `PrivateIpAddressLimitExceeded` for a type that does not fit; those of groups.
    pub fn modify_instance(
        &mut self,
        id: &InstanceId,
        attribute: &InstanceAttribute,
    ) -> Result<(), Ec2Error> {
        let instance = self.require_instance(id)?;
        match attribute {
            InstanceAttribute::Groups(groups) => return self.set_instance_groups(id, groups),
            InstanceAttribute::SourceDestCheck(check) => {
                let eni = self.sole_eni_of(id)?.id.clone();
                return self.set_source_dest_check(&eni, *check);
            }
            InstanceAttribute::InstanceType(name) => {
                check_stopped(instance)?;
                self.check_new_type(instance, name)?;
            }
            InstanceAttribute::UserData(_) => check_stopped(instance)?,
            InstanceAttribute::DisableApiStop(_)
            | InstanceAttribute::DisableApiTermination(_)
            | InstanceAttribute::EbsOptimized(_)
            | InstanceAttribute::TerminateOnShutdown(_) => {}
        }
        let Some(mut instance) = self.instances.get_mut(id) else {
            return Ok(());
        };
        let attributes = &mut instance.attributes;
        match attribute {
            InstanceAttribute::DisableApiStop(on) => attributes.disable_api_stop = *on,
            InstanceAttribute::DisableApiTermination(on) => {
                attributes.disable_api_termination = *on;
            }
            InstanceAttribute::EbsOptimized(on) => attributes.ebs_optimized = *on,
            InstanceAttribute::TerminateOnShutdown(on) => attributes.terminate_on_shutdown = *on,
            InstanceAttribute::InstanceType(name) => instance.instance_type.clone_from(name),
            InstanceAttribute::UserData(data) => instance.user_data.clone_from(data),
            InstanceAttribute::Groups(_) | InstanceAttribute::SourceDestCheck(_) => {}
        }
        Ok(())
    }

    fn set_instance_groups(
        &mut self,
        id: &InstanceId,
        groups: &[SecurityGroupId],
    ) -> Result<(), Ec2Error> {
        let eni = self.sole_eni_of(id)?.id.clone();
        self.set_eni_groups(&eni, groups)
    }

    /// The one interface of an instance.
    pub(super) fn sole_eni_of(&self, id: &InstanceId) -> Result<&Eni, Ec2Error> {
        match self.enis_of(id).as_slice() {
            [only] => Ok(*only),
            _ => {
                let text = format!(
                    "There are multiple interfaces attached to instance '{id}'. Please specify an \
                     interface ID for the operation instead."
                );
                Err(Ec2Error::new(ErrorCode::InvalidInstanceId, text))
            }
        }
    }

    /// Whether an instance's interfaces fit another type.
    fn check_new_type(&self, instance: &Instance, name: &str) -> Result<(), Ec2Error> {
        let architecture =
            InstanceType::named(&instance.instance_type).map_or("", |kind| kind.architecture);
        let kind = check_type_named(name, architecture)?;
        let mut places = Vec::new();
        for eni in self.enis_of(&instance.id) {
            let Some(held) = &eni.attachment else {
                continue;
            };
            let place = (held.network_card, held.device_index);
            check_place(kind, &instance.id, &places, place)?;
            places.push(place);
            let prefixes = !eni.addresses.prefixes.is_empty();
            check_slots_of_type(kind, eni.addresses.slots(), prefixes)?;
            let branches = self.branches_of(&eni.id).count();
            if branches > 0 {
                self.check_branches(kind, branches)?;
            }
        }
        Ok(())
    }
}

fn check_stopped(instance: &Instance) -> Result<(), Ec2Error> {
    if instance.state == InstanceState::Stopped {
        return Ok(());
    }
    let text = format!(
        "The instance '{}' is not in the 'stopped' state.",
        instance.id
    );
    Err(Ec2Error::new(ErrorCode::IncorrectInstanceState, text))
}
