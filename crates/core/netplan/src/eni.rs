//! ENIs: the table of each, and the rules that lead to it and to the table of its group set.

use underlay_types::{Family, PoolGroups, SecurityGroupSet};

use crate::{
    EniSlot, EniWiring, NodeState, Object, Op, Plan, names,
    object::{Route, Target, everywhere},
    steps,
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
    /// What the ENI needs, in the order of its coming: the rules last. What its mark sends to a pod
    /// of its set on this node finds it in the set's table; the rest leaves by the ENI.
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
            ]);
            let tables = [names::set_table(&self.wiring.groups), slot.table()];
            objects.extend(tables.map(|table| Object::Rule {
                family,
                mark: slot.mark(),
                table,
            }));
        }
        objects
    }
}

impl EniInUse {
    /// The same after the steps that lead to its rules.
    pub fn with_steps(&self) -> impl Iterator<Item = Object> + use<> {
        let families: Vec<_> = self.wiring.routers().map(Family::of).collect();
        let steps = families.into_iter().flat_map(steps::objects);
        steps.chain(self.objects())
    }
}

/// Two group sets of one node whose hashes give them the same table: to route for both by it would
/// let pods pass the VPC's groups by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node already routes pods of {other} by table {table}, which {set} would need")]
pub struct TableTaken {
    /// The table.
    pub table: u32,
    /// Who needs it.
    pub set: SecurityGroupSet,
    /// Who has it.
    pub other: SecurityGroupSet,
}

/// Brings an ENI into use.
///
/// # Errors
/// When the table of its group set is another set's.
pub fn raise(state: &NodeState, eni: &EniInUse) -> Result<Plan, TableTaken> {
    refuse_shared_table(state, &eni.wiring.groups)?;
    let mut ops = sysctls(eni);
    ops.push(raise_device(eni));
    ops.extend(eni.with_steps().map(Op::Add));
    Ok(Plan(ops))
}

/// Brings the ENI's device up, with its MTU and addresses.
#[must_use]
pub fn raise_device(eni: &EniInUse) -> Op {
    Op::RaiseDevice {
        device: eni.device.clone(),
        mtu: eni.wiring.mtu,
        addresses: eni.wiring.own_addresses().collect(),
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
            // What is masqueraded on its way out by this ENI gets an address of this ENI.
            sysctl("ipv6/conf/DEVICE/use_oif_addrs_only", "1"),
        ]);
    }
    ops
}

/// The default set's table is no explicit set's.
fn refuse_shared_table(state: &NodeState, groups: &PoolGroups) -> Result<(), TableTaken> {
    let PoolGroups::Exactly(set) = groups else {
        return Ok(());
    };
    let table = names::set_table(groups);
    for eni in state.enis().values() {
        match &eni.wiring.groups {
            PoolGroups::Exactly(other)
                if other != set && names::set_table(&eni.wiring.groups) == table =>
            {
                let (set, other) = (set.clone(), other.clone());
                return Err(TableTaken { table, set, other });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes an ENI out of use: the rules first. `state` is what stays.
#[must_use]
pub fn lower(state: &NodeState, eni: &EniInUse) -> Plan {
    let used: Vec<Family> = state.families().collect();
    let families = eni.wiring.routers().map(Family::of);
    let steps = families.filter(|family| !used.contains(family));
    let steps = steps.flat_map(|family| steps::objects(family).into_iter().rev());
    let objects = eni.objects().into_iter().rev();
    objects.chain(steps).map(Op::Remove).collect()
}
