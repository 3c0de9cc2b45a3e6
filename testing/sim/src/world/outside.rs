//! Accidents that the seed plans, and somebody else who changes EC2.

use std::{net::Ipv4Addr, time::Duration};

use underlay_types::EniId;
use underlay_vpc_model::{Eni, EniRequest, V4Request};

use super::{Event, World};

impl World {
    /// Kills, stops and clocks that are set, at moments of the busy time.
    pub(super) fn plan_accidents(&mut self) {
        self.books.faulty = !self.setting.calm;
        if self.setting.calm {
            return;
        }
        let busy = u64::try_from(self.setting.busy.as_millis()).unwrap_or(u64::MAX);
        for _ in 0..self.setting.changes {
            let at = self.millis(0..busy);
            self.after(at, Event::Outside);
        }
        if self.chance(self.setting.crashes / 2.0) {
            let at = self.millis(0..busy);
            self.after(at, Event::Kill);
        }
        if self.chance(0.15) {
            let (at, time) = (self.millis(0..busy), self.millis(500..120_000));
            self.after(at, Event::Freeze(time));
        }
        if self.chance(0.15) {
            let (at, by) = (self.millis(0..busy), self.rng.i64(-7_200..7_200));
            self.after(at, Event::SetWallClock(by));
        }
        if self.chance(0.1) {
            let at = self.millis(0..busy);
            let pod = self.rng.usize(..self.pods.len());
            self.after(at, Event::PodDies(pod));
        }
    }

    pub(super) fn change_outside(&mut self) {
        if !self.books.faulty {
            return;
        }
        self.cloud.model.tick(self.now);
        match self.rng.u8(..10) {
            0 | 1 => self.unassign_outside(),
            6 | 7 => self.move_outside(),
            2 => self.detach_outside(),
            3 => self.delete_outside(),
            4 => self.change_groups_outside(),
            5 => self.attach_foreign(),
            _ => self.take_addresses(),
        }
    }

    /// An ENI of ours, the primary one too if `all`.
    fn any_of_ours(&mut self, all: bool) -> Option<Eni> {
        let primary = &self.cloud.primary;
        let ours = self.cloud.ours().filter(|eni| all || eni.id != *primary);
        let ours: Vec<Eni> = ours.cloned().collect();
        let which = self.rng.usize(..ours.len().max(1));
        ours.into_iter().nth(which)
    }

    fn changed(&mut self, what: &'static str, eni: &EniId) {
        self.tally.add_fault(what, 1);
        self.books.disturbed.insert(eni.clone(), self.now);
        self.note(|_| format!("outside: {what}: {eni}"));
    }

    fn unassign_outside(&mut self) {
        let Some(eni) = self.any_of_ours(true) else {
            return;
        };
        let addresses: Vec<_> = eni
            .addresses
            .secondary
            .first()
            .copied()
            .into_iter()
            .collect();
        let prefixes: Vec<_> = eni.addresses.prefixes.last().copied().into_iter().collect();
        let now = self.now;
        let ipv6: Vec<_> = eni
            .addresses
            .v6_prefixes
            .first()
            .copied()
            .into_iter()
            .collect();
        if !ipv6.is_empty() && self.rng.bool() {
            let taken = self.cloud.model.unassign_v6(&eni.id, &[], &ipv6, now);
            if taken.is_ok() {
                self.changed("IPv6 prefix removed outside", &eni.id);
            }
            return;
        }
        if self
            .cloud
            .model
            .unassign(&eni.id, &addresses, &prefixes, now)
            .is_ok()
        {
            self.changed("address removed outside", &eni.id);
        }
    }

    /// An address of one ENI of ours goes to another one, a pod's rather than a free one.
    fn move_outside(&mut self) {
        let (Some(from), Some(to)) = (self.any_of_ours(true), self.any_of_ours(true)) else {
            return;
        };
        let held = from.addresses.secondary.clone();
        let used = |address: &Ipv4Addr| self.kernel.holds((*address).into());
        let of_pods: Vec<_> = held.iter().copied().filter(used).collect();
        let choice = if of_pods.is_empty() { held } else { of_pods };
        if from.id == to.id || choice.is_empty() {
            return;
        }
        let moved = choice[self.rng.usize(..choice.len())];
        let request = V4Request::Addresses(vec![moved]);
        let (model, now) = (&mut self.cloud.model, self.now);
        if model.assign(&to.id, &request, true, now).is_ok() {
            self.changed("address moved outside", &from.id);
            self.changed("address moved outside", &to.id);
        }
    }

    fn detach_outside(&mut self) {
        let attachment = self
            .any_of_ours(false)
            .and_then(|eni| Some((eni.attachment?.id, eni.id)));
        if let Some((attachment, eni)) = attachment
            && self.cloud.model.detach(&attachment, self.now).is_ok()
        {
            self.changed("ENI detached outside", &eni);
            if self.chance(0.3) {
                let pause = self.millis(500..20_000);
                self.after(pause, Event::AttachOutside(eni));
            }
        }
    }

    /// Somebody attaches again what they detached, wherever.
    pub(super) fn attach_outside(&mut self, eni: &EniId) {
        self.cloud.model.tick(self.now);
        let (instance, now) = (self.cloud.instance.clone(), self.now);
        let index = u32::from(self.rng.u8(1..4));
        if self
            .cloud
            .model
            .attach(eni, &instance, index, 0, now)
            .is_ok()
        {
            self.changed("ENI attached outside", eni);
        }
    }

    fn delete_outside(&mut self) {
        if let Some(eni) = self.any_of_ours(false)
            && self.cloud.model.delete_eni(&eni.id).is_ok()
        {
            self.changed("ENI deleted outside", &eni.id);
        }
    }

    fn change_groups_outside(&mut self) {
        let Some(eni) = self.any_of_ours(false) else {
            return;
        };
        let which = self.rng.usize(..self.cloud.groups.len());
        let group = self.cloud.groups[which].clone();
        if self.cloud.model.set_eni_groups(&eni.id, &[group]).is_ok() {
            self.changed("groups changed outside", &eni.id);
        }
    }

    /// An ENI that is not ours takes a slot.
    fn attach_foreign(&mut self) {
        let request = EniRequest::new(self.cloud.subnets[0].clone());
        let Ok(eni) = self.cloud.model.create_eni(&request) else {
            return;
        };
        let (instance, now) = (self.cloud.instance.clone(), self.now);
        let index = u32::from(self.rng.u8(1..3));
        if self
            .cloud
            .model
            .attach(&eni, &instance, index, 0, now)
            .is_ok()
        {
            self.changed("foreign ENI attached", &eni);
        }
    }

    /// Others of the subnet take most of what is free, and give it back later.
    fn take_addresses(&mut self) {
        let free = self.cloud.model.available_addresses(&self.cloud.subnets[0]);
        let some = self.rng.u32(1..=free.max(1));
        let request = EniRequest {
            v4: V4Request::Count(some),
            ..EniRequest::new(self.cloud.subnets[0].clone())
        };
        if let Ok(eni) = self.cloud.model.create_eni(&request) {
            self.tally.add_fault("addresses taken by others", 1);
            self.note(|_| format!("outside: {some} of {free} free addresses are taken"));
            self.books.others.push(eni);
        }
    }

    /// Others give back what they took; what was changed stays as it is.
    pub(super) fn end_outside(&mut self) {
        self.books.faulty = false;
        self.cloud.model.tick(self.now);
        for eni in std::mem::take(&mut self.books.others) {
            // Nothing can be attached to it.
            drop(self.cloud.model.delete_eni(&eni));
        }
        for (what, times) in self.cloud.heal(self.now) {
            self.tally.add_fault(&what, times);
        }
        if let Some(agent) = &mut self.agent {
            agent.spare();
        }
    }

    /// Time in which whatever struck last is over: answers are there, attachments done.
    pub(super) const SETTLES: Duration = Duration::from_secs(240);
}
