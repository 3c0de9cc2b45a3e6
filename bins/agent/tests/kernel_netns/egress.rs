//! IPv4 for pods of IPv6 alone.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket},
    os::fd::OwnedFd,
    time::Duration,
};

use underlay_netplan::{Egress, EniWiring, NodeFacts, SourcePorts};
use underlay_types::{Families, PodAddresses};

use crate::{
    lab::{
        Lab, NODE, Pod, REMOTE, assert_same, assign, command, eni, eni_mac, facts, inside,
        kernel_of,
    },
    traffic::{DatagramClient, Server, answer_datagrams, connect, source_seen},
};

/// Somebody outside of the VPC.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// The instance metadata service.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

fn wanted() -> NodeFacts {
    NodeFacts {
        families: Families::V6,
        egress: Some(Egress {
            address: NODE,
            ports: SourcePorts::RandomFully,
        }),
        ..facts()
    }
}

fn eni_of_ipv6(device: u8) -> EniWiring {
    EniWiring {
        families: Families::V6,
        ..eni(device)
    }
}

fn start(lab: &Lab, facts: &NodeFacts) {
    lab.kernel.setup_node(facts).unwrap();
    for device in 0..=1 {
        lab.kernel.use_eni(&eni_of_ipv6(device)).unwrap();
    }
}

/// A node with two ENIs of the default set, and servers that answer at addresses elsewhere.
fn lab(facts: &NodeFacts) -> Lab {
    let lab = Lab::bare(1);
    start(&lab, facts);
    for address in [OUTSIDE, METADATA] {
        command(&lab.remote, &format!("ip address add {address}/32 dev lo"));
        assign(&lab.vpc, "remote", eni_mac(200), address);
    }
    for address in [REMOTE, OUTSIDE, METADATA] {
        Server::start(&lab.remote, address, 80);
        answer_datagrams(&lab.remote, address, 80);
    }
    lab
}

/// The address inside the node.
fn egress(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(169, 254, 172, last)
}

fn unwired(lab: &Lab, last: u8, device: u8) -> Pod {
    let mut pod = lab.unwired(last, device);
    let own = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 1, last.into());
    pod.wiring.addresses = PodAddresses::new(None, Some(own)).unwrap();
    pod.wiring.egress = Some(egress(last));
    pod
}

fn pod(lab: &Lab, last: u8, device: u8) -> Pod {
    let pod = unwired(lab, last, device);
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    pod
}

fn to(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, 80)
}

/// Who is seen by datagrams from `source`.
fn datagram_seen(from: &OwnedFd, source: Ipv4Addr, to: SocketAddrV4) -> Option<Ipv4Addr> {
    let seen = DatagramClient::new(from, source).source_seen(to);
    seen.map(|seen| *seen.ip())
}

#[test]
fn ipv4_destinations_see_the_node_whichever_eni_the_pod_is_on() {
    let lab = lab(&wanted());
    Server::start(&lab.node, NODE, 80);
    for device in [0, 1] {
        let pod = pod(&lab, 20 + device, device);
        for address in [OUTSIDE, REMOTE] {
            let mut connection = connect(&pod.netns, to(address)).unwrap();
            assert_eq!(connection.source, NODE, "slot {device} to {address}");
            assert!(connection.is_alive());
            let seen = datagram_seen(&pod.netns, egress(20 + device), to(address));
            assert_eq!(seen, Some(NODE), "slot {device} to {address}");
            assert!(lab.seen("eni0", NODE, address));
        }
        // The node is not outside.
        let seen = source_seen(&pod.netns, to(NODE));
        assert_eq!(seen, Some(egress(20 + device)));
    }
    assert_eq!(lab.strays(), 0);
}

#[test]
fn nobody_but_the_node_calls_a_pod_by_it() {
    let lab = lab(&wanted());
    let (one, two) = (pod(&lab, 21, 0), pod(&lab, 22, 1));
    Server::start(&two.netns, egress(22), 80);
    answer_datagrams(&two.netns, egress(22), 80);
    assert_eq!(source_seen(&lab.node, to(egress(22))), Some(NODE));
    assert_eq!(source_seen(&one.netns, to(egress(22))), None);
    assert_eq!(datagram_seen(&one.netns, egress(21), to(egress(22))), None);
    // Even where the VPC brings it.
    assign(&lab.vpc, "eni0", eni_mac(0), egress(22));
    assert_eq!(source_seen(&lab.remote, to(egress(22))), None);
    assert!(lab.seen("remote", REMOTE, egress(22)));
    // None of them is only not answered: the first that the pod hears is the node.
    let pod = inside(&two.netns, || UdpSocket::bind((egress(22), 81)).unwrap());
    let port = SocketAddrV4::new(egress(22), 81);
    assert_eq!(datagram_seen(&one.netns, egress(21), port), None);
    assert_eq!(datagram_seen(&lab.remote, REMOTE, port), None);
    let node = inside(&lab.node, || UdpSocket::bind((NODE, 0)).unwrap());
    node.send_to(b"x", port).unwrap();
    pod.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (_, first) = pod.recv_from(&mut [0]).unwrap();
    assert_eq!(first.ip(), NODE);
}

#[test]
fn an_address_of_another_pod_gets_nowhere() {
    let lab = lab(&wanted());
    lab.without_reverse_path_filter();
    let (liar, other) = (pod(&lab, 21, 0), pod(&lab, 22, 0));
    lab.kernel.unwire_pod(&other.wiring).unwrap();
    let seen = |last| datagram_seen(&liar.netns, egress(last), to(OUTSIDE));
    assert_eq!(seen(21), Some(NODE));
    command(
        &liar.netns,
        &format!("ip address add {}/32 dev eth0", egress(22)),
    );
    // Its answer would find its way.
    let device = liar.wiring.host_device();
    command(
        &lab.node,
        &format!("ip route add {} dev {device}", egress(22)),
    );
    assert_eq!(seen(22), None);
}

#[test]
fn the_metadata_service_is_kept_from_it_unless_allowed() {
    let lab = lab(&wanted());
    let pod = pod(&lab, 21, 1);
    assert_eq!(source_seen(&pod.netns, to(METADATA)), None);
    let allowing = NodeFacts {
        pods_reach_metadata: true,
        ..wanted()
    };
    lab.kernel.setup_node(&allowing).unwrap();
    assert_eq!(source_seen(&pod.netns, to(METADATA)), Some(NODE));
}

#[test]
fn turned_off_it_leads_nowhere() {
    let lab = lab(&wanted());
    let pod = pod(&lab, 21, 0);
    assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), Some(NODE));
    let off = NodeFacts {
        egress: None,
        ..wanted()
    };
    lab.kernel.setup_node(&off).unwrap();
    assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), None);
    assert!(!lab.seen("eni0", egress(21), REMOTE));
}

#[test]
fn check_names_what_is_lost_of_it_and_a_restart_puts_it_right() {
    let mut lab = lab(&wanted());
    let pod = pod(&lab, 21, 0);
    let (device, own) = (pod.wiring.host_device(), egress(21));
    let check = |lab: &Lab| lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap();
    assert_eq!(check(&lab), [""; 0]);
    command(&lab.node, &format!("ip route delete {own}"));
    command(
        &lab.node,
        &format!("nft delete element inet underlay pod-mark {{ {device} . {own} }}"),
    );
    command(&pod.netns, "ip route delete default");
    let of_node = [
        format!("missing: mark 0x100000 for {own} from {device}"),
        format!("missing: route {own}/32 dev {device} table 254"),
    ];
    let of_pod = "missing: route 0.0.0.0/0 via 169.254.1.1 in the pod".to_owned();
    assert_eq!(check(&lab), [&of_node[..], &[of_pod]].concat());
    command(&pod.netns, "ip route add default via 169.254.1.1 dev eth0");
    lab.kernel = kernel_of(&lab.node);
    start(&lab, &wanted());
    let restored = lab.kernel.restore(std::slice::from_ref(&pod.wiring));
    assert_eq!(restored.unwrap().repaired, of_node);
    assert_eq!(check(&lab), [""; 0]);
    assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), Some(NODE));
    command(&pod.netns, &format!("ip address delete {own}/32 dev eth0"));
    let lost = format!("missing: address {own}/32 in the pod");
    assert!(check(&lab).contains(&lost), "{:?}", check(&lab));
}

/// What there is of the node's for IPv4, and of both families in nftables.
fn all(lab: &Lab) -> Vec<String> {
    let lines = [
        "ip -4 route show table all",
        "ip rule show",
        "ip -4 neighbour show nud permanent",
        "nft list ruleset",
    ];
    let output = lines.map(|line| command(&lab.node, line)).concat();
    output.lines().map(str::to_owned).collect()
}

#[test]
fn a_pod_that_came_and_went_leaves_nothing() {
    let lab = lab(&wanted());
    let before = all(&lab);
    let pod = pod(&lab, 21, 1);
    let addresses: Vec<IpAddr> = pod.wiring.inside().collect();
    let main = command(&lab.node, "ip route show table main");
    assert!(addresses.contains(&egress(21).into()) && main.contains("169.254.172.21"));
    // No table that pods are routed by has it.
    let routes = command(&lab.node, "ip route show table all");
    let mut to_it = routes
        .lines()
        .filter(|line| line.contains("169.254.172.21"));
    assert!(to_it.all(|line| !line.contains(" table ")), "{routes}");
    lab.kernel.unwire_pod(&pod.wiring).unwrap();
    lab.kernel.reap().unwrap();
    assert_same(&all(&lab), &before, "after the pod");
}
