//! What pods send to outside of the VPC, and to its metadata service.

use std::net::{Ipv4Addr, SocketAddrV4};

use underlay_netplan::{NodeFacts, Snat, SourcePorts};

use crate::{
    kube_proxy::{self, Mode, Service},
    lab::{Lab, NODE, REMOTE, assign, command, eni_mac, facts},
    traffic::{Connection, DatagramClient, Server, answer_datagrams, connect, source_seen},
};

/// Somebody outside of the VPC.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// Somebody outside of it who is to see the pods' own addresses.
const EXCLUDED: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 7);
/// The instance metadata service.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

fn translating(ports: SourcePorts) -> NodeFacts {
    let kept = ["10.0.0.0/24", "192.168.0.0/16"];
    NodeFacts {
        snat: Some(Snat {
            address: NODE,
            ports,
            kept: kept.map(|block| block.parse().unwrap()).to_vec(),
        }),
        ..facts()
    }
}

/// A node with three ENIs, and servers that answer at addresses elsewhere.
fn lab(facts: &NodeFacts) -> Lab {
    let lab = Lab::bare(2);
    lab.start_with(facts);
    for address in [OUTSIDE, EXCLUDED, METADATA] {
        command(&lab.remote, &format!("ip address add {address}/32 dev lo"));
        assign(&lab.vpc, "remote", eni_mac(200), address);
    }
    for address in [REMOTE, OUTSIDE, EXCLUDED, METADATA] {
        Server::start(&lab.remote, address, 80);
        answer_datagrams(&lab.remote, address, 80);
    }
    lab
}

fn to(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, 80)
}

#[test]
fn only_what_leaves_the_vpc_has_the_nodes_address() {
    let lab = lab(&translating(SourcePorts::RandomFully));
    for device in [0, 1] {
        let pod = lab.pod(20 + device, device);
        for (address, source) in [
            (OUTSIDE, NODE),
            (EXCLUDED, pod.address()),
            (REMOTE, pod.address()),
        ] {
            let mut connection = connect(&pod.netns, to(address)).unwrap();
            assert_eq!(connection.source, source, "slot {device} to {address}");
            assert!(connection.is_alive());
            let datagrams = DatagramClient::new(&pod.netns, pod.address());
            let seen = datagrams.source_seen(to(address)).map(|seen| *seen.ip());
            assert_eq!(seen, Some(source), "slot {device} to {address}");
        }
        assert!(lab.seen("eni0", NODE, OUTSIDE));
    }
    assert_eq!(lab.strays(), 0);
}

#[test]
fn a_pod_with_its_own_groups_keeps_its_address_and_its_eni() {
    let lab = lab(&translating(SourcePorts::RandomFully));
    let pod = lab.pod(22, 2);
    assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), Some(pod.address()));
    assert!(lab.seen("eni2", pod.address(), OUTSIDE));
    assert_eq!(lab.strays(), 0);
}

#[test]
fn nothing_is_translated_unless_asked_for() {
    let lab = lab(&facts());
    for device in 0..=2 {
        let pod = lab.pod(20 + device, device);
        assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), Some(pod.address()));
    }
    // Turned on, and off again, by agents that follow each other.
    let pod = lab.pod(30, 1);
    lab.kernel
        .setup_node(&translating(SourcePorts::RandomFully))
        .unwrap();
    assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), Some(NODE));
    lab.kernel.setup_node(&facts()).unwrap();
    assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), Some(pod.address()));
    assert_eq!(lab.strays(), 0);
}

#[test]
fn a_new_block_of_the_vpc_spares_connections_under_way() {
    let lab = lab(&translating(SourcePorts::RandomFully));
    let pod = lab.pod(21, 1);
    let mut translated = connect(&pod.netns, to(OUTSIDE)).unwrap();
    assert_eq!(translated.source, NODE);
    let kept = ["10.0.0.0/24", "203.0.113.0/24"].map(|block| block.parse().unwrap());
    lab.kernel.keep_source_towards(&kept).unwrap();
    let mut direct = connect(&pod.netns, to(OUTSIDE)).unwrap();
    assert_eq!(direct.source, pod.address());
    lab.kernel.keep_source_towards(&kept[..1]).unwrap();
    assert!(translated.is_alive() && direct.is_alive());
    assert_eq!(source_seen(&pod.netns, to(OUTSIDE)), Some(NODE));
    assert_eq!(lab.strays(), 0);
}

#[test]
fn where_a_service_really_leads_decides() {
    for mode in [Mode::Nftables, Mode::Iptables] {
        let lab = lab(&translating(SourcePorts::RandomFully));
        let pod = lab.pod(21, 1);
        let services = [(1, OUTSIDE), (2, REMOTE)];
        let services = services.map(|(number, backend)| Service { number, backend });
        kube_proxy::install(&lab.node, mode, &services);
        for (service, source) in services.into_iter().zip([NODE, pod.address()]) {
            let seen = source_seen(&pod.netns, service.cluster_ip());
            assert_eq!(seen, Some(source), "{mode:?}: to {}", service.backend);
        }
        assert_eq!(lab.strays(), 0);
    }
}

#[test]
fn ports_are_kept_where_asked_for() {
    let own = |connection: &Connection| connection.source_port == connection.own_port();
    let kept = lab(&translating(SourcePorts::Keep));
    let pod = kept.pod(21, 1);
    let connection = connect(&pod.netns, to(OUTSIDE)).unwrap();
    assert!(connection.source == NODE && own(&connection));
    // By chance a random port may be the pod's own, but not each time.
    let random = lab(&translating(SourcePorts::RandomFully));
    let pod = random.pod(21, 1);
    let connections: Vec<_> = (0..4)
        .map(|_| connect(&pod.netns, to(OUTSIDE)).unwrap())
        .collect();
    assert!(!connections.iter().all(own));
}

#[test]
fn the_metadata_service_is_the_nodes_alone_unless_allowed() {
    let denying = translating(SourcePorts::RandomFully);
    let allowing = NodeFacts {
        pods_reach_metadata: true,
        ..denying.clone()
    };
    let lab = lab(&denying);
    let pods = [0, 1, 2].map(|device| lab.pod(20 + device, device));
    assert_eq!(source_seen(&lab.node, to(METADATA)), Some(NODE));
    for pod in &pods {
        assert_eq!(source_seen(&pod.netns, to(METADATA)), None);
    }
    // A detour by a Service leads nowhere either.
    let service = Service {
        number: 1,
        backend: METADATA,
    };
    kube_proxy::install(&lab.node, Mode::Nftables, &[service]);
    assert_eq!(source_seen(&pods[1].netns, service.cluster_ip()), None);
    lab.kernel.setup_node(&allowing).unwrap();
    for pod in &pods {
        assert_eq!(
            source_seen(&pod.netns, to(METADATA)),
            Some(pod.address()),
            "each ENI has the service of its own"
        );
    }
    assert_eq!(lab.strays(), 0);
}
