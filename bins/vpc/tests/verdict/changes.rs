//! What changes between packets.

use underlay_types::{EniId, SecurityGroupId, VpcId};
use underlay_vpc_model::{
    AclAction, AclDirection, AclTraffic, AssociationTarget, InterfaceType, NetworkAclEntry,
    PortRange, PrefixListChange, RouteDestination, RouteTarget, RulePeer, RuleSpec, RuleTraffic,
    Tags,
};

use crate::world::{World, list_entry, rule};

/// Blocks that rules, ACLs and routes speak of.
const BLOCKS: [&str; 9] = [
    "0.0.0.0/0",
    "::/0",
    "10.0.1.0/24",
    "10.0.2.0/24",
    "10.8.1.0/24",
    "203.0.113.0/24",
    "203.0.113.9/32",
    "2001:db8:1::/48",
    "2001:db8:1::9/128",
];

impl World {
    /// Changes one thing, and has the fabric follow.
    pub(crate) fn change(&mut self) {
        match self.dice.below(16) {
            0..=2 => self.add_rule(),
            3 | 4 => self.remove_rule(),
            5 => self.change_groups(),
            6 => {
                let (eni, check) = (self.any_eni(), self.dice.percent(60));
                self.model.set_source_dest_check(&eni, check).unwrap();
            }
            7 => self.change_list(),
            8 => self.change_elastic_address(),
            9 => self.change_acl_of_subnet(),
            10..=12 => self.change_acl(),
            _ => self.change_route(),
        }
        self.follow();
    }

    pub(crate) fn some_groups(&mut self, vpc: &VpcId) -> Vec<SecurityGroupId> {
        let all = self.objects.groups.iter();
        let own = |id: &&SecurityGroupId| self.model.group(id).is_some_and(|it| &it.vpc == vpc);
        let own: Vec<_> = all.filter(own).cloned().collect();
        if own.is_empty() {
            return Vec::new();
        }
        let mut groups = vec![self.dice.one_of(&own).clone()];
        if self.dice.percent(40) {
            groups.push(self.dice.one_of(&own).clone());
        }
        groups
    }

    pub(crate) fn some_rule(&mut self) -> RuleSpec {
        let ports = |from, to| PortRange { from, to };
        let (kind, code) = (Some(8), None);
        let traffic = *self.dice.one_of(&[
            RuleTraffic::All,
            RuleTraffic::All,
            RuleTraffic::Icmp { kind, code },
            RuleTraffic::Icmp {
                kind: None,
                code: None,
            },
            RuleTraffic::Icmpv6 {
                kind: Some(128),
                code,
            },
            RuleTraffic::Icmpv6 {
                kind: None,
                code: None,
            },
            RuleTraffic::Protocol(47),
            RuleTraffic::Tcp(ports(5432, 5432)),
            RuleTraffic::Tcp(ports(0, 65_535)),
            RuleTraffic::Udp(ports(0, 65_535)),
            RuleTraffic::Udp(ports(50, 60)),
        ]);
        let group = || RulePeer::Group(self.objects.groups[0].clone());
        let mut peers = vec![group(), group()];
        peers.extend(self.objects.groups.iter().cloned().map(RulePeer::Group));
        peers.extend(self.objects.lists.iter().cloned().map(RulePeer::PrefixList));
        let mut texts: Vec<String> = BLOCKS.map(str::to_owned).to_vec();
        texts.extend(["0.0.0.0/0", "::/0", "0.0.0.0/0", "::/0"].map(str::to_owned));
        texts.extend(self.v6_blocks().iter().map(ToString::to_string));
        peers.extend(texts.iter().map(|text| match text.parse().unwrap() {
            ipnet::IpNet::V4(block) => RulePeer::Ipv4(block),
            ipnet::IpNet::V6(block) => RulePeer::Ipv6(block),
        }));
        rule(traffic, self.dice.one_of(&peers).clone())
    }

    fn remove_rule(&mut self) {
        let group = self.dice.one_of(&self.objects.groups).clone();
        let rules = &self.model.group(&group).unwrap().rules;
        if rules.is_empty() {
            return;
        }
        let chosen = self.dice.one_of(rules);
        let (direction, id) = (chosen.direction, chosen.id.clone());
        self.model.revoke_by_id(&group, direction, &[id]).unwrap();
    }

    fn change_groups(&mut self) {
        let eni = self.any_eni();
        let vpc = self.model.eni(&eni).unwrap().vpc.clone();
        let groups = self.some_groups(&vpc);
        if !groups.is_empty() {
            self.model.set_eni_groups(&eni, &groups).unwrap();
        }
    }

    /// Takes a block into a prefix list, or out of it.
    fn change_list(&mut self) {
        let id = self.dice.one_of(&self.objects.lists).clone();
        let list = self.model.prefix_list(&id).unwrap();
        let blocks = match list.family {
            underlay_vpc_model::AddressFamily::Ipv4 => {
                ["203.0.113.0/28", "10.0.1.4/30", "10.0.2.0/28"]
            }
            underlay_vpc_model::AddressFamily::Ipv6 => {
                ["2001:db8:1::/64", "2001:db8:1::/48", "2600::/16"]
            }
        };
        let block = self.dice.one_of(&blocks);
        let entry = list_entry(block);
        let there = list.entries().iter().any(|each| each.cidr == entry.cidr);
        let mut change = PrefixListChange {
            current_version: Some(list.version),
            ..PrefixListChange::default()
        };
        if there {
            change.remove = vec![entry.cidr];
        } else {
            change.add = vec![entry];
        }
        let now = self.now();
        self.model.modify_prefix_list(&id, &change, now).unwrap();
    }

    /// Moves an elastic address, or takes it away. The NAT gateway's stays.
    fn change_elastic_address(&mut self) {
        let all: Vec<_> = self.model.elastic_addresses().cloned().collect();
        let elastic = self.dice.one_of(&all);
        let changed = match &elastic.association {
            Some(held) if self.dice.percent(50) => self.model.disassociate_address(&held.id),
            _ => {
                let target = AssociationTarget::Eni(self.any_eni());
                let moved = self
                    .model
                    .associate_address(&elastic.id, &target, None, true);
                moved.map(drop)
            }
        };
        drop(changed);
    }

    fn change_acl_of_subnet(&mut self) {
        let associations: Vec<_> = self.model.network_acls().collect();
        let associations = associations.iter().flat_map(|acl| &acl.associations);
        let all: Vec<_> = associations.map(|each| each.id.clone()).collect();
        let association = self.dice.one_of(&all).clone();
        let acl = self.dice.one_of(&self.objects.acls).clone();
        // Of another VPC, or the same as before: refused.
        let replaced = self
            .model
            .replace_network_acl_association(&association, &acl);
        drop(replaced);
    }

    /// Adds an entry to an ACL, or removes one.
    fn change_acl(&mut self) {
        let id = self.dice.one_of(&self.objects.acls).clone();
        let direction = if self.dice.percent(50) {
            AclDirection::Egress
        } else {
            AclDirection::Ingress
        };
        let acl = self.model.network_acl(&id).unwrap();
        let numbers: Vec<_> = acl
            .entries_of(direction)
            .map(|entry| entry.number)
            .filter(|number| *number < 32_767)
            .collect();
        if numbers.len() > 5 || (!numbers.is_empty() && self.dice.percent(30)) {
            let number = *self.dice.one_of(&numbers);
            self.model
                .delete_network_acl_entry(&id, number, direction)
                .unwrap();
            return;
        }
        let entry = self.some_entry(direction);
        // A number that is taken is refused.
        let created = self.model.create_network_acl_entry(&id, entry);
        drop(created);
    }

    fn some_entry(&mut self, direction: AclDirection) -> NetworkAclEntry {
        let ports = |from, to| PortRange { from, to };
        let ephemeral = ports(1_024, 65_535);
        let traffic = *self.dice.one_of(&[
            AclTraffic::All,
            AclTraffic::All,
            AclTraffic::Tcp(ephemeral),
            AclTraffic::Udp(ephemeral),
            AclTraffic::Tcp(ports(80, 80)),
            AclTraffic::Icmp {
                kind: None,
                code: None,
            },
            AclTraffic::Icmpv6 {
                kind: None,
                code: None,
            },
            AclTraffic::Protocol(47),
        ]);
        let block = self.dice.one_of(&BLOCKS);
        NetworkAclEntry {
            number: 10 * u16::try_from(1 + self.dice.below(20)).unwrap(),
            direction,
            action: if self.dice.percent(70) {
                AclAction::Allow
            } else {
                AclAction::Deny
            },
            traffic,
            cidr: block.parse().unwrap(),
        }
    }

    /// Sends a destination to another target, or nowhere.
    fn change_route(&mut self) {
        let table = self.dice.one_of(&self.objects.tables).clone();
        let mut texts: Vec<String> = BLOCKS.map(str::to_owned).to_vec();
        texts.extend(["192.168.0.0/16", "192.168.1.0/24", "10.8.0.0/15"].map(str::to_owned));
        texts.extend(self.v6_blocks().iter().map(ToString::to_string));
        let mut all: Vec<RouteDestination> = texts.iter().map(|it| it.parse().unwrap()).collect();
        all.extend(
            self.objects
                .lists
                .iter()
                .cloned()
                .map(RouteDestination::PrefixList),
        );
        let destination = self.dice.one_of(&all).clone();
        let target: RouteTarget = self.dice.one_of(&self.objects.targets).clone();
        let there = self
            .model
            .route_table(&table)
            .unwrap()
            .routes
            .iter()
            .any(|route| route.destination == destination);
        // What the VPC does not allow is refused.
        let changed = match there {
            true if self.dice.percent(30) => self.model.delete_route(&table, &destination),
            true => self.model.replace_route(&table, &destination, target),
            false => self.model.create_route(&table, destination, target),
        };
        drop(changed);
    }

    /// An interface whose owner is the account.
    pub(crate) fn any_eni(&mut self) -> EniId {
        let enis = self.model.enis();
        let plain = enis.filter(|eni| eni.interface_type != InterfaceType::NatGateway);
        let all: Vec<_> = plain.map(|eni| eni.id.clone()).collect();
        self.dice.one_of(&all).clone()
    }

    /// Has everyone of the middle VPC allowed everything by rule, so that there is something to
    /// refuse.
    pub(crate) fn open(&mut self) {
        let group = self.objects.groups[0].clone();
        for direction in [
            underlay_vpc_model::RuleDirection::Ingress,
            underlay_vpc_model::RuleDirection::Egress,
        ] {
            for peer in ["0.0.0.0/0", "::/0"] {
                let peer = match peer.parse().unwrap() {
                    ipnet::IpNet::V4(block) => RulePeer::Ipv4(block),
                    ipnet::IpNet::V6(block) => RulePeer::Ipv6(block),
                };
                let spec = rule(RuleTraffic::All, peer);
                let added = self
                    .model
                    .authorize(&group, direction, &[spec], &Tags::new());
                drop(added);
            }
        }
        self.follow();
    }
}
