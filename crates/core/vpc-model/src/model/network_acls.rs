//! Network ACLs and the subnets that have them.

use underlay_types::{NetworkAclAssociationId, NetworkAclId, SubnetId, VpcId};

use super::network_acl_entries::{default_entries, star_entries};
use crate::{Change, Ec2Error, ErrorCode, Model, NetworkAcl, NetworkAclAssociation, Tags};

impl Model {
    /// The network ACLs, by id.
    pub fn network_acls(&self) -> impl Iterator<Item = &NetworkAcl> {
        self.network_acls.values()
    }

    /// A network ACL.
    #[must_use]
    pub fn network_acl(&self, id: &NetworkAclId) -> Option<&NetworkAcl> {
        self.network_acls.get(id)
    }

    /// The network ACL of a subnet.
    #[must_use]
    pub fn network_acl_of(&self, subnet: &SubnetId) -> Option<&NetworkAcl> {
        let acl = self.network_acls.index().of_subnet(subnet)?;
        self.network_acls.get(acl)
    }

    /// CreateNetworkAcl: one that denies everything and that no subnet has.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `NetworkAclLimitExceeded`.
    pub fn create_network_acl(
        &mut self,
        vpc: &VpcId,
        tags: Tags,
    ) -> Result<NetworkAclId, Ec2Error> {
        let v6 = self.require_vpc(vpc)?.v6_blocks().next().is_some();
        let of_vpc = |acl: &&NetworkAcl| &acl.vpc == vpc;
        if self.network_acls().filter(of_vpc).count() >= self.config.limits.network_acls_per_vpc {
            let text = "The maximum number of network acls has been reached.";
            return Err(Ec2Error::new(ErrorCode::NetworkAclLimitExceeded, text));
        }
        let id = NetworkAclId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let acl = NetworkAcl {
            id: id.clone(),
            vpc: vpc.clone(),
            is_default: false,
            entries: star_entries(v6),
            associations: Vec::new(),
            tags,
        };
        self.network_acls.insert(id.clone(), acl);
        self.changes.push(Change::NetworkAclChanged(id.clone()));
        Ok(id)
    }

    /// DeleteNetworkAcl.
    ///
    /// # Errors
    /// `InvalidNetworkAclID.NotFound`; `InvalidParameterValue` for a VPC's default;
    /// `DependencyViolation` while subnets have it.
    pub fn delete_network_acl(&mut self, id: &NetworkAclId) -> Result<(), Ec2Error> {
        let acl = self.require_network_acl(id)?;
        if acl.is_default {
            let text = format!("cannot delete default network ACL {id}");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if !acl.associations.is_empty() {
            let text = format!("The networkAcl '{id}' has dependencies and cannot be deleted.");
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        self.network_acls.remove(id);
        self.changes.push(Change::NetworkAclChanged(id.clone()));
        Ok(())
    }

    /// ReplaceNetworkAclAssociation: another ACL for the subnet of an association.
    ///
    /// # Errors
    /// `InvalidAssociationID.NotFound`; `InvalidNetworkAclID.NotFound`; `InvalidParameterValue`
    /// when they are of different VPCs.
    pub fn replace_network_acl_association(
        &mut self,
        association: &NetworkAclAssociationId,
        id: &NetworkAclId,
    ) -> Result<NetworkAclAssociationId, Ec2Error> {
        let held = self.network_acls().find_map(|acl| {
            let mut associations = acl.associations.iter();
            let each = associations.find(|each| &each.id == association)?;
            Some((acl, each.subnet.clone()))
        });
        let Some((before, subnet)) = held else {
            let text = format!("The association ID '{association}' does not exist");
            return Err(Ec2Error::new(ErrorCode::InvalidAssociationIdNotFound, text));
        };
        if self.require_network_acl(id)?.vpc != before.vpc {
            let text = format!("network ACL {id} and subnet {subnet} belong to different networks");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if &before.id == id {
            return Ok(association.clone());
        }
        self.drop_network_acl_of(&subnet);
        Ok(self.put_network_acl(id, subnet))
    }

    /// The ACL that a new VPC's subnets have.
    pub(crate) fn add_default_network_acl(&mut self, vpc: &VpcId) {
        let id = NetworkAclId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let acl = NetworkAcl {
            id: id.clone(),
            vpc: vpc.clone(),
            is_default: true,
            entries: default_entries(false),
            associations: Vec::new(),
            tags: Tags::new(),
        };
        self.network_acls.insert(id.clone(), acl);
        self.changes.push(Change::NetworkAclChanged(id));
    }

    /// Removes what a VPC that goes leaves: its default ACL.
    pub(crate) fn drop_network_acls_of(&mut self, vpc: &VpcId) {
        let of_vpc = self.network_acls().filter(|acl| &acl.vpc == vpc);
        for id in of_vpc.map(|acl| acl.id.clone()).collect::<Vec<_>>() {
            self.network_acls.remove(&id);
            self.changes.push(Change::NetworkAclChanged(id));
        }
    }

    /// Gives a new subnet its VPC's default ACL.
    pub(crate) fn add_network_acl_of(&mut self, vpc: &VpcId, subnet: &SubnetId) {
        let mut acls = self.network_acls.values();
        let default = acls.find(|acl| acl.is_default && &acl.vpc == vpc);
        if let Some(id) = default.map(|acl| acl.id.clone()) {
            self.put_network_acl(&id, subnet.clone());
        }
    }

    /// Takes a subnet's ACL from it.
    pub(crate) fn drop_network_acl_of(&mut self, subnet: &SubnetId) {
        let Some(id) = self.network_acls.index().of_subnet(subnet).cloned() else {
            return;
        };
        if let Some(mut acl) = self.network_acls.get_mut(&id) {
            acl.associations.retain(|each| &each.subnet != subnet);
        }
        self.changes.push(Change::NetworkAclChanged(id));
    }

    fn put_network_acl(&mut self, id: &NetworkAclId, subnet: SubnetId) -> NetworkAclAssociationId {
        let association = NetworkAclAssociationId::from_serial(self.rng.next());
        if let Some(mut acl) = self.network_acls.get_mut(id) {
            acl.associations.push(NetworkAclAssociation {
                id: association.clone(),
                subnet,
            });
            self.changes.push(Change::NetworkAclChanged(id.clone()));
        }
        association
    }
}
