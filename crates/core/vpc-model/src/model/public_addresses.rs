//! Public addresses: what each private one has, and the pool they come from.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use underlay_types::{AllocationId, ElasticAssociationId, EniId, VpcId};

use crate::{
    AddressOrder, Change, Ec2Error, ElasticAddress, ElasticAssociation, Eni, ErrorCode,
    LaunchInterfaceSource, LaunchRequest, Model, PublicAddress,
};

/// Whose a public address is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PublicUse {
    /// The account's.
    Elastic(AllocationId),
    /// Amazon's, lent to this interface's primary address.
    Lent(EniId),
}

impl Model {
    /// The elastic address that is this public address.
    #[must_use]
    pub fn elastic_address_of(&self, public: Ipv4Addr) -> Option<&ElasticAddress> {
        match self.public_addresses.get(&public)? {
            PublicUse::Elastic(id) => self.elastic_addresses.get(id),
            PublicUse::Lent(_) => None,
        }
    }

    /// The public address that stands for an interface's private one.
    #[must_use]
    pub fn public_address_of(&self, eni: &EniId, private: Ipv4Addr) -> Option<PublicAddress<'_>> {
        let address = *self.public_of.get(&(eni.clone(), private))?;
        Some(PublicAddress {
            address,
            elastic: self.elastic_address_of(address),
        })
    }

    /// The interface and the private address of it that a public address stands for.
    #[must_use]
    pub fn holder_of_public(&self, public: Ipv4Addr) -> Option<(&Eni, Ipv4Addr)> {
        let (eni, private) = match self.public_addresses.get(&public)? {
            PublicUse::Elastic(id) => {
                let held = self.elastic_addresses.get(id)?.association.as_ref()?;
                (&held.eni, Some(held.private))
            }
            PublicUse::Lent(eni) => (eni, None),
        };
        let eni = self.enis.get(eni)?;
        Some((eni, private.unwrap_or(eni.addresses.primary)))
    }

    /// The public addresses that stand for private ones, in order.
    pub fn public_addresses(&self) -> impl Iterator<Item = (Ipv4Addr, &Eni, Ipv4Addr)> {
        self.public_addresses.keys().filter_map(|public| {
            let (eni, private) = self.holder_of_public(*public)?;
            Some((*public, eni, private))
        })
    }

    /// Whether public addresses stand for any private ones of a VPC.
    pub(crate) fn has_public_addresses(&self, vpc: &VpcId) -> bool {
        let mut holders = self.public_of.keys();
        holders.any(|(eni, _)| self.enis.get(eni).is_some_and(|eni| &eni.vpc == vpc))
    }

    /// Has an elastic address stand for a private one, and for nothing else.
    pub(crate) fn put_association(
        &mut self,
        id: &AllocationId,
        eni: EniId,
        private: Ipv4Addr,
    ) -> ElasticAssociationId {
        let before = self.elastic_addresses.get(id);
        if let Some(held) = before.and_then(|each| each.association.clone()) {
            self.drop_public_address(&held.eni, held.private);
        }
        self.drop_public_address(&eni, private);
        let association = ElasticAssociationId::from_serial(self.rng.next());
        if let Some(elastic) = self.elastic_addresses.get_mut(id) {
            elastic.association = Some(ElasticAssociation {
                id: association.clone(),
                eni: eni.clone(),
                private,
            });
            self.public_of.insert((eni, private), elastic.address);
            self.changes
                .push(Change::PublicAddressChanged(elastic.address));
        }
        association
    }

    /// Takes the public address away that a private one has, if it has one.
    pub(crate) fn drop_public_address(&mut self, eni: &EniId, private: Ipv4Addr) {
        let Some(public) = self.public_of.remove(&(eni.clone(), private)) else {
            return;
        };
        match self.public_addresses.get(&public) {
            Some(PublicUse::Elastic(id)) => {
                if let Some(elastic) = self.elastic_addresses.get_mut(id) {
                    elastic.association = None;
                }
            }
            Some(PublicUse::Lent(_)) | None => {
                self.public_addresses.remove(&public);
            }
        }
        self.changes.push(Change::PublicAddressChanged(public));
    }

    /// Takes every public address away from an interface.
    pub(crate) fn drop_public_addresses_of(&mut self, eni: &EniId) {
        for private in self.privates_with_public(eni) {
            self.drop_public_address(eni, private);
        }
    }

    /// A private address is another interface's now: its elastic address follows it.
    pub(crate) fn move_public_address(&mut self, from: &EniId, to: &EniId, private: Ipv4Addr) {
        let elastic = self.public_address_of(from, private);
        let elastic = elastic.and_then(|held| held.elastic.map(|each| each.id.clone()));
        if let Some(id) = elastic {
            self.put_association(&id, to.clone(), private);
        }
    }

    /// Lends a public address to an interface's primary one until it is dropped. None when the
    /// pool is empty: see [`Self::free_public_addresses`].
    pub(crate) fn lend_public_address(&mut self, eni: &EniId) {
        let Some(private) = self.enis.get(eni).map(|eni| eni.addresses.primary) else {
            return;
        };
        let Some(public) = self.draw_public_address() else {
            return;
        };
        self.public_addresses
            .insert(public, PublicUse::Lent(eni.clone()));
        self.public_of.insert((eni.clone(), private), public);
        self.changes.push(Change::PublicAddressChanged(public));
    }

    /// Takes a lent address back from an interface: its instance stopped or is gone.
    pub(crate) fn take_back_public_address(&mut self, eni: &EniId) {
        for private in self.privates_with_public(eni) {
            let held = self.public_address_of(eni, private);
            if held.is_some_and(|held| held.elastic.is_none()) {
                self.drop_public_address(eni, private);
            }
        }
    }

    /// How many public addresses are free.
    pub(crate) fn free_public_addresses(&self) -> usize {
        let pool = self.config.public_pool;
        let size = usize::try_from(pool_size(pool)).unwrap_or(usize::MAX);
        let of_pool = |address: &&Ipv4Addr| pool.contains(*address);
        size.saturating_sub(self.public_addresses.keys().filter(of_pool).count())
    }

    fn privates_with_public(&self, eni: &EniId) -> Vec<Ipv4Addr> {
        let from = (eni.clone(), Ipv4Addr::UNSPECIFIED);
        let to = (eni.clone(), Ipv4Addr::BROADCAST);
        let held = self.public_of.range(from..=to);
        held.map(|((_, private), _)| *private).collect()
    }

    pub(crate) fn is_free_public(&self, address: Ipv4Addr) -> bool {
        self.config.public_pool.contains(&address) && !self.public_addresses.contains_key(&address)
    }

    pub(crate) fn draw_public_address(&mut self) -> Option<Ipv4Addr> {
        let pool = self.config.public_pool;
        let size = pool_size(pool);
        let start = match self.config.address_order {
            AddressOrder::Random => self.rng.below(size),
            AddressOrder::Sequential => 0,
        };
        let first = pool.network().to_bits();
        (start..size)
            .chain(0..start)
            .map(|offset| Ipv4Addr::from_bits(first + offset))
            .find(|address| self.is_free_public(*address))
    }

    /// Whether the instances of a launch get a public address: with one new interface each, as
    /// the caller says, else as the subnet does.
    pub(crate) fn wants_public_address(&self, request: &LaunchRequest) -> bool {
        match request.interfaces.as_slice() {
            [only] => match &only.source {
                LaunchInterfaceSource::New(new) => {
                    let subnet = self.subnets.get(&new.subnet);
                    let of_subnet = subnet.is_some_and(|subnet| subnet.map_public_ip_on_launch);
                    only.public_address.unwrap_or(of_subnet)
                }
                LaunchInterfaceSource::Existing(_) => false,
            },
            _ => false,
        }
    }

    /// Whether the public addresses that a launch of `most` instances asks for can be had.
    pub(crate) fn check_launch_addresses(
        &self,
        request: &LaunchRequest,
        most: u32,
    ) -> Result<(), Ec2Error> {
        let mut asking = request.interfaces.iter();
        if let Some(asking) = asking.find(|each| each.public_address == Some(true)) {
            let complaint = if request.interfaces.len() > 1 {
                "The associatePublicIPAddress parameter cannot be specified when launching with \
                 multiple network interfaces."
            } else if matches!(asking.source, LaunchInterfaceSource::Existing(_)) {
                "The associatePublicIPAddress parameter cannot be specified with an existing \
                 network interface."
            } else {
                ""
            };
            if !complaint.is_empty() {
                let code = ErrorCode::InvalidParameterCombination;
                return Err(Ec2Error::new(code, complaint));
            }
        }
        let wanted = usize::try_from(most).unwrap_or(usize::MAX);
        if self.wants_public_address(request) && self.free_public_addresses() < wanted {
            return Err(no_capacity());
        }
        Ok(())
    }
}

fn pool_size(pool: ipnet::Ipv4Net) -> u32 {
    1_u32
        .checked_shl(u32::from(pool.max_prefix_len() - pool.prefix_len()))
        .unwrap_or(u32::MAX)
}

pub(crate) fn no_capacity() -> Ec2Error {
    let text = "There are not enough free public addresses to satisfy the request.";
    Ec2Error::new(ErrorCode::InsufficientAddressCapacity, text)
}
