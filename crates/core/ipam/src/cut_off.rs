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
    /// What EC2, or the kernel, said when it was to be used again.
    pub why: Option<String>,
}

/// What cuts pods off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOffCause {
    /// The ENI exists and is not attached. It is attached again as soon as EC2 lets it be.
    Unattached,
    /// The ENI exists, is not attached, and Underlay does not attach it: it is marked to be left
    /// alone, or has more addresses than EC2 attaches.
    LeftUnattached,
    /// EC2 does not show the ENI any more.
    Gone,
    /// The ENI is attached, and the node cannot use its device.
    Unready,
    /// The ENI is in use, without the addresses of these pods.
    AddressesMissing,
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            eni,
            pods,
            cause,
            why,
        } = self;
        let plural = if *pods == 1 { "" } else { "s" };
        write!(f, "{pods} pod{plural} of {eni}, which ")?;
        f.write_str(match cause {
            CutOffCause::Unattached => "is not attached and is attached again once EC2 allows it",
            CutOffCause::LeftUnattached => {
                "is not attached and is left so: it is marked to be left alone, or has more \
                 addresses than its instance type takes; attach it to this instance again"
            }
            CutOffCause::Gone => "EC2 does not show any more: delete its pods",
            CutOffCause::Unready => "the node cannot use: look at its device, or delete its pods",
            CutOffCause::AddressesMissing => {
                "lost their addresses: assign them again, or delete these pods"
            }
        })?;
        match why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

impl Ipam {
    /// Pods that run and that EC2, as far as it is believed, serves no longer, by ENI.
    #[must_use]
    pub fn cut_off(&self) -> Vec<CutOff> {
        let enis = self.enis.iter();
        enis.filter_map(|(id, eni)| {
            let (mut cause, pods) = what_cuts_off(eni)?;
            if eni.stage == Stage::Detached && !self.may_come_back(eni) {
                cause = CutOffCause::LeftUnattached;
            }
            let attaches = !matches!(cause, CutOffCause::Gone | CutOffCause::AddressesMissing);
            let why = eni.backoff.last().filter(|_| attaches);
            Some(CutOff {
                eni: id.clone(),
                pods,
                cause,
                why: why.map(|failure| format!("{}: {}", failure.code, failure.message)),
            })
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
