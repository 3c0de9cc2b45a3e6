//! The trunk ENI, by whose device the packets of branch ENIs come and go.

use underlay_types::{EniId, Families, Family, Mac};

use crate::{NodeState, Object, Op, Plan, steps};

/// A trunk ENI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkWiring {
    /// Its id.
    pub eni: EniId,
    /// Its Ethernet address, by which its device is found.
    pub mac: Mac,
    /// The families of pods.
    pub families: Families,
    /// Bytes of a packet, 9001 in a VPC.
    pub mtu: u32,
}

/// A trunk in use and the name of its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkInUse {
    /// The trunk.
    pub wiring: TrunkWiring,
    /// The name of its device.
    pub device: String,
}

impl TrunkInUse {
    /// What the trunk itself needs, in the order of its coming.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        vec![
            Object::Eni {
                device: self.device.clone(),
            },
            Object::Tags {
                device: self.device.clone(),
            },
        ]
    }
}

/// Brings a trunk into use. The branches that `state` knows come before the programs, which may
/// take the place of an earlier agent's: packets of pods are under way.
#[must_use]
pub fn raise(state: &NodeState, trunk: &TrunkInUse) -> Plan {
    let mut state = state.clone();
    state.set_trunk(Some(trunk.clone()));
    // In the order of the variants: the programs last.
    let objects = state.objects().into_iter();
    let objects = objects.filter(|object| object.device() == Some(&trunk.device));
    let mut ops = sysctls(trunk);
    ops.push(raise_device(trunk));
    let families = [Family::V4, Family::V6].into_iter();
    let families =
        families.filter(|family| *family == Family::V4 || trunk.wiring.families.has(*family));
    let steps = families.flat_map(steps::objects);
    ops.extend(steps.chain(objects).map(Op::Add));
    Plan(ops)
}

/// Brings the trunk's device up, with its MTU.
#[must_use]
pub fn raise_device(trunk: &TrunkInUse) -> Op {
    Op::RaiseDevice {
        device: trunk.device.clone(),
        mtu: trunk.wiring.mtu,
        // Nobody's but the branches' packets leave by it.
        addresses: Vec::new(),
    }
}

/// The settings that the trunk's device must have.
#[must_use]
pub fn sysctls(trunk: &TrunkInUse) -> Vec<Op> {
    let sysctl = |name: &str, value: &str| Op::Sysctl {
        name: name.replace("DEVICE", &trunk.device),
        value: value.to_owned(),
    };
    // As with every ENI of pods: main sends elsewhere, and the VPC checks sources.
    let mut ops = vec![sysctl("ipv4/conf/DEVICE/rp_filter", "0")];
    if trunk.wiring.families.has(Family::V6) {
        ops.extend([
            // The routers of branches are known, and nothing of the node's own leaves by it.
            sysctl("ipv6/conf/DEVICE/accept_ra", "0"),
            // The link-local address, from which the routers are asked for, is usable at once.
            sysctl("ipv6/conf/DEVICE/accept_dad", "0"),
        ]);
    }
    ops
}

/// Takes a trunk out of use. Routes by its device go with the device.
#[must_use]
pub fn lower(trunk: &TrunkInUse) -> Plan {
    trunk.objects().into_iter().rev().map(Op::Remove).collect()
}
