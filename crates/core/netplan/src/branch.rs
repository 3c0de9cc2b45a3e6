//! Branch ENIs: what a pod that has one needs beyond what every pod needs.
//!
//! Like an ENI it has a mark, a rule and a table. The table leads to the trunk's device, where
//! programs put the tag on that the mark names. Its next hop is an alias, since the routers of
//! several branches may have one address, and the node's own ARP must tell them apart.
//!
//! What a strict pod's groups must see never meets a shorter way: its table has none, and no other
//! table has one to it. The VPC cannot see what it sends to its own node; the guard of the node
//! stands for the VPC there, as with every explicit set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use underlay_types::{BranchEni, Enforcement, Family, VlanId};

use crate::{
    Object, PodWiring, names,
    numbers::{ROUTER_ALIAS_BASE, ROUTER_ALIAS_BASE_V6},
    object::{Route, Target, everywhere},
};

/// What stands for the router of the branch with this tag.
fn router_alias(family: Family, vlan: VlanId) -> IpAddr {
    let tag = vlan.number();
    match family {
        Family::V4 => Ipv4Addr::from(u32::from(ROUTER_ALIAS_BASE) + u32::from(tag)).into(),
        Family::V6 => Ipv6Addr::from(u128::from(ROUTER_ALIAS_BASE_V6) + u128::from(tag)).into(),
    }
}

/// Everything of the branch, in the order of its coming: the rules last.
pub(crate) fn objects(pod: &PodWiring, branch: &BranchEni) -> Vec<Object> {
    let mut objects = Vec::new();
    if branch.enforcement == Enforcement::Strict {
        objects.push(Object::PodExplicit {
            device: pod.host_device(),
        });
    }
    // Without a trunk its routes went with its device.
    if let Some(trunk) = &pod.trunk {
        objects.push(Object::Branch {
            device: trunk.clone(),
            vlan: branch.vlan,
            ipv4: branch.ipv4,
            ipv6: branch.ipv6,
            mac: branch.mac,
        });
    }
    let families = branch.addresses().into_iter();
    let families = families.flat_map(|addresses| addresses.iter().map(Family::of));
    objects.extend(families.flat_map(|family| ways(pod, branch, family)));
    objects
}

/// The routes and rules of a family.
fn ways(pod: &PodWiring, branch: &BranchEni, family: Family) -> Vec<Object> {
    let own = pod.eni.table();
    let default = |target| {
        Object::Route(Route {
            table: own,
            destination: everywhere(family),
            target,
        })
    };
    let mut objects = vec![default(Target::Unreachable)];
    objects.extend(pod.trunk.iter().map(|trunk| {
        default(Target::Router {
            device: trunk.clone(),
            router: router_alias(family, branch.vlan),
        })
    }));
    let tables = pod.meets().map(names::set_table).into_iter();
    objects.extend(tables.chain([own]).map(|table| Object::Rule {
        family,
        mark: pod.eni.mark(),
        table,
    }));
    objects
}

/// Whether an object that stands on the node is of the pod's branch.
pub(crate) fn is_of(wiring: &PodWiring, object: &Object) -> bool {
    match object {
        Object::Branch { vlan, .. } => {
            let branch = wiring.interface.branch();
            branch.is_some_and(|branch| branch.vlan == *vlan)
        }
        Object::Route(Route { table, .. }) => *table == wiring.eni.table(),
        Object::Rule { mark, .. } => *mark == wiring.eni.mark(),
        _ => false,
    }
}
