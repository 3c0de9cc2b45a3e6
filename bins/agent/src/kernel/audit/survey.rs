//! Everything of ours on the node, compared with what must be.

use std::collections::BTreeSet;

use ipnet::IpNet;
use underlay_netlink::{IfIndex, KernelError, address, sysctl};
use underlay_netplan::{
    EniSlot, NodeState, Object, Op,
    devices::{self, Compared},
    eni, node,
    numbers::NFT_TABLE,
    trunk,
};
use underlay_types::Mac;

use super::{
    super::{observe::Observed, rules::Rules, workers::Context},
    Look,
};

/// What differs.
pub(super) struct Survey {
    pub(super) compared: Compared,
    /// ENIs whose device has lost the address that we gave it.
    pub(super) unaddressed: Vec<EniSlot>,
    /// Chains that are not as they were written.
    pub(super) chains: BTreeSet<String>,
    sysctls_differ: bool,
    objects_differ: bool,
    names: BTreeSet<String>,
    macs: BTreeSet<Mac>,
}

impl Survey {
    pub(super) fn take(
        context: &mut Context,
        state: &NodeState,
        rules: &Rules,
    ) -> Result<Self, KernelError> {
        let observed = Observed::read(context)?;
        let compared = devices::compare(state, &observed.devices);
        let mut chains = rules.differing(&context.nft.chains(NFT_TABLE)?);
        if let Some(facts) = &rules.facts {
            let primary = compared
                .renamed
                .iter()
                .find(|(slot, _)| *slot == EniSlot::PRIMARY);
            if primary.is_some_and(|(_, name)| *name != facts.primary_device) {
                chains.extend(rules.of_node());
            }
        }
        Ok(Self {
            unaddressed: unaddressed(context, state, &observed)?,
            sysctls_differ: !sysctls(state, rules).is_empty(),
            chains,
            objects_differ: wanted(state, &observed) != observed.objects,
            macs: observed
                .devices
                .iter()
                .filter_map(|device| device.mac)
                .collect(),
            names: observed
                .devices
                .into_iter()
                .map(|device| device.name)
                .collect(),
            compared,
        })
    }

    pub(super) fn into_look(self) -> Look {
        let clean = self.compared.is_clean()
            && self.unaddressed.is_empty()
            && !self.sysctls_differ
            && self.chains.is_empty()
            && !self.objects_differ;
        Look {
            clean,
            lost: self.compared.lost,
            names: self.names,
            macs: self.macs,
        }
    }
}

/// What must be there, as far as the devices are.
pub(super) fn wanted(state: &NodeState, observed: &Observed) -> BTreeSet<Object> {
    let there: BTreeSet<&str> = observed.devices.iter().map(|d| d.name.as_str()).collect();
    let mut wanted = state.objects();
    wanted.retain(|object| object.device().is_none_or(|device| there.contains(device)));
    wanted
}

/// Settings that have another value, as what sets them.
pub(super) fn sysctls(state: &NodeState, rules: &Rules) -> Vec<Op> {
    let of_node = rules.facts.iter().flat_map(node::sysctls);
    let of_enis = state.enis().values().flat_map(eni::sysctls);
    let of_trunk = state.trunk().into_iter().flat_map(trunk::sysctls);
    let all = of_node.chain(of_enis).chain(of_trunk);
    all.filter(differs).collect()
}

/// A setting that cannot be read belongs to a device that is gone.
fn differs(wanted: &Op) -> bool {
    match wanted {
        Op::Sysctl { name, value } => sysctl::read(name).is_ok_and(|found| found != *value),
        _ => false,
    }
}

fn unaddressed(
    context: &mut Context,
    state: &NodeState,
    observed: &Observed,
) -> Result<Vec<EniSlot>, KernelError> {
    let found = address::dump(&mut context.socket)?;
    let lacks = state.enis().iter().filter(|(_, eni)| {
        let device = observed
            .devices
            .iter()
            .find(|device| device.name == eni.device);
        device.is_some_and(|device| {
            let has = |wanted: IpNet| {
                found
                    .iter()
                    .any(|found| found.dev == IfIndex(device.index) && found.address == wanted)
            };
            !eni.wiring.own_addresses().map(IpNet::from).all(has)
        })
    });
    Ok(lacks.map(|(slot, _)| *slot).collect())
}
