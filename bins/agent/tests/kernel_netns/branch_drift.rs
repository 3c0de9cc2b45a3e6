//! What somebody takes away of a pod on a branch ENI is noticed and put right.

use aya::{
    maps::{HashMap, Map, MapData, MapInfo},
    programs::loaded_programs,
};
use underlay_netplan::Drift;
use underlay_types::Enforcement;

use crate::{
    branches::{DEVICE, branch_of_both, check, filters, lab_of_both, of_both, trunk, wire_as},
    drift::{kinds, repair, words_of},
    ipv6,
    lab::{Lab, Pod, command, eni_mac, inside, plug},
};

/// A damage by commands to a node with a strict pod on VLAN 7 and a standard one on VLAN 8, and the kind that it
/// is reported as. `{strict}` and `{standard}` are the nodes' ends.
const DAMAGES: [(Drift, &[&str]); 23] = [
    (
        Drift::Rule,
        &["ip rule delete priority 100120 fwmark 0x401c0000/0x7ffc0000"],
    ),
    (
        Drift::Rule,
        &["ip -6 rule delete priority 100120 fwmark 0x401c0000/0x7ffc0000"],
    ),
    (
        Drift::Rule,
        &["ip rule delete priority 100210 fwmark 0x40200000/0x7ffc0000"],
    ),
    (
        Drift::Rule,
        &["ip -6 rule delete priority 100210 fwmark 0x40200000/0x7ffc0000"],
    ),
    // A way round the groups.
    (
        Drift::Rule,
        &["ip rule add priority 100110 fwmark 0x401c0000/0x7ffc0000 table 72048"],
    ),
    (
        Drift::Route,
        &["ip route delete default via 169.254.16.7 table 80007"],
    ),
    (Drift::Route, &["ip route flush table 80007"]),
    (Drift::Route, &["ip -6 route flush table 80007"]),
    (
        Drift::Route,
        &["ip -6 route delete unreachable default table 80007"],
    ),
    (Drift::Route, &["ip route delete 10.0.0.50"]),
    (Drift::Route, &["ip -6 route delete 2600::1:32"]),
    (Drift::Route, &["ip route delete 10.0.0.51 table 72048"]),
    (
        Drift::Neighbour,
        &["ip neighbour delete 10.0.0.50 dev {strict}"],
    ),
    (
        Drift::Element,
        &["nft delete element inet underlay pod-mark { {strict} . 10.0.0.50 }"],
    ),
    (Drift::Element, &["nft flush map inet underlay pod-mark6"]),
    (
        Drift::Element,
        &["nft flush set inet underlay pod-explicit"],
    ),
    (Drift::Element, &["nft flush set inet underlay eni-device"]),
    (
        Drift::Element,
        &["tc filter delete dev ens20 egress pref 7000"],
    ),
    (
        Drift::Element,
        &["tc filter delete dev ens20 ingress pref 7000"],
    ),
    (Drift::Element, &["tc qdisc delete dev ens20 clsact"]),
    (Drift::Device, &["ip link set {strict} down"]),
    (
        Drift::Eni,
        &["ip link set ens20 down", "ip link set ens20 mtu 1500"],
    ),
    (
        Drift::Sysctl,
        &[
            "sysctl -q -w net.ipv4.conf.ens20.rp_filter=1",
            "sysctl -q -w net.ipv6.conf.ens20.accept_ra=1",
        ],
    ),
];

/// The map of branches of the programs at the trunk.
fn branches_of(lab: &Lab) -> HashMap<MapData, [u8; 8], [u8; 48]> {
    let text = filters(lab);
    let (_, rest) = text.split_once(" id ").unwrap();
    let id: u32 = rest.split(' ').next().unwrap().parse().unwrap();
    let mut programs = loaded_programs().map(Result::unwrap);
    let program = programs.find(|program| program.id() == id).unwrap();
    let ids = program.map_ids().unwrap().unwrap();
    let named = |id: &u32| MapInfo::from_id(*id).unwrap().name_as_str() == Some("branches");
    let map = MapData::from_id(ids.into_iter().find(named).unwrap()).unwrap();
    Map::HashMap(map).try_into().unwrap()
}

fn pods(lab: &Lab) -> [Pod; 2] {
    [(50, 7, Enforcement::Strict), (51, 8, Enforcement::Standard)]
        .map(|(last, vlan, enforcement)| wire_as(lab, branch_of_both(last, vlan, enforcement)))
}

fn assert_right(lab: &Lab, pods: &[Pod], what: &str) {
    for pod in pods {
        assert_eq!(check(lab, pod), Vec::<String>::new(), "{what}");
    }
    let own = |pod: &Pod| pod.wiring.addresses.v6().unwrap();
    for pod in pods {
        let probe = ipv6::seen(&lab.node, (own(pod), 80), ipv6::PATIENCE);
        assert_eq!(probe, Some(ipv6::NODE.into()), "{what}");
    }
}

fn serve(pods: &[Pod]) {
    for pod in pods {
        let own = pod.wiring.addresses.v6().unwrap();
        ipv6::serve(&pod.netns, (own, 80).into());
    }
}

#[test]
fn every_damage_to_a_branch_is_noticed_and_put_right() {
    let lab = lab_of_both();
    let pods = pods(&lab);
    serve(&pods);
    assert!(lab.kernel.look().unwrap().clean);
    assert_eq!(repair(&lab), Default::default());
    let before = words_of(of_both(&lab));
    for (drift, damage) in DAMAGES {
        let what = damage.join("; ");
        for line in damage {
            let line = line.replace("{strict}", &pods[0].wiring.host_device());
            command(&lab.node, &line);
        }
        assert!(kinds(&lab, &what).contains(&drift), "{what}");
        assert_eq!(words_of(of_both(&lab)), before, "{what}");
        assert_right(&lab, &pods, &what);
    }
}

#[test]
fn the_programs_know_a_branch_again_that_somebody_made_them_forget() {
    let lab = lab_of_both();
    let pods = pods(&lab);
    serve(&pods);
    let mut map = branches_of(&lab);
    let keys: Vec<[u8; 8]> = map.keys().map(Result::unwrap).collect();
    assert_eq!(keys.len(), 2);
    let value = map.get(&keys[0], 0).unwrap();
    map.remove(&keys[0]).unwrap();
    assert!(kinds(&lab, "a branch forgotten").contains(&Drift::Element));
    assert_eq!(map.get(&keys[0], 0).unwrap(), value);
    // Another address, and a branch of nobody.
    let mut wrong = value;
    wrong[3] ^= 1;
    map.insert(keys[0], wrong, 0).unwrap();
    let mut nobodys = keys[0];
    nobodys[4] = 99;
    map.insert(nobodys, value, 0).unwrap();
    assert!(kinds(&lab, "branches changed").contains(&Drift::Element));
    assert_eq!(map.get(&keys[0], 0).unwrap(), value);
    assert!(map.get(&nobodys, 0).is_err());
    assert_right(&lab, &pods, "the map");
}

#[test]
fn a_renamed_trunk_keeps_its_name_and_its_pods() {
    let lab = lab_of_both();
    let pods = pods(&lab);
    serve(&pods);
    command(&lab.node, &format!("ip link set {DEVICE} name trunk7"));
    assert!(kinds(&lab, "a renamed trunk").contains(&Drift::Eni));
    assert_right(&lab, &pods, "a renamed trunk");
    let late = wire_as(&lab, branch_of_both(52, 9, Enforcement::Strict));
    assert_eq!(check(&lab, &late), Vec::<String>::new());
    assert!(lab.kernel.look().unwrap().clean);
}

#[test]
fn a_trunk_that_was_detached_and_attached_again_serves_its_pods() {
    let lab = lab_of_both();
    let pods = pods(&lab);
    serve(&pods);
    command(&lab.vpc, "ip link delete trunk");
    assert_eq!(repair(&lab).refused, []);
    assert!(lab.kernel.look().unwrap().clean);
    // Meanwhile nothing of theirs goes anywhere else.
    let table = command(&lab.node, "ip route show table 80007");
    assert!(table.contains("unreachable default"), "{table}");
    inside(&lab.node, || {
        // As distributions have it.
        underlay_netlink::sysctl::write("ipv6/conf/default/disable_ipv6", "0").unwrap();
    });
    plug(&lab.vpc, "trunk", &lab.node, "eth9", eni_mac(20));
    assert!(kinds(&lab, "an attached trunk").contains(&Drift::Eni));
    assert_eq!(
        lab.kernel.trunk(),
        Some(trunk(underlay_types::Families::Dual))
    );
    assert_right(&lab, &pods, "an attached trunk");
}

#[test]
fn a_pod_on_a_branch_whose_device_was_deleted_is_wired_anew() {
    let lab = lab_of_both();
    let pods = pods(&lab);
    serve(&pods);
    for pod in &pods {
        let device = pod.wiring.host_device();
        command(&lab.node, &format!("ip link delete {device}"));
    }
    let namespaces = pods.each_ref().map(|pod| {
        let netns = pod.netns.try_clone().unwrap();
        (pod.wiring.key.clone(), netns)
    });
    let done = lab.kernel.repair(namespaces.into()).unwrap();
    assert_eq!(done.refused, [], "{done:#?}");
    let wired = done
        .repaired
        .iter()
        .filter(|(drift, _)| *drift == Drift::Pod);
    assert_eq!(wired.count(), 2, "{done:#?}");
    assert!(lab.kernel.look().unwrap().clean);
    assert_right(&lab, &pods, "devices deleted");
}
