//! A cloud that keeps EC2's rules, as far as an allocator can break them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_ipam::{
    Attachment, Ec2Failure, Ec2Op, Ec2Outcome, EniOwner, Grant, Holding, InstanceLimits,
    ObservedEni, PREFIX_LENGTH, Place, Standing,
};
use underlay_types::{Class, EniId, PoolGroups, PoolKey, SecurityGroupSet};

pub(crate) const MAX_ENIS: u8 = 3;
pub(crate) const IPV4_PER_ENI: u16 = 4;

#[derive(Debug, Clone)]
pub(crate) struct CloudEni {
    pub(crate) pool: PoolKey,
    pub(crate) place: Option<Place>,
    pub(crate) standing: Standing,
    pub(crate) delete_on_termination: bool,
    pub(crate) addresses: BTreeSet<Ipv4Addr>,
    pub(crate) prefixes: BTreeSet<Ipv4Net>,
    pub(crate) ipv6_prefixes: BTreeSet<Ipv6Net>,
}

impl CloudEni {
    /// Every address that packets may come from, but the primary one.
    pub(crate) fn all(&self) -> BTreeSet<Ipv4Addr> {
        let within = self.prefixes.iter().flat_map(|prefix| members(*prefix));
        self.addresses.iter().copied().chain(within).collect()
    }

    fn places(&self) -> usize {
        let own = usize::from(self.pool.is_whole());
        self.addresses.len() + self.prefixes.len() - own
    }
}

/// The /80 blocks of the subnet.
pub(crate) fn ipv6_blocks() -> impl Iterator<Item = Ipv6Net> {
    (0..8).map(|block| format!("2600:0:0:0:{block:x}::/80").parse().unwrap())
}

/// The 16 addresses of a prefix.
pub(crate) fn members(prefix: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let first = u32::from(prefix.network());
    (first..first + 16).map(Ipv4Addr::from)
}

#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) enis: BTreeMap<EniId, CloudEni>,
    pub(crate) free: BTreeSet<Ipv4Addr>,
    /// The /80 blocks that no ENI has; EC2 gives the lowest.
    pub(crate) free_ipv6: BTreeSet<Ipv6Net>,
    max_enis: usize,
    ipv4_per_eni: usize,
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
    pub(crate) fn new(addresses: u8, limits: &InstanceLimits) -> Self {
        let eni = CloudEni {
            pool: PoolKey::default_pool(),
            place: Some(Place::PRIMARY),
            standing: Standing::Serving,
            delete_on_termination: true,
            addresses: BTreeSet::new(),
            prefixes: BTreeSet::new(),
            ipv6_prefixes: BTreeSet::new(),
        };
        Self {
            enis: BTreeMap::from([(primary(), eni)]),
            free: (0..addresses)
                .map(|host| Ipv4Addr::new(10, 0, 0, host))
                .collect(),
            free_ipv6: ipv6_blocks().collect(),
            max_enis: limits.max_enis(),
            ipv4_per_eni: limits.ipv4_per_eni.into(),
            next_eni: 2,
        }
    }

    /// All that was asked for, or nothing.
    fn take(&mut self, grant: Grant) -> Option<(BTreeSet<Ipv4Addr>, BTreeSet<Ipv4Net>)> {
        let mut addresses = BTreeSet::new();
        let mut prefixes = BTreeSet::new();
        let count = usize::from(grant.places());
        match grant {
            Grant::Ipv6Prefix => {}
            Grant::Addresses(_) => addresses = self.free.iter().take(count).copied().collect(),
            Grant::Prefixes(_) => {
                let blocks = self
                    .free
                    .iter()
                    .map(|address| Ipv4Net::new(*address, PREFIX_LENGTH).unwrap().trunc());
                let whole = |block: &Ipv4Net| members(*block).all(|each| self.free.contains(&each));
                let blocks: BTreeSet<_> = blocks.filter(whole).collect();
                prefixes = blocks.into_iter().take(count).collect();
            }
        }
        if addresses.len() + prefixes.len() < count {
            return None;
        }
        let given = prefixes.iter().flat_map(|prefix| members(*prefix));
        for address in addresses.iter().copied().chain(given) {
            self.free.remove(&address);
        }
        Some((addresses, prefixes))
    }

    pub(crate) fn attached(&self) -> usize {
        self.enis.values().filter(|eni| eni.place.is_some()).count()
    }

    pub(crate) fn run(&mut self, op: &Ec2Op) -> Ec2Outcome {
        match op {
            Ec2Op::CreateEni {
                pool,
                grant,
                ipv6_prefix,
            } => self.create(pool, *grant, *ipv6_prefix),
            Ec2Op::Assign {
                eni,
                grant: Grant::Ipv6Prefix,
            } => self.assign_ipv6(eni),
            Ec2Op::Assign { eni, grant } => self.assign(eni, *grant),
            Ec2Op::AttachEni { eni, place } => self.attach(eni, *place),
            Ec2Op::DeleteEni { eni } => match self.enis.get(eni) {
                Some(found) if found.place.is_none() => {
                    let gone = self.enis.remove(eni).unwrap();
                    self.free.extend(gone.all());
                    self.free_ipv6.extend(gone.ipv6_prefixes);
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
            Ec2Op::UnassignAddresses { eni, .. }
            | Ec2Op::UnassignIpv6Prefixes { eni, .. }
            | Ec2Op::UnassignPrefixes { eni, .. } => match self.enis.get_mut(eni) {
                Some(found) => {
                    let of_ipv6 = matches!(op, Ec2Op::UnassignIpv6Prefixes { .. });
                    assert!(!found.pool.is_whole() || of_ipv6, "{op}: a primary address");
                    unassign(found, op, &mut self.free, &mut self.free_ipv6);
                    Ec2Outcome::Done
                }
                None => not_found(),
            },
        }
    }

    fn create(&mut self, pool: &PoolKey, grant: Grant, ipv6_prefix: bool) -> Ec2Outcome {
        if usize::from(grant.places()) >= self.ipv4_per_eni {
            return failure("PrivateIpAddressLimitExceeded", Class::Conflict);
        }
        // Of an ENI that a pod owns the primary address is the pod's; of others it is not modelled.
        let grant = if pool.is_whole() {
            assert_eq!(
                grant,
                Grant::Addresses(0),
                "a whole ENI has its own address"
            );
            Grant::Addresses(1)
        } else {
            grant
        };
        let Some((addresses, prefixes)) = self.take(grant) else {
            return exhausted(grant);
        };
        let ipv6 = if ipv6_prefix {
            self.free_ipv6.pop_first()
        } else {
            None
        };
        let eni = EniId::from_serial(self.next_eni);
        self.next_eni += 1;
        let created = CloudEni {
            pool: pool.clone(),
            place: None,
            standing: Standing::Serving,
            delete_on_termination: false,
            addresses: addresses.clone(),
            prefixes: prefixes.clone(),
            ipv6_prefixes: ipv6.into_iter().collect(),
        };
        self.enis.insert(eni.clone(), created);
        let holding = Holding {
            addresses: addresses.into_iter().collect(),
            prefixes: prefixes.into_iter().collect(),
            ipv6_prefixes: ipv6.into_iter().collect(),
        };
        Ec2Outcome::Created { eni, holding }
    }

    fn assign_ipv6(&mut self, eni: &EniId) -> Ec2Outcome {
        let Some(found) = self.enis.get_mut(eni) else {
            return not_found();
        };
        let Some(prefix) = self.free_ipv6.pop_first() else {
            return failure("InsufficientCidrBlocks", Class::Conflict);
        };
        found.ipv6_prefixes.insert(prefix);
        Ec2Outcome::Assigned(Holding {
            ipv6_prefixes: vec![prefix],
            ..Holding::default()
        })
    }

    fn assign(&mut self, eni: &EniId, grant: Grant) -> Ec2Outcome {
        let Some(found) = self.enis.get(eni) else {
            return not_found();
        };
        assert!(!found.pool.is_whole(), "{eni} is one pod's");
        if found.places() + usize::from(grant.places()) >= self.ipv4_per_eni {
            return failure("PrivateIpAddressLimitExceeded", Class::Conflict);
        }
        let Some((addresses, prefixes)) = self.take(grant) else {
            return exhausted(grant);
        };
        let found = self.enis.get_mut(eni).unwrap();
        found.addresses.extend(&addresses);
        found.prefixes.extend(&prefixes);
        Ec2Outcome::Assigned(Holding {
            addresses: addresses.into_iter().collect(),
            prefixes: prefixes.into_iter().collect(),
            ipv6_prefixes: Vec::new(),
        })
    }

    fn attach(&mut self, eni: &EniId, place: Place) -> Ec2Outcome {
        if self.attached() >= self.max_enis {
            return failure("AttachmentLimitExceeded", Class::Conflict);
        }
        let places = self.enis.get(eni).map_or(0, CloudEni::places);
        if places >= self.ipv4_per_eni {
            return failure("PrivateIpAddressLimitExceeded", Class::Conflict);
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

    /// Somebody else takes an address from its ENI, with its whole prefix if it is of one.
    pub(crate) fn unassign_outside(&mut self, address: Ipv4Addr) {
        for eni in self.enis.values_mut() {
            if eni.addresses.remove(&address) {
                self.free.insert(address);
            }
            if let Some(prefix) = prefix_of(eni, address) {
                eni.prefixes.remove(&prefix);
                self.free.extend(members(prefix));
            }
        }
    }

    /// Somebody else moves an address to another ENI, if that has room; with its prefix.
    pub(crate) fn reassign_outside(&mut self, address: Ipv4Addr, to: &EniId) {
        if self.enis[to].places() + 1 >= self.ipv4_per_eni {
            return;
        }
        let prefix = self.enis.values().find_map(|eni| prefix_of(eni, address));
        self.unassign_outside(address);
        let to = self.enis.get_mut(to).unwrap();
        if let Some(prefix) = prefix {
            self.free.retain(|free| !prefix.contains(free));
            to.prefixes.insert(prefix);
        } else {
            self.free.remove(&address);
            to.addresses.insert(address);
        }
    }

    /// Somebody else takes an ENI's IPv6 prefixes, and gives them to another ENI if there is one.
    pub(crate) fn move_ipv6_outside(&mut self, from: &EniId, to: Option<&EniId>) {
        let moved = std::mem::take(&mut self.enis.get_mut(from).unwrap().ipv6_prefixes);
        match to.and_then(|to| self.enis.get_mut(to)) {
            Some(to) => to.ipv6_prefixes.extend(moved),
            None => self.free_ipv6.extend(moved),
        }
    }

    /// Somebody else detaches an ENI.
    pub(crate) fn detach_outside(&mut self, eni: &EniId) {
        self.enis.get_mut(eni).unwrap().place = None;
    }

    /// Somebody else detaches and deletes an ENI.
    pub(crate) fn delete_outside(&mut self, eni: &EniId) {
        let gone = self.enis.remove(eni).unwrap();
        self.free.extend(gone.all());
        self.free_ipv6.extend(gone.ipv6_prefixes);
    }

    pub(crate) fn observe(&self) -> Vec<ObservedEni> {
        let seen = |(id, eni): (&EniId, &CloudEni)| ObservedEni {
            id: id.clone(),
            owner: if *id == primary() {
                EniOwner::Primary
            } else {
                EniOwner::Ours(eni.pool.clone())
            },
            standing: eni.standing,
            attachment: eni
                .place
                .map_or(Attachment::None, |place| Attachment::Attached { place }),
            delete_on_termination: eni.delete_on_termination,
            groups: groups(&eni.pool),
            holding: Holding {
                addresses: eni.addresses.iter().copied().collect(),
                prefixes: eni.prefixes.iter().copied().collect(),
                ipv6_prefixes: eni.ipv6_prefixes.iter().copied().collect(),
            },
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

fn exhausted(grant: Grant) -> Ec2Outcome {
    match grant {
        Grant::Addresses(_) => failure("InsufficientFreeAddressesInSubnet", Class::Conflict),
        Grant::Prefixes(_) | Grant::Ipv6Prefix => {
            failure("InsufficientCidrBlocks", Class::Conflict)
        }
    }
}

/// The prefix of this ENI that an address is of.
pub(crate) fn prefix_of(eni: &CloudEni, address: Ipv4Addr) -> Option<Ipv4Net> {
    let mut prefixes = eni.prefixes.iter();
    prefixes.find(|prefix| prefix.contains(&address)).copied()
}

fn unassign(
    eni: &mut CloudEni,
    op: &Ec2Op,
    free: &mut BTreeSet<Ipv4Addr>,
    free_ipv6: &mut BTreeSet<Ipv6Net>,
) {
    match op {
        Ec2Op::UnassignAddresses { addresses, .. } => {
            let taken = addresses.iter().filter(|one| eni.addresses.remove(one));
            free.extend(taken);
        }
        Ec2Op::UnassignIpv6Prefixes { prefixes, .. } => {
            let taken = prefixes.iter().filter(|one| eni.ipv6_prefixes.remove(one));
            free_ipv6.extend(taken);
        }
        Ec2Op::UnassignPrefixes { prefixes, .. } => {
            let taken = prefixes.iter().filter(|one| eni.prefixes.remove(one));
            free.extend(taken.flat_map(|prefix| members(*prefix)));
        }
        _ => unreachable!("{op} takes nothing away"),
    }
}
