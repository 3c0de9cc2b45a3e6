//! The rules that every new group has: all egress.

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{SecurityGroupId, SecurityGroupRuleId, VpcId};

use crate::{Change, Model, Rule, RuleDirection, RulePeer, RuleTraffic, SecurityGroup, Tags};

const TO_ALL_V4: RulePeer = RulePeer::Ipv4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0));
const TO_ALL_V6: RulePeer = RulePeer::Ipv6(Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0));

impl Model {
    /// The rules that a new group has; to IPv6 addresses too if its VPC has them.
    pub(crate) fn egress_to_all(&mut self, v6: bool) -> Vec<Rule> {
        let peers = [TO_ALL_V4, TO_ALL_V6].into_iter();
        let of_vpc = peers.take(if v6 { 2 } else { 1 });
        of_vpc.map(|peer| self.all_egress_to(peer)).collect()
    }

    /// A VPC has its first IPv6 block: its groups allow egress to all of IPv6, but for those whose
    /// egress was changed (Amazon VPC User Guide, "Default security groups" and "Security group
    /// rules").
    pub(crate) fn open_groups_to_v6(&mut self, vpc: &VpcId) {
        let untouched = |group: &&SecurityGroup| {
            let egress: Vec<_> = group.rules_of(RuleDirection::Egress).collect();
            &group.vpc == vpc
                && matches!(egress.as_slice(), [only]
                    if only.traffic == RuleTraffic::All && only.peer == TO_ALL_V4)
        };
        let groups = self.groups.values().filter(untouched);
        let ids: Vec<SecurityGroupId> = groups.map(|group| group.id.clone()).collect();
        for id in ids {
            let rule = self.all_egress_to(TO_ALL_V6);
            if let Some(mut group) = self.groups.get_mut(&id) {
                group.rules.push(rule);
            }
            self.changes.push(Change::GroupChanged(id));
        }
    }

    fn all_egress_to(&mut self, peer: RulePeer) -> Rule {
        Rule {
            id: SecurityGroupRuleId::from_serial(self.rng.next()),
            direction: RuleDirection::Egress,
            traffic: RuleTraffic::All,
            peer,
            description: None,
            tags: Tags::new(),
        }
    }
}
