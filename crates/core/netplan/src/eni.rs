//! ENIs: the table and the rule of each.

use ipnet::Ipv4Net;

use crate::{
    EniWiring, NodeState, Object, Op, Plan,
    object::{Route, Target},
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
        let everywhere = |target| {
            Object::Route(Route {
                table: slot.table(),
                destination: Ipv4Net::default(),
                target,
            })
        };
        vec![
            Object::Eni {
                device: self.device.clone(),
            },
            everywhere(Target::Unreachable),
            everywhere(Target::Router {
                device: self.device.clone(),
                router: self.wiring.router(),
            }),
            Object::Rule {
                mark: slot.mark(),
                table: slot.table(),
            },
        ]
    }

    /// The routes to pods of its groups, whichever ENI holds their addresses.
    #[must_use]
    pub fn pod_routes(&self, state: &NodeState) -> Vec<Object> {
        let pods = state.pods().values();
        pods.filter(|pod| pod.groups == self.wiring.groups)
            .map(|pod| pod::route(pod, self.wiring.slot.table()))
            .collect()
    }
}

/// Brings an ENI into use.
#[must_use]
pub fn raise(state: &NodeState, eni: &EniInUse) -> Plan {
    let sysctl = |name: &str, value: &str| Op::Sysctl {
        name: format!("ipv4/conf/{}/{name}", eni.device),
        value: value.to_owned(),
    };
    let mut ops = vec![
        // What comes for pods of this ENI comes from where main would not send to, so a strict
        // reverse-path filter (1) drops it; on a device without an address the loose one (2) does
        // too (Linux 6.18 net/ipv4/fib_frontend.c, __fib_validate_source: `no_addr`). The VPC
        // checks sources, and the map of pods those of pods.
        sysctl("rp_filter", "0"),
        // What the node masquerades for a service comes back with the node's address.
        sysctl("accept_local", "1"),
        Op::RaiseDevice {
            device: eni.device.clone(),
            mtu: eni.wiring.mtu,
            address: eni.wiring.address,
        },
    ];
    ops.extend(eni.pod_routes(state).into_iter().map(Op::Add));
    ops.extend(eni.objects().into_iter().map(Op::Add));
    Plan(ops)
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
