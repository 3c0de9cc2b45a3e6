//! ENIs: the table and the rule of each.

use underlay_types::Family;

use crate::{
    EniSlot, EniWiring, NodeState, Object, Op, Plan,
    object::{Route, Target, everywhere},
    pod,
};

/// An ENI in use and the name of its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniInUse {
    /// The ENI.
    pub wiring: EniWiring,
    /// The name of its device.
    pub device: String,
}

impl EniInUse {
    /// What the ENI itself needs, in the order of its coming: the rule last.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        let EniWiring { slot, .. } = self.wiring;
        let mut objects = vec![Object::Eni {
            device: self.device.clone(),
        }];
        for router in self.wiring.routers() {
            let family = Family::of(router);
            let everywhere = |target| {
                Object::Route(Route {
                    table: slot.table(),
                    destination: everywhere(family),
                    target,
                })
            };
            objects.extend([
                everywhere(Target::Unreachable),
                everywhere(Target::Router {
                    device: self.device.clone(),
                    router,
                }),
                Object::Rule {
                    family,
                    mark: slot.mark(),
                    table: slot.table(),
                },
            ]);
        }
        objects
    }

    /// The routes to pods of its groups, whichever ENI holds their addresses.
    #[must_use]
    pub fn pod_routes(&self, state: &NodeState) -> Vec<Object> {
        let pods = state.pods().values();
        pods.filter(|pod| pod.groups == self.wiring.groups)
            .flat_map(|pod| pod::routes(pod, self.wiring.slot.table()))
            .collect()
    }
}

/// Brings an ENI into use.
#[must_use]
pub fn raise(state: &NodeState, eni: &EniInUse) -> Plan {
    let mut ops = sysctls(eni);
    ops.push(raise_device(eni));
    ops.extend(eni.pod_routes(state).into_iter().map(Op::Add));
    ops.extend(eni.objects().into_iter().map(Op::Add));
    Plan(ops)
}

/// Brings the ENI's device up, with its MTU and address.
#[must_use]
pub fn raise_device(eni: &EniInUse) -> Op {
    Op::RaiseDevice {
        device: eni.device.clone(),
        mtu: eni.wiring.mtu,
        address: eni.wiring.address,
    }
}

/// The settings that the ENI's device must have.
#[must_use]
pub fn sysctls(eni: &EniInUse) -> Vec<Op> {
    let sysctl = |name: &str, value: &str| Op::Sysctl {
        name: name.replace("DEVICE", &eni.device),
        value: value.to_owned(),
    };
    let mut ops = vec![
        // What comes for pods of this ENI comes from where main would not send to, so a strict
        // reverse-path filter (1) drops it; on a device without an address the loose one (2) does
        // too (Linux 6.18 net/ipv4/fib_frontend.c, __fib_validate_source: `no_addr`). The VPC
        // checks sources, and the map of pods those of pods.
        sysctl("ipv4/conf/DEVICE/rp_filter", "0"),
        // What the node masquerades for a service comes back with the node's address.
        sysctl("ipv4/conf/DEVICE/accept_local", "1"),
    ];
    let secondary = eni.wiring.slot != EniSlot::PRIMARY;
    if secondary && eni.wiring.families.has(Family::V6) {
        ops.extend([
            // Its router is known, and the node's own traffic leaves by the primary ENI.
            sysctl("ipv6/conf/DEVICE/accept_ra", "0"),
            // The link-local address, from which the router is asked for, is usable at once.
            sysctl("ipv6/conf/DEVICE/accept_dad", "0"),
        ]);
    }
    ops
}

/// Takes an ENI out of use: the rule first.
#[must_use]
pub fn lower(state: &NodeState, eni: &EniInUse) -> Plan {
    let objects = eni.objects().into_iter().rev();
    objects
        .chain(eni.pod_routes(state))
        .map(Op::Remove)
        .collect()
}
