//! Stopping, starting and rebooting instances.
//!
//! A stopped instance keeps its interfaces and their addresses, and no device is anywhere: routes
//! to them are blackholes (VPC User Guide, "Route tables"). An address that Amazon lent is taken
//! back (EC2 User Guide, "Stop and start Amazon EC2 instances").

use underlay_types::{EniId, InstanceId, Timestamp};

use super::lifecycle::Timer;
use crate::{
    AttachmentStatus, Change, Ec2Error, Eni, ErrorCode, Instance, InstanceState, Model, RouteTarget,
};

impl Model {
    /// StopInstances: all or none. Returns each instance's state before.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `IncorrectInstanceState` for one that is not running;
    /// `OperationNotPermitted` for one that may not be stopped.
    pub fn stop(
        &mut self,
        ids: &[InstanceId],
        now: Timestamp,
    ) -> Result<Vec<(InstanceId, InstanceState)>, Ec2Error> {
        let before = self.states_of(ids, |instance| match instance.state {
            InstanceState::Running if instance.attributes.disable_api_stop => {
                Err(may_not(instance, "stopped", "disableApiStop"))
            }
            InstanceState::Running | InstanceState::Stopped | InstanceState::Stopping => Ok(()),
            InstanceState::Pending | InstanceState::ShuttingDown | InstanceState::Terminated => {
                Err(wrong_state(instance, "stopped"))
            }
        })?;
        for (id, state) in &before {
            if *state == InstanceState::Running {
                self.set_state(id, InstanceState::Stopping);
                let delay = self.draw_delay(self.config.timings.terminate);
                self.schedule(now, delay, Timer::Stopped(id.clone()));
            }
        }
        Ok(before)
    }

    /// StartInstances: all or none. Returns each instance's state before.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `IncorrectInstanceState` for one that is not stopped.
    pub fn start(
        &mut self,
        ids: &[InstanceId],
        now: Timestamp,
    ) -> Result<Vec<(InstanceId, InstanceState)>, Ec2Error> {
        let before = self.states_of(ids, |instance| match instance.state {
            InstanceState::Pending | InstanceState::Running | InstanceState::Stopped => Ok(()),
            InstanceState::ShuttingDown | InstanceState::Stopping | InstanceState::Terminated => {
                Err(wrong_state(instance, "started"))
            }
        })?;
        for (id, state) in &before {
            if *state == InstanceState::Stopped {
                self.set_state(id, InstanceState::Pending);
                self.power_on(id);
                let delay = self.draw_delay(self.config.timings.launch);
                self.schedule(now, delay, Timer::Running(id.clone()));
            }
        }
        Ok(before)
    }

    /// RebootInstances: it leaves everything that the VPC knows of as it is.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `IncorrectInstanceState` for one that is stopped.
    pub fn reboot(&self, ids: &[InstanceId]) -> Result<(), Ec2Error> {
        let rebootable = |instance: &Instance| match instance.state {
            InstanceState::Stopped | InstanceState::Stopping => {
                Err(wrong_state(instance, "rebooted"))
            }
            // "Requests to reboot terminated instances are ignored."
            InstanceState::Pending
            | InstanceState::Running
            | InstanceState::ShuttingDown
            | InstanceState::Terminated => Ok(()),
        };
        self.states_of(ids, rebootable).map(drop)
    }

    /// Whether an interface's instance, if it has one, has power.
    pub(crate) fn has_power(&self, eni: &Eni) -> bool {
        let instance = eni.instance().and_then(|id| self.instances.get(id));
        instance.is_none_or(|instance| instance.powered)
    }

    pub(crate) fn finish_stop(&mut self, id: &InstanceId) {
        if self
            .instance(id)
            .is_none_or(|each| each.state != InstanceState::Stopping)
        {
            return;
        }
        let attached = self.attached_to(id);
        for (eni, _) in attached.iter().rev() {
            self.retire_branches(eni);
            let (eni, instance) = (eni.clone(), id.clone());
            self.changes.push(Change::EniDetached { eni, instance });
        }
        self.set_state(id, InstanceState::Stopped);
        self.set_power(id, false);
        self.changes.push(Change::InstanceStopped(id.clone()));
        for (eni, _) in attached {
            self.take_back_public_address(&eni);
            self.note_routes_to(&RouteTarget::Eni(eni));
        }
    }

    fn power_on(&mut self, id: &InstanceId) {
        self.set_power(id, true);
        self.changes.push(Change::InstanceStarted(id.clone()));
        for (eni, device_index) in self.attached_to(id) {
            self.changes.push(Change::EniAttached {
                eni: eni.clone(),
                instance: id.clone(),
                device_index,
            });
            self.announce_branches(&eni);
            self.note_routes_to(&RouteTarget::Eni(eni));
        }
    }

    /// The interfaces whose device is in the instance while it has power, with device indexes.
    fn attached_to(&self, id: &InstanceId) -> Vec<(EniId, u32)> {
        let there = |eni: &&Eni| {
            let status = eni.attachment.as_ref().map(|held| held.status);
            matches!(
                status,
                Some(AttachmentStatus::Attached | AttachmentStatus::Detaching)
            )
        };
        let enis = self.enis_of(id).into_iter().filter(there);
        enis.filter_map(|eni| Some((eni.id.clone(), eni.attachment.as_ref()?.device_index)))
            .collect()
    }

    fn set_state(&mut self, id: &InstanceId, state: InstanceState) {
        if let Some(mut instance) = self.instances.get_mut(id) {
            instance.state = state;
        }
    }

    fn set_power(&mut self, id: &InstanceId, on: bool) {
        if let Some(mut instance) = self.instances.get_mut(id) {
            instance.powered = on;
        }
    }

    /// The state of each instance, if `check` passes all.
    pub(super) fn states_of(
        &self,
        ids: &[InstanceId],
        check: impl Fn(&Instance) -> Result<(), Ec2Error>,
    ) -> Result<Vec<(InstanceId, InstanceState)>, Ec2Error> {
        let mut states = Vec::new();
        for id in ids {
            let instance = self.require_instance(id)?;
            check(instance)?;
            states.push((id.clone(), instance.state));
        }
        Ok(states)
    }
}

fn wrong_state(instance: &Instance, what: &str) -> Ec2Error {
    let text = format!(
        "The instance '{}' is not in a state from which it can be {what}.",
        instance.id
    );
    Ec2Error::new(ErrorCode::IncorrectInstanceState, text)
}

pub(super) fn may_not(instance: &Instance, what: &str, attribute: &str) -> Ec2Error {
    let text = format!(
        "The instance '{}' may not be {what}. Modify its '{attribute}' instance attribute and try \
         again.",
        instance.id
    );
    Ec2Error::new(ErrorCode::OperationNotPermitted, text)
}
