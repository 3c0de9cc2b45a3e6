//! Devices of a node against what its pods and ENIs must have.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use underlay_netplan::{
    Drift, EniSlot, EniWiring, NodeState, PodWiring,
    devices::{Compared, Device, Lack, compare},
    eni::EniInUse,
    numbers::POD_GROUP,
};
use underlay_types::{EniId, Families, Interface, LeaseKey, Mac, PoolGroups};

const ENI_MAC: Mac = Mac([2, 0xee, 0, 0, 0, 1]);

fn pod() -> PodWiring {
    PodWiring {
        key: LeaseKey {
            network: "underlay".parse().unwrap(),
            container: "c1".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        addresses: std::net::Ipv4Addr::new(10, 0, 0, 21).into(),
        egress: None,
        eni: EniSlot::PRIMARY,
        groups: PoolGroups::Default,
        mtu: 9001,
        interface: Interface::Shared,
        second_in: None,
        trunk: None,
    }
}

fn state() -> NodeState {
    let mut state = NodeState::default();
    let wiring = EniWiring {
        slot: EniSlot::PRIMARY,
        eni: EniId::from_serial(1),
        mac: ENI_MAC,
        address: None,
        address_v6: None,
        subnet: "10.0.0.0/24".parse().unwrap(),
        families: Families::V4,
        groups: PoolGroups::Default,
        mtu: 9001,
    };
    let device = "ens5".to_owned();
    state.insert_eni(EniInUse { wiring, device });
    state.insert_pod(pod());
    state
}

/// The devices of a node on which nothing is wrong.
fn found() -> [Device; 2] {
    let device = |index, name: &str, mac, group| Device {
        index,
        name: name.to_owned(),
        mac: Some(mac),
        mtu: 9001,
        group,
        up: true,
    };
    [
        device(2, "ens5", ENI_MAC, 0),
        device(7, &pod().host_device(), pod().host_mac(), POD_GROUP),
    ]
}

fn lacks(change: impl FnOnce(&mut [Device; 2])) -> Vec<(Drift, u32, Vec<Lack>)> {
    let mut devices = found();
    change(&mut devices);
    let compared = compare(&state(), &devices);
    assert_eq!(compared.lost, []);
    assert_eq!(compared.strays, [""; 0]);
    let mends = compared.mends.into_iter();
    mends
        .map(|mend| (mend.drift, mend.index, mend.lacks))
        .collect()
}

#[test]
fn a_node_as_it_must_be_lacks_nothing() {
    assert_eq!(compare(&state(), &found()), Compared::default());
}

#[test]
fn a_device_of_a_pod_is_given_what_it_had() {
    let pods = |lacks: &[Lack]| vec![(Drift::Device, 7, lacks.to_vec())];
    assert_eq!(lacks(|[_, pod]| pod.up = false), pods(&[Lack::Up]));
    assert_eq!(lacks(|[_, pod]| pod.mtu = 1500), pods(&[Lack::Mtu(9001)]));
    let renamed = lacks(|[_, pod]| pod.name = "other".to_owned());
    assert_eq!(renamed, pods(&[Lack::Name]));
    // Known by its name where its address was changed.
    let changed = lacks(|[_, pod]| (pod.mac, pod.group) = (None, 0));
    let mac = Lack::Mac(pod().host_mac());
    assert_eq!(changed, pods(&[mac, Lack::Group(POD_GROUP)]));
}

#[test]
fn a_device_of_the_machine_is_raised_and_keeps_its_name() {
    let down = lacks(|[eni, _]| (eni.up, eni.mtu) = (false, 1500));
    assert_eq!(down, [(Drift::Eni, 2, vec![Lack::Mtu(9001), Lack::Up])]);
    let mut devices = found();
    devices[0].name = "eth7".to_owned();
    let compared = compare(&state(), &devices);
    assert_eq!(compared.mends, []);
    assert_eq!(compared.renamed, [(EniSlot::PRIMARY, "eth7".to_owned())]);
}

#[test]
fn what_is_gone_is_told_and_what_is_too_much_too() {
    let [eni, mut device] = found();
    let gone = compare(&state(), &[]);
    assert_eq!(gone.lost, [pod().key]);
    assert!(gone.is_clean(), "nothing that this can put right");
    (device.name, device.mac) = ("und0".to_owned(), None);
    let compared = compare(&state(), &[eni, device]);
    assert_eq!(compared.strays, ["und0"]);
    assert!(!compared.is_clean());
}
