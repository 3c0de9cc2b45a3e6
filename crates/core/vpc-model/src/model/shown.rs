//! What calls and metadata see: the state as it is, or as it was a while ago.
//!
//! Amazon EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API". How late a change is
//! seen is drawn when it happens, from the configured times and the faults that are on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use underlay_types::{EniId, InstanceId, Timestamp};

use super::{history::History, lifecycle::Timer, listed::entries_after};
use crate::{
    Ec2Error, Eni, ErrorCode, Fault, FaultError, FaultRequest, FaultSet, Hazard, Instance, Model,
};

/// What is still seen of the past.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// Interfaces as Describe shows them,
    enis: BTreeMap<EniId, History<Eni>>,
    /// and as metadata does.
    metadata: BTreeMap<EniId, History<Eni>>,
    instances: BTreeMap<InstanceId, History<Instance>>,
    /// Ids made since the last tick: their own call knows them.
    fresh: BTreeSet<String>,
    /// Ids that other calls do not know yet, and until when.
    unknown: BTreeMap<String, Timestamp>,
}

/// What happened to an interface, as far as hazards tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EniEvent {
    /// Its device is in an instance.
    Attached,
    /// Its device is gone from an instance, or it is itself.
    Gone,
    /// It has more addresses.
    Given,
    /// It has fewer addresses.
    Taken,
    /// Anything else.
    Other,
}

// === What is seen ===

impl Model {
    /// The ids after one of interfaces that are seen as they were a while ago.
    pub(super) fn past_enis<'a>(
        &'a self,
        after: Option<&EniId>,
    ) -> Box<dyn Iterator<Item = &'a EniId> + 'a> {
        Box::new(entries_after(&self.past.enis, after).map(|(id, _)| id))
    }

    /// The ids after one of instances that are seen as they were a while ago.
    pub(super) fn past_instances<'a>(
        &'a self,
        after: Option<&InstanceId>,
    ) -> Box<dyn Iterator<Item = &'a InstanceId> + 'a> {
        Box::new(entries_after(&self.past.instances, after).map(|(id, _)| id))
    }

    /// The ids of interfaces that anybody sees, now or still.
    pub fn known_enis(&self) -> impl Iterator<Item = &EniId> {
        let past = self.past.enis.keys().chain(self.past.metadata.keys());
        let all: BTreeSet<_> = self.enis.keys().chain(past).collect();
        all.into_iter()
    }

    /// An interface as Describe shows it.
    #[must_use]
    pub fn described_eni(&self, id: &EniId) -> Option<&Eni> {
        see(self.past.enis.get(id), self.enis.get(id), self.now)
    }

    /// An instance as Describe shows it.
    #[must_use]
    pub fn described_instance(&self, id: &InstanceId) -> Option<&Instance> {
        let history = self.past.instances.get(id);
        see(history, self.instances.get(id), self.now)
    }

    /// An interface as metadata shows it.
    #[must_use]
    pub fn metadata_eni(&self, id: &EniId) -> Option<&Eni> {
        see(self.past.metadata.get(id), self.enis.get(id), self.now)
    }

    /// The attached interfaces of an instance as its metadata shows them, the primary one first.
    #[must_use]
    pub fn metadata_enis_of(&self, instance: &InstanceId) -> Vec<&Eni> {
        let present = self.attached.get(instance).into_iter().flatten();
        let ids: BTreeSet<_> = present.chain(self.past.metadata.keys()).collect();
        let mut enis: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.metadata_eni(id))
            .filter(|eni| eni.is_attached() && eni.instance() == Some(instance))
            .collect();
        enis.sort_by_key(|eni| {
            let place = eni.attachment.as_ref();
            place.map(|each| (each.network_card, each.device_index))
        });
        enis
    }

    /// The interfaces of an instance as Describe shows them, the primary one first.
    #[must_use]
    pub fn described_enis_of(&self, instance: &InstanceId) -> Vec<&Eni> {
        if self.past.enis.is_empty() {
            return self.enis_of(instance);
        }
        let present = self.attached.get(instance).into_iter().flatten();
        let ids: BTreeSet<_> = present.chain(self.past.enis.keys()).collect();
        let mut enis: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.described_eni(id))
            .filter(|eni| eni.instance() == Some(instance))
            .collect();
        enis.sort_by_key(|eni| {
            let place = eni.attachment.as_ref();
            place.map(|each| (each.network_card, each.device_index))
        });
        enis
    }

    /// Whether anything is seen as it was a while ago.
    #[cfg(test)]
    pub(super) fn sees_any_past(&self) -> bool {
        !(self.past.enis.is_empty() && self.past.instances.is_empty())
    }

    /// Whether calls know an object by its id already.
    #[must_use]
    pub fn knows(&self, id: impl FnOnce() -> String) -> bool {
        self.past.unknown.is_empty() || !self.is_unknown_yet(&id())
    }

    /// Whether calls do not know a new object's id yet.
    #[must_use]
    pub fn is_unknown_yet(&self, id: &str) -> bool {
        let until = self.past.unknown.get(id);
        until.is_some_and(|until| *until > self.now) && !self.past.fresh.contains(id)
    }

    /// The interface, or EC2's answer that Describe knows none.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`.
    pub fn require_described_eni(&self, id: &EniId) -> Result<&Eni, Ec2Error> {
        let known = self.described_eni(id);
        known
            .filter(|_| !self.is_unknown_yet(id.as_str()))
            .ok_or_else(|| {
                let text = format!("The networkInterface ID '{id}' does not exist");
                Ec2Error::new(ErrorCode::InvalidNetworkInterfaceIdNotFound, text)
            })
    }

    /// The instance, or EC2's answer that Describe knows none.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`.
    pub fn require_described_instance(&self, id: &InstanceId) -> Result<&Instance, Ec2Error> {
        let known = self.described_instance(id);
        known
            .filter(|_| !self.is_unknown_yet(id.as_str()))
            .ok_or_else(|| {
                let text = format!("The instance ID '{id}' does not exist");
                Ec2Error::new(ErrorCode::InvalidInstanceIdNotFound, text)
            })
    }
}

// === What happens ===

impl Model {
    /// The faults of objects that are on.
    #[must_use]
    pub const fn faults(&self) -> &FaultSet {
        &self.faults
    }

    /// Switches a fault of objects on.
    ///
    /// # Errors
    /// When the request makes no fault.
    pub fn switch_fault_on(
        &mut self,
        id: u64,
        request: FaultRequest,
        now: Timestamp,
    ) -> Result<Fault, FaultError> {
        self.faults.switch_on(id, request, now)
    }

    /// Switches off those that `which` names. Returns how many.
    pub fn switch_faults_off(&mut self, which: impl Fn(&Fault) -> bool) -> usize {
        self.faults.switch_off(which)
    }

    /// Notes an interface as it was before `event`, for those who learn of it late.
    pub(crate) fn note_eni(&mut self, id: &EniId, was: Option<Eni>, event: EniEvent) {
        if !self.things_lag() {
            return;
        }
        let about = was.as_ref().or_else(|| self.enis.get(id));
        let instance = about.and_then(Eni::instance).cloned();
        let names = [Some(id.to_string()), instance.map(|id| id.to_string())];
        let names = |name: &str| names.iter().flatten().any(|each| each == name);
        let describe = self.describe_lag(&names);
        let metadata = self.metadata_lag(event, &names);
        // Other than Describe, metadata shows attached interfaces only.
        let until = self.now + describe;
        self.keep_eni(Audience::Describe, id, was.clone(), until);
        self.keep_eni(Audience::Metadata, id, was, self.now + metadata);
        if event == EniEvent::Attached {
            self.keep_late_addresses(id, &names);
        }
    }

    /// Notes an instance as it was before a change.
    pub(crate) fn note_instance(&mut self, id: &InstanceId, was: Option<Instance>) {
        if !self.things_lag() {
            return;
        }
        let lag = self.describe_lag(&|name: &str| name == id.as_str());
        if lag.is_zero() {
            return;
        }
        let history = self.past.instances.entry(id.clone()).or_default();
        history.push(was, self.now + lag);
        self.schedule(self.now, lag, Timer::Seen);
    }

    /// Notes that an object was made: other calls may not know it at first.
    pub(crate) fn note_new(&mut self, id: &str) {
        if !self.things_lag() {
            return;
        }
        let mut lag = Duration::ZERO;
        let usual = &self.config.timings;
        if usual.visible_late.strikes(&mut self.chance) {
            lag = usual.visible.draw(&mut self.chance);
        }
        let fault = self.fault_delay(Hazard::NotFound, &|name: &str| name == id);
        let lag = lag.max(fault);
        if !lag.is_zero() {
            self.past.fresh.insert(id.to_owned());
            self.past.unknown.insert(id.to_owned(), self.now + lag);
            self.schedule(self.now, lag, Timer::Seen);
        }
    }

    /// Has metadata show an interface as it is: an instance starts with those of its launch.
    pub(crate) fn show_in_metadata(&mut self, id: &EniId) {
        self.past.metadata.remove(id);
    }

    /// How much longer than usual a transition takes that a fault strikes.
    pub(crate) fn stuck(&mut self, hazard: Hazard, eni: &EniId, instance: &InstanceId) -> Duration {
        let names = |name: &str| name == eni.as_str() || name == instance.as_str();
        self.fault_delay(hazard, &names)
    }

    /// A new call begins: it knows what those before it made only if that is visible by now.
    pub(crate) fn begin_call(&mut self) {
        self.past.fresh.clear();
    }

    /// Forgets what nobody sees any more.
    pub(crate) fn forget_past(&mut self) {
        let now = self.now;
        self.past.enis.retain(|_, each| !each.forget(now));
        self.past.metadata.retain(|_, each| !each.forget(now));
        self.past.instances.retain(|_, each| !each.forget(now));
        self.past.unknown.retain(|_, until| *until > now);
    }

    /// Whether anything is seen late at all: under `instant` without faults, nothing is.
    fn things_lag(&self) -> bool {
        let timings = &self.config.timings;
        let usual = [timings.metadata, timings.describe, timings.visible];
        !self.faults.is_empty() || usual.iter().any(|each| !each.longest().is_zero())
    }

    fn describe_lag(&mut self, names: &dyn Fn(&str) -> bool) -> Duration {
        let timings = &self.config.timings;
        let mut usual = Duration::ZERO;
        if timings.describe_late.strikes(&mut self.chance) {
            usual = timings.describe.draw(&mut self.chance);
        }
        usual.max(self.fault_delay(Hazard::DescribeLag, names))
    }

    fn metadata_lag(&mut self, event: EniEvent, names: &dyn Fn(&str) -> bool) -> Duration {
        let usual = self.config.timings.metadata.draw(&mut self.chance);
        let hazard = match event {
            EniEvent::Attached => Hazard::MetadataMissesEni,
            EniEvent::Gone => Hazard::MetadataKeepsEni,
            EniEvent::Given => Hazard::MetadataMissesAddress,
            EniEvent::Taken => Hazard::MetadataKeepsAddress,
            EniEvent::Other => return usual,
        };
        usual.max(self.fault_delay(hazard, names))
    }

    fn fault_delay(&mut self, hazard: Hazard, names: &dyn Fn(&str) -> bool) -> Duration {
        let fault = self
            .faults
            .draw(hazard, "", names, self.now, &mut self.chance);
        fault.map_or(Duration::ZERO, |fault| {
            fault.request.delay().draw(&mut self.chance)
        })
    }

    /// For some time after it was attached, an interface is seen with its primary address only.
    fn keep_late_addresses(&mut self, id: &EniId, names: &dyn Fn(&str) -> bool) {
        let Some(mut bare) = self.enis.get(id).cloned() else {
            return;
        };
        bare.addresses.secondary.clear();
        bare.addresses.prefixes.clear();
        if self
            .enis
            .get(id)
            .is_some_and(|eni| eni.addresses == bare.addresses)
        {
            return;
        }
        let lag = self.fault_delay(Hazard::LateAddresses, names);
        if !lag.is_zero() {
            let until = self.now + lag;
            self.keep_eni(Audience::Describe, id, Some(bare.clone()), until);
            self.keep_eni(Audience::Metadata, id, Some(bare), until);
        }
    }

    fn keep_eni(&mut self, audience: Audience, id: &EniId, was: Option<Eni>, until: Timestamp) {
        if until <= self.now {
            return;
        }
        let histories = match audience {
            Audience::Describe => &mut self.past.enis,
            Audience::Metadata => &mut self.past.metadata,
        };
        histories.entry(id.clone()).or_default().push(was, until);
        self.schedule(self.now, until.saturating_since(self.now), Timer::Seen);
    }
}

/// Who sees an interface.
#[derive(Debug, Clone, Copy)]
enum Audience {
    Describe,
    Metadata,
}

fn see<'a, T>(
    history: Option<&'a History<T>>,
    present: Option<&'a T>,
    now: Timestamp,
) -> Option<&'a T> {
    history
        .and_then(|history| history.seen(now))
        .unwrap_or(present)
}
