//! Attaching interfaces to instances, and detaching them.

use underlay_types::{AttachmentId, EniId, InstanceId, Timestamp};

use super::{
    enis::{in_use, no_attachment},
    lifecycle::Timer,
    shown::EniEvent,
};
use crate::{
    Attachment, AttachmentHolder, AttachmentStatus, Change, Ec2Error, Eni, ErrorCode, Hazard,
    InstanceState, InstanceType, InterfaceType, Model, RouteTarget,
};

/// The highest device index a caller may name.
const MAX_DEVICE_INDEX: u32 = 255;

impl Model {
    /// AttachNetworkInterface.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidInstanceID.NotFound`;
    /// `IncorrectInstanceState`; `InvalidNetworkInterface.InUse`; `InvalidParameterCombination`
    /// when they are in different zones; `InvalidParameterValue` for a taken device index or an
    /// unknown network card; `AttachmentLimitExceeded`; `PrivateIpAddressLimitExceeded`.
    pub fn attach(
        &mut self,
        id: &EniId,
        instance: &InstanceId,
        device_index: u32,
        network_card: u32,
        now: Timestamp,
    ) -> Result<AttachmentId, Ec2Error> {
        let eni = self.require_eni(id)?;
        self.check_attach(eni, instance, device_index, network_card)?;
        let attachment = AttachmentId::from_serial(self.rng.next());
        let delay = self.draw_delay(self.config.timings.attach).max(self.stuck(
            Hazard::StuckAttach,
            id,
            instance,
        ));
        self.put_attachment(
            id,
            Attachment {
                id: attachment.clone(),
                holder: AttachmentHolder::Instance(instance.clone()),
                device_index,
                network_card,
                status: AttachmentStatus::Attaching,
                attach_time: now,
                delete_on_termination: false,
            },
        );
        self.schedule(now, delay, Timer::Attached(id.clone(), attachment.clone()));
        Ok(attachment)
    }

    pub(crate) fn put_attachment(&mut self, id: &EniId, attachment: Attachment) {
        if let Some(instance) = attachment.instance() {
            self.attached
                .entry(instance.clone())
                .or_default()
                .insert(id.clone());
        }
        let was = self.enis.get(id).cloned();
        if let Some(mut eni) = self.enis.get_mut(id) {
            eni.attachment = Some(attachment);
        }
        self.note_eni(id, was, EniEvent::Other);
    }

    fn check_attach(
        &self,
        eni: &Eni,
        instance: &InstanceId,
        device_index: u32,
        network_card: u32,
    ) -> Result<(), Ec2Error> {
        let target = self.require_instance(instance)?;
        if !matches!(
            target.state,
            InstanceState::Pending | InstanceState::Running | InstanceState::Stopped
        ) {
            let text = format!("The instance '{instance}' is not in the 'running' state.");
            return Err(Ec2Error::new(ErrorCode::IncorrectInstanceState, text));
        }
        if eni.attachment.is_some() {
            return Err(in_use(&eni.id));
        }
        if eni.zone != target.zone {
            let text = "You may not attach a network interface to an instance if they are not in \
                        the same availability zone";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        let places: Vec<_> = self
            .enis_of(instance)
            .into_iter()
            .filter_map(|each| each.attachment.as_ref())
            .map(|each| (each.network_card, each.device_index))
            .collect();
        if let Some(kind) = self.type_of(instance) {
            if eni.interface_type == InterfaceType::Trunk {
                self.check_branches(kind, self.branches_of(&eni.id).count())?;
            }
            check_place(kind, instance, &places, (network_card, device_index))?;
        }
        let held = &eni.addresses;
        let v6_prefixes = !held.v6_prefixes.is_empty();
        self.check_v6_slots_of(Some(instance), held.v6_slots(), v6_prefixes)?;
        let prefixes = !held.prefixes.is_empty();
        self.check_slots_on(instance, eni.addresses.slots(), prefixes)
    }

    /// DetachNetworkInterface.
    ///
    /// # Errors
    /// `InvalidAttachmentID.NotFound`; `OperationNotPermitted` for the primary interface or an
    /// attachment to something that is not an instance.
    pub fn detach(&mut self, attachment: &AttachmentId, now: Timestamp) -> Result<(), Ec2Error> {
        let eni = self.enis.by_attachment(attachment);
        let eni = eni.ok_or_else(|| no_attachment(attachment))?;
        let Some(held) = &eni.attachment else {
            return Err(no_attachment(attachment));
        };
        let refuse = |text: &str| Err(Ec2Error::new(ErrorCode::OperationNotPermitted, text));
        if held.instance().is_none() {
            return refuse("You are not allowed to manage 'ela-attach' attachments.");
        }
        if (held.network_card, held.device_index) == (0, 0) {
            return refuse(
                "The network interface at device index 0 and networkCard index 0 cannot be detached.",
            );
        }
        if held.status == AttachmentStatus::Detaching {
            return Ok(());
        }
        let announce = held.status == AttachmentStatus::Attached;
        let id = eni.id.clone();
        let (was, instance) = (eni.clone(), held.instance().cloned());
        if let Some(held) = self.enis.attachment_mut(&id) {
            held.status = AttachmentStatus::Detaching;
        }
        // Metadata shows it no longer from here on.
        self.note_eni(&id, Some(was), EniEvent::Gone);
        let stuck = instance.map(|instance| self.stuck(Hazard::StuckDetach, &id, &instance));
        let delay = self
            .draw_delay(self.config.timings.detach)
            .max(stuck.unwrap_or_default());
        let timer = Timer::Detached {
            eni: id,
            attachment: attachment.clone(),
            announce,
        };
        self.schedule(now, delay, timer);
        Ok(())
    }

    pub(crate) fn finish_attach(&mut self, id: &EniId, attachment: &AttachmentId) {
        let was = self.enis.get(id).cloned();
        let Some(held) = self.enis.attachment_mut(id) else {
            return;
        };
        if &held.id != attachment || held.status != AttachmentStatus::Attaching {
            return;
        }
        held.status = AttachmentStatus::Attached;
        if let AttachmentHolder::Instance(instance) = &held.holder
            && self
                .instances
                .get(instance)
                .is_some_and(|each| each.powered)
        {
            let (instance, device_index) = (instance.clone(), held.device_index);
            self.changes.push(Change::EniAttached {
                eni: id.clone(),
                instance,
                device_index,
            });
            self.announce_branches(id);
        }
        self.note_eni(id, was, EniEvent::Attached);
        self.note_routes_to(&RouteTarget::Eni(id.clone()));
    }

    pub(crate) fn finish_detach(&mut self, id: &EniId, attachment: &AttachmentId, announce: bool) {
        let announce = announce && self.eni(id).is_some_and(|eni| self.has_power(eni));
        if announce {
            self.retire_branches(id);
        }
        let Some(mut eni) = self.enis.get_mut(id) else {
            return;
        };
        if eni
            .attachment
            .as_ref()
            .is_none_or(|held| &held.id != attachment)
        {
            return;
        }
        let was = eni.clone();
        let held = eni.attachment.take();
        // "Until the instance is terminated or the network interface is detached."
        eni.addresses.primary_v6 = None;
        drop(eni);
        self.note_eni(id, Some(was), EniEvent::Gone);
        if let Some(instance) = held.as_ref().and_then(Attachment::instance) {
            if let Some(enis) = self.attached.get_mut(instance) {
                enis.remove(id);
            }
            if announce {
                let (eni, instance) = (id.clone(), instance.clone());
                self.changes.push(Change::EniDetached { eni, instance });
            }
        }
        self.note_routes_to(&RouteTarget::Eni(id.clone()));
    }
}

/// Whether an instance with interfaces at `taken` (card, index) takes another at `wanted`.
pub(crate) fn check_place(
    kind: &InstanceType,
    instance: &InstanceId,
    taken: &[(u32, u32)],
    wanted: (u32, u32),
) -> Result<(), Ec2Error> {
    let (card, index) = wanted;
    let invalid = |text: String| Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
    let Some(on_card) = usize::try_from(card)
        .ok()
        .and_then(|card| kind.cards.get(card))
    else {
        return invalid(format!(
            "Network card index {card} does not exist on {}.",
            kind.name
        ));
    };
    if index > MAX_DEVICE_INDEX {
        return invalid(format!(
            "Device index {index} exceeds the maximum of {MAX_DEVICE_INDEX}."
        ));
    }
    if taken.contains(&wanted) {
        return invalid(format!(
            "Instance '{instance}' already has an interface attached at device index '{index}'."
        ));
    }
    let exceeds = |count: usize, limit: u32| u32::try_from(count).is_ok_and(|count| count >= limit);
    let same_card = taken.iter().filter(|(each, _)| *each == card).count();
    if exceeds(taken.len(), kind.max_enis) || exceeds(same_card, *on_card) {
        let count = taken.len() + 1;
        let text = format!(
            "Interface count {count} exceeds the limit for {}",
            kind.name
        );
        return Err(Ec2Error::new(ErrorCode::AttachmentLimitExceeded, text));
    }
    Ok(())
}
