//! Where packets of pods go.

use std::net::{Ipv4Addr, SocketAddrV4};

use underlay_netlink::nft;

use crate::{
    lab::{Lab, NODE, REMOTE, command, inside},
    traffic::{Server, connect, source_seen},
};

#[test]
fn pods_of_the_default_set_talk_directly_on_whichever_eni() {
    let lab = Lab::new(1);
    let (one, two, three) = (lab.pod(21, 0), lab.pod(22, 1), lab.pod(23, 1));
    let pairs = [(&one, &two), (&two, &three), (&three, &one)];
    for (client, server) in pairs {
        let served = Server::start(&server.netns, server.address(), 80);
        assert_eq!(
            source_seen(&client.netns, served.address),
            Some(client.address())
        );
        for port in ["eni0", "eni1"] {
            assert!(!lab.seen(port, client.address(), server.address()));
        }
    }
}

#[test]
fn a_pods_packets_leave_by_the_eni_of_its_address() {
    let lab = Lab::new(5);
    let remote = Server::start(&lab.remote, REMOTE, 80);
    for device in 0..=5 {
        let pod = lab.pod(20 + device, device);
        let seen = source_seen(&pod.netns, remote.address);
        assert_eq!(seen, Some(pod.address()), "slot {device}");
        assert!(lab.seen(&format!("eni{device}"), pod.address(), REMOTE));
        let served = Server::start(&pod.netns, pod.address(), 80);
        assert_eq!(
            source_seen(&lab.remote, served.address),
            Some(REMOTE),
            "slot {device}"
        );
    }
    assert_eq!(lab.strays(), 0);
}

#[test]
fn node_and_default_pods_reach_each_other_directly() {
    let lab = Lab::new(1);
    let node = Server::start(&lab.node, NODE, 80);
    for device in [0, 1] {
        let pod = lab.pod(20 + device, device);
        let served = Server::start(&pod.netns, pod.address(), 80);
        assert_eq!(source_seen(&lab.node, served.address), Some(NODE));
        assert_eq!(source_seen(&pod.netns, node.address), Some(pod.address()));
    }
    assert_eq!(lab.strays(), 0);
}

#[test]
fn replies_of_a_host_port_leave_by_the_primary_eni() {
    let lab = Lab::new(2);
    for device in [0, 1, 2] {
        let pod = lab.pod(20 + device, device);
        Server::start(&pod.netns, pod.address(), 80);
        // What portmap and kube-proxy do with a port of the node.
        let port = 8000 + u16::from(device);
        let script = format!(
            "table ip portmap{device} {{ chain pre {{
               type nat hook prerouting priority dstnat;
               fib daddr type local tcp dport {port} dnat to {}:80;
             }}
             }}",
            pod.address()
        );
        inside(&lab.node, || nft::load(&script)).unwrap();
        let host_port = SocketAddrV4::new(NODE, port);
        assert_eq!(
            source_seen(&lab.remote, host_port),
            Some(REMOTE),
            "slot {device}"
        );
        // And the pod's own connections still leave by its own ENI.
        let remote = Server::start(&lab.remote, REMOTE, port);
        assert_eq!(source_seen(&pod.netns, remote.address), Some(pod.address()));
    }
    assert_eq!(lab.strays(), 0);
}

#[test]
fn a_pod_cannot_send_with_another_source() {
    let lab = Lab::new(1);
    lab.without_reverse_path_filter();
    let (pod, victim) = (lab.pod(21, 1), lab.pod(22, 1));
    let remote = Server::start(&lab.remote, REMOTE, 80);
    for foreign in [victim.address(), NODE, Ipv4Addr::new(10, 0, 0, 99)] {
        command(&pod.netns, &format!("ip address add {foreign}/32 dev eth0"));
        command(
            &pod.netns,
            &format!("ip route replace default via 169.254.1.1 src {foreign}"),
        );
        assert!(connect(&pod.netns, remote.address).is_none(), "{foreign}");
        assert!(!lab.seen("eni0", foreign, REMOTE) && !lab.seen("eni1", foreign, REMOTE));
    }
    assert_eq!(lab.strays(), 0);
}

#[test]
fn an_eni_that_comes_later_reaches_the_pods_of_its_set_directly() {
    let lab = Lab::bare(1);
    lab.kernel.setup_node(&crate::lab::facts()).unwrap();
    lab.kernel.use_eni(&crate::lab::eni(0)).unwrap();
    let early = lab.pod(21, 0);
    lab.kernel.use_eni(&crate::lab::eni(1)).unwrap();
    let late = lab.pod(22, 1);
    let served = Server::start(&early.netns, early.address(), 80);
    assert_eq!(
        source_seen(&late.netns, served.address),
        Some(late.address())
    );
    assert!(!lab.seen("eni1", late.address(), early.address()));
}

#[test]
fn what_comes_for_an_address_without_a_pod_is_not_sent_back() {
    let lab = Lab::new(2);
    for device in 0..=2 {
        let nobody = lab.unwired(20 + device, device).address();
        let to = SocketAddrV4::new(nobody, 80);
        assert!(connect(&lab.remote, to).is_none());
    }
    assert_eq!(lab.strays(), 0);
}
