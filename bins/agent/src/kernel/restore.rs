//! Taking over what an earlier agent left.

use std::collections::BTreeSet;

use underlay_netlink::KernelError;
use underlay_netplan::{NodeState, Object, Op, Plan, PodWiring, diff, pod};
use underlay_types::PoolGroups;

use super::{Failure, Kernel, execute::Execution, lock, observe::Observed, workers::Context};

/// What [`Kernel::restore`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Pods whose device is gone: their namespace died while nobody looked. They are unwired.
    pub gone: Vec<PodWiring>,
    /// Differences from what had to be there that were put right, as text for the log.
    pub repaired: Vec<String>,
    /// Devices of ours that belong to no pod given. They are deleted.
    pub strays: Vec<String>,
    /// What the kernel refused to put right or remove; the rest was done.
    pub refused: Vec<KernelError>,
}

impl Kernel {
    /// After a restart, and after [`Self::setup_node`] and [`Self::use_eni`] for every ENI: takes
    /// over the pods that the journal knows, puts right what differs on the node, removes what
    /// belongs to none. Also fit for a repair at any time.
    ///
    /// # Errors
    /// When the kernel cannot be read; what it refused to change stands in [`Restored::refused`].
    pub fn restore(&self, pods: &[PodWiring]) -> Result<Restored, Failure> {
        let doing = "take over the node's pods";
        let _alone = self.write_topology();
        for pod in pods {
            if let PoolGroups::Exactly(set) = &pod.groups {
                self.ensure_chains(set)
                    .map_err(|error| Failure::clean(doing, error))?;
            }
        }
        let mut state = lock(&self.state).clone();
        for key in state.pods().keys().cloned().collect::<Vec<_>>() {
            state.remove_pod(&key);
        }
        let pods = pods.to_vec();
        let restored = self.workers.run(move |context| {
            let restored = restore(context, &mut state, pods)?;
            Ok((state, restored))
        });
        let (state, restored) = restored
            .and_then(|restored| restored)
            .map_err(|error| Failure::clean(doing, error))?;
        *lock(&self.state) = state;
        Ok(restored)
    }
}

fn restore(
    context: &mut Context,
    state: &mut NodeState,
    pods: Vec<PodWiring>,
) -> Result<Restored, KernelError> {
    let mut observed = Observed::read(context)?;
    let mut restored = Restored::default();
    for pod in pods {
        if observed.pod_devices.contains_key(&pod.host_device()) {
            state.insert_pod(pod);
        } else {
            restored.gone.push(pod);
        }
    }
    let known: BTreeSet<_> = state.pods().values().map(PodWiring::host_device).collect();
    let strays = observed
        .pod_devices
        .keys()
        .filter(|device| !known.contains(*device));
    restored.strays = strays.cloned().collect();

    let wanted = state.objects();
    if state.trunk().is_none() {
        // Not knowing the trunk is no reason to cut off who still leaves by it.
        let branches: Vec<_> = state.pods().values().collect();
        let is_branchs = |object: &Object| {
            let mut branches = branches
                .iter()
                .filter(|pod| pod.interface.branch().is_some());
            branches.any(|branch| pod::is_of(branch, object))
        };
        observed
            .objects
            .retain(|object| wanted.contains(object) || !is_branchs(object));
    }
    restored.repaired = diff::describe(&wanted, &observed.objects);
    let mut plan = diff::plan(&wanted, &observed.objects);
    // Nobody waits for these: one by one is good enough.
    plan.0
        .extend(restored.strays.iter().cloned().map(Op::DeleteDevice));
    restored.refused = Execution::new(context, None).all_possible(&plan);
    Ok(restored)
}

/// Removes elements of nftables whose device is gone.
pub(super) fn sweep(context: &mut Context) -> Result<(), KernelError> {
    let observed = Observed::read(context)?;
    let is_orphaned = |object: &Object| object.device().is_some_and(|d| d.starts_with('#'));
    let orphaned = observed.objects.into_iter().filter(is_orphaned);
    let plan: Plan = orphaned.map(Op::Remove).collect();
    let errors = Execution::new(context, None).all_possible(&plan);
    errors.into_iter().next().map_or(Ok(()), Err)
}
