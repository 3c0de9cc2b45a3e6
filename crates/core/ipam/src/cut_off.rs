//! Pods that run and may have lost their network: EC2 is no longer as it was when they got it.

use std::fmt;

use underlay_types::{EniId, Timestamp};

use crate::{
    Ipam,
    eni::{Eni, Slot, Stage},
    ipam::OBSERVATIONS_UNTIL_BELIEVED,
};

/// Pods of one ENI that may be cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// The ENI that holds their addresses, or did.
    pub eni: EniId,
    /// How many pods.
    pub pods: usize,
    /// What became of it.
    pub cause: CutOffCause,
}

/// What cuts pods off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOffCause {
    /// The ENI exists and is not attached.
    Unattached,
    /// EC2 does not show the ENI any more.
    Gone,
    /// The ENI is attached, and the node cannot use its device.
    Unready,
    /// The ENI is in use, without the addresses of these pods.
    AddressesMissing,
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { eni, pods, cause } = self;
        let plural = if *pods == 1 { "" } else { "s" };
        write!(f, "{pods} pod{plural} of {eni}, which ")?;
        f.write_str(match cause {
            CutOffCause::Unattached => "is not attached: attach it to this instance again",
            CutOffCause::Gone => "EC2 does not show any more: delete its pods",
            CutOffCause::Unready => "the node cannot use: look at its device, or delete its pods",
            CutOffCause::AddressesMissing => {
                "lost their addresses: assign them again, or delete these pods"
            }
        })
    }
}

impl Ipam {
    /// Pods that run and that EC2, as far as it is believed, serves no longer, by ENI.
    #[must_use]
    pub fn cut_off(&self) -> Vec<CutOff> {
        let enis = self.enis.iter();
        enis.filter_map(|(id, eni)| {
            let (cause, pods) = what_cuts_off(eni)?;
            let eni = id.clone();
            Some(CutOff { eni, pods, cause })
        })
        .collect()
    }
}

impl Ipam {
    /// ENIs that the node has routed through since before `then`.
    pub fn in_use_since(&self, then: Timestamp) -> impl Iterator<Item = &EniId> {
        let enis = self.enis.iter();
        let in_use = enis.filter(move |(_, eni)| {
            eni.stage == Stage::Active && eni.changed < then && !eni.pool.is_whole()
        });
        in_use.map(|(id, _)| id)
    }
}

/// The cause, and how many of the ENI's pods it concerns.
fn what_cuts_off(eni: &Eni) -> Option<(CutOffCause, usize)> {
    let cause = match eni.stage {
        Stage::Detached | Stage::Attaching | Stage::Detaching | Stage::Deleting => {
            Some(CutOffCause::Unattached)
        }
        // What the journal told of, EC2 has yet to show.
        Stage::Lost => (eni.missed >= OBSERVATIONS_UNTIL_BELIEVED).then_some(CutOffCause::Gone),
        // After a start every ENI is prepared once more, with its pods in service.
        Stage::Preparing => eni.backoff.last().map(|_| CutOffCause::Unready),
        Stage::Active | Stage::Dropping => None,
    };
    let missing = |slot: &&Slot| matches!(slot, Slot::Leased { missing: true, .. });
    let found = match cause {
        Some(cause) => (cause, eni.leased()),
        None => {
            let v4 = eni.slots.values().filter(missing).count();
            let v6 = eni.ipv6.values().filter(missing).count();
            (CutOffCause::AddressesMissing, v4.max(v6))
        }
    };
    (found.1 > 0).then_some(found)
}
