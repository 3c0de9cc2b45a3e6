//! Interfaces that the service behind the VPC makes, and those that something other than an
//! instance holds. Programs call these; there is no action for them.

use underlay_types::{AttachmentId, EniId, Timestamp};

use super::enis::{EniRequest, in_use};
use crate::{
    Attachment, AttachmentHolder, AttachmentStatus, Change, Ec2Error, ErrorCode, InterfaceType,
    Model, RouteTarget,
};

impl Model {
    /// An interface for an endpoint that a service places in a subnet: the account sees it and
    /// cannot change it.
    ///
    /// # Errors
    /// As [`Self::create_eni`].
    pub fn create_service_eni(
        &mut self,
        request: &EniRequest,
        requester: &str,
    ) -> Result<EniId, Ec2Error> {
        let id = self.create_eni(request)?;
        if let Some(mut eni) = self.enis.get_mut(&id) {
            eni.interface_type = InterfaceType::VpcEndpoint;
            eni.requester = Some(requester.to_owned());
        }
        Ok(id)
    }

    /// Removes a service's interface, for the service.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`.
    pub fn delete_service_eni(&mut self, id: &EniId) -> Result<(), Ec2Error> {
        self.require_eni(id)?;
        self.remove_eni(id);
        Ok(())
    }

    /// Says that something that is not an instance holds the interface, such as the host of a
    /// managed database or a load balancer. Its device is the driver's affair.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidNetworkInterface.InUse`.
    pub fn give_to_external(
        &mut self,
        id: &EniId,
        owner: &str,
        now: Timestamp,
    ) -> Result<AttachmentId, Ec2Error> {
        if self.require_eni(id)?.attachment.is_some() {
            return Err(in_use(id));
        }
        let attachment = AttachmentId::from_serial(self.rng.next());
        if let Some(mut eni) = self.enis.get_mut(id) {
            eni.attachment = Some(Attachment {
                id: attachment.clone(),
                holder: AttachmentHolder::External {
                    owner: owner.to_owned(),
                },
                device_index: 1,
                network_card: 0,
                status: AttachmentStatus::Attached,
                attach_time: now,
                delete_on_termination: false,
            });
        }
        self.changes.push(Change::EniChanged(id.clone()));
        self.note_routes_to(&RouteTarget::Eni(id.clone()));
        Ok(attachment)
    }

    /// Takes an interface back from something that is not an instance.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` when no such thing holds it.
    pub fn take_from_external(&mut self, id: &EniId) -> Result<(), Ec2Error> {
        let eni = self.require_eni(id)?;
        if eni.attachment.is_none() || eni.instance().is_some() {
            let text = format!("Interface {id} is not held by anything but an instance");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if let Some(mut eni) = self.enis.get_mut(id) {
            eni.attachment = None;
        }
        self.changes.push(Change::EniChanged(id.clone()));
        self.note_routes_to(&RouteTarget::Eni(id.clone()));
        Ok(())
    }
}
