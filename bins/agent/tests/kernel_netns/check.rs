//! CHECK sees every kind of damage.

use std::process::Command;

use crate::lab::{Lab, Pod, command, inside};

/// Where something is broken.
#[derive(Debug, Clone, Copy)]
enum Place {
    Node,
    Pod,
}

/// A damage to a pod of the set in slot 2: a command, and a line that CHECK must say. `{device}` is the
/// node's end, `{address}` the pod's address.
const DAMAGES: [(Place, &str, &str); 17] = [
    (
        Place::Node,
        "ip link delete {device}",
        "missing: device {device} ",
    ),
    (
        Place::Node,
        "ip link set {device} down",
        "missing: device {device} ",
    ),
    (
        Place::Node,
        "ip link set {device} mtu 1500",
        "missing: device {device} ",
    ),
    (
        Place::Node,
        "ip link set {device} group 7",
        "missing: device {device} ",
    ),
    (
        Place::Node,
        "ip link set {device} address 02:00:00:00:00:99",
        "missing: device {device} ",
    ),
    (
        Place::Node,
        "ip route delete {address}",
        "missing: route {address}/32 dev {device} table 254",
    ),
    (
        Place::Node,
        "ip route delete {address} table 1978906505",
        "missing: route {address}/32 dev {device} table 1978906505",
    ),
    (
        Place::Node,
        "ip neighbour delete {address} dev {device}",
        "missing: neighbour {address} dev {device}",
    ),
    (
        Place::Node,
        "nft delete element inet underlay pod-mark { {device} . {address} }",
        "missing: mark 0x300000 for {address} from {device}",
    ),
    (
        Place::Node,
        "nft delete element inet underlay pod-explicit { {device} }",
        "missing: guard of the node from {device}",
    ),
    (
        Place::Node,
        "nft delete element inet underlay pod-policy { {device} }",
        "missing: policy set-",
    ),
    (Place::Pod, "ip link set eth0 down", "missing: device eth0 "),
    (
        Place::Pod,
        "ip link set eth0 address 02:00:00:00:00:99",
        "missing: device eth0 ",
    ),
    (
        Place::Pod,
        "ip address delete {address}/32 dev eth0",
        "missing: address {address}/32 in the pod",
    ),
    (
        Place::Pod,
        "ip route delete default",
        "missing: route 0.0.0.0/0 via 169.254.1.1 in the pod",
    ),
    (
        Place::Pod,
        "ip route delete 169.254.1.1",
        "missing: route 169.254.1.1/32 in the pod",
    ),
    (
        Place::Pod,
        "ip neighbour delete 169.254.1.1 dev eth0",
        "missing: neighbour 169.254.1.1 ",
    ),
];

/// Damages to what the pods of slot 2 share.
const SHARED: [(&str, &str); 7] = [
    (
        "ip rule delete priority 7001",
        "missing: IPv4 step 7001 mark 0x0/0x0 to 100000",
    ),
    (
        "ip rule delete priority 100310 fwmark 0x300000/0x7ffc0000",
        "missing: IPv4 rule mark 0x300000 table 1978906505",
    ),
    (
        "ip rule delete priority 100320 fwmark 0x300000/0x7ffc0000",
        "missing: IPv4 rule mark 0x300000 table 70002",
    ),
    (
        "ip route delete default via 10.0.0.1 table 70002",
        "missing: route 0.0.0.0/0 via 10.0.0.1 dev ens7 table 70002",
    ),
    (
        "nft delete element inet underlay eni-device { ens7 }",
        "missing: ENI ens7",
    ),
    (
        "ip link set ens7 down",
        "missing: route 0.0.0.0/0 via 10.0.0.1 dev ens7 table 70002",
    ),
    (
        "nft delete table inet underlay",
        "missing: mark 0x300000 for ",
    ),
];

fn check(lab: &Lab, pod: &Pod) -> Vec<String> {
    lab.kernel.check_pod(&pod.wiring, pod.netns()).unwrap()
}

fn assert_noticed(lab: &Lab, pod: &Pod, damage: &str, line: &str) {
    let found = check(lab, pod);
    let noticed = found.iter().any(|found| found.starts_with(line));
    assert!(noticed, "{damage}: {found:#?} does not have {line:?}");
}

#[test]
fn every_damage_to_a_pod_is_noticed() {
    let lab = Lab::new(2);
    for (number, (place, damage, line)) in (0..).zip(DAMAGES) {
        let pod = lab.pod(20 + number, 2);
        assert_eq!(check(&lab, &pod), [""; 0]);
        let said = |text: &str| {
            text.replace("{device}", &pod.wiring.host_device())
                .replace("{address}", &pod.address().to_string())
        };
        let netns = match place {
            Place::Node => &lab.node,
            Place::Pod => &pod.netns,
        };
        command(netns, &said(damage));
        assert_noticed(&lab, &pod, damage, &said(line));
    }
}

#[test]
fn every_damage_to_a_pods_eni_is_noticed() {
    for (damage, line) in SHARED {
        let lab = Lab::new(2);
        let (pod, other) = (lab.pod(21, 2), lab.pod(22, 1));
        assert_eq!(check(&lab, &pod), [""; 0]);
        command(&lab.node, damage);
        assert_noticed(&lab, &pod, damage, line);
        let everyones = ["table inet underlay", "priority 7001"];
        let is_everyones = everyones.iter().any(|words| damage.contains(words));
        assert_eq!(check(&lab, &other).is_empty(), !is_everyones, "{damage}");
    }
}

/// systemd-udevd gives a device another Ethernet address by `MACAddressPolicy=persistent` unless its
/// maker chose one (`NET_ADDR_SET`): then the neighbours that we made permanent stay true.
#[test]
fn the_nodes_end_has_an_address_that_udev_leaves_alone() {
    let lab = Lab::new(1);
    let pod = lab.pod(21, 1);
    // /sys shows the devices of the namespace it was mounted in.
    let script = format!(
        "mount -t sysfs sysfs /sys && cat /sys/class/net/{}/addr_assign_type",
        pod.wiring.host_device()
    );
    let output = inside(&lab.node, || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        unshare.output().unwrap()
    });
    let net_addr_set = "3\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), net_addr_set);
}
