//! Group sets on pods of one node.

use std::net::SocketAddrV4;

use underlay_policy::{Compiled, Direction, Peer, Rule, Traffic};
use underlay_types::SecurityGroupSet;

use crate::{
    lab::{GROUPS, Lab, NODE, OPEN_PORT, Pod},
    traffic::{Server, connect, source_seen},
};

pub(crate) fn set(device: usize) -> SecurityGroupSet {
    GROUPS[device].parse().unwrap()
}

/// Egress to anywhere, ingress from the set itself to `port`.
pub(crate) fn rules(set: &SecurityGroupSet, port: i32) -> Compiled {
    let everywhere = Rule {
        direction: Direction::Egress,
        traffic: Traffic::Any,
        peer: Peer::Cidr("0.0.0.0/0".parse().unwrap()),
    };
    let from_itself = Rule {
        direction: Direction::Ingress,
        traffic: Traffic::from_ec2("tcp", Some(port), Some(port)).unwrap(),
        peer: Peer::Group(set.as_slice()[0].clone()),
    };
    Compiled::new(&[everywhere, from_itself], set)
}

fn serve(pod: &Pod, port: u16) -> SocketAddrV4 {
    Server::start(&pod.netns, pod.address(), port).address
}

#[test]
fn pods_of_one_explicit_set_meet_directly_under_the_sets_rules() {
    let lab = Lab::new(3);
    let (client, server) = (lab.pod(21, 2), lab.pod(22, 3));
    let (allowed, other) = (serve(&server, 80), serve(&server, 81));
    assert!(
        connect(&client.netns, allowed).is_none(),
        "unknown rules allow nothing"
    );

    lab.kernel.set_policy(&set(2), &rules(&set(2), 80)).unwrap();
    let mut established = connect(&client.netns, allowed).unwrap();
    assert_eq!(established.source, client.address());
    assert!(connect(&client.netns, other).is_none());

    lab.kernel
        .set_policy(&set(2), &Compiled::nothing())
        .unwrap();
    assert!(
        connect(&client.netns, allowed).is_none(),
        "a new connection after the revoke"
    );
    assert!(established.is_alive(), "an established one lives on");

    lab.kernel.set_policy(&set(2), &rules(&set(2), 81)).unwrap();
    assert_eq!(source_seen(&client.netns, other), Some(client.address()));
    for port in ["eni2", "eni3"] {
        assert!(!lab.seen(port, client.address(), server.address()));
    }
}

#[test]
fn pods_of_different_sets_meet_in_the_vpc() {
    let lab = Lab::new(4);
    let pods = [lab.pod(21, 1), lab.pod(22, 2), lab.pod(23, 4)];
    for server in &pods {
        let served = serve(server, 80);
        for client in pods.iter().filter(|pod| pod.address() != server.address()) {
            assert_eq!(source_seen(&client.netns, served), Some(client.address()));
            let port = format!("eni{}", client.wiring.eni);
            assert!(lab.seen(&port, client.address(), server.address()));
        }
    }
    assert_eq!(lab.strays(), 0);
}

#[test]
fn a_pod_of_an_explicit_set_reaches_only_open_ports_of_its_node() {
    let lab = Lab::new(2);
    let pod = lab.pod(21, 2);
    let closed = Server::start(&lab.node, NODE, 80);
    let open = Server::start(&lab.node, NODE, OPEN_PORT);
    assert!(connect(&pod.netns, closed.address).is_none());
    assert_eq!(source_seen(&pod.netns, open.address), Some(pod.address()));
    let served = serve(&pod, 80);
    assert_eq!(
        source_seen(&lab.node, served),
        Some(NODE),
        "the node reaches its pods"
    );
}
