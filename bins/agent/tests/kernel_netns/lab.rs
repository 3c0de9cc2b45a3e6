//! A node with ENIs on a VPC that is a router with the source check of EC2.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Command,
    time::Duration,
};

use ipnet::IpNet;
use underlay_agent::kernel::{Kernel, KernelConfig};
use underlay_netlink::{
    IfIndex, Socket,
    address::{self, Address},
    link::{self, Veth, VethEnd},
    neighbour::{self, Neighbour},
    netns, nft,
    route::{self, Route},
    sysctl,
};
use underlay_netplan::{EniSlot, EniWiring, NodeFacts, PodWiring};
use underlay_types::{EniId, Families, Interface, Mac, PoolGroups};

/// The subnet's router, which every port has.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The node's own address, on its primary ENI.
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
/// A machine elsewhere in the VPC.
pub(crate) const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
/// The groups of the ENIs in slots 0 to 5.
pub(crate) const GROUPS: [&str; 6] = [
    "default",
    "default",
    "sg-0000000a",
    "sg-0000000a",
    "sg-0000000b",
    "default",
];
/// The open port of the node.
pub(crate) const OPEN_PORT: u16 = 5300;

/// What the VPC does: it drops what does not come from the port that its source is assigned to,
/// counts that, and notes which flows it saw.
const VPC_RULES: &str = "
table ip vpc {
  set assigned { type ifname . ipv4_addr; }
  set seen { type ifname . ipv4_addr . ipv4_addr; flags dynamic; size 65535; }
  counter strays { }
  chain pre {
    type filter hook prerouting priority raw;
    iifname . ip saddr != @assigned counter name strays drop
    add @seen { iifname . ip saddr . ip daddr }
  }
}
";

/// A node, its VPC and a machine elsewhere.
pub(crate) struct Lab {
    pub(crate) kernel: Kernel,
    pub(crate) node: OwnedFd,
    pub(crate) vpc: OwnedFd,
    pub(crate) remote: OwnedFd,
}

/// A pod and its namespace.
pub(crate) struct Pod {
    pub(crate) wiring: PodWiring,
    pub(crate) netns: OwnedFd,
}

pub(crate) fn inside<T: Send>(netns: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    netns::run_in(netns.as_fd(), work).unwrap()
}

fn groups(text: &str) -> PoolGroups {
    match text {
        "default" => PoolGroups::Default,
        set => PoolGroups::Exactly(set.parse().unwrap()),
    }
}

fn prefix(address: Ipv4Addr, length: u8) -> IpNet {
    IpNet::new(IpAddr::V4(address), length).unwrap()
}

pub(crate) fn slot(device: u8) -> EniSlot {
    EniSlot::new(0, device).unwrap()
}

pub(crate) fn eni_mac(device: u8) -> Mac {
    Mac([0x02, 0xee, 0, 0, 0, device])
}

pub(crate) fn eni(device: u8) -> EniWiring {
    EniWiring {
        slot: slot(device),
        eni: EniId::from_serial(u64::from(device)),
        mac: eni_mac(device),
        address: (device > 0).then(|| [10, 0, 0, 200 + device].into()),
        address_v6: None,
        subnet: "10.0.0.0/24".parse().unwrap(),
        families: Families::V4,
        groups: groups(GROUPS[usize::from(device)]),
        mtu: 9001,
    }
}

/// A fresh namespace with the strictest reverse-path filter that a distribution may set, and
/// without IPv6, whose addresses come and go by themselves.
pub(crate) fn quiet_netns() -> OwnedFd {
    let netns = netns::create().unwrap();
    inside(&netns, || {
        sysctl::write("ipv6/conf/all/disable_ipv6", "1").unwrap();
        sysctl::write("ipv6/conf/default/disable_ipv6", "1").unwrap();
        sysctl::write("ipv4/conf/all/rp_filter", "1").unwrap();
        sysctl::write("ipv4/conf/default/rp_filter", "1").unwrap();
    });
    let mut socket = Socket::open_in(netns.as_fd()).unwrap();
    let lo = link::by_name(&mut socket, "lo").unwrap().index;
    socket.run(&[link::set_up(lo, true)]).unwrap();
    netns
}

/// A port of the VPC with a device at its other end; returns the other end's index.
pub(crate) fn plug(vpc: &OwnedFd, port: &str, other: &OwnedFd, device: &str, mac: Mac) -> IfIndex {
    let mut socket = Socket::open_in(vpc.as_fd()).unwrap();
    let near = VethEnd {
        mtu: Some(9001),
        ..VethEnd::named(port)
    };
    let netns = Some(other.as_fd());
    let far = VethEnd {
        mac: Some(mac),
        mtu: Some(9001),
        netns,
        ..VethEnd::named(device)
    };
    socket
        .run(&[link::add_veth(&Veth {
            near,
            near_up: true,
            far,
        })])
        .unwrap();
    inside(vpc, || {
        // The VPC answers for every address, at once.
        sysctl::write(&format!("ipv4/conf/{port}/proxy_arp"), "1").unwrap();
        sysctl::write(&format!("ipv4/neigh/{port}/proxy_delay"), "0").unwrap();
    });
    let port = link::by_name(&mut socket, port).unwrap().index;
    socket
        .run(&[address::add(&Address::new(port, prefix(ROUTER, 32)))])
        .unwrap();
    let mut socket = Socket::open_in(other.as_fd()).unwrap();
    link::by_name(&mut socket, device).unwrap().index
}

/// Gives an address to a port, as EC2 does with an ENI.
pub(crate) fn assign(vpc: &OwnedFd, port: &str, mac: Mac, address: Ipv4Addr) {
    let mut socket = Socket::open_in(vpc.as_fd()).unwrap();
    let dev = link::by_name(&mut socket, port).unwrap().index;
    let neighbour = Neighbour::permanent(dev, IpAddr::V4(address), mac);
    let route = Route::direct(prefix(address, 32), dev, route::MAIN);
    socket
        .run(&[neighbour::set(&neighbour), route::replace(&route)])
        .unwrap();
    let script = format!("add element ip vpc assigned {{ \"{port}\" . {address} }}");
    inside(vpc, || nft::load(&script)).unwrap();
}

/// Gives a machine with one device its address and its way out.
fn boot(machine: &OwnedFd, dev: IfIndex, address: Ipv4Addr) {
    let mut socket = Socket::open_in(machine.as_fd()).unwrap();
    let everywhere = IpNet::V4(ipnet::Ipv4Net::default());
    let default = Route::via(everywhere, IpAddr::V4(ROUTER), dev, route::MAIN);
    socket
        .run(&[
            link::set_up(dev, true),
            address::add(&Address::new(dev, prefix(address, 24))),
            route::add(&default),
        ])
        .unwrap();
}

impl Lab {
    /// A node with the primary ENI and `enis` further ones attached, all in use.
    pub(crate) fn new(enis: u8) -> Self {
        let lab = Self::bare(enis);
        lab.start();
        lab
    }

    /// The same, with the kernel part not yet at work.
    pub(crate) fn bare(enis: u8) -> Self {
        let (vpc, node, remote) = (quiet_netns(), quiet_netns(), quiet_netns());
        inside(&vpc, || {
            sysctl::write("ipv4/ip_forward", "1").unwrap();
            sysctl::write("ipv4/conf/all/rp_filter", "0").unwrap();
            sysctl::write("ipv4/conf/default/rp_filter", "0").unwrap();
            sysctl::write("ipv4/conf/all/send_redirects", "0").unwrap();
            nft::load(VPC_RULES).unwrap();
        });
        for device in 0..=enis {
            let name = format!("ens{}", 5 + device);
            let port = format!("eni{device}");
            let index = plug(&vpc, &port, &node, &name, eni_mac(device));
            if device == 0 {
                boot(&node, index, NODE);
            }
            let own = eni(device).address.unwrap_or(NODE);
            assign(&vpc, &port, eni_mac(device), own);
        }
        let remote_mac = eni_mac(200);
        let index = plug(&vpc, "remote", &remote, "eth0", remote_mac);
        boot(&remote, index, REMOTE);
        assign(&vpc, "remote", remote_mac, REMOTE);
        let kernel = kernel_of(&node);
        Self {
            kernel,
            node,
            vpc,
            remote,
        }
    }

    /// Sets the node up and uses every attached ENI.
    pub(crate) fn start(&self) {
        self.start_with(&facts());
    }

    /// The same, with other facts.
    pub(crate) fn start_with(&self, facts: &NodeFacts) {
        self.kernel.setup_node(facts).unwrap();
        for device in 0..6 {
            match self.kernel.use_eni(&eni(device)) {
                Ok(()) => {}
                Err(failure) if failure.error.is_missing() => return,
                Err(failure) => panic!("{failure}"),
            }
        }
    }

    /// Leaves it to our rules alone to drop what new devices must not send.
    pub(crate) fn without_reverse_path_filter(&self) {
        inside(&self.node, || {
            sysctl::write("ipv4/conf/default/rp_filter", "0").unwrap()
        });
    }

    /// A pod with address 10.0.0.`last` of the ENI in slot `device`, not wired yet.
    pub(crate) fn unwired(&self, last: u8, device: u8) -> Pod {
        let wiring = wiring(last, device);
        assign(
            &self.vpc,
            &format!("eni{device}"),
            eni_mac(device),
            wiring.addresses.v4().unwrap(),
        );
        Pod {
            wiring,
            netns: quiet_netns(),
        }
    }

    /// The same, wired.
    pub(crate) fn pod(&self, last: u8, device: u8) -> Pod {
        let pod = self.unwired(last, device);
        self.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
        pod
    }

    /// Flows that crossed the VPC: port, source, destination.
    pub(crate) fn seen(&self, port: &str, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let set = command(&self.vpc, "nft list set ip vpc seen");
        set.contains(&format!("\"{port}\" . {source} . {destination}"))
    }

    /// Packets that came from a port that their source does not belong to.
    pub(crate) fn strays(&self) -> u64 {
        let counter = command(&self.vpc, "nft list counter ip vpc strays");
        let packets = counter.split("packets ").nth(1).unwrap();
        packets.split(' ').next().unwrap().parse().unwrap()
    }
}

impl Pod {
    pub(crate) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.wiring.addresses.v4().unwrap()
    }
}

pub(crate) fn kernel_of(node: &OwnedFd) -> Kernel {
    // The reaper works when the test says so.
    let config = KernelConfig {
        workers: 2,
        reap_after: Duration::from_secs(3600),
    };
    Kernel::new_in(node.try_clone().unwrap(), &config).unwrap()
}

pub(crate) fn facts() -> NodeFacts {
    NodeFacts {
        primary_device: "ens5".to_owned(),
        open_ports: vec![format!("tcp/{OPEN_PORT}").parse().unwrap()],
        families: Families::V4,
        pods_reach_metadata: false,
        snat: None,
        egress: None,
    }
}

pub(crate) fn wiring(last: u8, device: u8) -> PodWiring {
    PodWiring {
        key: underlay_types::LeaseKey {
            network: "underlay".parse().unwrap(),
            container: format!("c{last}").parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        addresses: Ipv4Addr::new(10, 0, 0, last).into(),
        egress: None,
        eni: slot(device),
        groups: groups(GROUPS[usize::from(device)]),
        mtu: 9001,
        interface: Interface::Shared,
        second_in: None,
        trunk: None,
    }
}

/// The output of a command inside a namespace.
pub(crate) fn command(netns: &OwnedFd, line: &str) -> String {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap();
    let words: Vec<_> = words.collect();
    let output = inside(netns, || {
        Command::new(program).args(&words).output().unwrap()
    });
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Everything in a namespace, except what comes and goes by itself.
pub(crate) fn dump(netns: &OwnedFd) -> Vec<String> {
    let lines = [
        "ip -d link show",
        "ip address show",
        "ip route show table all",
        "ip rule show",
        "ip neighbour show nud permanent",
        "nft list ruleset",
        "sysctl net.ipv4.ip_forward",
    ];
    let outputs = lines.map(|line| format!("# {line}\n{}", command(netns, line)));
    // The operational state follows the administrative one with a delay.
    let steady = |line: &str| {
        let line = line.replace("NO-CARRIER,", "").replace(",LOWER_UP", "");
        line.replace("state UP", "")
            .replace("state DOWN", "")
            .replace("state UNKNOWN", "")
    };
    outputs.concat().lines().map(steady).collect()
}

/// Fails with the lines that differ.
#[track_caller]
pub(crate) fn assert_same(found: &[String], wanted: &[String], when: &str) {
    let surplus: Vec<_> = found.iter().filter(|line| !wanted.contains(line)).collect();
    let missing: Vec<_> = wanted.iter().filter(|line| !found.contains(line)).collect();
    assert!(
        found == wanted,
        "{when}: unexpected {surplus:#?}, missing {missing:#?}"
    );
}
