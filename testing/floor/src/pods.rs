//! The kernel objects of pods.

use std::{
    collections::HashMap,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, OwnedFd},
    thread,
};

use anyhow::Context as _;
use ipnet::IpNet;
use underlay_netlink::{
    IfIndex, Socket,
    address::{self, Address},
    link::{self, Veth, VethEnd},
    neighbour::{self, Neighbour},
    netns,
    nft::{self, Element, Nft, Value},
    route::{self, Route},
    sysctl,
};
use underlay_types::Mac;

const MTU: u32 = 9001;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The node's own address.
const NODE: Ipv4Addr = Ipv4Addr::new(10, 199, 0, 1);
/// The table of the group set: the floor has one.
const SET_TABLE: u32 = 71_024;
const MARK: u32 = 1 << 20;
const RETIRED_GROUP: u32 = 77;
/// Retired devices are deleted this many at a time: each deletion waits for RCU once.
const REAP_AT: usize = 64;
const NFT_TABLE: &str = "floor";
const NFT_MAP: &str = "pod-mark";
const RULESET: &str = "table inet floor {
    map pod-mark { type iface_index . ipv4_addr : mark; }
    chain prerouting {
        type filter hook prerouting priority mangle;
        meta mark set iif . ip saddr map @pod-mark
    }
}";

pub(crate) struct Pods {
    home: OwnedFd,
    socket: Socket,
    nft: Nft,
    wired: HashMap<String, Wired>,
    count: u32,
    retired: usize,
}

struct Wired {
    dev: IfIndex,
    address: Ipv4Addr,
}

impl Pods {
    /// Makes the namespace ready and opens the sockets.
    pub(crate) fn prepare() -> anyhow::Result<Self> {
        nft::load(RULESET)?;
        let mut socket = Socket::open()?;
        // A node has an address; without one the kernel looks at every device for each route.
        let own = Address::new(IfIndex(1), host_prefix(NODE));
        socket.run(&[link::set_up(IfIndex(1), true), address::add(&own)])?;
        Ok(Self {
            home: netns::current()?,
            socket,
            nft: Nft::open()?,
            wired: HashMap::new(),
            count: 0,
            retired: 0,
        })
    }

    pub(crate) fn add(&mut self, container: &str, pod: OwnedFd) -> anyhow::Result<String> {
        self.count += 1;
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 200, 0, 0)) + self.count);
        let name = format!("flr{:08x}", self.count);
        let (near_mac, far_mac) = (
            Mac::local(u64::from(self.count) * 2),
            Mac::local(u64::from(self.count) * 2 + 1),
        );
        let veth = Veth {
            near: VethEnd {
                mac: Some(near_mac),
                mtu: Some(MTU),
                ..VethEnd::named(&name)
            },
            near_up: false,
            far: VethEnd {
                mac: Some(far_mac),
                mtu: Some(MTU),
                netns: Some(pod.as_fd()),
                ..VethEnd::named("eth0")
            },
        };
        let made = link::create_veth(&mut self.socket, &veth)?;
        let dev = made.index;
        sysctl::write(&format!("ipv6/conf/{name}/disable_ipv6"), "1")?;
        self.socket.run(&[link::set_up(dev, true)])?;
        let eth0 = made.peer.context("a veth without its other end")?;
        self.wire_inside(&pod, eth0, address, near_mac)?;
        // Has the kernel notice the carrier.
        link::by_index(&mut self.socket, dev)?;
        let destination = host_prefix(address);
        let neighbour = Neighbour::permanent(dev, IpAddr::V4(address), far_mac);
        self.nft.add(&[element(dev, address)])?;
        self.socket.run(&[
            neighbour::set(&neighbour),
            route::replace(&Route::direct(destination, dev, SET_TABLE)),
            route::replace(&Route::direct(destination, dev, route::MAIN)),
        ])?;
        self.wired
            .insert(container.to_owned(), Wired { dev, address });
        Ok(format!(
            "{{\"cniVersion\":\"1.0.0\",\"ips\":[{{\"address\":\"{address}/32\",\"interface\":0}}],\
             \"interfaces\":[{{\"name\":\"eth0\",\"mac\":\"{far_mac}\"}}]}}\n"
        ))
    }

    fn wire_inside(
        &self,
        pod: &OwnedFd,
        eth0: IfIndex,
        address: Ipv4Addr,
        near_mac: Mac,
    ) -> anyhow::Result<()> {
        let visit = netns::Visit::enter(pod.as_fd(), self.home.as_fd())?;
        let mut inside = Socket::open()?;
        let gateway = IpAddr::V4(GATEWAY);
        inside.run(&[
            link::set_up(IfIndex(1), true),
            link::set_up(eth0, true),
            address::add(&Address::new(eth0, host_prefix(address))),
            route::add(&Route::direct(host_prefix(GATEWAY), eth0, route::MAIN)),
            route::add(&Route::via(IpNet::default(), gateway, eth0, route::MAIN)),
            neighbour::set(&Neighbour::permanent(eth0, gateway, near_mac)),
        ])?;
        drop(visit);
        Ok(())
    }

    /// Takes a pod off the network; its device is deleted with others, later.
    pub(crate) fn delete(&mut self, container: &str) -> anyhow::Result<String> {
        let Some(Wired { dev, address }) = self.wired.remove(container) else {
            return Ok("\n".to_owned());
        };
        let destination = host_prefix(address);
        let mac = Mac([0; 6]);
        self.socket.run(&[
            route::delete(&Route::direct(destination, dev, route::MAIN)),
            route::delete(&Route::direct(destination, dev, SET_TABLE)),
            neighbour::delete(&Neighbour::permanent(dev, IpAddr::V4(address), mac)),
        ])?;
        self.nft.delete(&[element(dev, address)])?;
        self.socket.run(&[link::set_group(dev, RETIRED_GROUP)])?;
        self.retired += 1;
        Ok("\n".to_owned())
    }

    /// Deletes retired devices when there are enough, next to the requests that follow.
    pub(crate) fn reap_sometimes(&mut self) {
        if self.retired >= REAP_AT {
            self.retired = 0;
            thread::spawn(reap);
        }
    }
}

/// Runs in the namespace of the thread that starts it.
fn reap() {
    let request = link::delete_group(RETIRED_GROUP).or_missing();
    let reaped = Socket::open().and_then(|mut socket| socket.run(&[request]));
    if let Err(error) = reaped {
        // Devices that stay go with their pods' namespaces.
        writeln!(io::stderr(), "underlay-floor: {error}").ok();
    }
}

fn host_prefix(address: Ipv4Addr) -> IpNet {
    IpNet::from(IpAddr::V4(address))
}

fn element(dev: IfIndex, address: Ipv4Addr) -> Element {
    let mut key = dev.0.to_ne_bytes().to_vec();
    key.extend_from_slice(&address.octets());
    Element {
        table: NFT_TABLE.to_owned(),
        set: NFT_MAP.to_owned(),
        key,
        value: Value::Number(MARK),
    }
}
