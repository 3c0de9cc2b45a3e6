//! What EC2 last said, as `bins/agent/src/engine/memory.rs` notes it beside the journal: while it is
//! there, the next run asks nothing.

use std::collections::BTreeMap;

use underlay_ipam::{Attachment, Certainty, Ec2Op, OpId};
use underlay_types::EniId;

use super::World;
use crate::cloud::{Reply, Seen};

/// The memory of a running agent.
#[derive(Debug, Default)]
pub(super) struct Memory {
    certainty: Certainty,
    interfaces: BTreeMap<EniId, Seen>,
}

impl Memory {
    pub(super) fn new(seen: &[Seen]) -> Self {
        Self {
            certainty: Certainty::default(),
            interfaces: by_id(seen),
        }
    }

    pub(super) fn asks(&mut self) {
        self.certainty.asks();
    }
}

impl World {
    /// A call begins: what was noted goes first.
    pub(super) fn memory_begins(&mut self, op: OpId) {
        self.living().memory.certainty.begins(op);
        self.disk.noted = None;
    }

    /// A call ended with this reply, or failed.
    pub(super) fn memory_ended(&mut self, op: OpId, reply: Option<&Reply>) {
        let agent = self.living();
        let call = agent.ipam.call(op).cloned();
        let memory = &mut agent.memory;
        let known = call.zip(reply);
        let known = known.is_some_and(|(call, reply)| apply(&mut memory.interfaces, &call, reply));
        memory.certainty.ended(op, known);
        self.note_memory();
    }

    /// EC2 showed the ENIs.
    pub(super) fn memory_observed(&mut self, seen: &[Seen]) {
        let memory = &mut self.living().memory;
        if memory.certainty.hears() {
            memory.interfaces = by_id(seen);
            self.note_memory();
        }
    }

    pub(super) fn note_memory(&mut self) {
        let remembers = self.setting.remembers;
        let memory = &self.living().memory;
        if remembers && memory.certainty.is_sure() {
            let noted = memory.interfaces.values().cloned().collect();
            self.disk.noted = Some(noted);
        }
    }
}

fn by_id(seen: &[Seen]) -> BTreeMap<EniId, Seen> {
    let with_id = |eni: &Seen| (eni.observed.id.clone(), eni.clone());
    seen.iter().map(with_id).collect()
}

/// Does to `interfaces` what the call did; false if that is not known.
fn apply(interfaces: &mut BTreeMap<EniId, Seen>, call: &Ec2Op, reply: &Reply) -> bool {
    if let Reply::Created(created) = reply {
        interfaces.insert(created.observed.id.clone(), (**created).clone());
        return true;
    }
    if let Ec2Op::DeleteEni { eni } = call {
        return interfaces.remove(eni).is_some();
    }
    let Some(eni) = call.eni().and_then(|eni| interfaces.get_mut(eni)) else {
        return false;
    };
    let Seen {
        observed: shown,
        attachment,
        available,
    } = eni;
    let held = &mut shown.holding;
    match (call, reply) {
        (Ec2Op::Assign { .. }, Reply::Assigned(given)) => {
            held.addresses.extend(&given.addresses);
            held.prefixes.extend(&given.prefixes);
            held.ipv6_prefixes.extend(&given.ipv6_prefixes);
        }
        (Ec2Op::AttachEni { place, .. }, Reply::Attached(id)) => {
            shown.attachment = Attachment::Attached { place: *place };
            *attachment = Some(id.clone());
            *available = false;
        }
        (Ec2Op::DetachEni { .. }, _) => {
            shown.attachment = Attachment::None;
            *attachment = None;
            *available = true;
        }
        (Ec2Op::SetDeleteOnTermination { .. }, _) => shown.delete_on_termination = true,
        (Ec2Op::UnassignAddresses { addresses, .. }, _) => {
            held.addresses.retain(|each| !addresses.contains(each));
        }
        (Ec2Op::UnassignPrefixes { prefixes, .. }, _) => {
            held.prefixes.retain(|each| !prefixes.contains(each));
        }
        (Ec2Op::UnassignIpv6Prefixes { prefixes, .. }, _) => {
            held.ipv6_prefixes.retain(|each| !prefixes.contains(each));
        }
        _ => return false,
    }
    true
}
