//! ENIs that were detached and attached again, at their place or elsewhere: their pods go on.

use std::collections::BTreeMap;

use underlay_netplan::{EniWiring, PodWiring};

use crate::{
    lab::{Lab, Pod, REMOTE, assign, command, eni, eni_mac, plug, slot, wiring},
    traffic::{Server, connect, seen_in_time},
};

/// Takes an ENI away; the look for drift notices nothing but that.
fn detach(lab: &Lab, device: u8) {
    command(&lab.vpc, &format!("ip link delete eni{device}"));
    lab.kernel.repair(BTreeMap::new()).unwrap();
}

/// Attaches it again, as a new device.
fn attach(lab: &Lab, device: u8, pods: &[&Pod]) {
    let port = format!("eni{device}");
    let name = format!("ens{}", 5 + device);
    plug(&lab.vpc, &port, &lab.node, &name, eni_mac(device));
    let own = eni(device).address.into_iter();
    for address in own.chain(pods.iter().map(|pod| pod.address())) {
        assign(&lab.vpc, &port, eni_mac(device), address);
    }
}

/// The ENI that was attached in slot `device` at first, and these pods of it, in another slot.
fn moved(device: u8, to: u8, pods: &[&Pod]) -> (EniWiring, Vec<PodWiring>) {
    let eni = EniWiring {
        slot: slot(to),
        ..eni(device)
    };
    let wiring = |pod: &&Pod| PodWiring {
        eni: slot(to),
        ..pod.wiring.clone()
    };
    (eni, pods.iter().map(wiring).collect())
}

/// Pods send by their ENI and nothing differs from what must be.
#[track_caller]
fn assert_whole(lab: &Lab, remote: &Server, pods: &[(&str, &Pod)], wired: &[PodWiring]) {
    for (port, pod) in pods {
        let seen = seen_in_time(&pod.netns, remote.address);
        assert_eq!(seen, Some(pod.address()), "{port}");
        assert!(lab.seen(port, pod.address(), REMOTE), "{port}");
    }
    assert_eq!(lab.strays(), 0);
    let restored = lab.kernel.restore(wired).unwrap();
    assert_eq!(restored, Default::default());
    assert!(lab.kernel.look().unwrap().clean);
}

#[test]
fn pods_of_an_eni_that_is_attached_again_leave_by_it_wherever_it_is() {
    for to in [2, 5] {
        let lab = Lab::new(3);
        let remote = Server::start(&lab.remote, REMOTE, 80);
        let (first, second) = (lab.pod(21, 2), lab.pod(22, 2));
        let (neighbour, other) = (lab.pod(23, 3), lab.pod(24, 1));
        detach(&lab, 2);
        attach(&lab, 2, &[&first, &second]);
        let (eni, mut pods) = moved(2, to, &[&first, &second]);
        lab.kernel.use_eni_of(&eni, &pods).unwrap();
        // Again, as after a kill.
        lab.kernel.use_eni_of(&eni, &pods).unwrap();
        pods.extend([neighbour.wiring.clone(), other.wiring.clone()]);
        let by = [
            ("eni2", &first),
            ("eni2", &second),
            ("eni3", &neighbour),
            ("eni1", &other),
        ];
        assert_whole(&lab, &remote, &by, &pods);
        let rules = command(&lab.node, "ip rule show");
        assert_eq!(rules.contains("fwmark 0x300000"), to == 2, "{rules}");
        let check = lab.kernel.check_pod(&pods[0], first.netns()).unwrap();
        assert_eq!(check, [""; 0]);
    }
}

#[test]
fn an_eni_that_took_its_place_keeps_its_own_pods() {
    let lab = Lab::new(4);
    let remote = Server::start(&lab.remote, REMOTE, 80);
    let stranded = lab.pod(21, 2);
    detach(&lab, 2);
    // The one of slot 4 is detached too, and comes to slot 2.
    lab.kernel.drop_eni(&eni(4).eni).unwrap();
    detach(&lab, 4);
    attach(&lab, 4, &[]);
    let (usurper, _) = moved(4, 2, &[]);
    lab.kernel.use_eni_of(&usurper, &[]).unwrap();
    let mut guest = lab.unwired(22, 4);
    guest.wiring = PodWiring {
        eni: slot(2),
        ..wiring(22, 4)
    };
    lab.kernel.wire_pod(&guest.wiring, guest.netns()).unwrap();
    // The stranded pod does not leave by it, nor meet its pods beside the VPC.
    assert!(connect(&stranded.netns, remote.address).is_none());
    let served = Server::start(&guest.netns, guest.address(), 80);
    assert!(connect(&stranded.netns, served.address).is_none());
    assert_eq!(lab.strays(), 0);

    attach(&lab, 2, &[&stranded]);
    let (eni, mut pods) = moved(2, 4, &[&stranded]);
    lab.kernel.use_eni_of(&eni, &pods).unwrap();
    pods.push(guest.wiring.clone());
    let by = [("eni2", &stranded), ("eni4", &guest)];
    assert_whole(&lab, &remote, &by, &pods);
}
