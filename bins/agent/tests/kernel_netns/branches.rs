//! Pods on branch ENIs, as far as the node goes: the VPC of these tests knows no tags. What crosses it is
//! tried end to end, against the local VPC.

use std::net::{Ipv4Addr, Ipv6Addr};

use underlay_netplan::{EniSlot, PodWiring, trunk::TrunkWiring};
use underlay_types::{BranchEni, BranchIpv4, Enforcement, EniId, Families, Interface, Mac};

use crate::{
    ipv6,
    lab::{
        Lab, NODE, OPEN_PORT, Pod, assert_same, command, dump, eni, eni_mac, facts, kernel_of,
        plug, wiring,
    },
    traffic::{Server, source_seen},
};

pub(crate) const DEVICE: &str = "ens20";
/// The mark and the table of VLAN 7.
const MARK: &str = "0x401c0000";
const TABLE: &str = "80007";

pub(crate) fn trunk(families: Families) -> TrunkWiring {
    TrunkWiring {
        eni: EniId::from_serial(20),
        mac: eni_mac(20),
        families,
        mtu: 9001,
    }
}

fn lab() -> Lab {
    let lab = Lab::new(1);
    plug(&lab.vpc, "trunk", &lab.node, DEVICE, eni_mac(20));
    lab.kernel.use_trunk(&trunk(Families::V4), &[]).unwrap();
    lab
}

/// The same with IPv6.
pub(crate) fn lab_of_both() -> Lab {
    let lab = ipv6::lab();
    plug(&lab.vpc, "trunk", &lab.node, DEVICE, eni_mac(20));
    lab.kernel.use_trunk(&trunk(Families::Dual), &[]).unwrap();
    lab
}

fn branch(last: u8, vlan: u16, enforcement: Enforcement) -> PodWiring {
    let vlan = vlan.try_into().unwrap();
    let branch = BranchEni {
        mac: Mac::local(u64::from(last)),
        ipv4: Some(BranchIpv4 {
            address: Ipv4Addr::new(10, 0, 0, last),
            router: Ipv4Addr::new(10, 0, 0, 1),
        }),
        ipv6: None,
        vlan,
        enforcement,
    };
    PodWiring {
        eni: EniSlot::branch(vlan),
        interface: Interface::Branch(branch),
        ..wiring(last, 0)
    }
}

/// What there is of ours of both families, without what devices get by themselves.
pub(crate) fn of_both(lab: &Lab) -> Vec<String> {
    let mut lines = dump(&lab.node);
    let own = [
        "inet6",
        "fe80::",
        "ff00::",
        "valid_lft",
        "table local",
        "::1 dev lo",
    ];
    lines.retain(|line| !own.iter().any(|word| line.contains(word)));
    lines.extend(ipv6::dump(&lab.node));
    lines
}

/// The same with IPv6.
pub(crate) fn branch_of_both(last: u8, vlan: u16, enforcement: Enforcement) -> PodWiring {
    let wiring = branch(last, vlan, enforcement);
    let branch = BranchEni {
        ipv6: Some(ipv6::address(last)),
        ..*wiring.interface.branch().unwrap()
    };
    PodWiring {
        addresses: branch.addresses().unwrap(),
        interface: Interface::Branch(branch),
        ..wiring
    }
}

fn wire(lab: &Lab, last: u8, vlan: u16, enforcement: Enforcement) -> Pod {
    wire_as(lab, branch(last, vlan, enforcement))
}

pub(crate) fn wire_as(lab: &Lab, wiring: PodWiring) -> Pod {
    let address = wiring.addresses.v4().unwrap();
    // This VPC swallows what is for branches.
    command(&lab.vpc, &format!("ip route replace blackhole {address}"));
    let netns = underlay_netlink::netns::create().unwrap();
    let pod = Pod { wiring, netns };
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    pod
}

pub(crate) fn check(lab: &Lab, pod: &Pod) -> Vec<String> {
    lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap()
}

/// Packets of branches by what happened to them.
fn counter(lab: &Lab, name: &str) -> u64 {
    let counters = lab.kernel.branch_packets();
    counters.iter().find(|(known, _)| *known == name).unwrap().1
}

pub(crate) fn filters(lab: &Lab) -> String {
    let side = |side: &str| command(&lab.node, &format!("tc filter show dev {DEVICE} {side}"));
    side("ingress") + &side("egress")
}

#[test]
fn check_sees_every_damage_to_a_branch() {
    for (damage, wanted) in [
        (
            format!("ip rule delete fwmark {MARK}/0x7ffc0000"),
            format!("missing: IPv4 rule mark {MARK} table {TABLE}"),
        ),
        (
            format!("ip route flush table {TABLE}"),
            format!("missing: route 0.0.0.0/0 via 169.254.16.7 dev {DEVICE} table {TABLE}"),
        ),
        (
            format!("tc filter delete dev {DEVICE} egress"),
            format!("missing: programs for tags on {DEVICE}"),
        ),
        (
            format!("tc qdisc delete dev {DEVICE} clsact"),
            format!("missing: programs for tags on {DEVICE}"),
        ),
        (
            "nft flush set inet underlay eni-device".to_owned(),
            format!("missing: ENI {DEVICE}"),
        ),
        (
            "nft flush set inet underlay pod-explicit".to_owned(),
            "missing: guard of the node from und".to_owned(),
        ),
        (
            "nft flush map inet underlay pod-mark".to_owned(),
            format!("missing: mark {MARK} for 10.0.0.50 from und"),
        ),
    ] {
        let lab = lab();
        let pod = wire(&lab, 50, 7, Enforcement::Strict);
        assert_eq!(check(&lab, &pod), Vec::<String>::new());
        command(&lab.node, &damage);
        let found = check(&lab, &pod);
        assert!(
            found.iter().any(|line| line.starts_with(&wanted)),
            "{damage}: {found:#?}"
        );
        // And it can be put right.
        let restored = lab
            .kernel
            .restore(std::slice::from_ref(&pod.wiring))
            .unwrap();
        assert!(!restored.repaired.is_empty() && restored.refused.is_empty());
        assert_eq!(check(&lab, &pod), Vec::<String>::new());
    }
}

#[test]
fn check_sees_every_damage_to_the_ipv6_of_a_branch() {
    let lab = lab_of_both();
    let pod = wire_as(&lab, branch_of_both(50, 7, Enforcement::Standard));
    for (damage, wanted) in [
        (
            format!("ip -6 rule delete priority 100120 fwmark {MARK}/0x7ffc0000"),
            format!("missing: IPv6 rule mark {MARK} table {TABLE}"),
        ),
        (
            format!("ip -6 rule delete priority 100110 fwmark {MARK}/0x7ffc0000"),
            format!("missing: IPv6 rule mark {MARK} table 72048"),
        ),
        (
            format!("ip -6 route flush table {TABLE}"),
            format!("missing: route ::/0 via fe80:756e::7 dev {DEVICE} table {TABLE}"),
        ),
        (
            "nft flush map inet underlay pod-mark6".to_owned(),
            format!("missing: mark {MARK} for 2600::1:32 from und"),
        ),
    ] {
        assert_eq!(check(&lab, &pod), Vec::<String>::new());
        command(&lab.node, &damage);
        let found = check(&lab, &pod);
        assert!(
            found.iter().any(|line| line.starts_with(&wanted)),
            "{damage}: {found:#?}"
        );
        let restored = lab
            .kernel
            .restore(std::slice::from_ref(&pod.wiring))
            .unwrap();
        assert!(!restored.repaired.is_empty() && restored.refused.is_empty());
    }
    assert_eq!(check(&lab, &pod), Vec::<String>::new());
}

#[test]
fn a_branch_of_both_families_leaves_nothing_of_either() {
    let lab = lab_of_both();
    let everything = || of_both(&lab);
    for enforcement in [Enforcement::Strict, Enforcement::Standard] {
        let before = everything();
        let pod = wire_as(&lab, branch_of_both(50, 7, enforcement));
        assert_ne!(everything(), before);
        assert_eq!(check(&lab, &pod), Vec::<String>::new());
        lab.kernel.unwire_pod(&pod.wiring).unwrap();
        lab.kernel.reap().unwrap();
        assert_same(&everything(), &before, "after the pod");
    }
}

#[test]
fn over_ipv6_strict_pods_meet_nobody_and_standard_ones_the_default_set() {
    let lab = lab_of_both();
    let plain = ipv6::pod(&lab, 20, 1);
    let strict = wire_as(&lab, branch_of_both(50, 7, Enforcement::Strict));
    let standard = wire_as(&lab, branch_of_both(51, 4094, Enforcement::Standard));
    let asked = || counter(&lab, "router-asked");
    let before = asked();
    let own = |pod: &Pod| pod.wiring.addresses.v6().unwrap();
    for pod in [&plain, &strict, &standard] {
        ipv6::serve(&pod.netns, (own(pod), 80).into());
    }
    ipv6::serve(&lab.node, (ipv6::NODE, 80).into());
    let seen = |from: &Pod, to: Ipv6Addr, wait| ipv6::seen(&from.netns, (to, 80), wait);
    for (from, to, meets) in [
        (&plain, &standard, true),
        (&standard, &plain, true),
        (&plain, &strict, false),
        (&strict, &plain, false),
        (&strict, &standard, false),
        (&standard, &strict, false),
    ] {
        let wanted = meets.then(|| own(from).into());
        let wait = if meets { ipv6::PATIENCE } else { ipv6::SILENCE };
        let what = format!("{} to {}", own(from), own(to));
        assert_eq!(seen(from, own(to), wait), wanted, "{what}");
    }
    // What did not meet left for the router: the alias was asked for as the branch's.
    assert!(asked() > before, "{:?}", lab.kernel.branch_packets());
    assert_eq!(counter(&lab, "drop-unknown-branch"), 0);
    for pod in [&strict, &standard] {
        let probe = ipv6::seen(&lab.node, (own(pod), 80), ipv6::PATIENCE);
        assert_eq!(probe, Some(ipv6::NODE.into()));
    }
    assert_eq!(seen(&strict, ipv6::NODE, ipv6::SILENCE), None);
    ipv6::serve(&lab.node, (ipv6::NODE, OPEN_PORT).into());
    let to_open = ipv6::seen(&strict.netns, (ipv6::NODE, OPEN_PORT), ipv6::PATIENCE);
    assert_eq!(to_open, Some(own(&strict).into()));
    let of_standard = Some(own(&standard).into());
    assert_eq!(seen(&standard, ipv6::NODE, ipv6::PATIENCE), of_standard);
}

#[test]
fn a_branch_that_came_and_went_leaves_the_kernel_as_it_was() {
    let lab = lab();
    let resident = lab.pod(20, 1);
    for enforcement in [Enforcement::Strict, Enforcement::Standard] {
        let before = dump(&lab.node);
        let pod = wire(&lab, 50, 7, enforcement);
        assert_ne!(dump(&lab.node), before);
        assert_eq!(check(&lab, &pod), Vec::<String>::new());
        assert_eq!(check(&lab, &resident), Vec::<String>::new());
        lab.kernel.unwire_pod(&pod.wiring).unwrap();
        lab.kernel.reap().unwrap();
        assert_same(&dump(&lab.node), &before, "after the pod");
    }
    // A pod whose namespace died first.
    let before = dump(&lab.node);
    let pod = wire(&lab, 51, 8, Enforcement::Strict);
    command(
        &lab.node,
        &format!("ip link delete {}", pod.wiring.host_device()),
    );
    lab.kernel.unwire_pod(&pod.wiring).unwrap();
    assert_same(&dump(&lab.node), &before, "after a pod that died");
}

#[test]
fn strict_pods_meet_nobody_and_standard_ones_the_default_set() {
    let lab = lab();
    let plain = lab.pod(20, 1);
    let strict = wire(&lab, 50, 7, Enforcement::Strict);
    let standard = wire(&lab, 51, 8, Enforcement::Standard);
    let late = lab.pod(21, 0);
    let server = |pod: &Pod| Server::start(&pod.netns, pod.address(), 80).address;
    let (of_strict, of_standard) = (server(&strict), server(&standard));
    for pod in [&plain, &late] {
        // Refused by the VPC's silence: it left the node.
        assert_eq!(source_seen(&pod.netns, of_strict), None);
        assert_eq!(source_seen(&pod.netns, of_standard), Some(pod.address()));
        let of_pod = server(pod);
        assert_eq!(source_seen(&strict.netns, of_pod), None);
        assert_eq!(
            source_seen(&standard.netns, of_pod),
            Some(standard.address())
        );
        assert_eq!(check(&lab, pod), Vec::<String>::new());
    }
    assert!(lab.seen("eni1", plain.address(), strict.address()));
    assert!(!lab.seen("eni1", plain.address(), standard.address()));
    assert_eq!(source_seen(&strict.netns, of_standard), None);
    assert_eq!(source_seen(&standard.netns, of_strict), None);
    // The node's probes reach both.
    assert_eq!(source_seen(&lab.node, of_strict), Some(NODE));
    assert_eq!(source_seen(&lab.node, of_standard), Some(NODE));
    // Nothing left by the trunk without a tag.
    assert!(!lab.seen("trunk", strict.address(), plain.address()));
    let packets = lab.kernel.branch_packets();
    assert!(counter(&lab, "router-asked") > 0, "{packets:?}");
}

#[test]
fn the_next_agent_takes_branches_over() {
    let lab = lab();
    let pods = [
        wire(&lab, 50, 7, Enforcement::Strict),
        wire(&lab, 51, 8, Enforcement::Standard),
    ];
    let wirings = pods.each_ref().map(|pod| pod.wiring.clone());
    let before = dump(&lab.node);
    let next = kernel_of(&lab.node);
    next.setup_node(&facts()).unwrap();
    for device in [0, 1] {
        next.use_eni(&eni(device)).unwrap();
    }
    next.use_trunk(&trunk(Families::V4), &wirings).unwrap();
    let restored = next.restore(&wirings).unwrap();
    assert_eq!(restored, Default::default());
    assert_same(&dump(&lab.node), &before, "after the next agent's start");
    for pod in &pods {
        assert_eq!(
            next.check_pod(&pod.wiring, pod.netns()).unwrap(),
            Vec::<String>::new()
        );
    }
    assert!(filters(&lab).contains("underlay-from_trunk"));
    next.uninstall().unwrap();
    assert_eq!(filters(&lab), "");
    let rules = command(&lab.node, "ip rule show") + &command(&lab.node, "ip route show table all");
    assert!(
        !rules.contains("fwmark") && !rules.contains("table 800"),
        "{rules}"
    );
}
