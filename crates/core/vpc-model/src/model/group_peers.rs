//! Rules that name groups of peered VPCs.
//!
//! Such a rule works while a peering connection joins the two VPCs. When the connection or the
//! named group goes, the rule stays and is stale (VPC Peering Guide, "Update your security groups
//! to reference peer security groups").

use underlay_types::{SecurityGroupId, VpcId};

use crate::{Model, Rule, RulePeer, SecurityGroup, VpcPeeringConnection};

impl Model {
    /// The connection in force that joins two VPCs.
    #[must_use]
    pub fn peering_between(&self, one: &VpcId, other: &VpcId) -> Option<&VpcPeeringConnection> {
        let mut all = self.peerings();
        all.find(|each| each.is_active() && each.peer_of(one) == Some(other))
    }

    /// Whether a rule of `group` names a group that is gone, or of a VPC that is no longer joined.
    #[must_use]
    pub fn is_stale(&self, group: &SecurityGroup, rule: &Rule) -> bool {
        let RulePeer::Group(id) = &rule.peer else {
            return false;
        };
        match self.group(id) {
            None => true,
            Some(peer) => {
                peer.vpc != group.vpc && self.peering_between(&group.vpc, &peer.vpc).is_none()
            }
        }
    }

    /// The connections over which groups of other VPCs name a group, with those VPCs.
    #[must_use]
    pub fn references_across(&self, id: &SecurityGroupId) -> Vec<(&VpcId, &VpcPeeringConnection)> {
        let Some(named) = self.group(id) else {
            return Vec::new();
        };
        let joined = self.peerings().filter(|each| each.is_active());
        let of_peer = joined.filter_map(|each| Some((each.peer_of(&named.vpc)?, each)));
        of_peer
            .filter(|(vpc, _)| {
                let mut groups = self.groups().filter(|group| &group.vpc == *vpc);
                groups.any(|group| group.names(id))
            })
            .collect()
    }
}
