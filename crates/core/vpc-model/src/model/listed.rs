//! Objects in the order of their ids, from any id on, and by what else they are found by.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    iter::Peekable,
    net::IpAddr,
    ops::Bound,
};

use underlay_types::{
    AttachmentId, EgressOnlyInternetGatewayId, EniId, EniPermissionId, FlowLogId, ImageId,
    InstanceId, InternetGatewayId, Mac, NatGatewayId, NetworkAclId, PrefixListId, ReservationId,
    RouteTableId, SecurityGroupId, SecurityGroupRuleId, SubnetCidrReservationId, SubnetId,
    TrunkAssociationId, VpcId, VpcPeeringConnectionId,
};

use crate::{
    CidrReservation, EgressOnlyInternetGateway, Eni, EniPermission, FlowLog, Image, Instance,
    InternetGateway, Model, NatGateway, NetworkAcl, PrefixList, RouteTable, Rule, SecurityGroup,
    Subnet, TrunkAssociation, Vpc, VpcPeeringConnection,
};

/// Objects, one after another.
pub type Listing<'a, T> = Box<dyn Iterator<Item = &'a T> + 'a>;

/// A kind of object that a call may list, as Describe shows it: by id, from any id on.
pub trait Listed: Sized + 'static {
    /// Its ids.
    type Id: Ord;
    /// What else its objects are found by.
    type Key;

    /// Its id.
    fn id(&self) -> &Self::Id;

    /// The object of an id.
    fn shown<'a>(model: &'a Model, id: &Self::Id) -> Option<&'a Self>;

    /// The objects after an id, by id; all without one.
    fn after<'a>(model: &'a Model, id: Option<&Self::Id>) -> Listing<'a, Self>;

    /// Ids in order, after an id, of which no object with one of the keys is missing; `None` when
    /// no index says.
    fn found<'a>(
        model: &'a Model,
        keys: &[Self::Key],
        after: Option<&Self::Id>,
    ) -> Option<Candidates<'a, Self::Id>>;
}

/// The ids that an index has for some keys.
pub struct Candidates<'a, I> {
    /// How many there are at most.
    pub most: usize,
    /// The ids, in order.
    pub ids: Box<dyn Iterator<Item = &'a I> + 'a>,
}

/// What interfaces are found by, besides their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EniKey {
    /// An address, its own or within one of its prefixes.
    Address(IpAddr),
    /// Its attachment.
    Attachment(AttachmentId),
    /// A group that it carries.
    Group(SecurityGroupId),
    /// Its id.
    Id(EniId),
    /// The instance that it has an attachment to.
    Instance(InstanceId),
    /// Its Ethernet address.
    Mac(Mac),
    /// Its subnet.
    Subnet(SubnetId),
    /// A tag: key and value.
    Tag(String, String),
    /// Its VPC.
    Vpc(VpcId),
}

/// What instances are found by, besides their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceKey {
    /// An address of one of its interfaces.
    Address(IpAddr),
    /// One of its interfaces.
    Eni(EniId),
    /// Its id.
    Id(InstanceId),
    /// The launch that it came from.
    Launch(ReservationId),
    /// The subnet of its primary interface.
    Subnet(SubnetId),
    /// A tag: key and value.
    Tag(String, String),
    /// Its VPC.
    Vpc(VpcId),
}

/// What rules are found by, besides their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleKey {
    /// Its group.
    Group(SecurityGroupId),
    /// Its id.
    Id(SecurityGroupRuleId),
}

macro_rules! listed {
    ($($kind:ty, $id:ty: $map:ident;)+) => {$(
        impl Listed for $kind {
            type Id = $id;
            type Key = Infallible;

            fn id(&self) -> &$id {
                &self.id
            }

            fn shown<'a>(model: &'a Model, id: &$id) -> Option<&'a Self> {
                model.$map.get(id)
            }

            fn after<'a>(model: &'a Model, id: Option<&$id>) -> Listing<'a, Self> {
                Box::new(entries_after(&model.$map, id).map(|(_, each)| each))
            }

            fn found<'a>(
                _model: &'a Model,
                _keys: &[Infallible],
                _after: Option<&$id>,
            ) -> Option<Candidates<'a, $id>> {
                None
            }
        }
    )+};
}

listed! {
    CidrReservation, SubnetCidrReservationId: reservations;
    EgressOnlyInternetGateway, EgressOnlyInternetGatewayId: egress_only_gateways;
    EniPermission, EniPermissionId: eni_permissions;
    FlowLog, FlowLogId: flow_logs;
    Image, ImageId: images;
    InternetGateway, InternetGatewayId: internet_gateways;
    NatGateway, NatGatewayId: nat_gateways;
    NetworkAcl, NetworkAclId: network_acls;
    PrefixList, PrefixListId: prefix_lists;
    RouteTable, RouteTableId: route_tables;
    SecurityGroup, SecurityGroupId: groups;
    Subnet, SubnetId: subnets;
    TrunkAssociation, TrunkAssociationId: trunk_associations;
    Vpc, VpcId: vpcs;
    VpcPeeringConnection, VpcPeeringConnectionId: peerings;
}

impl Listed for Eni {
    type Id = EniId;
    type Key = EniKey;

    fn id(&self) -> &EniId {
        &self.id
    }

    fn shown<'a>(model: &'a Model, id: &EniId) -> Option<&'a Self> {
        model.described_eni(id)
    }

    fn after<'a>(model: &'a Model, id: Option<&EniId>) -> Listing<'a, Self> {
        let present = entries_after(&model.enis, id).map(|(id, _)| id);
        let ids = merged(vec![Box::new(present), model.past_enis(id)]);
        Box::new(ids.filter_map(|id| model.described_eni(id)))
    }

    fn found<'a>(
        model: &'a Model,
        keys: &[EniKey],
        after: Option<&EniId>,
    ) -> Option<Candidates<'a, EniId>> {
        let sets = keys.iter().map(|key| model.enis_with(key));
        // What was something else a while ago may still be seen so.
        let late = Ids::Few(model.past_enis(None).collect());
        Some(united(sets.chain([late]).collect(), after))
    }
}

impl Listed for Instance {
    type Id = InstanceId;
    type Key = InstanceKey;

    fn id(&self) -> &InstanceId {
        &self.id
    }

    fn shown<'a>(model: &'a Model, id: &InstanceId) -> Option<&'a Self> {
        model.described_instance(id)
    }

    fn after<'a>(model: &'a Model, id: Option<&InstanceId>) -> Listing<'a, Self> {
        let present = entries_after(&model.instances, id).map(|(id, _)| id);
        let ids = merged(vec![Box::new(present), model.past_instances(id)]);
        Box::new(ids.filter_map(|id| model.described_instance(id)))
    }

    fn found<'a>(
        model: &'a Model,
        keys: &[InstanceKey],
        after: Option<&InstanceId>,
    ) -> Option<Candidates<'a, InstanceId>> {
        let by_eni =
            |key: &InstanceKey| matches!(key, InstanceKey::Address(_) | InstanceKey::Eni(_));
        if keys.iter().any(by_eni) && model.past_enis(None).next().is_some() {
            return None;
        }
        let sets = keys.iter().map(|key| model.instances_with(key));
        let late = Ids::Few(model.past_instances(None).collect());
        Some(united(sets.chain([late]).collect(), after))
    }
}

impl Listed for Rule {
    type Id = SecurityGroupRuleId;
    type Key = RuleKey;

    fn id(&self) -> &SecurityGroupRuleId {
        &self.id
    }

    fn shown<'a>(model: &'a Model, id: &SecurityGroupRuleId) -> Option<&'a Self> {
        model.rule(id).map(|(_, rule)| rule)
    }

    fn after<'a>(model: &'a Model, id: Option<&SecurityGroupRuleId>) -> Listing<'a, Self> {
        let ids = entries_after(model.groups.index().rules(), id);
        Box::new(ids.filter_map(|(id, _)| Self::shown(model, id)))
    }

    fn found<'a>(
        model: &'a Model,
        keys: &[RuleKey],
        after: Option<&SecurityGroupRuleId>,
    ) -> Option<Candidates<'a, SecurityGroupRuleId>> {
        let sets = keys.iter().map(|key| match key {
            RuleKey::Group(id) => {
                let group = model.groups.get(id).into_iter();
                Ids::Few(group.flat_map(|group| &group.rules).map(Self::id).collect())
            }
            RuleKey::Id(id) => Ids::one(Self::shown(model, id)),
        });
        Some(united(sets.collect(), after))
    }
}

impl Model {
    fn enis_with(&self, key: &EniKey) -> Ids<'_, EniId> {
        let index = self.enis.index();
        match key {
            EniKey::Address(address) => {
                let vpcs = self.vpcs.keys();
                let enis = vpcs.filter_map(|vpc| self.enis.by_address(vpc, *address));
                Ids::Few(enis.map(Listed::id).collect())
            }
            EniKey::Attachment(id) => Ids::one(self.enis.by_attachment(id)),
            EniKey::Group(id) => Ids::of(index.in_group(id)),
            EniKey::Id(id) => Ids::one(self.enis.get(id)),
            EniKey::Instance(id) => Ids::of(self.attached.get(id)),
            EniKey::Mac(mac) => Ids::one(self.enis.by_mac(*mac)),
            EniKey::Subnet(id) => Ids::of(index.in_subnet(id)),
            EniKey::Tag(key, value) => Ids::of(index.tagged(key, value)),
            EniKey::Vpc(id) => Ids::of(index.in_vpc(id)),
        }
    }

    fn instances_with(&self, key: &InstanceKey) -> Ids<'_, InstanceId> {
        let index = self.instances.index();
        match key {
            InstanceKey::Address(address) => {
                let vpcs = self.vpcs.keys();
                let enis = vpcs.filter_map(|vpc| self.enis.by_address(vpc, *address));
                Ids::Few(enis.filter_map(Eni::instance).collect())
            }
            InstanceKey::Eni(id) => {
                let eni = self.enis.get(id).into_iter();
                Ids::Few(eni.filter_map(Eni::instance).collect())
            }
            InstanceKey::Id(id) => Ids::one(self.instances.get(id)),
            InstanceKey::Launch(id) => Ids::of(index.in_launch(id)),
            InstanceKey::Subnet(id) => Ids::of(index.in_subnet(id)),
            InstanceKey::Tag(key, value) => Ids::of(index.tagged(key, value)),
            InstanceKey::Vpc(id) => Ids::of(index.in_vpc(id)),
        }
    }
}

/// The part of a map after an id; all of it without one.
pub(super) fn entries_after<'a, K: Ord, V>(
    map: &'a BTreeMap<K, V>,
    id: Option<&K>,
) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
    map.range((bound_after(id), Bound::Unbounded))
}

const fn bound_after<K>(id: Option<&K>) -> Bound<&K> {
    match id {
        Some(id) => Bound::Excluded(id),
        None => Bound::Unbounded,
    }
}

/// What an index has for one key.
enum Ids<'a, I> {
    Few(Vec<&'a I>),
    Set(&'a BTreeSet<I>),
}

impl<'a, I: Ord> Ids<'a, I> {
    fn of(set: Option<&'a BTreeSet<I>>) -> Self {
        set.map_or_else(|| Self::Few(Vec::new()), Self::Set)
    }

    fn one<T: Listed<Id = I>>(object: Option<&'a T>) -> Self {
        Self::Few(object.into_iter().map(Listed::id).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Few(ids) => ids.len(),
            Self::Set(ids) => ids.len(),
        }
    }

    fn after(self, id: Option<&I>) -> Box<dyn Iterator<Item = &'a I> + 'a> {
        match self {
            Self::Few(mut ids) => {
                ids.retain(|each| id.is_none_or(|id| *each > id));
                ids.sort_unstable();
                ids.dedup();
                Box::new(ids.into_iter())
            }
            Self::Set(ids) => Box::new(ids.range((bound_after(id), Bound::Unbounded))),
        }
    }
}

/// The ids of several keys together.
fn united<'a, I: Ord>(sets: Vec<Ids<'a, I>>, after: Option<&I>) -> Candidates<'a, I> {
    let most = sets.iter().map(Ids::len).sum();
    let sets = sets.into_iter().filter(|ids| ids.len() > 0);
    let ids = merged(sets.map(|ids| ids.after(after)).collect());
    Candidates {
        most,
        ids: Box::new(ids),
    }
}

/// What several sequences in order hold, in order, each only once.
fn merged<'a, I: Ord>(
    parts: Vec<Box<dyn Iterator<Item = &'a I> + 'a>>,
) -> impl Iterator<Item = &'a I> {
    let mut parts: Vec<Peekable<_>> = parts.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let next = parts
            .iter_mut()
            .filter_map(|part| part.peek().copied())
            .min()?;
        for part in &mut parts {
            part.next_if(|id| *id == next);
        }
        Some(next)
    })
}

#[cfg(test)]
pub(super) mod tests;
