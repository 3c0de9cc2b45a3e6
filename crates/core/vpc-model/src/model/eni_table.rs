//! The interfaces, found by what others know of them as fast as by their id.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::{Deref, DerefMut},
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use underlay_types::{EniId, Mac, SecurityGroupId, SubnetId, VpcId};

use crate::{Attachment, Eni, Tags};

/// The interfaces by id, and indexes that follow every change. Reading is that of the map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EniTable {
    enis: BTreeMap<EniId, Eni>,
    index: Index,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Index {
    /// Addresses and prefixes of each VPC.
    blocks: BTreeMap<VpcId, BTreeMap<IpNet, EniId>>,
    groups: BTreeMap<SecurityGroupId, BTreeSet<EniId>>,
    macs: BTreeMap<Mac, EniId>,
    subnets: BTreeMap<SubnetId, BTreeSet<EniId>>,
}

/// What the indexes hold of an interface.
struct Entry {
    vpc: VpcId,
    blocks: Vec<IpNet>,
    groups: Vec<SecurityGroupId>,
    mac: Mac,
    subnet: SubnetId,
}

/// An interface being changed; the indexes follow when this is dropped.
pub(crate) struct EniMut<'a> {
    eni: &'a mut Eni,
    before: Entry,
    index: &'a mut Index,
}

// === impl EniTable ===

impl EniTable {
    /// Adds an interface, or replaces the one with its id.
    pub(crate) fn insert(&mut self, id: EniId, eni: Eni) {
        self.remove(&id);
        self.index.add(&id, Entry::of(&eni));
        self.enis.insert(id, eni);
    }

    /// Takes an interface out.
    pub(crate) fn remove(&mut self, id: &EniId) -> Option<Eni> {
        let eni = self.enis.remove(id)?;
        self.index.remove(id, &Entry::of(&eni));
        Some(eni)
    }

    /// An interface, to change it.
    pub(crate) fn get_mut(&mut self, id: &EniId) -> Option<EniMut<'_>> {
        let eni = self.enis.get_mut(id)?;
        Some(EniMut {
            before: Entry::of(eni),
            eni,
            index: &mut self.index,
        })
    }

    /// An interface's attachment, to change it.
    pub(crate) fn attachment_mut(&mut self, id: &EniId) -> Option<&mut Attachment> {
        self.enis.get_mut(id)?.attachment.as_mut()
    }

    /// An interface's tags, to change them.
    pub(crate) fn tags_mut(&mut self, id: &EniId) -> Option<&mut Tags> {
        self.enis.get_mut(id).map(|eni| &mut eni.tags)
    }

    /// The interface of a VPC that has an address, itself or within a prefix.
    pub(crate) fn by_address(&self, vpc: &VpcId, address: IpAddr) -> Option<&Eni> {
        let blocks = self.index.blocks.get(vpc)?;
        let lengths = match address {
            IpAddr::V4(_) => [32, 28],
            IpAddr::V6(_) => [128, 80],
        };
        let id = lengths.into_iter().find_map(|length| {
            let block = IpNet::new(address, length).ok()?;
            blocks.get(&block.trunc())
        })?;
        self.enis.get(id)
    }

    /// An address or prefix of an interface of the VPC that overlaps `block`, if there is one.
    pub(crate) fn overlapping(&self, vpc: &VpcId, block: IpNet) -> Option<IpNet> {
        let blocks = self.index.blocks.get(vpc)?;
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
        self.enis.get(self.index.macs.get(&mac)?)
    }

    /// The interfaces that carry a group, by id.
    pub(crate) fn of_group(&self, group: &SecurityGroupId) -> impl Iterator<Item = &Eni> {
        self.of(self.index.groups.get(group))
    }

    /// The interfaces of a subnet, by id.
    pub(crate) fn of_subnet(&self, subnet: &SubnetId) -> impl Iterator<Item = &Eni> {
        self.of(self.index.subnets.get(subnet))
    }

    fn of<'a>(&'a self, ids: Option<&'a BTreeSet<EniId>>) -> impl Iterator<Item = &'a Eni> {
        let ids = ids.into_iter().flatten();
        ids.filter_map(|id| self.enis.get(id))
    }
}

impl Deref for EniTable {
    type Target = BTreeMap<EniId, Eni>;

    fn deref(&self) -> &Self::Target {
        &self.enis
    }
}

impl Serialize for EniTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.enis.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EniTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let enis = BTreeMap::<EniId, Eni>::deserialize(deserializer)?;
        let mut index = Index::default();
        for (id, eni) in &enis {
            index.add(id, Entry::of(eni));
        }
        Ok(Self { enis, index })
    }
}

// === impl Index ===

impl Index {
    fn add(&mut self, id: &EniId, entry: Entry) {
        let blocks = self.blocks.entry(entry.vpc).or_default();
        blocks.extend(entry.blocks.into_iter().map(|block| (block, id.clone())));
        for group in entry.groups {
            self.groups.entry(group).or_default().insert(id.clone());
        }
        self.macs.insert(entry.mac, id.clone());
        let subnet = self.subnets.entry(entry.subnet).or_default();
        subnet.insert(id.clone());
    }

    fn remove(&mut self, id: &EniId, entry: &Entry) {
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
    }
}

fn remove_member<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<EniId>>, key: &K, id: &EniId) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(id);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

// === impl Entry ===

impl Entry {
    fn of(eni: &Eni) -> Self {
        Self {
            vpc: eni.vpc.clone(),
            blocks: eni.addresses.blocks().collect(),
            groups: eni.groups.clone(),
            mac: eni.mac,
            subnet: eni.subnet.clone(),
        }
    }

    /// Whether the indexes hold the same of `eni`.
    fn is_of(&self, eni: &Eni) -> bool {
        self.groups == eni.groups
            && self.mac == eni.mac
            && self.subnet == eni.subnet
            && eni.addresses.blocks().eq(self.blocks.iter().copied())
    }
}

// === impl EniMut ===

impl Deref for EniMut<'_> {
    type Target = Eni;

    fn deref(&self) -> &Eni {
        self.eni
    }
}

impl DerefMut for EniMut<'_> {
    fn deref_mut(&mut self) -> &mut Eni {
        self.eni
    }
}

impl Drop for EniMut<'_> {
    fn drop(&mut self) {
        if !self.before.is_of(self.eni) {
            self.index.remove(&self.eni.id, &self.before);
            self.index.add(&self.eni.id, Entry::of(self.eni));
        }
    }
}
