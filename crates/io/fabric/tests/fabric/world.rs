//! A VPC with two subnets, and instances that are namespaces.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use underlay_fabric::{
    Fabric, FabricNames, FabricSizes, FabricStore, GroupRules, LoadedPrograms, Peer, PortConfig,
    Protocol, Route, RouteTarget, Rule, Subnet, TrackingAllowance, TrackingTimeouts,
};
use underlay_netlink::{
    Socket,
    address::{self, Address},
    link, netns,
    route::{self, Route as KernelRoute},
};
use underlay_types::{EniId, Mac, NetworkAclId, RouteTableId, SecurityGroupId};

static WORLDS: AtomicU64 = AtomicU64::new(0);

/// 10.0.1.0/24.
pub(crate) const A: &str = "subnet-0000000a";
/// 10.0.2.0/24.
pub(crate) const B: &str = "subnet-0000000b";
/// 10.9.1.0/24, of another VPC.
pub(crate) const C: &str = "subnet-0000000c";
/// Allows everything both ways.
pub(crate) const OPEN: &str = "sg-000000aa";

pub(crate) fn group(text: &str) -> SecurityGroupId {
    text.parse().unwrap()
}

pub(crate) fn block(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn eni(serial: u64) -> EniId {
    EniId::from_serial(serial)
}

pub(crate) fn route_table() -> RouteTableId {
    "rtb-00000001".parse().unwrap()
}

pub(crate) fn anywhere() -> Peer {
    Peer::Cidr(block("0.0.0.0/0"))
}

pub(crate) fn allow(protocol: Protocol, peer: Peer) -> Rule {
    Rule { protocol, peer }
}

/// An instance with one ENI.
pub(crate) struct Instance {
    name: String,
    netns: OwnedFd,
    pub(crate) port: PortConfig,
    pub(crate) device: String,
}

impl Drop for Instance {
    fn drop(&mut self) {
        netns::remove_named(&self.name).unwrap();
    }
}

pub(crate) struct World {
    instances: BTreeMap<&'static str, Instance>,
    pub(crate) fabric: Fabric,
    prefix: String,
    serial: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|programs| programs)
    }

    /// A world whose fabric is kept in `store`.
    pub(crate) fn kept(store: &FabricStore) -> Self {
        Self::with(|programs| store.keep(programs).unwrap())
    }

    fn with(keep: impl FnOnce(LoadedPrograms) -> LoadedPrograms) -> Self {
        let serial = WORLDS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("fabtest-{}-{serial}", std::process::id());
        let names = FabricNames {
            fabric: format!("{prefix}-fabric"),
            services: format!("{prefix}-services"),
            outside: format!("{prefix}-world"),
        };
        let sizes = FabricSizes {
            tracked_flows: 16_384,
            flow_records: 4096,
        };
        let programs = keep(LoadedPrograms::load(&sizes).unwrap());
        let fabric = Fabric::create(programs, names).unwrap();
        let mut world = Self {
            instances: BTreeMap::new(),
            fabric,
            prefix,
            serial: 0,
        };
        world.say();
        world
    }

    /// Another process's fabric in the place of this one, which is told everything but the
    /// instances in `without`.
    pub(crate) fn resume(&mut self, store: &FabricStore, without: &[&str]) {
        let names = FabricNames {
            fabric: format!("{}-fabric", self.prefix),
            services: format!("{}-services", self.prefix),
            outside: format!("{}-world", self.prefix),
        };
        let fabric = Fabric::resume(store.load().unwrap(), names).unwrap();
        self.fabric.stay(true);
        self.fabric = fabric;
        self.say();
        for (name, instance) in &self.instances {
            if !without.contains(name) {
                let (port, path) = (instance.port.clone(), instance.path());
                self.fabric.add_port(port, &path, 0).unwrap();
            }
        }
        self.fabric.finish_resume().unwrap();
        self.fabric.stay(false);
    }

    /// Sets subnets, routes and a group.
    fn say(&mut self) {
        for id in [A, B] {
            self.subnet_acl(id, None);
        }
        self.routes(&[]);
        let everyone = ["0.0.0.0/0", "::/0"].map(|text| Peer::Cidr(block(text)));
        let all = everyone.map(|every| allow(Protocol::Any, every)).to_vec();
        self.rules(OPEN, all.clone(), all);
    }

    /// Sets a subnet with this network ACL.
    pub(crate) fn subnet_acl(&mut self, id: &str, acl: Option<NetworkAclId>) {
        let blocks = match id {
            A => ["10.0.1.0/24", "2001:db8:0:1::/64"],
            _ => ["10.0.2.0/24", "2001:db8:0:2::/64"],
        };
        let subnet = Subnet {
            vpc: "vpc-00000001".parse().unwrap(),
            blocks: blocks.map(block).to_vec(),
            route_table: route_table(),
            acl,
            resolver: None,
        };
        self.fabric
            .set_subnet(&id.parse().unwrap(), subnet)
            .unwrap();
    }

    /// Sets the routes beside `local`.
    pub(crate) fn routes(&mut self, others: &[Route]) {
        let own = ["10.0.0.0/16", "2001:db8::/56"].map(block);
        let mut routes = own.map(|own| Route::new(own, RouteTarget::Local)).to_vec();
        routes.extend_from_slice(others);
        self.fabric.set_routes(&route_table(), &routes).unwrap();
    }

    pub(crate) fn rules(&mut self, id: &str, ingress: Vec<Rule>, egress: Vec<Rule>) {
        self.fabric
            .set_group(&group(id), &GroupRules { ingress, egress })
            .unwrap();
    }

    /// An instance whose ENI has `address` and `groups`, configured as DHCP would.
    pub(crate) fn instance(&mut self, name: &'static str, address: &str, groups: &[&str]) -> EniId {
        self.serial += 1;
        let address = ip(address);
        let subnet = match address {
            _ if block("10.0.1.0/24").contains(&address) => A,
            _ if block("10.9.1.0/24").contains(&address) => C,
            _ => B,
        };
        let port = PortConfig {
            eni: eni(self.serial),
            mac: Mac::local(self.serial),
            subnet: subnet.parse().unwrap(),
            addresses: vec![address],
            prefixes: Vec::new(),
            source_dest_check: true,
            groups: groups.iter().map(|text| group(text)).collect(),
            timeouts: TrackingTimeouts::default(),
            allowance: TrackingAllowance::default(),
        };
        let netns_name = format!("{}-{name}", self.prefix);
        let netns = netns::create_named(&netns_name).unwrap();
        let mut instance = Instance {
            name: netns_name,
            netns,
            port: port.clone(),
            device: String::new(),
        };
        instance.device = self.fabric.add_port(port, &instance.path(), 0).unwrap();
        instance.configure(address);
        let id = instance.port.eni.clone();
        self.instances.insert(name, instance);
        id
    }

    /// Changes an instance's ENI.
    pub(crate) fn update(&mut self, name: &str, change: impl FnOnce(&mut PortConfig)) {
        let instance = self.instances.get_mut(name).unwrap();
        change(&mut instance.port);
        self.fabric.update_port(instance.port.clone()).unwrap();
    }

    pub(crate) fn at(&self, name: &str) -> &Instance {
        &self.instances[name]
    }

    /// Removes an instance's namespace.
    pub(crate) fn destroy(&mut self, name: &str) {
        self.instances.remove(name).unwrap();
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counters = self.fabric.counters().unwrap();
        counters
            .iter()
            .find(|(counter, _)| *counter == name)
            .unwrap()
            .1
    }
}

impl Instance {
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(netns::DIRECTORY).join(&self.name)
    }

    pub(crate) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    pub(crate) fn socket(&self) -> Socket {
        Socket::open_in(self.netns()).unwrap()
    }

    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::run_in(self.netns(), work).unwrap()
    }

    /// Sets the device up with `address` and a default route by the subnet's router.
    pub(crate) fn configure(&self, address: IpAddr) {
        let mut socket = self.socket();
        let lo = link::by_name(&mut socket, "lo").unwrap().index;
        let dev = link::by_name(&mut socket, &self.device).unwrap().index;
        let cidr = IpNet::new(address, 24).unwrap();
        let router = cidr.hosts().next().unwrap();
        let default = KernelRoute::via("0.0.0.0/0".parse().unwrap(), router, dev, route::MAIN);
        socket
            .run(&[
                link::set_up(lo, true),
                link::set_up(dev, true),
                address::add(&Address::new(dev, cidr)),
                route::add(&default),
            ])
            .unwrap();
    }

    /// Adds an IPv6 address, and a default route by the router.
    pub(crate) fn configure_v6(&self, address: IpAddr) {
        let mut socket = self.socket();
        let dev = link::by_name(&mut socket, &self.device).unwrap().index;
        let cidr = IpNet::new(address, 64).unwrap();
        let default = KernelRoute::via(block("::/0"), ip("fe80:ec2::1"), dev, route::MAIN);
        socket
            .run(&[
                address::add(&Address::new(dev, cidr)),
                route::add(&default.without_onlink()),
            ])
            .unwrap();
        // Until its link is up the kernel takes no advertisement; then it has a link-local address.
        let deadline = Instant::now() + Duration::from_secs(10);
        let link_local = block("fe80::/10");
        while !address::dump(&mut socket)
            .unwrap()
            .iter()
            .any(|address| address.dev == dev && link_local.contains(&address.address))
        {
            assert!(Instant::now() < deadline, "the device does not come up");
            std::thread::yield_now();
        }
    }

    /// The routes that the kernel made of the router's advertisement.
    pub(crate) fn advertised_routes(&self) -> String {
        let path = format!("--net={}", self.path().display());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let output = Command::new("nsenter")
                .args([&path, "ip", "-6", "route", "show", "proto", "ra"])
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            if !text.is_empty() {
                return text;
            }
            assert!(Instant::now() < deadline, "the kernel heard no router");
            std::thread::yield_now();
        }
    }

    /// Adds a further address to the device.
    pub(crate) fn add_address(&self, address: &str) {
        let mut socket = self.socket();
        let dev = link::by_name(&mut socket, &self.device).unwrap().index;
        let net = IpNet::from(ip(address));
        socket
            .run(&[address::add(&Address::new(dev, net))])
            .unwrap();
    }
}
