//! Pods that own an ENI: its device goes into the pod's namespace, and nothing stands on the node.
//!
//! The device comes back, unconfigured, when the pod goes: by [`unwire`], or by itself when the
//! pod's namespace dies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{Family, WholeEni};

use crate::{Op, Plan, PodWiring, object::everywhere, pod::PodFact};

/// Where the instance metadata service answers; whoever reaches it gets the node's role.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Gives a pod its ENI. Each operation can be taken back, in the reverse order.
#[must_use]
pub fn wire(pod: &PodWiring, eni: WholeEni, reaches_metadata: bool) -> Plan {
    Plan(vec![
        Op::LendEni(pod.clone(), eni),
        Op::ConfigureOwner {
            pod: pod.clone(),
            eni,
            reaches_metadata,
        },
    ])
}

/// Takes a pod's ENI back, if it is still in the pod.
#[must_use]
pub fn unwire(pod: &PodWiring, eni: WholeEni) -> Plan {
    Plan(vec![Op::ReturnEni(pod.clone(), eni)])
}

/// What a pod must not reach by its own ENI, of the families that it has addresses of: of another
/// one it reaches nothing.
pub fn closed(pod: &PodWiring, reaches_metadata: bool) -> impl Iterator<Item = IpNet> {
    METADATA
        .into_iter()
        .filter(move |_| !reaches_metadata)
        .filter(|service| {
            let families = pod.addresses.iter().map(Family::of);
            families
                .into_iter()
                .any(|family| family == Family::of(*service))
        })
        .map(IpNet::from)
}

/// What must hold of the device and inside the pod's namespace, for CHECK.
#[must_use]
pub fn facts(pod: &PodWiring, eni: WholeEni, reaches_metadata: bool) -> Vec<PodFact> {
    let mut facts = vec![PodFact::Device {
        name: pod.key.ifname.to_string(),
        mac: eni.mac,
        mtu: pod.mtu,
        up: true,
        group: 0,
    }];
    for (address, router) in pod.ips() {
        facts.push(PodFact::Address(address));
        facts.push(PodFact::Route(
            everywhere(Family::of(address.addr())),
            Some(router),
        ));
        if let IpNet::V4(address) = address {
            facts.push(PodFact::Route(IpNet::V4(address.trunc()), None));
        }
    }
    facts.extend(closed(pod, reaches_metadata).map(PodFact::Closed));
    facts
}

/// An address of a pod that owns `eni` as its device has it: as EC2's own systems configure an
/// ENI's primary address, so that the subnet is on the link. IPv6 addresses are single ones of the
/// ENI's prefix, and all else is behind the router.
pub(crate) fn on_device(address: IpAddr, eni: WholeEni) -> IpNet {
    match address {
        IpAddr::V4(address) => Ipv4Net::new(address, eni.subnet.prefix_len())
            .map_or_else(|_| IpNet::from(IpAddr::V4(address)), IpNet::V4),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::from(address)),
    }
}
