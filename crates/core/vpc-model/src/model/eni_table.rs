//! The interfaces, found by what others know of them as fast as by their id.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use underlay_types::{AttachmentId, EniId, Mac, SecurityGroupId, SubnetId, VpcId};

use super::table::{Index, Sets, Table, TagIndex, insert_member, remove_member};
use crate::{Attachment, Eni, Tags};

/// The interfaces by id.
pub(crate) type EniTable = Table<EniId, Eni, EniIndex>;

/// What else interfaces are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EniIndex {
    attachments: BTreeMap<AttachmentId, EniId>,
    /// Addresses and prefixes of each VPC.
    blocks: BTreeMap<VpcId, BTreeMap<IpNet, EniId>>,
    groups: Sets<SecurityGroupId, EniId>,
    macs: BTreeMap<Mac, EniId>,
    subnets: Sets<SubnetId, EniId>,
    tags: TagIndex<EniId>,
    vpcs: Sets<VpcId, EniId>,
}

/// What the index holds of an interface.
#[derive(PartialEq, Eq)]
pub(crate) struct Entry {
    attachment: Option<AttachmentId>,
    blocks: Vec<IpNet>,
    groups: Vec<SecurityGroupId>,
    mac: Mac,
    subnet: SubnetId,
    tags: Tags,
    vpc: VpcId,
}

// === impl EniTable ===

impl EniTable {
    /// The interface of a VPC that has an address, itself or within a prefix.
    pub(crate) fn by_address(&self, vpc: &VpcId, address: IpAddr) -> Option<&Eni> {
        let blocks = self.index().blocks.get(vpc)?;
        let lengths = match address {
            IpAddr::V4(_) => [32, 28],
            IpAddr::V6(_) => [128, 80],
        };
        let id = lengths.into_iter().find_map(|length| {
            let block = IpNet::new(address, length).ok()?;
            blocks.get(&block.trunc())
        })?;
        self.get(id)
    }

    /// An address or prefix of an interface of the VPC that overlaps `block`, if there is one.
    pub(crate) fn overlapping(&self, vpc: &VpcId, block: IpNet) -> Option<IpNet> {
        let blocks = self.index().blocks.get(vpc)?;
        let (widest, prefix) = match block {
            IpNet::V4(_) => (32, 28),
            IpNet::V6(_) => (128, 80),
        };
        let from = IpNet::new(block.network(), 0).ok()?;
        let to = IpNet::new(block.broadcast(), widest).ok()?;
        let within = blocks.range(from..=to).next().map(|(held, _)| *held);
        within.or_else(|| {
            let around = IpNet::new(block.network(), prefix).ok()?.trunc();
            blocks.contains_key(&around).then_some(around)
        })
    }

    /// The interface with an Ethernet address.
    pub(crate) fn by_mac(&self, mac: Mac) -> Option<&Eni> {
        self.get(self.index().macs.get(&mac)?)
    }

    /// The interfaces that carry a group, by id.
    pub(crate) fn of_group(&self, group: &SecurityGroupId) -> impl Iterator<Item = &Eni> {
        self.all_of(self.index().groups.get(group))
    }

    /// An interface's attachment, to change it. Its id stays.
    pub(crate) fn attachment_mut(&mut self, id: &EniId) -> Option<&mut Attachment> {
        self.unindexed_mut(id)?.attachment.as_mut()
    }

    /// The interface with an attachment.
    pub(crate) fn by_attachment(&self, attachment: &AttachmentId) -> Option<&Eni> {
        self.get(self.index().attachments.get(attachment)?)
    }

    /// The interfaces of a subnet, by id.
    pub(crate) fn of_subnet(&self, subnet: &SubnetId) -> impl Iterator<Item = &Eni> {
        self.all_of(self.index().subnets.get(subnet))
    }
}

// === impl EniIndex ===

impl EniIndex {
    /// The ids of interfaces that carry a group.
    pub(crate) fn in_group(&self, group: &SecurityGroupId) -> Option<&BTreeSet<EniId>> {
        self.groups.get(group)
    }

    /// The ids of a subnet's interfaces.
    pub(crate) fn in_subnet(&self, subnet: &SubnetId) -> Option<&BTreeSet<EniId>> {
        self.subnets.get(subnet)
    }

    /// The ids of a VPC's interfaces.
    pub(crate) fn in_vpc(&self, vpc: &VpcId) -> Option<&BTreeSet<EniId>> {
        self.vpcs.get(vpc)
    }

    /// The ids of interfaces with a tag.
    pub(crate) fn tagged(&self, key: &str, value: &str) -> Option<&BTreeSet<EniId>> {
        self.tags.of(key, value)
    }
}

impl Index<EniId, Eni> for EniIndex {
    type Entry = Entry;

    fn entry_of(eni: &Eni) -> Entry {
        Entry {
            attachment: eni.attachment.as_ref().map(|held| held.id.clone()),
            blocks: eni.addresses.blocks().collect(),
            groups: eni.groups.clone(),
            mac: eni.mac,
            subnet: eni.subnet.clone(),
            tags: eni.tags.clone(),
            vpc: eni.vpc.clone(),
        }
    }

    fn add(&mut self, id: &EniId, entry: Entry) {
        if let Some(attachment) = entry.attachment {
            self.attachments.insert(attachment, id.clone());
        }
        let blocks = self.blocks.entry(entry.vpc.clone()).or_default();
        blocks.extend(entry.blocks.into_iter().map(|block| (block, id.clone())));
        for group in entry.groups {
            insert_member(&mut self.groups, group, id);
        }
        self.macs.insert(entry.mac, id.clone());
        insert_member(&mut self.subnets, entry.subnet, id);
        self.tags.add(id, entry.tags);
        insert_member(&mut self.vpcs, entry.vpc, id);
    }

    fn remove(&mut self, id: &EniId, entry: &Entry) {
        if let Some(attachment) = &entry.attachment {
            self.attachments.remove(attachment);
        }
        if let Some(blocks) = self.blocks.get_mut(&entry.vpc) {
            for block in &entry.blocks {
                // It may have gone to another interface already.
                if blocks.get(block) == Some(id) {
                    blocks.remove(block);
                }
            }
            if blocks.is_empty() {
                self.blocks.remove(&entry.vpc);
            }
        }
        for group in &entry.groups {
            remove_member(&mut self.groups, group, id);
        }
        self.macs.remove(&entry.mac);
        remove_member(&mut self.subnets, &entry.subnet, id);
        self.tags.remove(id, &entry.tags);
        remove_member(&mut self.vpcs, &entry.vpc, id);
    }
}
