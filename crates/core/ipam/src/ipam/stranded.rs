//! ENIs that pods have addresses of and that somebody else detached: they are attached again before
//! anything else is, into the last slot too.

use underlay_types::{Class, EniId};

use super::Ipam;
use crate::{
    Action, Ec2Failure,
    eni::{Eni, Stage},
};

impl Ipam {
    /// Attaches them, at the place where their pods have them if that is free.
    pub(super) fn attach_stranded(&mut self, out: &mut Vec<Action>) {
        self.watch_detaching(out);
        if self.is_throttled() {
            return;
        }
        let now = self.now;
        let mut without_slot = Vec::new();
        for id in self.ids(|eni| eni.is_stranded() && eni.may_act(now)) {
            let Some(eni) = self.enis.get(&id).filter(|eni| self.may_come_back(eni)) else {
                continue;
            };
            if self.has_slot_for(eni) {
                self.attach(id, out);
            } else if !is_refused(eni) {
                without_slot.push(id);
            }
        }
        self.make_room_for(&without_slot, out);
    }

    /// Somebody else detaches them at the moment: only another look tells when that is over.
    fn watch_detaching(&mut self, out: &mut Vec<Action>) {
        let now = self.now;
        let on_its_way = |eni: &Eni| eni.stage == Stage::Detaching && eni.leased() > 0;
        for id in self.ids(|eni| on_its_way(eni) && eni.may_act(now)) {
            if let Some(eni) = self.enis.get_mut(&id) {
                eni.backoff.failed(now, still_detaching());
                out.push(Action::Observe);
            }
        }
    }

    /// Whether EC2 can be asked to attach an ENI again, as far as is known.
    pub(crate) fn may_come_back(&self, eni: &Eni) -> bool {
        eni.is_stranded() && !eni.is_unmanaged() && self.fits(eni)
    }

    /// ENIs for which a slot is kept: those that EC2 may still attach.
    pub(super) fn coming_back(&self) -> impl Iterator<Item = &Eni> {
        let enis = self.enis.values();
        enis.filter(|eni| self.may_come_back(eni) && !is_refused(eni))
    }

    /// Whether there is a slot for an ENI whose pods need it: one that nothing takes, or will once
    /// created.
    fn has_slot_for(&self, eni: &Eni) -> bool {
        let kept = self.coming_back().count();
        let taken = self.slots_taken() - kept;
        let free = self.config.limits.max_enis() > taken;
        let on_card = eni.pool.card.is_none_or(|card| {
            let (taken, max) = self.slots_of_card(card);
            let kept = self.coming_back();
            let kept = kept.filter(|back| back.former_card() == Some(card));
            max > taken - kept.count()
        });
        free && on_card
    }

    /// Sends idle ENIs away, as many as these need slots.
    fn make_room_for(&mut self, stranded: &[EniId], out: &mut Vec<Action>) {
        let leaving = self.enis.values().filter(|eni| eni.leaves()).count();
        let missing = stranded.len().saturating_sub(leaving);
        let pools: Vec<_> = stranded
            .iter()
            .filter_map(|id| self.enis.get(id))
            .map(|eni| eni.pool.clone())
            .collect();
        let gives_room = |eni: &Eni| pools.iter().any(|pool| self.makes_room(eni, pool));
        let idle =
            self.ids(|eni| eni.may_leave() && eni.is_idle() && eni.is_settled() && gives_room(eni));
        for id in idle.into_iter().take(missing) {
            self.leave(&id, Stage::Detaching, out);
        }
    }
}

/// Whether EC2 attaches others in its stead, but not this one. What is not allowed is allowed for
/// none.
fn is_refused(eni: &Eni) -> bool {
    let last = eni.backoff.last().map(|failure| failure.class);
    matches!(last, Some(Class::Bug | Class::Invalid | Class::NotFound))
}

fn still_detaching() -> Ec2Failure {
    Ec2Failure {
        code: "Detaching".to_owned(),
        message: "EC2 shows it as detaching".to_owned(),
        class: Class::Retry,
    }
}
