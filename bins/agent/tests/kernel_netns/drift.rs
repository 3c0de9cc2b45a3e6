//! What somebody else changes of what is ours is noticed and put right.

use std::collections::{BTreeMap, BTreeSet};

use underlay_agent::kernel::Repaired;
use underlay_netplan::{Drift, names};

use crate::{
    groups::{rules, set},
    lab::{Lab, Pod, REMOTE, command, dump},
    traffic::{Server, connect, source_seen},
};

/// A damage to a node with a pod of the set in slot 2, by commands, and the kind that it is
/// reported as. `{device}` is the node's end, `{address}` the pod's address, `{chain}` the chain of
/// its set.
const DAMAGES: [(Drift, &[&str]); 32] = [
    (
        Drift::Rule,
        &["ip rule delete priority 100310 fwmark 0x300000/0x7ffc0000"],
    ),
    (
        Drift::Rule,
        &["ip rule delete priority 100320 fwmark 0x300000/0x7ffc0000"],
    ),
    (
        Drift::Rule,
        &["ip rule add priority 100520 fwmark 0x5500000/0x7ffc0000 table 70084"],
    ),
    // The steps that lead to the rules of ENIs.
    (Drift::Rule, &["ip rule delete priority 7000"]),
    (Drift::Rule, &["ip rule delete priority 7001"]),
    (
        Drift::Rule,
        &[
            "ip rule delete priority 7002",
            "ip rule delete priority 100304",
        ],
    ),
    (
        Drift::Rule,
        &["ip rule add priority 7001 fwmark 0x300000/0x7ffc0000 goto 100000"],
    ),
    (
        Drift::Route,
        &["ip route delete default via 10.0.0.1 table 70002"],
    ),
    (
        Drift::Route,
        &["ip route delete unreachable default table 70002"],
    ),
    (Drift::Route, &["ip route flush table 70002"]),
    (Drift::Route, &["ip route delete {address}"]),
    (
        Drift::Route,
        &["ip route delete {address} table 1978906505"],
    ),
    (
        Drift::Route,
        &["ip route add 192.0.2.0/24 dev {device} table 70002"],
    ),
    (
        Drift::Neighbour,
        &["ip neighbour delete {address} dev {device}"],
    ),
    (
        Drift::Neighbour,
        &["ip neighbour replace {address} dev {device} lladdr 02:00:00:00:00:99 nud permanent"],
    ),
    (
        Drift::Element,
        &["nft delete element inet underlay pod-mark { {device} . {address} }"],
    ),
    (Drift::Element, &["nft flush map inet underlay pod-mark"]),
    (Drift::Element, &["nft flush map inet underlay pod-policy"]),
    (
        Drift::Element,
        &["nft flush set inet underlay pod-explicit"],
    ),
    (Drift::Element, &["nft flush set inet underlay eni-device"]),
    (Drift::Ruleset, &["nft flush chain inet underlay from-pod"]),
    (Drift::Ruleset, &["nft flush chain inet underlay {chain}"]),
    (
        Drift::Ruleset,
        &["nft insert rule inet underlay forward drop"],
    ),
    (
        Drift::Ruleset,
        &[
            "nft add chain inet underlay forward { type filter hook forward priority filter - 10 ; policy drop ; }",
        ],
    ),
    (Drift::Ruleset, &["nft delete table inet underlay"]),
    // What a firewall does when it is loaded again.
    (Drift::Ruleset, &["nft flush ruleset"]),
    (Drift::Device, &["ip link set {device} down"]),
    (Drift::Device, &["ip link set {device} mtu 1500"]),
    (
        Drift::Device,
        &[
            "ip link set {device} group 7",
            "ip link set {device} address 02:00:00:00:00:99",
        ],
    ),
    (
        Drift::Device,
        &[
            "ip link set {device} down",
            "ip link set {device} name stolen0",
        ],
    ),
    (
        Drift::Eni,
        &["ip link set ens7 down", "ip link set ens7 mtu 1500"],
    ),
    (
        Drift::Sysctl,
        &[
            "sysctl -q -w net.ipv4.ip_forward=0",
            "sysctl -q -w net.ipv4.conf.ens7.rp_filter=1",
        ],
    ),
];

/// Words of a dump and how often they stand there: sets list their elements in any order.
fn words(lab: &Lab) -> BTreeMap<String, usize> {
    words_of(dump(&lab.node))
}

pub(crate) fn words_of(lines: Vec<String>) -> BTreeMap<String, usize> {
    let mut words = BTreeMap::new();
    for line in lines {
        for word in line.split([' ', ',']).filter(|word| !word.is_empty()) {
            *words.entry(word.to_owned()).or_default() += 1;
        }
    }
    words
}

pub(crate) fn repair(lab: &Lab) -> Repaired {
    lab.kernel.repair(BTreeMap::new()).unwrap()
}

/// The kinds that were put right; nothing may have been refused, and nothing be left to do.
pub(crate) fn kinds(lab: &Lab, what: &str) -> BTreeSet<Drift> {
    assert!(!lab.kernel.look().unwrap().clean, "{what} is not noticed");
    let done = repair(lab);
    assert_eq!(done.refused, [], "{what}: {done:#?}");
    assert!(lab.kernel.look().unwrap().clean, "{what} is still there");
    assert_eq!(repair(lab), Repaired::default(), "{what}: twice");
    done.repaired.into_iter().map(|(drift, _)| drift).collect()
}

fn check(lab: &Lab, pod: &Pod) {
    let found = lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap();
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_damage_is_noticed_and_put_right() {
    let lab = Lab::new(2);
    let (pod, other) = (lab.pod(21, 2), lab.pod(22, 1));
    lab.kernel.set_policy(&set(2), &rules(&set(2), 80)).unwrap();
    let chain = names::set_chain(&set(2));
    let remote = Server::start(&lab.remote, REMOTE, 80);
    let mut open = connect(&pod.netns, remote.address).unwrap();
    assert!(lab.kernel.look().unwrap().clean);
    assert_eq!(repair(&lab), Repaired::default());
    let before = words(&lab);
    for (drift, damage) in DAMAGES {
        let what = damage.join("; ");
        for line in damage {
            let line = line.replace("{device}", &pod.wiring.host_device());
            let line = line.replace("{address}", &pod.address().to_string());
            command(&lab.node, &line.replace("{chain}", &chain));
        }
        let count = |lab: &Lab| lab.kernel.repairs()[&drift];
        let counted = count(&lab);
        assert!(kinds(&lab, &what).contains(&drift), "{what}");
        assert!(count(&lab) > counted, "{what}");
        assert_eq!(words(&lab), before, "{what}");
        check(&lab, &pod);
        check(&lab, &other);
        assert_eq!(
            source_seen(&pod.netns, remote.address),
            Some(pod.address()),
            "{what}"
        );
    }
    assert!(open.is_alive(), "an open connection outlives all of that");
}

#[test]
fn a_renamed_eni_keeps_its_name_and_its_pods() {
    let lab = Lab::new(2);
    let pods = [lab.pod(21, 0), lab.pod(22, 2)];
    let remote = Server::start(&lab.remote, REMOTE, 80);
    for (from, to) in [("ens5", "eth7"), ("ens7", "eth9")] {
        command(&lab.node, &format!("ip link set {from} name {to}"));
        assert!(kinds(&lab, from).contains(&Drift::Eni), "{from}");
    }
    // The chains know the primary ENI by its name.
    let ruleset = command(&lab.node, "nft list chain inet underlay prerouting");
    assert!(
        ruleset.contains("\"eth7\"") && !ruleset.contains("ens5"),
        "{ruleset}"
    );
    for pod in &pods {
        check(&lab, pod);
        assert_eq!(source_seen(&pod.netns, remote.address), Some(pod.address()));
    }
}

#[test]
fn a_pod_whose_device_was_deleted_is_wired_anew_and_a_dead_one_is_not() {
    let lab = Lab::new(2);
    let (living, dead) = (lab.pod(21, 2), lab.pod(22, 1));
    for pod in [&living, &dead] {
        command(
            &lab.node,
            &format!("ip link delete {}", pod.wiring.host_device()),
        );
    }
    let lost = lab.kernel.look().unwrap().lost;
    assert_eq!(lost, [living.wiring.key.clone(), dead.wiring.key.clone()]);
    let netns = living.netns.try_clone().unwrap();
    let done = lab
        .kernel
        .repair([(living.wiring.key.clone(), netns)].into())
        .unwrap();
    assert_eq!(done.refused, [], "{done:#?}");
    let pods = done
        .repaired
        .iter()
        .filter(|(drift, _)| *drift == Drift::Pod);
    assert_eq!(pods.count(), 1, "{done:#?}");
    check(&lab, &living);
    let look = lab.kernel.look().unwrap();
    assert_eq!(
        (look.clean, look.lost),
        (true, vec![dead.wiring.key.clone()])
    );
    let remote = Server::start(&lab.remote, REMOTE, 80);
    assert_eq!(
        source_seen(&living.netns, remote.address),
        Some(living.address())
    );
    lab.kernel.unwire_pod(&dead.wiring).unwrap();
    assert_eq!(lab.kernel.look().unwrap().lost, []);
}

#[test]
fn a_detached_eni_is_left_to_ec2_and_its_traffic_goes_nowhere_else() {
    let lab = Lab::new(2);
    let pod = lab.pod(21, 2);
    command(&lab.vpc, "ip link delete eni2");
    // What stood on the device went with it; the rule and the way to nowhere are still there.
    let done = repair(&lab);
    assert_eq!(done.refused, [], "{done:#?}");
    assert!(lab.kernel.look().unwrap().clean);
    let table = command(&lab.node, "ip route show table 70002");
    assert!(table.contains("unreachable default"), "{table}");
    let found = lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap();
    assert!(found.iter().any(|line| line.contains("ens7")), "{found:?}");
    assert_eq!(lab.strays(), 0);
}

/// A pod that comes while the node is looked at and repaired is neither drift nor in its way.
#[test]
fn pods_come_and_go_while_the_node_is_repaired() {
    let lab = Lab::new(2);
    let pods: Vec<_> = (30..60).map(|last| lab.unwired(last, last % 3)).collect();
    std::thread::scope(|scope| {
        let coming = scope.spawn(|| {
            for pod in &pods {
                lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
                if pod.address().octets()[3] % 2 == 0 {
                    lab.kernel.unwire_pod(&pod.wiring).unwrap();
                }
            }
        });
        while !coming.is_finished() {
            lab.kernel.look().unwrap();
            assert_eq!(repair(&lab), Repaired::default());
        }
    });
    for pod in pods.iter().filter(|pod| pod.address().octets()[3] % 2 == 1) {
        check(&lab, pod);
    }
}
