//! Pods with an address of each family.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    thread,
    time::Duration,
};

use underlay_netlink::sysctl;
use underlay_netplan::{EniWiring, NodeFacts, PodWiring};
use underlay_types::{Families, PodAddresses};

use crate::lab::{
    Lab, OPEN_PORT, Pod, assert_same, command, eni, facts, inside, kernel_of, wiring,
};

/// The node's own address.
pub(crate) const NODE: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 5);
/// How long a connection may take before it counts as refused by silence.
pub(crate) const SILENCE: Duration = Duration::from_millis(700);
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn both() -> NodeFacts {
    NodeFacts {
        families: Families::Dual,
        ..facts()
    }
}

fn eni_of_both(device: u8) -> EniWiring {
    EniWiring {
        families: Families::Dual,
        address_v6: (device > 0).then(|| own_of(device)),
        ..eni(device)
    }
}

/// The ENI's own.
fn own_of(device: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2600, 0, 0, 0, 0, device.into(), 0, 0)
}

pub(crate) fn address(last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 1, last.into())
}

pub(crate) fn wiring_of_both(last: u8, device: u8) -> PodWiring {
    let v4 = wiring(last, device).addresses.v4();
    PodWiring {
        addresses: PodAddresses::new(v4, Some(address(last))).unwrap(),
        ..wiring(last, device)
    }
}

fn start(lab: &Lab) {
    lab.kernel.setup_node(&both()).unwrap();
    for device in 0..=2 {
        lab.kernel.use_eni(&eni_of_both(device)).unwrap();
    }
}

/// A node with IPv6 and three ENIs; the last one carries an explicit set.
pub(crate) fn lab() -> Lab {
    let lab = Lab::bare(2);
    start(&lab);
    command(
        &lab.node,
        &format!("ip address add {NODE}/64 dev ens5 nodad"),
    );
    lab
}

pub(crate) fn pod(lab: &Lab, last: u8, device: u8) -> Pod {
    let mut pod = lab.unwired(last, device);
    pod.wiring = wiring_of_both(last, device);
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    pod
}

/// What there is of ours for IPv6, without what devices get by themselves.
pub(crate) fn dump(netns: &OwnedFd) -> Vec<String> {
    let lines = [
        "ip -6 rule show",
        "ip -6 route show table all",
        "ip -6 neighbour show nud permanent",
        "nft list map inet underlay pod-mark6",
    ];
    let output = lines.map(|line| command(netns, line)).concat();
    // Those of the local table come a while after their address.
    let own = ["fe80::", "ff00::", "table local"];
    let is_own = |line: &&str| own.iter().any(|word| line.contains(word));
    let ours = output.lines().filter(|line| !is_own(line));
    ours.map(str::to_owned).collect()
}

/// Serves in `netns`, and tells each client its address.
pub(crate) fn serve(netns: &OwnedFd, at: SocketAddr) {
    let listener = inside(netns, || TcpListener::bind(at).unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let seen = stream.peer_addr().unwrap().ip().to_string();
            // A client that has gone needs no answer.
            drop(stream.write_all(seen.as_bytes()));
        }
    });
}

/// The source address that the server at `to` sees; none if nothing came back.
pub(crate) fn seen(from: &OwnedFd, to: impl Into<SocketAddr>, wait: Duration) -> Option<IpAddr> {
    let to = to.into();
    let mut stream = inside(from, || TcpStream::connect_timeout(&to, wait)).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.parse().ok()
}

#[test]
fn a_pod_that_came_and_went_leaves_nothing_of_either_family() {
    let lab = lab();
    let before = dump(&lab.node);
    for device in 0..=2 {
        let pod = pod(&lab, 21, device);
        let differences = lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap();
        assert_eq!(differences, [""; 0]);
        assert_ne!(dump(&lab.node), before);
        lab.kernel.unwire_pod(&pod.wiring).unwrap();
        lab.kernel.reap().unwrap();
        if device == 2 {
            lab.kernel.drop_eni(&eni(2).eni).unwrap();
            lab.kernel.use_eni(&eni_of_both(2)).unwrap();
        }
        assert_same(&dump(&lab.node), &before, "after the pod");
    }
}

#[test]
fn pods_and_their_node_reach_each_other_with_their_own_addresses() {
    let lab = lab();
    let (one, two) = (pod(&lab, 21, 0), pod(&lab, 22, 1));
    serve(&two.netns, (address(22), 80).into());
    serve(&lab.node, (NODE, 80).into());
    let to_two = (address(22), 80);
    assert_eq!(seen(&one.netns, to_two, PATIENCE), Some(address(21).into()));
    assert_eq!(seen(&lab.node, to_two, PATIENCE), Some(NODE.into()));
    assert_eq!(
        seen(&one.netns, (NODE, 80), PATIENCE),
        Some(address(21).into())
    );
}

#[test]
fn a_source_that_is_not_the_pods_gets_nowhere() {
    let lab = lab();
    let (liar, two) = (pod(&lab, 21, 0), pod(&lab, 22, 0));
    serve(&two.netns, (address(22), 80).into());
    let to = (address(22), 80);
    assert!(seen(&liar.netns, to, PATIENCE).is_some());
    command(
        &liar.netns,
        &format!("ip address add {}/128 dev eth0 nodad", address(99)),
    );
    command(
        &liar.netns,
        &format!(
            "ip -6 route add {}/128 via fe80::1 dev eth0 src {}",
            address(22),
            address(99)
        ),
    );
    // The answer to a source that nobody has would be lost as well: it must find its way.
    command(
        &lab.node,
        &format!(
            "ip -6 route add {} dev {}",
            address(99),
            liar.wiring.host_device()
        ),
    );
    assert_eq!(seen(&liar.netns, to, SILENCE), None);
}

#[test]
fn a_pod_of_an_explicit_set_opens_no_connection_to_its_node_but_to_open_ports() {
    let lab = lab();
    let pod = pod(&lab, 21, 2);
    serve(&lab.node, (NODE, 80).into());
    serve(&lab.node, (NODE, OPEN_PORT).into());
    assert_eq!(seen(&pod.netns, (NODE, 80), SILENCE), None);
    assert_eq!(
        seen(&pod.netns, (NODE, OPEN_PORT), PATIENCE),
        Some(address(21).into())
    );
    // The node reaches the pod, for probes.
    serve(&pod.netns, (address(21), 80).into());
    assert_eq!(
        seen(&lab.node, (address(21), 80), PATIENCE),
        Some(NODE.into())
    );
}

#[test]
fn what_was_lost_of_ipv6_is_named_by_check_and_put_right_by_a_restart() {
    let mut lab = lab();
    let pod = pod(&lab, 21, 0);
    let device = pod.wiring.host_device();
    command(
        &lab.node,
        &format!("ip -6 route delete {} table 72048", address(21)),
    );
    command(&pod.netns, "ip -6 route delete default");
    let lost = format!(
        "missing: route {}/128 dev {device} table 72048",
        address(21)
    );
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [
            lost.clone(),
            "missing: route ::/0 via fe80::1 in the pod".to_owned()
        ]
    );
    command(
        &lab.node,
        "ip -6 rule delete priority 100120 fwmark 0x100000/0x7ffc0000",
    );
    command(&pod.netns, "ip -6 route add default via fe80::1 dev eth0");
    lab.kernel = kernel_of(&lab.node);
    start(&lab);
    let restored = lab
        .kernel
        .restore(std::slice::from_ref(&pod.wiring))
        .unwrap();
    assert!(restored.repaired.contains(&lost), "{:?}", restored.repaired);
    assert_eq!(restored.refused, []);
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [""; 0]
    );
}

#[test]
fn a_pod_without_ipv4_is_wired_by_ipv6_alone() {
    let lab = lab();
    let mut alone = lab.unwired(21, 0);
    alone.wiring.addresses = PodAddresses::new(None, Some(address(21))).unwrap();
    lab.kernel.wire_pod(&alone.wiring, alone.netns()).unwrap();
    assert_eq!(
        lab.kernel.check_pod(&alone.wiring, alone.netns()).unwrap(),
        [""; 0]
    );
    let v4 = command(&alone.netns, "ip -4 address show dev eth0");
    assert_eq!(v4, "");
    serve(&alone.netns, (address(21), 80).into());
    assert_eq!(
        seen(&lab.node, (address(21), 80), PATIENCE),
        Some(NODE.into())
    );
}

/// As kube-proxy does it for a node port of another node: what a pod sends goes out by its ENI.
#[test]
fn what_is_masqueraded_by_an_eni_has_an_address_of_it() {
    let lab = lab();
    let source = |device: &str| {
        let line = format!("ip -6 -o route get 2600:0:0:9::1 oif {device} mark 0x200000");
        let found = command(&lab.node, &line);
        found
            .split(" src ")
            .nth(1)
            .map(|rest| rest.split(' ').next().unwrap().to_owned())
    };
    assert_eq!(source("ens6"), Some(own_of(1).to_string()));
    // The node's own packets to its pods have the node's address, on that ENI too.
    let pod = pod(&lab, 21, 1);
    let to_pod = command(&lab.node, &format!("ip -6 -o route get {}", address(21)));
    assert!(to_pod.contains(&format!(" src {NODE} ")), "{to_pod}");
    drop(pod);
}

#[test]
fn the_nodes_end_of_a_pod_without_ipv6_takes_no_part_in_it() {
    let lab = lab();
    command(
        &lab.node,
        "sysctl -q -w net.ipv6.conf.default.disable_ipv6=0",
    );
    let off = |pod: &Pod| {
        let name = format!("ipv6/conf/{}/disable_ipv6", pod.wiring.host_device());
        inside(&lab.node, || sysctl::read(&name).unwrap())
    };
    let routes = |pod: &Pod| {
        let device = pod.wiring.host_device();
        let line = format!("ip -6 route show table all dev {device}");
        command(&lab.node, &line)
    };

    let alone = lab.pod(10, 0);
    assert_eq!(off(&alone), "1");
    assert_eq!(routes(&alone), "");

    let both = pod(&lab, 11, 0);
    assert_eq!(off(&both), "0");
    assert!(routes(&both).contains(&address(11).to_string()));
}
