//! A second interface of one pod: it leaves the default routes to the first, and what has its address
//! leaves by it.

use std::{collections::BTreeMap, net::SocketAddrV4};

use underlay_types::Families;

use crate::{
    ipv6,
    lab::{Lab, NODE, Pod, REMOTE, command},
    traffic::{DatagramClient, Server, answer_datagrams, source_seen},
};

/// An interface of the container of `pod`, in its namespace; not wired yet.
fn beside(lab: &Lab, pod: &Pod, last: u8, device: u8) -> Pod {
    let Pod { mut wiring, .. } = lab.unwired(last, device);
    wiring.key.container = pod.wiring.key.container.clone();
    wiring.key.ifname = "net1".parse().unwrap();
    let netns = pod.netns.try_clone().unwrap();
    Pod { wiring, netns }
}

/// As the engine does it: what came of it is known from then on.
fn wire(lab: &Lab, mut pod: Pod) -> Pod {
    let socket = lab.kernel.socket_in(pod.netns()).unwrap();
    let wired = lab.kernel.wire_pod_by(&pod.wiring, pod.netns(), socket);
    pod.wiring.second_in = wired.unwrap();
    pod
}

fn check(lab: &Lab, pod: &Pod) -> Vec<String> {
    lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap()
}

fn defaults(pod: &Pod) -> String {
    command(&pod.netns, "ip route show default")
}

/// Both are reached and answer by the interface that they were reached by; what is bound to neither
/// address leaves by the first.
fn assert_both_work(lab: &Lab, first: &Pod, second: &Pod, port: u16) {
    let remote = Server::start(&lab.remote, REMOTE, port);
    answer_datagrams(&lab.remote, REMOTE, port);
    for pod in [first, second] {
        assert_eq!(check(lab, pod), [""; 0]);
        let server = Server::start(&pod.netns, pod.address(), port);
        assert_eq!(source_seen(&lab.remote, server.address), Some(REMOTE));
        assert_eq!(source_seen(&lab.node, server.address), Some(NODE));
        let client = DatagramClient::new(&pod.netns, pod.address());
        assert_eq!(client.source_seen(remote.address), Some(client.own));
    }
    let seen = source_seen(&first.netns, remote.address);
    assert_eq!(seen, Some(first.address()));
    // Neither sent anything by the other's ENI, nor did the node let it.
    assert_eq!(lab.strays(), 0);
}

#[test]
fn a_second_interface_is_reached_and_answers_by_itself() {
    let lab = Lab::new(2);
    let first = lab.pod(21, 1);
    let alone = defaults(&first);
    let second = wire(&lab, beside(&lab, &first, 22, 2));
    assert_eq!(second.wiring.second_in, Some(Families::V4));
    assert_eq!(defaults(&second), alone, "no second default route");
    assert_both_work(&lab, &first, &second, 80);
    // Wired once more it stays as it is.
    let again = wire(
        &lab,
        Pod {
            wiring: second.wiring.clone(),
            netns: second.netns.try_clone().unwrap(),
        },
    );
    assert_eq!(again.wiring, second.wiring);

    lab.kernel.unwire_pod(&second.wiring).unwrap();
    lab.kernel.reap().unwrap();
    assert_eq!(check(&lab, &first), [""; 0]);
    // Another address in the same namespace: the rule of the former leads nowhere.
    let next = wire(&lab, beside(&lab, &first, 23, 2));
    assert_both_work(&lab, &first, &next, 81);
}

#[test]
fn one_that_finds_no_default_route_has_it() {
    let lab = Lab::new(2);
    let first = lab.pod(21, 1);
    command(&first.netns, "ip route delete default");
    command(&first.netns, "ip route delete 169.254.1.1");
    let second = wire(&lab, beside(&lab, &first, 22, 2));
    assert_eq!(second.wiring.second_in, None);
    assert!(defaults(&second).contains("dev net1"));
    let remote = Server::start(&lab.remote, REMOTE, 80);
    assert_eq!(
        source_seen(&second.netns, remote.address),
        Some(second.address())
    );
}

#[test]
fn the_default_route_of_another_plugin_is_left_alone() {
    let lab = Lab::new(1);
    let pod = lab.unwired(21, 1);
    for line in [
        "ip link add other0 type veth peer name other1",
        "ip address add 192.0.2.2/24 dev other0",
        "ip link set other0 up",
        "ip route add default via 192.0.2.1",
    ] {
        command(&pod.netns, line);
    }
    let before = command(&pod.netns, "ip route show");
    let pod = wire(&lab, pod);
    assert_eq!(pod.wiring.second_in, Some(Families::V4));
    assert_eq!(command(&pod.netns, "ip route show"), before);
    assert_eq!(check(&lab, &pod), [""; 0]);
    answer_datagrams(&lab.remote, REMOTE, 80);
    let client = DatagramClient::new(&pod.netns, pod.address());
    assert_eq!(
        client.source_seen(SocketAddrV4::new(REMOTE, 80)),
        Some(client.own)
    );
}

#[test]
fn check_and_repair_know_a_second_interface() {
    let lab = Lab::new(2);
    let first = lab.pod(21, 1);
    let second = wire(&lab, beside(&lab, &first, 22, 2));
    for (damage, wanted) in [
        (
            "ip rule delete priority 7000",
            "missing: rule from 10.0.0.22 in the pod",
        ),
        (
            "ip route flush table all dev net1",
            "missing: route 0.0.0.0/0 via 169.254.1.1 in a table of its own in the pod",
        ),
        (
            "ip route append default dev net1 metric 9",
            "unexpected: route 0.0.0.0/0 in the pod",
        ),
    ] {
        command(&second.netns, damage);
        let found = check(&lab, &second);
        assert!(found.contains(&wanted.to_owned()), "{damage}: {found:#?}");
        // The runtime adds it anew, as after a CHECK that failed.
        lab.kernel.unwire_pod(&second.wiring).unwrap();
        lab.kernel.reap().unwrap();
        let again = Pod {
            wiring: second.wiring.clone(),
            netns: second.netns.try_clone().unwrap(),
        };
        assert_eq!(check(&lab, &wire(&lab, again)), [""; 0]);
    }
    let device = second.wiring.host_device();
    command(&lab.node, &format!("ip link delete {device}"));
    let netns = second.netns.try_clone().unwrap();
    let lost = BTreeMap::from([(second.wiring.key.clone(), netns)]);
    let done = lab.kernel.repair(lost).unwrap();
    assert_eq!(done.refused, [], "{done:#?}");
    assert_both_work(&lab, &first, &second, 80);
}

#[test]
fn the_families_of_a_second_interface_are_judged_one_by_one() {
    let lab = ipv6::lab();
    // With IPv4 alone.
    let first = lab.pod(21, 1);
    let mut second = beside(&lab, &first, 22, 0);
    let dual = ipv6::wiring_of_both(22, 0);
    second.wiring.addresses = dual.addresses;
    let second = wire(&lab, second);
    assert_eq!(second.wiring.second_in, Some(Families::V4));
    assert_eq!(check(&lab, &second), [""; 0]);
    let v6 = command(&second.netns, "ip -6 route show default");
    assert!(v6.contains("dev net1"), "{v6}");
    let mut third = beside(&lab, &first, 23, 0);
    third.wiring.addresses = ipv6::wiring_of_both(23, 0).addresses;
    third.wiring.key.ifname = "net2".parse().unwrap();
    let third = wire(&lab, third);
    assert_eq!(third.wiring.second_in, Some(Families::Dual));
    assert_eq!(check(&lab, &third), [""; 0]);
    assert_eq!(command(&second.netns, "ip -6 route show default"), v6);
    let own = third.wiring.addresses.v6().unwrap();
    ipv6::serve(&third.netns, (own, 80).into());
    let probe = ipv6::seen(&lab.node, (own, 80), ipv6::PATIENCE);
    assert_eq!(probe, Some(ipv6::NODE.into()));
}
