//! Pods that own an ENI.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, TcpStream},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use underlay_netlink::{Socket, link};
use underlay_netplan::{PodWiring, names};
use underlay_types::{Interface, Mac, WholeEni};

use crate::{
    lab::{
        Lab, Pod, REMOTE, assert_same, command, dump, eni, eni_mac, facts, inside, kernel_of, plug,
        quiet_netns, wiring,
    },
    traffic::{Server, seen_in_time},
};

/// The ENI that pods own.
const DEVICE: u8 = 2;
/// Its primary address.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 202);

/// A node with an ENI for shared pods and one for a pod to own.
fn lab() -> Lab {
    let lab = Lab::bare(DEVICE);
    lab.kernel.setup_node(&facts()).unwrap();
    for device in 0..DEVICE {
        lab.kernel.use_eni(&eni(device)).unwrap();
    }
    lab.kernel.find_eni(mac()).unwrap();
    lab
}

fn mac() -> Mac {
    eni_mac(DEVICE)
}

fn owner() -> PodWiring {
    PodWiring {
        addresses: OWN.into(),
        interface: Interface::Whole(WholeEni {
            mac: mac(),
            subnet: "10.0.0.0/24".parse().unwrap(),
        }),
        ..wiring(202, DEVICE)
    }
}

fn unwired() -> Pod {
    Pod {
        wiring: owner(),
        netns: quiet_netns(),
    }
}

fn wired(lab: &Lab) -> Pod {
    let pod = unwired();
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    pod
}

fn take_back(lab: &Lab, pod: &Pod) {
    lab.kernel
        .unwire_pod_in(&pod.wiring, &[pod.netns()])
        .unwrap();
}

/// The ENI's device in a namespace.
fn device(netns: &OwnedFd) -> Option<link::Link> {
    let mut socket = Socket::open_in(netns.as_fd()).unwrap();
    link::by_mac(&mut socket, mac()).ok()
}

fn is_clean(lab: &Lab) -> bool {
    let found = device(&lab.node);
    let clean = |link: link::Link| {
        let addresses = command(&lab.node, &format!("ip -o address show dev {}", link.name));
        !link.up && link.name == names::returned_device(mac()) && addresses.is_empty()
    };
    found.is_some_and(clean) && !lab.kernel.pending_removal(&owner().key)
}

#[test]
fn a_pod_has_the_device_its_address_and_its_ethernet_address() {
    let lab = lab();
    let remote = Server::start(&lab.remote, REMOTE, 80);
    let pod = wired(&lab);
    assert_eq!(device(&lab.node), None);
    let inside = device(&pod.netns).unwrap();
    assert_eq!(
        (inside.name.as_str(), inside.mtu, inside.up),
        ("eth0", 9001, true)
    );
    assert_eq!(seen_in_time(&pod.netns, remote.address), Some(OWN));
    assert!(lab.seen("eni2", OWN, REMOTE));
    let served = Server::start(&pod.netns, OWN, 80);
    assert_eq!(seen_in_time(&lab.remote, served.address), Some(REMOTE));
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [""; 0]
    );
    // Nothing of it stands on the node: pods that share an ENI reach it through the VPC.
    let neighbour = lab.pod(21, 1);
    assert_eq!(
        seen_in_time(&neighbour.netns, served.address),
        Some(neighbour.address())
    );
    assert!(lab.seen("eni1", neighbour.address(), OWN));
    assert_eq!(lab.strays(), 0);
}

#[test]
fn a_pod_does_not_reach_the_metadata_service_unless_allowed() {
    let service = "169.254.169.254:80".parse().unwrap();
    let denied = lab();
    let pod = wired(&denied);
    let refused = inside(&pod.netns, || {
        TcpStream::connect_timeout(&service, Duration::from_secs(5)).unwrap_err()
    });
    assert_eq!(refused.kind(), ErrorKind::HostUnreachable, "{refused}");
    let allowed = lab();
    let reach = underlay_netplan::NodeFacts {
        pods_reach_metadata: true,
        ..facts()
    };
    allowed.kernel.setup_node(&reach).unwrap();
    let pod = wired(&allowed);
    let routes = command(&pod.netns, "ip route show");
    assert!(!routes.contains("169.254.169.254"), "{routes}");
}

#[test]
fn the_device_is_back_when_the_pod_goes_and_serves_the_next_one() {
    let lab = lab();
    let pod = wired(&lab);
    take_back(&lab, &pod);
    assert!(is_clean(&lab));
    assert_eq!(device(&pod.netns), None);
    let before = dump(&lab.node);
    for _ in 0..2 {
        // A second DEL finds nothing, and a pod may have the same namespace.
        take_back(&lab, &pod);
        assert!(is_clean(&lab));
        lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
        assert_eq!(
            lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
            [""; 0]
        );
        take_back(&lab, &pod);
        assert_same(&dump(&lab.node), &before, "after a pod");
    }
}

#[test]
fn wiring_again_goes_on_where_a_kill_ended_it() {
    let lab = lab();
    let pod = wired(&lab);
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    for half in [
        "ip link set eth0 down",
        "ip address flush dev eth0",
        "ip route flush table main",
        "ip link set eth0 down name lent0",
    ] {
        command(&pod.netns, half);
        // Whoever goes on may be another agent.
        let kernel = kernel_of(&lab.node);
        kernel.setup_node(&facts()).unwrap();
        kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
        assert_eq!(
            kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
            [""; 0],
            "{half}"
        );
    }
}

#[test]
fn a_pod_that_has_a_device_of_the_name_gets_no_eni() {
    let lab = lab();
    let pod = unwired();
    command(&pod.netns, "ip link add eth0 type veth peer name far0");
    let before = dump(&lab.node);
    let failure = lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap_err();
    assert!(
        failure.to_string().contains("another device of this name"),
        "{failure}"
    );
    assert!(failure.left.is_empty());
    assert_same(&dump(&lab.node), &before, "after a refusal");
}

#[test]
fn a_pod_that_did_as_it_liked_with_its_eni_loses_it_all_the_same() {
    let lab = lab();
    for mischief in [
        "ip link set eth0 down name renamed0",
        "ip link set eth0 address 02:00:00:00:00:99",
        // A device of the pod's own with the ENI's Ethernet address, and a lower index.
        "ip link add index 2 name decoy0 address 02:ee:00:00:00:02 type veth peer name far0 index 3",
        "ip link set eth0 mtu 1400",
        "ip address add 192.0.2.1/24 dev eth0",
    ] {
        let pod = wired(&lab);
        command(&pod.netns, mischief);
        take_back(&lab, &pod);
        assert!(is_clean(&lab), "{mischief}");
        let next = wired(&lab);
        assert_eq!(
            lab.kernel.check_pod(&next.wiring, next.netns()).unwrap(),
            [""; 0],
            "{mischief}"
        );
        take_back(&lab, &next);
    }
}

#[test]
fn an_eni_whose_namespace_died_is_waited_for() {
    let lab = lab();
    let pod = wired(&lab);
    let Pod { wiring, netns } = pod;
    // Nobody can open it any more.
    lab.kernel.unwire_pod(&wiring).unwrap();
    assert!(lab.kernel.pending_removal(&wiring.key));
    // A veth dies with the namespace; an ENI does not, and the VPC makes it again on the node.
    command(&netns, "ip link delete eth0");
    drop(netns);
    assert!(lab.kernel.pending_removal(&wiring.key));
    plug(&lab.vpc, "eni2", &lab.node, "ens7", mac());
    assert!(!lab.kernel.pending_removal(&wiring.key));
}

#[test]
fn check_tells_what_a_pod_has_lost() {
    for (damage, line) in [
        ("ip link set eth0 down", "missing: device eth0 "),
        ("ip link set eth0 mtu 1500", "missing: device eth0 "),
        (
            "ip address delete 10.0.0.202/24 dev eth0",
            "missing: address 10.0.0.202/24 in the pod",
        ),
        (
            "ip route delete default",
            "missing: route 0.0.0.0/0 via 10.0.0.1 in the pod",
        ),
        (
            "ip route delete unreachable 169.254.169.254",
            "missing: route 169.254.169.254/32 unreachable in the pod",
        ),
    ] {
        let lab = lab();
        let pod = wired(&lab);
        command(&pod.netns, damage);
        let found = lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap();
        assert!(
            found.iter().any(|found| found.starts_with(line)),
            "{damage}: {found:#?}"
        );
    }
    let lab = lab();
    let pod = wired(&lab);
    take_back(&lab, &pod);
    let found = lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap();
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("missing: device eth0 ")),
        "{found:#?}"
    );
}
