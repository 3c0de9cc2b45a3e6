//! Terminating instances.

use underlay_types::{InstanceId, Timestamp};

use super::{lifecycle::Timer, power::may_not};
use crate::{AttachmentStatus, Change, Ec2Error, InstanceState, Model};

impl Model {
    /// TerminateInstances: all or none. Returns each instance's state before.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`, naming the first that is unknown; `OperationNotPermitted` for
    /// one that may not be terminated.
    pub fn terminate(
        &mut self,
        ids: &[InstanceId],
        now: Timestamp,
    ) -> Result<Vec<(InstanceId, InstanceState)>, Ec2Error> {
        let before = self.states_of(ids, |instance| {
            let over = instance.state == InstanceState::Terminated;
            if instance.attributes.disable_api_termination && !over {
                return Err(may_not(instance, "terminated", "disableApiTermination"));
            }
            Ok(())
        })?;
        for (id, _) in &before {
            let Some(mut instance) = self.instances.get_mut(id) else {
                continue;
            };
            if matches!(
                instance.state,
                InstanceState::Pending
                    | InstanceState::Running
                    | InstanceState::Stopping
                    | InstanceState::Stopped
            ) {
                let was = instance.clone();
                instance.state = InstanceState::ShuttingDown;
                drop(instance);
                self.note_instance(id, Some(was));
                let delay = self.draw_delay(self.config.timings.terminate);
                self.schedule(now, delay, Timer::Terminated(id.clone()));
            }
        }
        Ok(before)
    }

    /// Takes an instance's interfaces away, deletes those that go with it, and ends it.
    pub(crate) fn finish_termination(&mut self, id: &InstanceId) {
        let mut leaving = Vec::new();
        for eni in self.enis_of(id).into_iter().rev() {
            if let Some(held) = &eni.attachment {
                let announce = held.status != AttachmentStatus::Attaching;
                leaving.push((
                    eni.id.clone(),
                    held.id.clone(),
                    announce,
                    held.delete_on_termination,
                ));
            }
        }
        for (eni, attachment, announce, _) in &leaving {
            self.take_back_public_address(eni);
            self.finish_detach(eni, attachment, *announce);
        }
        for (eni, _, _, delete) in &leaving {
            if *delete {
                self.remove_eni(eni);
            }
        }
        self.attached.remove(id);
        let was = self.instances.get(id).cloned();
        self.note_instance(id, was);
        if let Some(mut instance) = self.instances.get_mut(id) {
            instance.state = InstanceState::Terminated;
            // Nobody can read it any more, and it may be large.
            instance.user_data = None;
        }
        self.changes.push(Change::InstanceTerminated(id.clone()));
    }
}
