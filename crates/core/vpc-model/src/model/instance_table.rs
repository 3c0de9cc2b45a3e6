//! The instances, found by launch, place and tags as fast as by their id.

use std::collections::BTreeSet;

use underlay_types::{InstanceId, ReservationId, SubnetId, VpcId};

use super::table::{Index, Sets, Table, TagIndex, insert_member, remove_member};
use crate::{Instance, InstanceState, Tags};

/// The instances by id.
pub(crate) type InstanceTable = Table<InstanceId, Instance, InstanceIndex>;

/// What else instances are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InstanceIndex {
    /// How many are not terminated.
    alive: usize,
    launches: Sets<ReservationId, InstanceId>,
    subnets: Sets<SubnetId, InstanceId>,
    tags: TagIndex<InstanceId>,
    vpcs: Sets<VpcId, InstanceId>,
}

/// What the index holds of an instance.
#[derive(PartialEq, Eq)]
pub(crate) struct Entry {
    alive: bool,
    launch: ReservationId,
    subnet: SubnetId,
    tags: Tags,
    vpc: VpcId,
}

// === impl InstanceIndex ===

impl InstanceIndex {
    /// How many instances are not terminated.
    pub(crate) const fn alive(&self) -> usize {
        self.alive
    }

    /// The ids of a launch's instances.
    pub(crate) fn in_launch(&self, launch: &ReservationId) -> Option<&BTreeSet<InstanceId>> {
        self.launches.get(launch)
    }

    /// The ids of instances in a subnet.
    pub(crate) fn in_subnet(&self, subnet: &SubnetId) -> Option<&BTreeSet<InstanceId>> {
        self.subnets.get(subnet)
    }

    /// The ids of instances in a VPC.
    pub(crate) fn in_vpc(&self, vpc: &VpcId) -> Option<&BTreeSet<InstanceId>> {
        self.vpcs.get(vpc)
    }

    /// The ids of instances with a tag.
    pub(crate) fn tagged(&self, key: &str, value: &str) -> Option<&BTreeSet<InstanceId>> {
        self.tags.of(key, value)
    }
}

impl Index<InstanceId, Instance> for InstanceIndex {
    type Entry = Entry;

    fn entry_of(instance: &Instance) -> Entry {
        Entry {
            alive: instance.state != InstanceState::Terminated,
            launch: instance.reservation.clone(),
            subnet: instance.subnet.clone(),
            tags: instance.tags.clone(),
            vpc: instance.vpc.clone(),
        }
    }

    fn add(&mut self, id: &InstanceId, entry: Entry) {
        self.alive += usize::from(entry.alive);
        insert_member(&mut self.launches, entry.launch, id);
        insert_member(&mut self.subnets, entry.subnet, id);
        self.tags.add(id, entry.tags);
        insert_member(&mut self.vpcs, entry.vpc, id);
    }

    fn remove(&mut self, id: &InstanceId, entry: &Entry) {
        self.alive -= usize::from(entry.alive);
        remove_member(&mut self.launches, &entry.launch, id);
        remove_member(&mut self.subnets, &entry.subnet, id);
        self.tags.remove(id, &entry.tags);
        remove_member(&mut self.vpcs, &entry.vpc, id);
    }
}
