//! ENIs that were attached again, perhaps in another slot, and their pods.

use underlay_netplan::{NodeState, PodWiring, diff, eni::EniInUse};

use super::{Failure, Kernel, lock};

impl Kernel {
    /// Has the pods of an ENI that is in use leave by its slot, takes down what it had in another one,
    /// and keeps pods of an ENI that had this slot before from leaving by it. `before` is what was wired
    /// until now.
    pub(super) fn move_pods(
        &self,
        doing: &str,
        before: &NodeState,
        eni: EniInUse,
        pods: &[PodWiring],
    ) -> Result<(), Failure> {
        let mut state = before.clone();
        let mut there = before.objects();
        there.extend(eni.with_steps());
        state.move_eni(eni, pods);
        let plan = diff::plan(&state.objects(), &there);
        if !plan.0.is_empty() {
            self.all_possible(doing, plan)?;
        }
        *lock(&self.state) = state;
        Ok(())
    }
}
