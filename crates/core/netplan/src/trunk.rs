//! The trunk ENI, by whose device the packets of branch ENIs come and go.

use underlay_types::{EniId, Mac};

use crate::{NodeState, Object, Op, Plan};

/// A trunk ENI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkWiring {
    /// Its id.
    pub eni: EniId,
    /// Its Ethernet address, by which its device is found.
    pub mac: Mac,
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
    let sysctl = |name: &str, value: &str| Op::Sysctl {
        name: format!("ipv4/conf/{}/{name}", trunk.device),
        value: value.to_owned(),
    };
    let mut state = state.clone();
    state.set_trunk(Some(trunk.clone()));
    // In the order of the variants: the programs last.
    let objects = state.objects().into_iter();
    let objects = objects.filter(|object| object.device() == Some(&trunk.device));
    let mut ops = vec![
        // As with every ENI of pods: main sends elsewhere, and the VPC checks sources.
        sysctl("rp_filter", "0"),
        Op::RaiseDevice {
            device: trunk.device.clone(),
            mtu: trunk.wiring.mtu,
            // Nobody's but the branches' packets leave by it.
            addresses: Vec::new(),
        },
    ];
    ops.extend(objects.map(Op::Add));
    Plan(ops)
}

/// Takes a trunk out of use. Routes by its device go with the device.
#[must_use]
pub fn lower(trunk: &TrunkInUse) -> Plan {
    trunk.objects().into_iter().rev().map(Op::Remove).collect()
}
