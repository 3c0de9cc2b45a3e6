//! Two VPCs with the same addresses, as a model and as a fabric.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use underlay_fabric::{Fabric, FabricNames, FabricSizes, LoadedPrograms};
use underlay_types::{EniId, PrefixListId, RouteTableId, SecurityGroupId, SubnetId, Timestamp};
use underlay_vpc_model::{
    AddressFamily, DropReason, Eni, EniRequest, Model, ModelConfig, Packet, PortRange,
    PrefixListChange, PrefixListEntry, PrefixListRequest, RouteDestination, RouteTarget,
    RuleDirection, RulePeer, RuleSpec, RuleTraffic, Segment, Tags, Tracker, Transport, V4Request,
    Verdict,
};

use crate::{dice::Dice, fabric_words, hosts::Host, packets};

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// No timeout passes: the fabric's clock stands as still as a test of seconds allows.
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(crate) struct World {
    dice: Dice,
    model: Model,
    tracker: Tracker,
    groups: Vec<SecurityGroupId>,
    list: PrefixListId,
    table: RouteTableId,
    /// Packets that went before, with the VPC's interface that sent each.
    sent: Vec<(EniId, Packet)>,
    next_id: u16,
    fabric: Fabric,
    hosts: BTreeMap<EniId, Host>,
}

fn rule(traffic: RuleTraffic, peer: RulePeer) -> RuleSpec {
    RuleSpec {
        traffic,
        peer,
        description: None,
    }
}

fn list_entry(block: &str) -> PrefixListEntry {
    PrefixListEntry {
        cidr: block.parse().unwrap(),
        description: String::new(),
    }
}

fn everyone() -> RulePeer {
    RulePeer::Ipv4("0.0.0.0/0".parse().unwrap())
}

impl World {
    pub(crate) fn new(dice: Dice) -> Self {
        let prefix = format!(
            "verdict-{}-{}",
            std::process::id(),
            WORLDS.fetch_add(1, Ordering::Relaxed)
        );
        let names = FabricNames {
            fabric: format!("{prefix}-fabric"),
            services: format!("{prefix}-services"),
            outside: format!("{prefix}-world"),
        };
        let programs = LoadedPrograms::load(&FabricSizes::default()).unwrap();
        let model = Model::new(ModelConfig::default());
        let mut world = Self {
            dice,
            model,
            tracker: Tracker::default(),
            groups: Vec::new(),
            list: PrefixListId::from_serial(0),
            table: RouteTableId::from_serial(0),
            sent: Vec::new(),
            next_id: 0,
            fabric: Fabric::create(programs, names).unwrap(),
            hosts: BTreeMap::new(),
        };
        world.build();
        for _ in 0..12 {
            world.add_rule();
        }
        fabric_words::tell(&world.model, &mut world.fabric);
        let enis: Vec<_> = world.model.enis().map(|eni| eni.id.clone()).collect();
        for (index, id) in enis.iter().enumerate() {
            let mut host = Host::new(format!("{prefix}-{index}"));
            let port = fabric_words::port(world.model.eni(id).unwrap());
            let device = world.fabric.add_port(port, &host.path(), 0).unwrap();
            host.use_device(&device);
            world.hosts.insert(id.clone(), host);
        }
        world
    }

    /// A VPC of two subnets with two interfaces each, and a second VPC of the same block.
    fn build(&mut self) {
        let block = "10.0.0.0/16".parse().unwrap();
        let vpc = self.model.create_vpc(block, Tags::new()).unwrap();
        let other = self.model.create_vpc(block, Tags::new()).unwrap();
        self.table = self.model.vpc(&vpc).unwrap().main_route_table.clone();
        let request = PrefixListRequest {
            name: "some".to_owned(),
            family: AddressFamily::Ipv4,
            max_entries: 5,
            entries: vec![list_entry("10.0.2.0/28")],
            tags: Tags::new(),
        };
        self.list = self.model.create_prefix_list(&request, NOW).unwrap();
        for name in ["one", "two", "three"] {
            let group = self
                .model
                .create_group(&vpc, name, name, Tags::new())
                .unwrap();
            let all = [rule(RuleTraffic::All, everyone())];
            self.model
                .revoke(&group, RuleDirection::Egress, &all)
                .unwrap();
            self.groups.push(group);
        }
        for (vpc, cidr, count) in [
            (&vpc, "10.0.1.0/24", 2),
            (&vpc, "10.0.2.0/24", 2),
            (&other, "10.0.1.0/24", 1),
        ] {
            let cidr = cidr.parse().unwrap();
            let subnet = self
                .model
                .create_subnet(vpc, cidr, None, Tags::new())
                .unwrap();
            for _ in 0..count {
                let groups = if vpc == &other {
                    Vec::new()
                } else {
                    self.some_groups()
                };
                self.add_eni(&subnet, groups);
            }
        }
    }

    fn add_eni(&mut self, subnet: &SubnetId, groups: Vec<SecurityGroupId>) {
        let mut request = EniRequest::new(subnet.clone());
        request.groups = groups;
        request.v4 = if self.dice.percent(50) {
            V4Request::PrefixCount(1)
        } else {
            V4Request::Count(1)
        };
        let eni = self.model.create_eni(&request).unwrap();
        self.model.give_to_external(&eni, "test", NOW).unwrap();
    }

    fn some_groups(&mut self) -> Vec<SecurityGroupId> {
        let mut groups = vec![self.dice.one_of(&self.groups).clone()];
        if self.dice.percent(40) {
            groups.push(self.dice.one_of(&self.groups).clone());
        }
        groups
    }

    // === changes ===

    pub(crate) fn change(&mut self) {
        match self.dice.below(11) {
            0..=2 => self.add_rule(),
            3..=5 => self.remove_rule(),
            6 | 7 => {
                let (eni, groups) = (self.any_eni(), self.some_groups());
                self.model.set_eni_groups(&eni, &groups).unwrap();
            }
            8 => {
                let (eni, check) = (self.any_eni(), self.dice.percent(60));
                self.model.set_source_dest_check(&eni, check).unwrap();
            }
            9 => self.change_list(),
            _ => self.change_route(),
        }
        fabric_words::tell(&self.model, &mut self.fabric);
        for eni in self.model.enis() {
            self.fabric.update_port(fabric_words::port(eni)).unwrap();
        }
    }

    fn add_rule(&mut self) {
        let direction = if self.dice.percent(50) {
            RuleDirection::Ingress
        } else {
            RuleDirection::Egress
        };
        let traffic = *self.dice.one_of(&[
            RuleTraffic::All,
            RuleTraffic::Icmp {
                kind: None,
                code: None,
            },
            RuleTraffic::Icmp {
                kind: Some(8),
                code: None,
            },
            RuleTraffic::Protocol(47),
            RuleTraffic::Tcp(PortRange {
                from: 5432,
                to: 5432,
            }),
            RuleTraffic::Tcp(PortRange {
                from: 0,
                to: 65_535,
            }),
            RuleTraffic::Udp(PortRange { from: 50, to: 60 }),
        ]);
        let block = |text: &str| RulePeer::Ipv4(text.parse().unwrap());
        let group = RulePeer::Group(self.dice.one_of(&self.groups).clone());
        let peer = self
            .dice
            .one_of(&[
                everyone(),
                block("10.0.1.0/24"),
                block("10.0.2.4/32"),
                RulePeer::PrefixList(self.list.clone()),
                group.clone(),
                group,
            ])
            .clone();
        let to = self.dice.one_of(&self.groups).clone();
        // One that is there already is refused, and that is all right.
        let added = self
            .model
            .authorize(&to, direction, &[rule(traffic, peer)], &Tags::new());
        drop(added);
    }

    fn remove_rule(&mut self) {
        let group = self.dice.one_of(&self.groups).clone();
        let rules = &self.model.group(&group).unwrap().rules;
        if rules.is_empty() {
            return;
        }
        let chosen = self.dice.one_of(rules);
        let (direction, id) = (chosen.direction, chosen.id.clone());
        self.model.revoke_by_id(&group, direction, &[id]).unwrap();
    }

    /// Takes a block into the prefix list, or out of it.
    fn change_list(&mut self) {
        let list = self.model.prefix_list(&self.list).unwrap();
        let blocks = ["10.0.1.0/24", "10.0.1.4/30", "10.0.2.0/28"];
        let block = self.dice.one_of(&blocks);
        let there = list.contains(block.parse::<IpNet>().unwrap().addr());
        let change = if there {
            let remove = list.entries().iter().map(|entry| entry.cidr).collect();
            PrefixListChange {
                current_version: Some(list.version),
                remove,
                ..PrefixListChange::default()
            }
        } else {
            PrefixListChange {
                current_version: Some(list.version),
                add: vec![list_entry(block)],
                ..PrefixListChange::default()
            }
        };
        let id = self.list.clone();
        self.model.modify_prefix_list(&id, &change, NOW).unwrap();
    }

    /// Sends some block to an interface, or no more.
    fn change_route(&mut self) {
        let blocks = ["192.168.0.0/16", "192.168.1.0/24", "10.0.2.0/24"];
        let destination: RouteDestination = self.dice.one_of(&blocks).parse().unwrap();
        let eni = self.any_eni();
        let gone = self.model.delete_route(&self.table, &destination);
        if gone.is_err() {
            self.model
                .create_route(&self.table, destination, RouteTarget::Eni(eni))
                .unwrap();
        }
    }

    /// An interface of the first VPC.
    fn any_eni(&mut self) -> EniId {
        let vpc = self.model.route_table(&self.table).unwrap().vpc.clone();
        let enis: Vec<_> = self.model.enis().filter(|eni| eni.vpc == vpc).collect();
        self.dice.one_of(&enis).id.clone()
    }

    // === packets ===

    /// Sends one packet both ways of judging it, and answers what the fabric did.
    pub(crate) fn compare(&mut self, step: &str) -> &'static str {
        let (sender, packet) = self.next_packet();
        let verdict = self.model.verdict(&mut self.tracker, NOW, &sender, &packet);
        self.next_id = self.next_id.wrapping_add(1).max(1);
        let before = self.fabric.counters().unwrap();
        let bytes = packets::bytes(&packet, self.next_id);
        self.hosts[&sender].send(&bytes, packet.destination);
        let outcome = self.counted_since(&before, expected(&verdict));
        let context = format!("{step}: {packet:?} of {sender}, verdict {verdict:?}");
        assert!(
            expected(&verdict).contains(&outcome),
            "{context}, fabric {outcome}"
        );
        if let Verdict::Delivered(receiver) = &verdict {
            assert!(
                self.hosts[receiver].receives(self.next_id),
                "{context}: not there"
            );
        }
        self.sent.push((sender, packet));
        outcome
    }

    /// The name of the one counter that grew, but for those of what kernels say in their own way:
    /// ARP, discovery, and the multicast of whoever has IPv6, unless that is `expected`.
    fn counted_since(
        &self,
        before: &[(&'static str, u64)],
        expected: &[&'static str],
    ) -> &'static str {
        let is_noise = |name: &str| match name {
            "arp-answered" | "arp-ignored" | "drop-not-ip" => true,
            "neighbour-answered" | "neighbour-ignored" | "router-advertised" => true,
            "drop-multicast" => !expected.contains(&name),
            _ => false,
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let now = self.fabric.counters().unwrap();
            let mut grown = now.iter().zip(before).filter(|(now, was)| now.1 != was.1);
            if let Some(((name, _), _)) = grown.find(|(now, _)| !is_noise(now.0)) {
                return name;
            }
            assert!(Instant::now() < deadline, "the packet was not counted");
            std::thread::yield_now();
        }
    }

    fn next_packet(&mut self) -> (EniId, Packet) {
        if !self.sent.is_empty() && self.dice.percent(55) {
            return self.follow_up();
        }
        let enis: Vec<_> = self.model.enis().cloned().collect();
        let sender = self.dice.one_of(&enis).clone();
        let source = if self.dice.percent(92) {
            self.address_of(&sender)
        } else {
            "10.0.1.200".parse().unwrap()
        };
        let destination = if self.dice.percent(85) {
            let receiver = self.dice.one_of(&enis).clone();
            self.address_of(&receiver)
        } else {
            let others = [
                "10.0.1.1",
                "10.0.1.255",
                "10.0.9.9",
                "192.168.1.7",
                "8.8.8.8",
            ];
            self.dice.one_of(&others).parse().unwrap()
        };
        let packet = Packet {
            source,
            destination,
            transport: self.transport(),
        };
        (sender.id, packet)
    }

    /// The same flow once more, or its answer if somebody is there to give one.
    fn follow_up(&mut self) -> (EniId, Packet) {
        let recent = self.sent.len().saturating_sub(12);
        let (sender, mut packet) = self.dice.one_of(&self.sent[recent..]).clone();
        let next = *self.dice.one_of(&[
            Segment::Syn,
            Segment::Data,
            Segment::Data,
            Segment::Fin,
            Segment::Rst,
        ]);
        let vpc = &self.model.eni(&sender).unwrap().vpc;
        let other = self.model.eni_by_address(vpc, packet.destination);
        if let Some(other) = other.filter(|_| self.dice.percent(60)) {
            return (other.id.clone(), packets::answer(&packet, next));
        }
        if let Transport::Tcp { segment, .. } = &mut packet.transport {
            *segment = next;
        }
        (sender, packet)
    }

    fn address_of(&mut self, eni: &Eni) -> IpAddr {
        let own = &eni.addresses;
        let mut all = vec![own.primary];
        all.extend(&own.secondary);
        all.extend(
            own.prefixes
                .iter()
                .filter_map(|prefix| prefix.hosts().nth(5)),
        );
        IpAddr::V4(*self.dice.one_of(&all))
    }

    fn transport(&mut self) -> Transport {
        let source = *self.dice.one_of(&[40_000, 40_001]);
        match self.dice.below(10) {
            0 | 1 => Transport::Icmp {
                kind: *self.dice.one_of(&[0, 8, 8, 13]),
                code: 0,
                id: source,
            },
            2 => Transport::Other(47),
            3..=5 => Transport::Udp {
                source,
                destination: *self.dice.one_of(&[53, 4000]),
            },
            _ => Transport::Tcp {
                source,
                destination: *self.dice.one_of(&[5432, 80]),
                segment: Segment::Syn,
            },
        }
    }
}

/// The counters that mean the same as a verdict.
fn expected(verdict: &Verdict) -> &'static [&'static str] {
    match verdict {
        Verdict::Delivered(_) => &["delivered"],
        Verdict::Left(_) | Verdict::Translated(..) => &[],
        Verdict::Dropped(reason) => match reason {
            DropReason::NoSender => &["drop-no-port"],
            // Of two faults the fabric names the other first.
            DropReason::SourceCheck => &["drop-source-check", "drop-multicast"],
            DropReason::NoReceiver => &["drop-multicast", "drop-unknown-address"],
            DropReason::EgressGroups => &["drop-egress-groups"],
            // The tracker has no bound.
            DropReason::TrackingFull(_) => &[],
            DropReason::NoRoute => &["drop-no-route"],
            DropReason::Blackhole => &["drop-blackhole"],
            DropReason::UnknownAddress => &["drop-unknown-address"],
            DropReason::DestinationCheck => &["drop-dest-check"],
            DropReason::IngressGroups(_) => &["drop-ingress-groups"],
            // These worlds have neither ACLs of their own nor gateways.
            DropReason::NetworkAcl(..)
            | DropReason::NoPublicAddress
            | DropReason::NotAsked
            | DropReason::NotTranslated => &[],
        },
    }
}
