//! Services of Kubernetes on a node whose pods are on several ENIs.

use std::net::{Ipv4Addr, SocketAddrV4};

use underlay_policy::Compiled;

use crate::{
    kube_proxy::{self, Mode, PORT, Service},
    lab::{Lab, NODE, Pod, REMOTE, command, slot},
    traffic::{DatagramClient, Server, answer_datagrams, connect, source_seen},
};

/// A node with a pod on each of its ENIs, and a service in front of each pod.
struct Node {
    lab: Lab,
    backends: Vec<(Pod, Service)>,
}

impl Node {
    fn new(mode: Mode) -> Self {
        let lab = Lab::new(4);
        for group in ["sg-0000000a", "sg-0000000b"].map(|group| group.parse().unwrap()) {
            let nothing = Compiled::nothing();
            lab.kernel.set_policy(&group, &nothing).unwrap();
        }
        let backends = (0..=4).map(|device| {
            let pod = lab.pod(20 + device, device);
            Server::start(&pod.netns, pod.address(), PORT);
            answer_datagrams(&pod.netns, pod.address(), PORT);
            let backend = pod.address();
            let number = device + 1;
            (pod, Service { number, backend })
        });
        let backends: Vec<_> = backends.collect();
        let services: Vec<_> = backends.iter().map(|(_, service)| *service).collect();
        kube_proxy::install(&lab.node, mode, &services);
        Self { lab, backends }
    }

    /// Pods of different group sets, as a client and the service it asks.
    fn strangers(&self) -> impl Iterator<Item = (&Pod, &Pod, Service)> {
        self.pairs()
            .filter(|(client, server, _)| are_strangers(client, server))
    }

    /// All pods, as a client and the service of another that it asks.
    fn pairs(&self) -> impl Iterator<Item = (&Pod, &Pod, Service)> {
        let clients = self.backends.iter().map(|(client, _)| client);
        clients.flat_map(|client| {
            let others = self.backends.iter();
            let others = others.filter(|(server, _)| server.address() != client.address());
            others.map(move |(server, service)| (client, server, *service))
        })
    }

    /// The node's memory of connections to `service`.
    fn tracked(&self, protocol: &str, client: Ipv4Addr, port: u16) -> Vec<String> {
        let all = command(&self.lab.node, "cat /proc/net/nf_conntrack");
        let of_client = |line: &&str| {
            line.contains(protocol)
                && line.contains(&format!("src={client} "))
                && line.contains(&format!("port={port} "))
        };
        all.lines().filter(of_client).map(str::to_owned).collect()
    }
}

fn are_strangers(one: &Pod, other: &Pod) -> bool {
    one.wiring.groups != other.wiring.groups
}

/// The VPC's port of the pod's ENI.
fn port_of(pod: &Pod) -> String {
    let device = (0..=4).find(|device| slot(*device) == pod.wiring.eni);
    format!("eni{}", device.unwrap())
}

/// Connections between pods of different sets cross the VPC with the address and port of the client,
/// and conntrack keeps one entry for each: the second pass through the node does not count.
fn services_between_sets(mode: Mode) {
    let node = Node::new(mode);
    for (client, server, service) in node.strangers() {
        let way = format!("{mode:?}: {} to {}", client.address(), server.address());
        let mut connection =
            connect(&client.netns, service.cluster_ip()).unwrap_or_else(|| panic!("{way}"));
        assert_eq!(connection.source, client.address(), "{way}");
        assert_eq!(connection.source_port, connection.own_port(), "{way}");
        let tracked = node.tracked("tcp", client.address(), connection.own_port());
        assert_eq!(tracked.len(), 1, "{way}: {tracked:#?}");
        assert!(connection.is_alive(), "{way}");
        let lab = &node.lab;
        assert!(
            lab.seen(&port_of(client), client.address(), server.address()),
            "{way}"
        );
        assert!(
            lab.seen(&port_of(server), server.address(), client.address()),
            "{way}"
        );

        let datagrams = DatagramClient::new(&client.netns, client.address());
        let seen = datagrams.source_seen(service.cluster_ip());
        assert_eq!(seen, Some(datagrams.own), "{way}");
        let tracked = node.tracked("udp", client.address(), datagrams.own.port());
        assert_eq!(tracked.len(), 1, "{way}: {tracked:#?}");
    }
    assert_eq!(node.lab.strays(), 0);
}

#[test]
fn a_service_between_sets_meets_conntrack_once_with_nftables() {
    services_between_sets(Mode::Nftables);
}

#[test]
fn a_service_between_sets_meets_conntrack_once_with_iptables() {
    services_between_sets(Mode::Iptables);
}

/// From the same port to the service and to the pod behind it, in turn. Ports of the client may be
/// rewritten then, as on every node with kube-proxy.
#[test]
fn a_service_and_the_pod_behind_it_are_reached_from_one_port() {
    let node = Node::new(Mode::Nftables);
    for (client, server, service) in node.strangers() {
        let datagrams = DatagramClient::new(&client.netns, client.address());
        let direct = SocketAddrV4::new(server.address(), PORT);
        for to in [service.cluster_ip(), direct, service.cluster_ip(), direct] {
            let seen = datagrams.source_seen(to).map(|seen| *seen.ip());
            assert_eq!(seen, Some(client.address()), "{to}");
        }
    }
    assert_eq!(node.lab.strays(), 0);
}

/// Services of the pod's own set, its own service, and the node as the client: all on one node.
fn services_on_the_node(mode: Mode) {
    let node = Node::new(mode);
    for (pod, service) in &node.backends {
        let way = format!("{mode:?}: service of {}", pod.address());
        let seen = source_seen(&node.lab.node, service.cluster_ip());
        assert_eq!(seen, Some(NODE), "{way} from the node");
    }
    for (client, server, service) in node.pairs() {
        let is_default = client.wiring.groups == underlay_types::PoolGroups::Default;
        if !are_strangers(client, server) && is_default {
            let seen = source_seen(&client.netns, service.cluster_ip());
            assert_eq!(seen, Some(client.address()), "{mode:?}");
        }
    }
    let (pod, service) = &node.backends[1];
    let seen = source_seen(&pod.netns, service.cluster_ip());
    assert!(seen.is_some(), "{mode:?}: a pod that asks its own service");
    assert_eq!(node.lab.strays(), 0);
}

#[test]
fn services_are_reached_from_the_node_and_its_own_sets_with_nftables() {
    services_on_the_node(Mode::Nftables);
}

#[test]
fn services_are_reached_from_the_node_and_its_own_sets_with_iptables() {
    services_on_the_node(Mode::Iptables);
}

/// Node ports, from elsewhere in the VPC and from pods of the node itself.
fn node_ports(mode: Mode) {
    let node = Node::new(mode);
    for (pod, service) in &node.backends {
        let way = format!("{mode:?}: node port of {}", pod.address());
        let cluster = SocketAddrV4::new(NODE, service.node_port());
        assert!(source_seen(&node.lab.remote, cluster).is_some(), "{way}");
        let local = SocketAddrV4::new(NODE, service.local_node_port());
        assert_eq!(source_seen(&node.lab.remote, local), Some(REMOTE), "{way}");
    }
    for (client, server, service) in node.pairs() {
        let way = format!("{mode:?}: {} to {}", client.address(), server.address());
        let is_default = client.wiring.groups == underlay_types::PoolGroups::Default;
        if !is_default && !are_strangers(client, server) {
            continue;
        }
        for port in [service.node_port(), service.local_node_port()] {
            let to = SocketAddrV4::new(NODE, port);
            assert!(source_seen(&client.netns, to).is_some(), "{way} by {to}");
        }
    }
    assert_eq!(node.lab.strays(), 0);
}

#[test]
fn node_ports_lead_to_pods_on_every_eni_with_nftables() {
    node_ports(Mode::Nftables);
}

#[test]
fn node_ports_lead_to_pods_on_every_eni_with_iptables() {
    node_ports(Mode::Iptables);
}
