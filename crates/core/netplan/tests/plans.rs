//! The plans as text: what is done to a node's kernel, in which order.
#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use underlay_netplan::{
    Egress, EniSlot, EniWiring, NodeFacts, NodeState, Op, PodWiring, Snat, SourcePorts, eni,
    eni::EniInUse,
    names, node, numbers, pod, set_chain, snat,
    trunk::{self, TrunkInUse, TrunkWiring},
    whole,
};
use underlay_types::{
    BranchEni, BranchIpv4, Enforcement, EniId, Families, Family, Interface, LeaseKey, Mac,
    PodAddresses, PoolGroups, VlanId, WholeEni,
};

fn groups(text: &str) -> PoolGroups {
    match text {
        "default" => PoolGroups::Default,
        set => PoolGroups::Exactly(set.parse().unwrap()),
    }
}

fn eni_in_use(device: u8, carried: &str) -> EniInUse {
    EniInUse {
        wiring: EniWiring {
            slot: EniSlot::new(0, device).unwrap(),
            eni: EniId::from_serial(u64::from(device)),
            mac: Mac::local(u64::from(device)),
            address: (device > 0).then(|| [10, 0, 16, 200 + device].into()),
            address_v6: None,
            subnet: "10.0.16.0/20".parse().unwrap(),
            families: Families::V4,
            groups: groups(carried),
            mtu: 9001,
        },
        device: format!("ens{}", 5 + device),
    }
}

fn pod_on(container: &str, last: u8, device: u8, carried: &str) -> PodWiring {
    PodWiring {
        key: LeaseKey {
            network: "underlay".parse().unwrap(),
            container: container.parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        addresses: Ipv4Addr::new(10, 0, 16, last).into(),
        egress: None,
        eni: EniSlot::new(0, device).unwrap(),
        groups: groups(carried),
        mtu: 9001,
        interface: Interface::Shared,
        second_in: None,
        trunk: None,
    }
}

/// Two ENIs of the default set, two of an explicit one, and a pod on one of each.
fn state() -> NodeState {
    let mut state = NodeState::default();
    for (device, carried) in [
        (0, "default"),
        (1, "default"),
        (2, "sg-0000000a"),
        (3, "sg-0000000a"),
    ] {
        state.insert_eni(eni_in_use(device, carried));
    }
    state.insert_pod(pod_on("c1", 21, 1, "default"));
    state.insert_pod(pod_on("c2", 22, 2, "sg-0000000a"));
    state
}

#[test]
fn the_node_is_made_ready() {
    let facts = NodeFacts {
        primary_device: "ens5".to_owned(),
        open_ports: ["udp/53", "tcp/53", "udp/8000-8100"]
            .map(|ports| ports.parse().unwrap())
            .into(),
        families: Families::V4,
        pods_reach_metadata: false,
        snat: None,
        egress: None,
    };
    insta::assert_snapshot!("node_setup", node::setup(&facts));
    insta::assert_snapshot!("node_teardown", node::teardown());
}

#[test]
fn what_leaves_the_vpc_gets_the_nodes_address() {
    let kept = ["10.0.0.0/16", "192.168.0.0/16"];
    let kept = kept.map(|block| block.parse().unwrap()).to_vec();
    let facts = NodeFacts {
        primary_device: "ens5".to_owned(),
        open_ports: Vec::new(),
        families: Families::V4,
        pods_reach_metadata: true,
        snat: Some(Snat {
            address: [10, 0, 16, 5].into(),
            ports: SourcePorts::RandomFully,
            kept: kept.clone(),
        }),
        egress: None,
    };
    insta::assert_snapshot!("node_setup_snat", node::setup(&facts));
    insta::assert_snapshot!("snat_keep", snat::keep(&kept));
}

#[test]
fn pods_of_ipv6_alone_get_to_ipv4_destinations_by_the_nodes_address() {
    let facts = NodeFacts {
        primary_device: "ens5".to_owned(),
        open_ports: Vec::new(),
        families: Families::V6,
        pods_reach_metadata: false,
        snat: None,
        egress: Some(Egress {
            address: [10, 0, 16, 5].into(),
            ports: SourcePorts::Random,
        }),
    };
    let script = node::setup(&facts).to_string();
    // All of the rest is as without it.
    let without = NodeFacts {
        egress: None,
        ..facts
    };
    let without = node::setup(&without).to_string();
    let lines = script.lines().filter(|line| !without.contains(line));
    insta::assert_snapshot!("node_setup_egress", lines.collect::<Vec<_>>().join("\n"));
    let pod = PodWiring {
        addresses: PodAddresses::new(None, Some(Ipv6Addr::LOCALHOST)).unwrap(),
        egress: Some([169, 254, 172, 1].into()),
        ..pod_on("c3", 33, 0, "default")
    };
    insta::assert_snapshot!("pod_egress_wire", pod::wire(&state(), &pod).unwrap());
    insta::assert_snapshot!("pod_egress_unwire", pod::unwire(&pod));
}

#[test]
fn an_eni_of_ipv6_has_an_address_that_only_what_leaves_by_it_is_masqueraded_with() {
    let mut eni = eni_in_use(4, "default");
    eni.wiring.families = Families::Dual;
    eni.wiring.address_v6 = Some("2600:0:0:0:7::".parse().unwrap());
    let plan = eni::raise(&state(), &eni).unwrap();
    insta::assert_snapshot!("eni_raise_ipv6", plan);
}

#[test]
fn an_eni_leads_to_the_pods_of_its_groups_and_goes_rules_first() {
    let eni = eni_in_use(4, "sg-0000000a");
    insta::assert_snapshot!("eni_raise", eni::raise(&state(), &eni).unwrap());
    insta::assert_snapshot!("eni_lower", eni::lower(&state(), &eni));
}

/// Two sets whose 64-bit hashes begin with the same 24 bits, found by trying.
#[test]
fn two_sets_never_share_a_table() {
    let set = |number: u32| format!("sg-{number:08x}");
    let table = |number: u32| names::set_table(&groups(&set(number)));
    let mut seen = std::collections::BTreeMap::new();
    let (one, other) = (0..u32::MAX)
        .find_map(|number| seen.insert(table(number), number).map(|one| (one, number)))
        .unwrap();
    let mut state = state();
    state.insert_eni(eni_in_use(5, &set(one)));
    let refused = eni::raise(&state, &eni_in_use(6, &set(other))).unwrap_err();
    assert_eq!(
        (refused.set.to_string(), refused.other.to_string()),
        (set(other), set(one))
    );
    assert!(eni::raise(&state, &eni_in_use(6, &set(one))).is_ok());
}

#[test]
fn a_pod_of_the_default_set_is_wired_and_unwired() {
    let pod = pod_on("c3", 33, 0, "default");
    insta::assert_snapshot!("pod_default_wire", pod::wire(&state(), &pod).unwrap());
    insta::assert_snapshot!("pod_default_unwire", pod::unwire(&pod));
}

#[test]
fn a_pod_of_an_explicit_set_is_guarded_before_it_is_reachable() {
    let pod = pod_on("c4", 44, 3, "sg-0000000a");
    insta::assert_snapshot!("pod_explicit_wire", pod::wire(&state(), &pod).unwrap());
}

#[test]
fn a_pod_that_owns_an_eni_needs_nothing_on_the_node() {
    let eni = WholeEni {
        mac: Mac::local(7),
        subnet: "10.0.0.0/24".parse().unwrap(),
    };
    let mut pod = PodWiring {
        addresses: PodAddresses::new(
            Some([10, 0, 0, 77].into()),
            Some("2600:0:0:1:0::7".parse().unwrap()),
        )
        .unwrap(),
        interface: Interface::Whole(eni),
        second_in: None,
        trunk: None,
        ..pod_on("c7", 77, 4, "default")
    };
    insta::assert_snapshot!("whole_wire", whole::wire(&pod, eni, false));
    insta::assert_snapshot!("whole_unwire", whole::unwire(&pod, eni));
    // A kill after any part of it is undone by the same operation.
    let undo: Vec<_> = whole::wire(&pod, eni, true)
        .0
        .iter()
        .filter_map(Op::inverse)
        .collect();
    assert_eq!(undo, whole::unwire(&pod, eni).0);
    pod.addresses = Ipv4Addr::new(10, 0, 0, 77).into();
    let facts = |reaches| -> Vec<_> {
        let facts = whole::facts(&pod, eni, reaches).into_iter();
        facts.map(|fact| fact.to_string()).collect()
    };
    let mut wanted = vec![
        "device eth0 02:00:00:00:00:07 mtu 9001 up group 0x0",
        "address 10.0.0.77/24 in the pod",
        "route 0.0.0.0/0 via 10.0.0.1 in the pod",
        "route 10.0.0.0/24 in the pod",
    ];
    assert_eq!(facts(true), wanted);
    wanted.push("route 169.254.169.254/32 unreachable in the pod");
    assert_eq!(facts(false), wanted);
}

#[test]
fn a_pod_on_an_eni_that_is_not_its_own_is_refused() {
    let refused = |device, carried| {
        let pod = pod_on("c5", 55, device, carried);
        pod::wire(&state(), &pod).unwrap_err().to_string()
    };
    assert_eq!(refused(9, "default"), "the ENI in slot 9 is not in use");
    assert_eq!(
        refused(2, "sg-0000000b"),
        "the ENI in slot 2 carries other groups than the pod"
    );
    assert_eq!(
        refused(2, "default"),
        "the ENI in slot 2 carries other groups than the pod"
    );
}

fn trunk() -> TrunkInUse {
    TrunkInUse {
        wiring: TrunkWiring {
            eni: EniId::from_serial(9),
            mac: Mac::local(9),
            families: Families::V4,
            mtu: 9001,
        },
        device: "ens8".to_owned(),
    }
}

fn pod_with_branch(container: &str, vlan: u16, enforcement: Enforcement) -> PodWiring {
    let vlan = VlanId::try_from(vlan).unwrap();
    let address = Ipv4Addr::new(10, 0, 48, 20);
    PodWiring {
        addresses: address.into(),
        eni: EniSlot::branch(vlan),
        interface: Interface::Branch(BranchEni {
            mac: Mac::local(100),
            ipv4: Some(BranchIpv4 {
                address,
                router: [10, 0, 48, 1].into(),
            }),
            ipv6: None,
            vlan,
            enforcement,
        }),
        ..pod_on(container, 0, 0, "default")
    }
}

#[test]
fn a_strict_branch_has_no_way_but_its_tag() {
    let mut state = state();
    let pod = pod_with_branch("c6", 7, Enforcement::Strict);
    let refused = pod::wire(&state, &pod).unwrap_err();
    assert_eq!(refused.to_string(), "the trunk ENI is not in use");
    state.set_trunk(Some(trunk()));
    insta::assert_snapshot!("pod_strict_wire", pod::wire(&state, &pod).unwrap());
    insta::assert_snapshot!("pod_strict_unwire", pod::unwire(&state.on_trunk(&pod)));
}

/// With IPv6 beside IPv4, or alone.
fn with_ipv6(pod: PodWiring, families: Families) -> PodWiring {
    let branch = *pod.interface.branch().unwrap();
    let branch = BranchEni {
        ipv4: branch.ipv4.filter(|_| families.has(Family::V4)),
        ipv6: Some("2600::20".parse().unwrap()),
        ..branch
    };
    PodWiring {
        addresses: branch.addresses().unwrap(),
        interface: Interface::Branch(branch),
        ..pod
    }
}

#[test]
fn a_branch_has_ways_of_the_families_that_it_has() {
    let mut state = state();
    let mut both = trunk();
    both.wiring.families = Families::Dual;
    insta::assert_snapshot!("trunk_raise_dual", trunk::raise(&state, &both));
    state.set_trunk(Some(both));
    let pod = pod_with_branch("c6", 4094, Enforcement::Standard);
    let dual = with_ipv6(pod.clone(), Families::Dual);
    insta::assert_snapshot!("pod_standard_dual_wire", pod::wire(&state, &dual).unwrap());
    let v6 = with_ipv6(pod, Families::V6);
    insta::assert_snapshot!("pod_standard_v6_wire", pod::wire(&state, &v6).unwrap());
    for pod in [dual, v6] {
        let wired = pod::objects(&state.on_trunk(&pod));
        assert!(wired.iter().all(|object| pod::is_of(&pod, object)));
    }
}

#[test]
fn a_standard_branch_meets_the_default_set_both_ways() {
    let mut state = state();
    state.set_trunk(Some(trunk()));
    let pod = pod_with_branch("c6", 7, Enforcement::Standard);
    insta::assert_snapshot!("pod_standard_wire", pod::wire(&state, &pod).unwrap());
    state.insert_pod(pod.clone());
    // What is wired is what is looked for.
    let wired: BTreeSet<_> = pod::objects(&state.on_trunk(&pod)).into_iter().collect();
    assert!(wired.iter().all(|object| pod::is_of(&pod, object)));
    assert!(wired.is_subset(&state.objects()));
}

#[test]
fn a_trunk_knows_its_branches_before_its_programs_come() {
    let mut state = state();
    state.insert_pod(pod_with_branch("c6", 7, Enforcement::Strict));
    insta::assert_snapshot!("trunk_raise", trunk::raise(&state, &trunk()));
    insta::assert_snapshot!("trunk_lower", trunk::lower(&trunk()));
}

#[test]
fn the_chains_of_a_set_are_replaced_at_once() {
    let set = "sg-0000000a".parse().unwrap();
    let line = |text: &str| vec![text.to_owned(), "drop".to_owned()];
    let plan = set_chain::write(&set, &line("tcp dport 80 goto x"), &line("accept"));
    insta::assert_snapshot!("set_chain_write", plan);
    insta::assert_snapshot!("set_chain_remove", set_chain::remove(&set));
}

/// The failure prints the table to paste.
#[test]
fn the_table_of_numbers_is_the_one_in_architecture_md() {
    let page = include_str!("../../../../ARCHITECTURE.md");
    let table = page
        .split_once("<!-- numbers -->\n")
        .and_then(|(_, rest)| rest.split_once("<!-- /numbers -->"))
        .map(|(table, _)| table);
    let wanted = numbers::markdown();
    assert_eq!(table, Some(wanted.as_str()), "\n{wanted}");
}
