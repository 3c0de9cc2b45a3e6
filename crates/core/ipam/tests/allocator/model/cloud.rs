//! A cloud that keeps EC2's rules, as far as an allocator can break them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use underlay_ipam::{Attachment, Ec2Failure, Ec2Op, Ec2Outcome, EniOwner, ObservedEni, Place};
use underlay_types::{Class, EniId, PoolGroups, PoolKey, SecurityGroupSet};

pub(crate) const MAX_ENIS: u8 = 3;
pub(crate) const IPV4_PER_ENI: u16 = 4;

#[derive(Debug, Clone)]
pub(crate) struct CloudEni {
    pub(crate) pool: PoolKey,
    pub(crate) place: Option<Place>,
    pub(crate) delete_on_termination: bool,
    pub(crate) addresses: BTreeSet<Ipv4Addr>,
}

#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) enis: BTreeMap<EniId, CloudEni>,
    pub(crate) free: BTreeSet<Ipv4Addr>,
    next_eni: u64,
}

pub(crate) fn primary() -> EniId {
    EniId::from_serial(1)
}

pub(crate) fn failure(code: &str, class: Class) -> Ec2Outcome {
    Ec2Outcome::Failed(Ec2Failure {
        code: code.to_owned(),
        message: code.to_owned(),
        class,
    })
}

impl Cloud {
    pub(crate) fn new(addresses: u8) -> Self {
        let eni = CloudEni {
            pool: PoolKey::default_pool(),
            place: Some(Place::PRIMARY),
            delete_on_termination: true,
            addresses: BTreeSet::new(),
        };
        Self {
            enis: BTreeMap::from([(primary(), eni)]),
            free: (0..addresses)
                .map(|host| Ipv4Addr::new(10, 0, 0, host))
                .collect(),
            next_eni: 2,
        }
    }

    fn take(&mut self, count: u16) -> Option<BTreeSet<Ipv4Addr>> {
        let taken: BTreeSet<_> = self.free.iter().take(usize::from(count)).copied().collect();
        if taken.len() < usize::from(count) {
            return None;
        }
        self.free.retain(|address| !taken.contains(address));
        Some(taken)
    }

    pub(crate) fn attached(&self) -> usize {
        self.enis.values().filter(|eni| eni.place.is_some()).count()
    }

    pub(crate) fn run(&mut self, op: &Ec2Op) -> Ec2Outcome {
        match op {
            Ec2Op::CreateEni { pool, addresses } => self.create(pool, *addresses),
            Ec2Op::AssignAddresses { eni, count } => self.assign(eni, *count),
            Ec2Op::AttachEni { eni, place } => self.attach(eni, *place),
            Ec2Op::DeleteEni { eni } => match self.enis.get(eni) {
                Some(found) if found.place.is_none() => {
                    let gone = self.enis.remove(eni).unwrap();
                    self.free.extend(gone.addresses);
                    Ec2Outcome::Done
                }
                Some(_) => failure("InvalidNetworkInterface.InUse", Class::Conflict),
                None => not_found(),
            },
            Ec2Op::DetachEni { eni } => match self.enis.get_mut(eni) {
                Some(found) if found.place.is_some() => {
                    found.place = None;
                    Ec2Outcome::Done
                }
                _ => failure("InvalidAttachmentID.NotFound", Class::NotFound),
            },
            Ec2Op::SetDeleteOnTermination { eni } => match self.enis.get_mut(eni) {
                Some(found) => {
                    found.delete_on_termination = true;
                    Ec2Outcome::Done
                }
                None => not_found(),
            },
            Ec2Op::UnassignAddresses { eni, addresses } => {
                let Some(found) = self.enis.get_mut(eni) else {
                    return not_found();
                };
                for address in addresses {
                    if found.addresses.remove(address) {
                        self.free.insert(*address);
                    }
                }
                Ec2Outcome::Done
            }
        }
    }

    fn create(&mut self, pool: &PoolKey, count: u16) -> Ec2Outcome {
        if count >= IPV4_PER_ENI {
            return failure("PrivateIpAddressLimitExceeded", Class::Conflict);
        }
        let Some(addresses) = self.take(count) else {
            return no_addresses();
        };
        let eni = EniId::from_serial(self.next_eni);
        self.next_eni += 1;
        let created = CloudEni {
            pool: pool.clone(),
            place: None,
            delete_on_termination: false,
            addresses: addresses.clone(),
        };
        self.enis.insert(eni.clone(), created);
        Ec2Outcome::Created {
            eni,
            addresses: addresses.into_iter().collect(),
        }
    }

    fn assign(&mut self, eni: &EniId, count: u16) -> Ec2Outcome {
        let Some(found) = self.enis.get(eni) else {
            return not_found();
        };
        if found.addresses.len() + usize::from(count) >= usize::from(IPV4_PER_ENI) {
            return failure("PrivateIpAddressLimitExceeded", Class::Conflict);
        }
        let Some(addresses) = self.take(count) else {
            return no_addresses();
        };
        let found = self.enis.get_mut(eni).unwrap();
        found.addresses.extend(&addresses);
        Ec2Outcome::Assigned(addresses.into_iter().collect())
    }

    fn attach(&mut self, eni: &EniId, place: Place) -> Ec2Outcome {
        if self.attached() >= usize::from(MAX_ENIS) {
            return failure("AttachmentLimitExceeded", Class::Conflict);
        }
        if self.enis.values().any(|eni| eni.place == Some(place)) {
            return failure("InvalidParameterValue", Class::Invalid);
        }
        match self.enis.get_mut(eni) {
            Some(found) if found.place.is_none() => {
                found.place = Some(place);
                Ec2Outcome::Done
            }
            Some(_) => failure("InvalidNetworkInterface.InUse", Class::Conflict),
            None => not_found(),
        }
    }

    /// Somebody else takes an address from its ENI.
    pub(crate) fn unassign_outside(&mut self, address: Ipv4Addr) {
        for eni in self.enis.values_mut() {
            if eni.addresses.remove(&address) {
                self.free.insert(address);
            }
        }
    }

    /// Somebody else moves an address to another ENI, if that has room.
    pub(crate) fn reassign_outside(&mut self, address: Ipv4Addr, to: &EniId) {
        if self.enis[to].addresses.len() + 1 < usize::from(IPV4_PER_ENI) {
            self.unassign_outside(address);
            self.free.remove(&address);
            self.enis.get_mut(to).unwrap().addresses.insert(address);
        }
    }

    /// Somebody else detaches an ENI.
    pub(crate) fn detach_outside(&mut self, eni: &EniId) {
        self.enis.get_mut(eni).unwrap().place = None;
    }

    /// Somebody else detaches and deletes an ENI.
    pub(crate) fn delete_outside(&mut self, eni: &EniId) {
        self.free.extend(self.enis.remove(eni).unwrap().addresses);
    }

    pub(crate) fn observe(&self) -> Vec<ObservedEni> {
        let seen = |(id, eni): (&EniId, &CloudEni)| ObservedEni {
            id: id.clone(),
            owner: if *id == primary() {
                EniOwner::Primary
            } else {
                EniOwner::Ours(eni.pool.clone())
            },
            attachment: eni
                .place
                .map_or(Attachment::None, |place| Attachment::Attached { place }),
            delete_on_termination: eni.delete_on_termination,
            groups: groups(&eni.pool),
            addresses: eni.addresses.iter().copied().collect(),
        };
        self.enis.iter().map(seen).collect()
    }
}

fn groups(pool: &PoolKey) -> SecurityGroupSet {
    match &pool.groups {
        PoolGroups::Default => "sg-00000001".parse().unwrap(),
        PoolGroups::Exactly(set) => set.clone(),
    }
}

fn not_found() -> Ec2Outcome {
    failure("InvalidNetworkInterfaceID.NotFound", Class::NotFound)
}

fn no_addresses() -> Ec2Outcome {
    failure("InsufficientFreeAddressesInSubnet", Class::Conflict)
}
