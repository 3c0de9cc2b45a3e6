//! Route tables and network ACLs by the subnets that have them, groups by their rules, associations
//! of branches by their trunks.

use std::collections::{BTreeMap, BTreeSet};

use underlay_types::{
    EniId, NetworkAclId, RouteTableId, SecurityGroupId, SecurityGroupRuleId, SubnetId,
    TrunkAssociationId, VpcId,
};

use super::table::{Index, Sets, Table, insert_member, remove_member};
use crate::{NetworkAcl, RouteTable, RouteTarget, SecurityGroup, TrunkAssociation};

/// The route tables by id.
pub(crate) type RouteTables = Table<RouteTableId, RouteTable, RouteTableIndex>;

/// The network ACLs by id.
pub(crate) type NetworkAcls = Table<NetworkAclId, NetworkAcl, NetworkAclIndex>;

/// The groups by id.
pub(crate) type Groups = Table<SecurityGroupId, SecurityGroup, GroupIndex>;

/// The associations of branches with trunks, by id.
pub(crate) type TrunkAssociations = Table<TrunkAssociationId, TrunkAssociation, TrunkIndex>;

/// What else route tables are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouteTableIndex {
    /// The table that each subnet is associated with.
    subnets: BTreeMap<SubnetId, RouteTableId>,
    /// The tables with a route to each interface.
    enis: Sets<EniId, RouteTableId>,
}

/// What the index holds of a route table.
#[derive(PartialEq, Eq)]
pub(crate) struct RouteTableEntry {
    subnets: BTreeSet<SubnetId>,
    enis: BTreeSet<EniId>,
}

/// What else network ACLs are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetworkAclIndex {
    subnets: BTreeMap<SubnetId, NetworkAclId>,
}

/// What else groups are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupIndex {
    names: BTreeMap<(VpcId, String), SecurityGroupId>,
    rules: BTreeMap<SecurityGroupRuleId, SecurityGroupId>,
}

/// What else associations of branches with trunks are found by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrunkIndex(Sets<EniId, TrunkAssociationId>);

/// What the index holds of a group.
#[derive(PartialEq, Eq)]
pub(crate) struct GroupEntry {
    name: (VpcId, String),
    rules: BTreeSet<SecurityGroupRuleId>,
}

// === impl RouteTableIndex ===

impl RouteTableIndex {
    /// The table that a subnet is associated with.
    pub(crate) fn of_subnet(&self, subnet: &SubnetId) -> Option<&RouteTableId> {
        self.subnets.get(subnet)
    }

    /// The tables with a route to an interface.
    pub(crate) fn to_eni(&self, eni: &EniId) -> impl Iterator<Item = &RouteTableId> {
        self.enis.get(eni).into_iter().flatten()
    }
}

impl Index<RouteTableId, RouteTable> for RouteTableIndex {
    type Entry = RouteTableEntry;

    fn entry_of(table: &RouteTable) -> RouteTableEntry {
        let associations = table.associations.iter();
        let targets = table.routes.iter().map(|route| &route.target);
        let enis = targets.filter_map(|target| match target {
            RouteTarget::Eni(eni) => Some(eni.clone()),
            _ => None,
        });
        RouteTableEntry {
            subnets: associations
                .filter_map(|each| each.subnet.clone())
                .collect(),
            enis: enis.collect(),
        }
    }

    fn add(&mut self, id: &RouteTableId, entry: RouteTableEntry) {
        let subnets = entry.subnets.into_iter();
        self.subnets.extend(subnets.map(|each| (each, id.clone())));
        for eni in entry.enis {
            insert_member(&mut self.enis, eni, id);
        }
    }

    fn remove(&mut self, id: &RouteTableId, entry: &RouteTableEntry) {
        for subnet in &entry.subnets {
            // It may have gone to another table already.
            if self.subnets.get(subnet) == Some(id) {
                self.subnets.remove(subnet);
            }
        }
        for eni in &entry.enis {
            remove_member(&mut self.enis, eni, id);
        }
    }
}

// === impl NetworkAclIndex ===

impl NetworkAclIndex {
    /// The ACL of a subnet.
    pub(crate) fn of_subnet(&self, subnet: &SubnetId) -> Option<&NetworkAclId> {
        self.subnets.get(subnet)
    }
}

impl Index<NetworkAclId, NetworkAcl> for NetworkAclIndex {
    type Entry = BTreeSet<SubnetId>;

    fn entry_of(acl: &NetworkAcl) -> BTreeSet<SubnetId> {
        let associations = acl.associations.iter();
        associations.map(|each| each.subnet.clone()).collect()
    }

    fn add(&mut self, id: &NetworkAclId, entry: BTreeSet<SubnetId>) {
        self.subnets
            .extend(entry.into_iter().map(|subnet| (subnet, id.clone())));
    }

    fn remove(&mut self, id: &NetworkAclId, entry: &BTreeSet<SubnetId>) {
        for subnet in entry {
            // It may have gone to another ACL already.
            if self.subnets.get(subnet) == Some(id) {
                self.subnets.remove(subnet);
            }
        }
    }
}

// === impl GroupIndex ===

impl GroupIndex {
    /// The group of a VPC with a name.
    pub(crate) fn named(&self, vpc: &VpcId, name: &str) -> Option<&SecurityGroupId> {
        self.names.get(&(vpc.clone(), name.to_owned()))
    }

    /// The group of each rule, by the rule's id.
    pub(crate) const fn rules(&self) -> &BTreeMap<SecurityGroupRuleId, SecurityGroupId> {
        &self.rules
    }
}

impl Index<SecurityGroupId, SecurityGroup> for GroupIndex {
    type Entry = GroupEntry;

    fn entry_of(group: &SecurityGroup) -> GroupEntry {
        GroupEntry {
            name: (group.vpc.clone(), group.name.clone()),
            rules: group.rules.iter().map(|rule| rule.id.clone()).collect(),
        }
    }

    fn add(&mut self, id: &SecurityGroupId, entry: GroupEntry) {
        self.names.insert(entry.name, id.clone());
        let rules = entry.rules.into_iter();
        self.rules.extend(rules.map(|rule| (rule, id.clone())));
    }

    fn remove(&mut self, _id: &SecurityGroupId, entry: &GroupEntry) {
        self.names.remove(&entry.name);
        for rule in &entry.rules {
            self.rules.remove(rule);
        }
    }
}

// === impl TrunkIndex ===

impl TrunkIndex {
    /// The associations of a trunk.
    pub(crate) fn of_trunk(&self, trunk: &EniId) -> Option<&BTreeSet<TrunkAssociationId>> {
        self.0.get(trunk)
    }
}

impl Index<TrunkAssociationId, TrunkAssociation> for TrunkIndex {
    type Entry = EniId;

    fn entry_of(association: &TrunkAssociation) -> EniId {
        association.trunk.clone()
    }

    fn add(&mut self, id: &TrunkAssociationId, trunk: EniId) {
        insert_member(&mut self.0, trunk, id);
    }

    fn remove(&mut self, id: &TrunkAssociationId, trunk: &EniId) {
        remove_member(&mut self.0, trunk, id);
    }
}
