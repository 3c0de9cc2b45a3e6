//! What changes the model beside calls.

use serde::{Deserialize, Serialize};
use underlay_types::{EniId, FlowLogId, Timestamp};

use crate::{DeliveryError, Ec2Error, EniRequest, ErrorCode, FaultRequest, Model};

/// Something that is done to the model by a program, not by a caller of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// [`Model::create_service_eni`].
    CreateServiceEni {
        /// What to create.
        request: EniRequest,
        /// Which service.
        requester: String,
    },
    /// [`Model::delete_service_eni`].
    DeleteServiceEni(EniId),
    /// [`Model::note_flow_log_delivery`].
    FlowLogDelivery(FlowLogId, Option<DeliveryError>),
    /// [`Model::give_to_external`].
    GiveToExternal {
        /// The interface.
        eni: EniId,
        /// Who holds it.
        owner: String,
    },
    /// [`Model::switch_faults_off`], by number.
    SwitchFaultsOff(Vec<u64>),
    /// [`Model::switch_fault_on`].
    SwitchFaultOn {
        /// Its number.
        id: u64,
        /// What to switch on.
        request: FaultRequest,
    },
    /// [`Model::take_from_external`].
    TakeFromExternal(EniId),
}

impl Model {
    /// Has an event happen. Answers the interface that it is about, if it is about one.
    ///
    /// # Errors
    /// Those of the method that the event names.
    pub fn apply(&mut self, event: &Event, now: Timestamp) -> Result<Option<EniId>, Ec2Error> {
        let eni = match event {
            Event::CreateServiceEni { request, requester } => {
                self.create_service_eni(request, requester)
            }
            Event::DeleteServiceEni(eni) => self.delete_service_eni(eni).map(|()| eni.clone()),
            Event::FlowLogDelivery(log, error) => {
                self.note_flow_log_delivery(log, *error);
                return Ok(None);
            }
            Event::GiveToExternal { eni, owner } => {
                let given = self.give_to_external(eni, owner, now);
                given.map(|_| eni.clone())
            }
            Event::SwitchFaultsOff(ids) => {
                self.switch_faults_off(|fault| ids.contains(&fault.id));
                return Ok(None);
            }
            Event::SwitchFaultOn { id, request } => {
                let on = self.switch_fault_on(*id, request.clone(), now);
                return match on {
                    Ok(_) => Ok(None),
                    Err(error) => {
                        let text = error.to_string();
                        Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
                    }
                };
            }
            Event::TakeFromExternal(eni) => self.take_from_external(eni).map(|()| eni.clone()),
        };
        eni.map(Some)
    }
}
