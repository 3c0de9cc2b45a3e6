//! Somebody else changes EC2 at random, and what the allocator cannot know of it yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use underlay_types::EniId;

use super::{
    cloud::{Cloud, members, prefix_of, primary},
    node::{Node, v4},
};

/// A change by somebody else. The numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Unassign(u8),
    Reassign { address: u8, to: u8 },
    MoveIpv6 { from: u8, to: Option<u8> },
    Detach(u8),
    Delete(u8),
}

/// Changes that no observation has shown.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) moved: BTreeSet<(EniId, Ipv4Addr)>,
    /// ENIs whose IPv6 prefix is another's now, or nobody's.
    pub(crate) moved_ipv6: BTreeSet<EniId>,
    pub(crate) deleted: BTreeSet<EniId>,
}

impl Node {
    pub(crate) fn change_outside(&mut self, change: Change) {
        match change {
            Change::Unassign(address) => {
                if let Some(held) = pick(&movable(&self.cloud), address) {
                    self.note_moved(&held);
                    self.cloud.unassign_outside(held.1);
                }
            }
            Change::Reassign { address, to } => {
                let shared = self.cloud.enis.iter();
                let shared = shared.filter(|(_, eni)| !eni.pool.is_whole());
                let enis: Vec<EniId> = shared.map(|(id, _)| id.clone()).collect();
                if let (Some(held), Some(to)) =
                    (pick(&movable(&self.cloud), address), pick(&enis, to))
                {
                    self.note_moved(&held);
                    self.cloud.reassign_outside(held.1, &to);
                }
            }
            Change::MoveIpv6 { from, to } => {
                let enis: Vec<EniId> = self.cloud.enis.keys().cloned().collect();
                let to = to.and_then(|to| pick(&enis, to));
                if let Some(from) = pick(&enis, from).filter(|from| Some(from) != to.as_ref()) {
                    self.cloud.move_ipv6_outside(&from, to.as_ref());
                    self.outside.moved_ipv6.insert(from);
                }
            }
            Change::Detach(eni) => {
                if let Some(eni) = pick(&secondary(&self.cloud), eni) {
                    self.cloud.detach_outside(&eni);
                }
            }
            Change::Delete(eni) => {
                if let Some(eni) = pick(&secondary(&self.cloud), eni) {
                    self.cloud.delete_outside(&eni);
                    self.outside.deleted.insert(eni);
                }
            }
        }
    }

    /// What leaves an ENI with an address: the rest of its prefix too.
    fn note_moved(&mut self, (id, address): &(EniId, Ipv4Addr)) {
        let prefix = prefix_of(&self.cloud.enis[id], *address);
        let moved = prefix.map_or_else(|| vec![*address], |prefix| members(prefix).collect());
        let moved = moved.into_iter().map(|address| (id.clone(), address));
        self.outside.moved.extend(moved);
    }

    /// An observation shows what changed on ENIs that nothing is under way for.
    pub(super) fn forget_outside(&mut self) {
        let busy = |eni: &EniId| {
            let called = self
                .ops
                .iter()
                .any(|(_, op)| op.to_string().contains(eni.as_str()));
            called || self.to_use.contains(eni) || self.to_drop.contains(eni)
        };
        self.outside.moved.retain(|(eni, _)| busy(eni));
        self.outside.moved_ipv6.retain(busy);
    }

    /// How many addresses the allocator should hold of each ENI once everything has settled: those
    /// in EC2, but where pods and their devices hold them on an ENI that lost them.
    pub(crate) fn addresses_to_hold(&self) -> BTreeMap<EniId, usize> {
        let devices = self.released.values().filter(|released| released.device);
        let held: BTreeMap<Ipv4Addr, EniId> = devices
            .map(|released| &released.lease)
            .chain(self.leases.values())
            .map(|lease| (v4(lease), lease.eni.clone()))
            .collect();
        let mut holders: BTreeMap<Ipv4Addr, EniId> = assigned(&self.cloud)
            .into_iter()
            .map(|(eni, address)| (address, eni))
            .collect();
        holders.extend(held);
        let mut counts: BTreeMap<EniId, usize> =
            self.cloud.enis.keys().map(|eni| (eni.clone(), 0)).collect();
        for eni in holders.into_values() {
            *counts.entry(eni).or_default() += 1;
        }
        counts
    }
}

fn assigned(cloud: &Cloud) -> Vec<(EniId, Ipv4Addr)> {
    let of = |(id, eni): (&EniId, &super::cloud::CloudEni)| {
        let id = id.clone();
        let addresses = eni.all();
        addresses
            .into_iter()
            .map(move |address| (id.clone(), address))
    };
    cloud.enis.iter().flat_map(of).collect()
}

/// Primary addresses stay where they are.
fn movable(cloud: &Cloud) -> Vec<(EniId, Ipv4Addr)> {
    let mut all = assigned(cloud);
    all.retain(|(eni, _)| !cloud.enis[eni].pool.is_whole());
    all
}

fn secondary(cloud: &Cloud) -> Vec<EniId> {
    let ids = cloud.enis.keys().filter(|eni| **eni != primary());
    ids.cloned().collect()
}

fn pick<T: Clone>(among: &[T], which: u8) -> Option<T> {
    let at = usize::from(which).checked_rem(among.len())?;
    among.get(at).cloned()
}
