//! Whether ENIs are attached as thought and in use by the node, and what becomes of those that
//! are not.

use std::collections::BTreeSet;

use underlay_types::{Class, EniId, PoolKey, Timestamp};

use super::Ipam;
use crate::{
    Action, Attachment, Ec2Failure, Notice, ObservedEni, Place,
    eni::{Eni, Stage},
};

/// Consecutive observations without an ENI, or of an ENI in use as unattached, before they are
/// believed: EC2's reads may be stale.
pub(crate) const OBSERVATIONS_UNTIL_BELIEVED: u8 = 2;

impl Ipam {
    pub(super) fn adopt(
        &mut self,
        seen: &ObservedEni,
        pool: &PoolKey,
        primary: bool,
        out: &mut Vec<Action>,
    ) {
        let (now, parting) = (self.now, self.parting.remove(&seen.id));
        let eni = self.lost(&seen.id, pool);
        eni.pool = pool.clone();
        eni.primary = primary;
        let (stage, place) = stage_of(seen.attachment);
        eni.leave_place();
        (eni.stage, eni.place) = (stage, place);
        let leases = eni.leased();
        let parting = parting.is_some_and(|until| until > now);
        if eni.stage == Stage::Preparing && leases == 0 && parting {
            // Asked for again, that comes to an end that this run hears of.
            eni.stage = Stage::Detaching;
        }
        let said = eni.missed >= OBSERVATIONS_UNTIL_BELIEVED;
        if eni.stage != Stage::Preparing && leases > 0 && !said {
            out.push(Action::Report(Notice::EniMissing {
                eni: seen.id.clone(),
                leases,
            }));
        }
        eni.missed = 0;
    }

    pub(super) fn audit_stage(&mut self, seen: &ObservedEni, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get_mut(&seen.id) else {
            return;
        };
        let (stage, place) = stage_of(seen.attachment);
        if eni.is_used() && stage != Stage::Preparing {
            self.doubt(&seen.id, stage, out);
            return;
        }
        if eni.is_used() && place != eni.place {
            self.doubt_place(&seen.id, place, out);
            return;
        }
        eni.missed = 0;
        let contradicts = match eni.stage {
            Stage::Detached => stage != Stage::Detached,
            // With pods, somebody else detaches it, and may have failed.
            Stage::Detaching => {
                let kept = eni.leased() > 0 || eni.is_unmanaged();
                stage == Stage::Detached || stage == Stage::Preparing && kept
            }
            Stage::Preparing
            | Stage::Active
            | Stage::Attaching
            | Stage::Deleting
            | Stage::Dropping
            | Stage::Lost => false,
        };
        if contradicts {
            eni.stage = stage;
            eni.leave_place();
            eni.place = place;
            eni.changed = self.now;
            // What failed before was another matter.
            eni.backoff.succeeded();
        }
    }

    /// EC2 reports an ENI in use as attached at another place: somebody detached it and attached it
    /// there. Once that is believed, the node uses it anew.
    fn doubt_place(&mut self, id: &EniId, place: Option<Place>, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get_mut(id) else {
            return;
        };
        eni.missed = eni.missed.saturating_add(1);
        if eni.missed < OBSERVATIONS_UNTIL_BELIEVED {
            out.push(Action::Observe);
            return;
        }
        eni.leave_place();
        eni.place = place;
        eni.stage = Stage::Preparing;
        eni.missed = 0;
        eni.changed = self.now;
    }

    /// Something is under way for it, so nothing is done about it yet. An observation that shows it
    /// attached ends doubts all the same. If its device does not come, one that shows it otherwise
    /// counts.
    pub(super) fn suspect(&mut self, fresh: bool, seen: &ObservedEni) {
        let Some(eni) = self.enis.get_mut(&seen.id) else {
            return;
        };
        if matches!(seen.attachment, Attachment::Attached { .. }) {
            eni.missed = 0;
        } else if fresh && eni.stage == Stage::Preparing {
            eni.missed = 1;
        }
    }

    /// Counts the observations that do not show an ENI at all. One whose device is awaited is only
    /// suspected, as in [`Self::suspect`].
    pub(super) fn miss(&mut self, asked: Timestamp, seen: &BTreeSet<EniId>, out: &mut Vec<Action>) {
        let unseen = |eni: &Eni| {
            let used = !eni.awaited || eni.stage == Stage::Preparing;
            eni.op.is_none() && used && eni.changed < asked
        };
        for id in self.ids(unseen) {
            match self.enis.get_mut(&id) {
                _ if seen.contains(&id) => {}
                Some(eni) if eni.awaited => eni.missed = 1,
                _ => self.doubt(&id, Stage::Lost, out),
            }
        }
    }

    /// EC2 reports an ENI as being at `stage`, no longer attached. Once that is believed, the node
    /// stops using it, and its place stays taken until then. Pods keep it, and their leases.
    fn doubt(&mut self, id: &EniId, stage: Stage, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get_mut(id) else {
            return;
        };
        eni.missed = eni.missed.saturating_add(1);
        let leases = eni.leased();
        if eni.missed < OBSERVATIONS_UNTIL_BELIEVED {
            // Pods do not wait for the next audit.
            out.extend((leases > 0).then_some(Action::Observe));
            return;
        }
        if leases == 0 && eni.is_used() {
            self.leave(id, stage, out);
            return;
        }
        if leases > 0 && eni.missed == OBSERVATIONS_UNTIL_BELIEVED {
            out.push(Action::Report(Notice::EniMissing {
                eni: id.clone(),
                leases,
            }));
        }
        if eni.stage != stage {
            eni.stage = stage;
            eni.changed = self.now;
            // What failed before was another matter.
            eni.backoff.succeeded();
        }
        if stage != Stage::Detaching {
            eni.leave_place();
        }
        if stage == Stage::Lost {
            eni.lose_addresses();
        }
    }

    pub(super) fn eni_ready(&mut self, id: &EniId) {
        let Some(eni) = self.enis.get_mut(id) else {
            return;
        };
        if eni.stage == Stage::Preparing {
            eni.stage = Stage::Active;
            eni.former = None;
            eni.awaited = false;
            eni.changed = self.now;
            eni.backoff.succeeded();
        }
    }

    pub(super) fn eni_unready(&mut self, id: &EniId, reason: String, out: &mut Vec<Action>) {
        let Some(eni) = self.enis.get_mut(id) else {
            return;
        };
        if eni.stage == Stage::Preparing {
            eni.awaited = false;
            let failure = Ec2Failure {
                code: "EniUnready".to_owned(),
                message: reason.clone(),
                class: Class::Retry,
            };
            eni.backoff.failed(self.now, failure);
            if eni.missed > 0 || eni.leased() > 0 {
                out.push(Action::Observe);
            }
            out.push(Action::Report(Notice::EniUnready {
                eni: id.clone(),
                reason,
            }));
        }
    }

    pub(super) fn eni_dropped(&mut self, id: &EniId) {
        let Some(eni) = self.enis.get_mut(id) else {
            return;
        };
        if eni.stage == Stage::Dropping {
            eni.awaited = false;
            eni.stage = eni.dropped_to;
            if eni.stage != Stage::Detaching {
                eni.place = None;
            }
            if eni.stage == Stage::Lost {
                eni.lose_addresses();
            }
            eni.changed = self.now;
        }
    }
}

/// The stage to go on from, and the place.
const fn stage_of(attachment: Attachment) -> (Stage, Option<Place>) {
    match attachment {
        Attachment::Attached { place } => (Stage::Preparing, Some(place)),
        Attachment::Detaching { place } => (Stage::Detaching, Some(place)),
        Attachment::None => (Stage::Detached, None),
    }
}
