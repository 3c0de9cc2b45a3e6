//! Three VPCs with everything that decides about packets, as a model, and as a fabric that the
//! driver of full mode makes follow it.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use ipnet::{IpNet, Ipv6Net};
use underlay_fabric::{Fabric, FabricNames, FabricSizes, LoadedPrograms};
use underlay_netlink::{Socket, link, netns, sysctl};
use underlay_types::{
    EniId, NetworkAclId, PrefixListId, RouteTableId, SecurityGroupId, SubnetId, Timestamp, VpcId,
    VpcPeeringConnectionId,
};
use underlay_vpc::full::{Driver, Namespaces, RunDir, RunId, clean};
use underlay_vpc_model::{
    AddressFamily, AssociationTarget, Connectivity, EniRequest, InterfaceType, Model, ModelConfig,
    NatGatewayRequest, PrefixListEntry, PrefixListRequest, RouteTarget, RuleDirection, RulePeer,
    RuleSpec, RuleTraffic, SubnetRequest, Tags, Tracker, V4Request, V6Request,
};

use crate::{compare::Ports, dice::Dice, traffic::Sent, wire::Devices};

static WORLDS: AtomicU32 = AtomicU32::new(0);

const BEGINNING: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) model: Model,
    pub(crate) tracker: Tracker,
    pub(crate) driver: Driver,
    pub(crate) devices: Devices,
    /// Sockets that send by the devices of interfaces.
    pub(crate) senders: BTreeMap<EniId, OwnedFd>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) arrived: Vec<Sent>,
    pub(crate) ports: Ports,
    pub(crate) objects: Objects,
    begun: Instant,
    run: RunDir,
}

/// What changes choose from.
#[derive(Default)]
pub(crate) struct Objects {
    /// The VPC in the middle, with gateways of every kind.
    pub(crate) vpc: Option<VpcId>,
    pub(crate) groups: Vec<SecurityGroupId>,
    /// One of IPv4 and one of IPv6.
    pub(crate) lists: Vec<PrefixListId>,
    pub(crate) tables: Vec<RouteTableId>,
    pub(crate) acls: Vec<NetworkAclId>,
    pub(crate) targets: Vec<RouteTarget>,
    pub(crate) peerings: Vec<VpcPeeringConnectionId>,
    /// An interface that is attached to nothing.
    pub(crate) idle: Option<EniId>,
}

pub(crate) fn rule(traffic: RuleTraffic, peer: RulePeer) -> RuleSpec {
    RuleSpec {
        traffic,
        peer,
        description: None,
    }
}

pub(crate) fn list_entry(block: &str) -> PrefixListEntry {
    PrefixListEntry {
        cidr: block.parse().unwrap(),
        description: String::new(),
    }
}

/// A VPC with its IPv6 block.
struct Place {
    vpc: VpcId,
    v6: Ipv6Net,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let serial = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("verdict-{}-{serial}", std::process::id());
        let id: RunId = name.parse().unwrap();
        let run = RunDir::of(&id);
        run.create().unwrap();
        let mut namespaces = Namespaces::new(run.clone());
        let names = FabricNames {
            fabric: run.netns_name("fabric"),
            services: run.netns_name("services"),
            outside: run.netns_name("outside"),
        };
        for name in [&names.fabric, &names.services, &names.outside] {
            namespaces.record(name).unwrap();
        }
        namespaces.create(&name).unwrap();
        let programs = LoadedPrograms::load(&FabricSizes::default()).unwrap();
        let fabric = Fabric::create(programs, names).unwrap();
        let devices = Devices::new(&name, fabric.outside_netns());
        let config = ModelConfig {
            seed,
            ..ModelConfig::default()
        };
        let mut world = Self {
            dice: Dice::new(seed),
            model: Model::new(config),
            tracker: Tracker::default(),
            driver: Driver::new(fabric, namespaces),
            devices,
            senders: BTreeMap::new(),
            sent: Vec::new(),
            arrived: Vec::new(),
            ports: Ports::default(),
            objects: Objects::default(),
            begun: Instant::now(),
            run,
        };
        world.build();
        world.follow();
        world.give_devices(&name);
        // No packet comes but those of the test.
        silence(world.driver.fabric());
        for _ in 0..20 {
            world.add_rule();
        }
        world.follow();
        world
    }

    /// The time of the VPC, which passes as the fabric's does.
    pub(crate) fn now(&self) -> Timestamp {
        BEGINNING + self.begun.elapsed()
    }

    /// Has the fabric follow what was changed.
    pub(crate) fn follow(&mut self) {
        let changes = self.model.take_changes();
        let errors = self.driver.apply(&self.model, &changes);
        assert!(errors.is_empty(), "{errors:?}");
    }

    fn build(&mut self) {
        let middle = self.vpc("10.0.0.0/16");
        let peer = self.vpc("10.8.0.0/16");
        // Its addresses are the first one's, too.
        let twin = self.vpc("10.0.0.0/16");
        self.objects.vpc = Some(middle.vpc.clone());
        self.lists();
        self.groups(&middle.vpc, 3);
        self.groups(&peer.vpc, 1);
        let near = self.subnet(&middle, "10.0.1.0/24", 1);
        let far = self.subnet(&middle, "10.0.2.0/24", 2);
        let public = self.subnet(&middle, "10.0.3.0/24", 3);
        let beyond = self.subnet(&peer, "10.8.1.0/24", 1);
        let alike = self.subnet(&twin, "10.0.1.0/24", 1);
        self.gateways(&middle, &public);
        self.twin_gateway(&twin);
        self.egress_only(&peer);
        let joined = self.peering(&middle.vpc, &peer.vpc);
        let other = self.peering(&twin.vpc, &peer.vpc);
        self.objects.peerings = vec![joined, other];
        self.interfaces(&[&near, &far, &public, &beyond, &alike]);
        self.trunk(&near, &far);
        self.tables([&near, &far, &public], (&middle, &peer, &twin));
        self.acls(&middle.vpc);
        self.elastic_addresses();
    }

    fn vpc(&mut self, block: &str) -> Place {
        let block = block.parse().unwrap();
        let vpc = self.model.create_vpc(block, Tags::new()).unwrap();
        self.model.associate_vpc_v6(&vpc, BEGINNING).unwrap();
        let v6 = self.model.vpc(&vpc).unwrap().v6_cidrs[0].cidr;
        Place { vpc, v6 }
    }

    fn subnet(&mut self, place: &Place, cidr: &str, index: usize) -> SubnetId {
        let request = SubnetRequest {
            vpc: place.vpc.clone(),
            cidr: cidr.parse().unwrap(),
            v6: place.v6.subnets(64).unwrap().nth(index),
            zone: None,
            tags: Tags::new(),
        };
        self.model.create_subnet_with(request, BEGINNING).unwrap()
    }

    fn lists(&mut self) {
        for (name, family, block) in [
            ("v4", AddressFamily::Ipv4, "10.0.2.0/28"),
            ("v6", AddressFamily::Ipv6, "2001:db8:1::/48"),
        ] {
            let request = PrefixListRequest {
                name: name.to_owned(),
                family,
                max_entries: 5,
                entries: vec![list_entry(block)],
                tags: Tags::new(),
            };
            let list = self.model.create_prefix_list(&request, BEGINNING).unwrap();
            self.objects.lists.push(list);
        }
    }

    fn groups(&mut self, vpc: &VpcId, count: usize) {
        for index in 0..count {
            let name = format!("group-{index}");
            let group = self.model.create_group(vpc, &name, &name, Tags::new());
            self.objects.groups.push(group.unwrap());
        }
    }

    fn gateways(&mut self, place: &Place, public: &SubnetId) {
        let gateway = self.model.create_internet_gateway(Tags::new()).unwrap();
        self.model
            .attach_internet_gateway(&gateway, &place.vpc)
            .unwrap();
        let only = self
            .model
            .create_egress_only_gateway(&place.vpc, Tags::new());
        let allocation = self.model.allocate_address(None, Tags::new()).unwrap();
        let request = NatGatewayRequest {
            subnet: public.clone(),
            connectivity: Connectivity::Public,
            allocations: vec![allocation],
            private: None,
            secondary: V4Request::Nothing,
            tags: Tags::new(),
        };
        let nat = self.model.create_nat_gateway(&request, BEGINNING).unwrap();
        self.objects.targets.extend([
            RouteTarget::InternetGateway(gateway),
            RouteTarget::EgressOnlyInternetGateway(only.unwrap()),
            RouteTarget::NatGateway(nat),
        ]);
    }

    fn twin_gateway(&mut self, place: &Place) {
        let gateway = self.model.create_internet_gateway(Tags::new()).unwrap();
        self.model
            .attach_internet_gateway(&gateway, &place.vpc)
            .unwrap();
        let table = self.main_table(&place.vpc);
        for everything in ["0.0.0.0/0", "::/0"] {
            self.route(
                &table,
                everything,
                RouteTarget::InternetGateway(gateway.clone()),
            );
        }
    }

    fn egress_only(&mut self, place: &Place) {
        let only = self
            .model
            .create_egress_only_gateway(&place.vpc, Tags::new());
        let table = self.main_table(&place.vpc);
        let target = RouteTarget::EgressOnlyInternetGateway(only.unwrap());
        // Whoever it does not lead to cannot answer by it.
        for block in ["2001:db8:1::/48", "2600::/12"] {
            self.route(&table, block, target.clone());
        }
    }

    fn peering(&mut self, one: &VpcId, other: &VpcId) -> VpcPeeringConnectionId {
        let id = self
            .model
            .create_peering(one, other, Tags::new(), BEGINNING)
            .unwrap();
        self.model.accept_peering(&id, BEGINNING).unwrap();
        id
    }

    fn interfaces(&mut self, subnets: &[&SubnetId]) {
        for subnet in subnets {
            for _ in 0..2 {
                let eni = self.eni(subnet, InterfaceType::Interface);
                self.model
                    .give_to_external(&eni, "test", BEGINNING)
                    .unwrap();
                self.objects.targets.push(RouteTarget::Eni(eni));
            }
        }
        let idle = self.eni(subnets[0], InterfaceType::Interface);
        self.objects.targets.push(RouteTarget::Eni(idle.clone()));
        self.objects.idle = Some(idle);
    }

    fn trunk(&mut self, near: &SubnetId, far: &SubnetId) {
        let trunk = self.eni(near, InterfaceType::Trunk);
        self.model
            .give_to_external(&trunk, "test", BEGINNING)
            .unwrap();
        for (vlan, subnet) in [(7, near), (120, far)] {
            let branch = self.eni(subnet, InterfaceType::Interface);
            self.model
                .associate_trunk(&branch, &trunk, vlan, BEGINNING)
                .unwrap();
            self.objects.targets.push(RouteTarget::Eni(branch));
        }
    }

    fn eni(&mut self, subnet: &SubnetId, interface_type: InterfaceType) -> EniId {
        let vpc = self.model.subnet(subnet).unwrap().vpc.clone();
        let mut request = EniRequest::new(subnet.clone());
        request.groups = self.some_groups(&vpc);
        request.interface_type = interface_type;
        let prefix = self.dice.percent(50);
        request.v4 = if prefix {
            V4Request::PrefixCount(1)
        } else {
            V4Request::Count(1)
        };
        request.v6 = Some(if prefix {
            V6Request::PrefixCount(1)
        } else {
            V6Request::Count(1)
        });
        self.model.create_eni(&request).unwrap()
    }

    pub(crate) fn main_table(&self, vpc: &VpcId) -> RouteTableId {
        self.model.vpc(vpc).unwrap().main_route_table.clone()
    }

    pub(crate) fn route(&mut self, table: &RouteTableId, to: &str, target: RouteTarget) {
        let to = to.parse().unwrap();
        self.model.create_route(table, to, target).unwrap();
    }

    fn tables(&mut self, subnets: [&SubnetId; 3], places: (&Place, &Place, &Place)) {
        let (middle, peer, twin) = places;
        let [internet, only, nat] = [0, 1, 2].map(|index| self.objects.targets[index].clone());
        let [joined, other] =
            [0, 1].map(|index| RouteTarget::Peering(self.objects.peerings[index].clone()));
        for (subnet, v4, v6) in [
            (subnets[0], nat, only),
            (subnets[1], internet.clone(), internet.clone()),
            (subnets[2], internet.clone(), internet),
        ] {
            let table = self.model.create_route_table(&middle.vpc, Tags::new());
            let table = table.unwrap();
            self.model.associate_route_table(&table, subnet).unwrap();
            self.route(&table, "0.0.0.0/0", v4);
            self.route(&table, "::/0", v6);
            self.route(&table, "10.8.0.0/15", joined.clone());
            self.route(&table, &peer.v6.to_string(), joined.clone());
            self.objects.tables.push(table);
        }
        let idle = RouteTarget::Eni(self.objects.idle.clone().unwrap());
        let table = self.objects.tables[1].clone();
        self.route(&table, "198.51.100.0/24", idle);
        let far = self.main_table(&peer.vpc);
        self.route(&far, "10.0.0.0/16", joined.clone());
        self.route(&far, &middle.v6.to_string(), joined.clone());
        self.route(&far, &twin.v6.to_string(), other.clone());
        let alike = self.main_table(&twin.vpc);
        self.route(&alike, "10.8.0.0/16", other.clone());
        self.route(&alike, &peer.v6.to_string(), other);
        self.objects.targets.push(joined);
    }

    fn acls(&mut self, vpc: &VpcId) {
        let default = self.model.network_acls().find(|acl| &acl.vpc == vpc);
        let default = default.unwrap().id.clone();
        let own = self.model.create_network_acl(vpc, Tags::new()).unwrap();
        self.objects.acls = vec![default, own];
    }

    fn elastic_addresses(&mut self) {
        let live = self.model.enis().filter(|eni| self.model.is_live(eni));
        let plain = live.filter(|eni| eni.interface_type != InterfaceType::NatGateway);
        let with_internet = |vpc: &VpcId| self.model.internet_gateway_of(vpc).is_some();
        let enis: Vec<_> = plain
            .filter(|eni| with_internet(&eni.vpc))
            .map(|eni| eni.id.clone())
            .collect();
        for _ in 0..4 {
            let allocation = self.model.allocate_address(None, Tags::new());
            let eni = self.dice.one_of(&enis).clone();
            let target = AssociationTarget::Eni(eni);
            // Whoever has one keeps it.
            let given = self
                .model
                .associate_address(&allocation.unwrap(), &target, None, false);
            drop(given);
        }
    }

    /// Gives every interface that is attached its device.
    fn give_devices(&mut self, name: &str) {
        let enis: Vec<_> = self.model.enis().cloned().collect();
        for eni in &enis {
            let attached = eni.attachment.is_some();
            let branch = self
                .model
                .trunk_associations()
                .any(|each| each.branch == eni.id);
            if !attached || branch || eni.interface_type == InterfaceType::NatGateway {
                continue;
            }
            self.driver.add_port(&self.model, eni, name, 0).unwrap();
            let sender = self.devices.open(eni.mac);
            self.senders.insert(eni.id.clone(), sender);
        }
    }

    pub(crate) fn add_rule(&mut self) {
        let direction = if self.dice.percent(50) {
            RuleDirection::Ingress
        } else {
            RuleDirection::Egress
        };
        let to = self.dice.one_of(&self.objects.groups).clone();
        let spec = self.some_rule();
        // One that is there already is refused, as is one of another family, and that is all right.
        let added = self.model.authorize(&to, direction, &[spec], &Tags::new());
        drop(added);
    }

    /// The IPv6 blocks of the subnets of the VPC in the middle.
    pub(crate) fn v6_blocks(&self) -> Vec<IpNet> {
        let of_middle = self
            .model
            .subnets()
            .filter(|subnet| Some(&subnet.vpc) == self.objects.vpc.as_ref());
        of_middle
            .filter_map(|subnet| subnet.v6_cidr().map(IpNet::V6))
            .collect()
    }
}

/// Keeps the kernels of the outside world and of the services from saying anything: the one knows
/// no address any more, the other's device is down.
fn silence(fabric: &Fabric) {
    netns::run_in(fabric.outside_netns(), || {
        sysctl::write("ipv6/conf/all/disable_ipv6", "1").unwrap();
    })
    .unwrap();
    for (netns, device) in [
        (fabric.outside_netns(), "lo"),
        (fabric.services_netns(), "services"),
    ] {
        let mut kernel = Socket::open_in(netns).unwrap();
        let device = link::by_name(&mut kernel, device).unwrap();
        kernel.run(&[link::set_up(device.index, false)]).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let errors = clean(&self.run);
        assert!(errors.is_empty() || std::thread::panicking(), "{errors:?}");
    }
}
