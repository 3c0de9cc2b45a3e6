//! What comes and goes, and that nothing stays.

use std::os::fd::AsFd;

use underlay_netlink::{Errno, Socket, link};
use underlay_netplan::numbers::{POD_GROUP, RETIRED_GROUP};

use crate::{
    lab::{Lab, REMOTE, assert_same, command, dump, eni, facts, kernel_of, wiring},
    traffic::{Server, source_seen},
};

fn devices(lab: &Lab, group: u32) -> usize {
    let mut socket = Socket::open_in(lab.node.as_fd()).unwrap();
    let links = link::dump(&mut socket).unwrap();
    links.iter().filter(|link| link.group == group).count()
}

#[test]
fn a_pod_that_came_and_went_leaves_the_kernel_as_it_was() {
    let lab = Lab::new(3);
    let resident = lab.pod(20, 3);
    for device in 0..=3 {
        let before = dump(&lab.node);
        let pod = lab.pod(30, device);
        assert_ne!(dump(&lab.node), before);
        lab.kernel.unwire_pod(&pod.wiring).unwrap();
        assert!(lab.kernel.pending_removal(&pod.wiring.key));
        assert!(!lab.kernel.pending_removal(&resident.wiring.key));
        lab.kernel.reap().unwrap();
        assert!(!lab.kernel.pending_removal(&pod.wiring.key));
        assert_same(&dump(&lab.node), &before, "after the pod");
        assert!(!command(&pod.netns, "ip -d link show").contains("eth0"));
    }
}

#[test]
fn an_unwired_pod_is_off_the_network_before_its_device_is_deleted() {
    let lab = Lab::new(1);
    lab.without_reverse_path_filter();
    let pod = lab.pod(21, 1);
    let remote = Server::start(&lab.remote, REMOTE, 80);
    assert!(source_seen(&pod.netns, remote.address).is_some());
    lab.kernel.unwire_pod(&pod.wiring).unwrap();
    assert_eq!(
        (devices(&lab, POD_GROUP), devices(&lab, RETIRED_GROUP)),
        (0, 1)
    );
    assert_eq!(source_seen(&pod.netns, remote.address), None);
    assert_eq!(lab.strays(), 0);
}

#[test]
fn wiring_and_unwiring_can_be_repeated() {
    let lab = Lab::new(2);
    let pod = lab.pod(21, 2);
    let wired = dump(&lab.node);
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    assert_same(&dump(&lab.node), &wired, "after the second ADD");
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [""; 0]
    );
    lab.kernel.unwire_pod(&pod.wiring).unwrap();
    let unwired = dump(&lab.node);
    lab.kernel.unwire_pod(&pod.wiring).unwrap();
    assert_same(&dump(&lab.node), &unwired, "after the second DEL");
    // The retired device is in the way, inside the pod too.
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    assert!(!lab.kernel.pending_removal(&pod.wiring.key));
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [""; 0]
    );
    assert_eq!(
        (devices(&lab, POD_GROUP), devices(&lab, RETIRED_GROUP)),
        (1, 0)
    );
    lab.kernel.unwire_pod(&wiring(99, 2)).unwrap();
}

#[test]
fn what_an_interrupted_wiring_left_is_replaced() {
    let lab = Lab::new(2);
    let pod = lab.pod(21, 2);
    let before = dump(&lab.node);
    command(&pod.netns, "ip route delete default");
    command(&lab.node, &format!("ip route delete {}", pod.address()));
    lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap();
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [""; 0]
    );
    // The device is a new one.
    let is_its = |line: &str| line.contains("und");
    let renumber = |line: &String| {
        if is_its(line) {
            line.replace("5: und", "6: und").replace("@if2", "@if3")
        } else {
            line.clone()
        }
    };
    let before: Vec<_> = before.iter().map(renumber).collect();
    assert_same(&dump(&lab.node), &before, "after the repair");
}

#[test]
fn check_names_every_difference() {
    let lab = Lab::new(1);
    let pod = lab.pod(21, 1);
    let device = pod.wiring.host_device();
    command(&lab.node, "ip route delete 10.0.0.21 table 72048");
    command(
        &lab.node,
        &format!("nft add element inet underlay pod-explicit {{ {device} }}"),
    );
    command(&pod.netns, "ip address add 10.9.9.9/32 dev eth0");
    command(&pod.netns, "ip link set eth0 mtu 1500");
    let mac = pod.wiring.pod_mac();
    assert_eq!(
        lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap(),
        [
            format!("missing: route 10.0.0.21/32 dev {device} table 72048"),
            format!("unexpected: guard of the node from {device}"),
            format!("missing: device eth0 {mac} mtu 9001 up group 0x0"),
            "unexpected: address 10.9.9.9/32 in the pod".to_owned(),
            format!("unexpected: device eth0 {mac} mtu 1500 up group 0x0"),
        ]
    );
}

#[test]
fn a_pod_whose_namespace_died_is_unwired_without_it() {
    let lab = Lab::new(2);
    let before = dump(&lab.node);
    let pod = lab.pod(21, 2);
    command(
        &lab.node,
        &format!("ip link delete {}", pod.wiring.host_device()),
    );
    drop(pod.netns);
    assert_ne!(dump(&lab.node), before, "elements outlive their device");
    lab.kernel.unwire_pod(&pod.wiring).unwrap();
    // The chains of the set came with the pod and go with the ENI.
    lab.kernel.drop_eni(&eni(2).eni).unwrap();
    lab.kernel.use_eni(&eni(2)).unwrap();
    assert_same(&dump(&lab.node), &before, "afterwards");
}

#[test]
fn a_restarted_agent_takes_over_its_pods_and_repairs_the_node() {
    let mut lab = Lab::new(3);
    let (kept, stray, dead) = (lab.pod(21, 2), lab.pod(22, 1), lab.pod(23, 3));
    let retired = lab.pod(24, 1);
    lab.kernel.unwire_pod(&retired.wiring).unwrap();
    command(
        &lab.node,
        &format!("ip link delete {}", dead.wiring.host_device()),
    );
    command(&lab.node, "ip route delete 10.0.0.21 table 1978906505");
    command(
        &lab.node,
        "ip rule delete priority 100320 fwmark 0x300000/0x7ffc0000",
    );

    lab.kernel = kernel_of(&lab.node);
    lab.start();
    let journal = [kept.wiring.clone(), dead.wiring.clone()];
    let restored = lab.kernel.restore(&journal).unwrap();
    assert_eq!(restored.gone, [dead.wiring]);
    assert_eq!(restored.strays, [stray.wiring.host_device()]);
    let device = kept.wiring.host_device();
    let missing = format!("missing: route 10.0.0.21/32 dev {device} table 1978906505");
    assert!(
        restored.repaired.contains(&missing),
        "{:?}",
        restored.repaired
    );

    assert_eq!(
        lab.kernel.check_pod(&kept.wiring, kept.netns()).unwrap(),
        [""; 0]
    );
    assert_eq!(
        (devices(&lab, POD_GROUP), devices(&lab, RETIRED_GROUP)),
        (1, 0)
    );
    let restored = lab.kernel.restore(&journal[..1]).unwrap();
    assert_eq!(restored, Default::default(), "twice changes nothing");
    let remote = Server::start(&lab.remote, REMOTE, 80);
    assert_eq!(
        source_seen(&kept.netns, remote.address),
        Some(kept.address())
    );
}

#[test]
fn set_up_is_repeatable_and_removal_leaves_nothing() {
    let lab = Lab::bare(3);
    lab.kernel.setup_node(&facts()).unwrap();
    lab.kernel.uninstall().unwrap();
    let before = dump(&lab.node);
    lab.start();
    let set_up = dump(&lab.node);
    let pod = lab.pod(21, 2);
    let busy = dump(&lab.node);
    lab.start();
    assert_same(&dump(&lab.node), &busy, "after the second set-up");
    lab.kernel.unwire_pod(&pod.wiring).unwrap();
    lab.kernel.drop_eni(&eni(2).eni).unwrap();
    lab.kernel.drop_eni(&eni(2).eni).unwrap();
    lab.kernel.use_eni(&eni(2)).unwrap();
    lab.kernel.reap().unwrap();
    // The other ENI of the set keeps the set's chains.
    lab.kernel.drop_eni(&eni(2).eni).unwrap();
    lab.kernel.drop_eni(&eni(3).eni).unwrap();
    lab.kernel.use_eni(&eni(2)).unwrap();
    lab.kernel.use_eni(&eni(3)).unwrap();
    assert_same(&dump(&lab.node), &set_up, "with no pod");
    lab.pod(22, 3);
    lab.kernel.uninstall().unwrap();
    // ENIs stay up: they are the machine's, not ours.
    assert_same(
        &without_enis(&dump(&lab.node)),
        &without_enis(&before),
        "afterwards",
    );
}

/// Without ENIs, which are up and have their addresses afterwards, and what comes with that.
fn without_enis(dump: &[String]) -> Vec<String> {
    let of_enis = ["ens", "link/ether", "valid_lft"];
    let is_other = |line: &&String| !of_enis.iter().any(|mark| line.contains(mark));
    dump.iter().filter(is_other).cloned().collect()
}

#[test]
fn an_eni_whose_device_has_not_appeared_is_refused_and_changes_nothing() {
    let lab = Lab::new(1);
    let before = dump(&lab.node);
    let failure = lab.kernel.use_eni(&eni(2)).unwrap_err();
    assert_eq!(failure.error.errno, Errno::NODEV);
    assert_eq!(failure.left, []);
    assert_same(&dump(&lab.node), &before, "afterwards");
}

#[test]
fn a_foreign_interface_in_the_pods_place_is_refused_and_kept() {
    let lab = Lab::new(1);
    let pod = lab.unwired(21, 1);
    command(&pod.netns, "ip link add eth0 type veth peer name other");
    let (node, inside) = (dump(&lab.node), dump(&pod.netns));
    let failure = lab.kernel.wire_pod(&pod.wiring, pod.netns()).unwrap_err();
    assert_eq!(
        (failure.error.errno, failure.left),
        (Errno::EXIST, Vec::new())
    );
    assert_same(&dump(&lab.node), &node, "the node");
    assert_same(&dump(&pod.netns), &inside, "the pod");
}

#[test]
fn retired_devices_are_deleted_together() {
    let lab = Lab::new(1);
    let before = dump(&lab.node);
    let pods: Vec<_> = (30..130).map(|last| lab.pod(last, last % 2)).collect();
    assert_eq!(devices(&lab, POD_GROUP), 100);
    for pod in &pods {
        lab.kernel.unwire_pod(&pod.wiring).unwrap();
    }
    assert_eq!(devices(&lab, RETIRED_GROUP), 100);
    assert!(
        pods.iter()
            .all(|pod| lab.kernel.pending_removal(&pod.wiring.key))
    );
    lab.kernel.reap().unwrap();
    assert!(
        !pods
            .iter()
            .any(|pod| lab.kernel.pending_removal(&pod.wiring.key))
    );
    assert_same(&dump(&lab.node), &before, "afterwards");
}
