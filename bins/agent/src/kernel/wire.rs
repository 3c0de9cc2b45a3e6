//! Wiring and unwiring pods.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use underlay_netlink::{Errno, KernelError, Socket, link};
use underlay_netplan::{
    Op, Plan, PodWiring,
    numbers::{POD_GROUP, RETIRED_GROUP},
    pod,
};
use underlay_types::{Families, PoolGroups};

use super::{
    Kernel, check,
    execute::Execution,
    failure::{Failure, refused},
    lock, whole,
    workers::Context,
};

/// What the attempt to wire a pod came to.
enum Wired {
    /// It is wired now; these families have their default route by another interface.
    Now(Option<Families>),
    /// It was wired already.
    Before,
}

impl Kernel {
    /// Wires a pod in its namespace: all or nothing. Its ENI must be in use. A pod that is wired
    /// already, in this namespace, stays as it is; what is left of an earlier try is removed first,
    /// as is its own device that waits to be deleted.
    ///
    /// # Errors
    /// What the kernel refused. Nothing is left behind unless [`Failure::left`] says so.
    pub fn wire_pod(&self, pod: &PodWiring, netns: BorrowedFd<'_>) -> Result<(), Failure> {
        let inside = self.socket_in(netns)?;
        self.wire_pod_by(pod, netns, inside).map(drop)
    }

    /// The same, by a socket that was opened in the pod's namespace ([`Self::socket_in`]). Answers in
    /// which families another interface of the pod has the default route
    /// ([`PodWiring::second_in`]).
    ///
    /// # Errors
    /// As [`Self::wire_pod`].
    pub fn wire_pod_by(
        &self,
        pod: &PodWiring,
        netns: BorrowedFd<'_>,
        inside: Socket,
    ) -> Result<Option<Families>, Failure> {
        let doing = || format!("wire pod {}", pod.key);
        let clean = |error| Failure::clean(doing(), error);
        if let Some(eni) = pod.whole() {
            let wired = self.wire_owner(pod, eni, duplicate(netns).map_err(clean)?);
            return wired.map(|()| None);
        }
        let _topology = self.read_topology();
        let (pod, plan) = {
            let state = lock(&self.state);
            (state.on_trunk(pod), pod::wire(&state, pod))
        };
        let plan =
            plan.map_err(|error| clean(refused("plan", pod.key.to_string(), error.to_string())))?;
        if let PoolGroups::Exactly(set) = &pod.groups {
            self.ensure_chains(set).map_err(clean)?;
        }
        let netns = duplicate(netns).map_err(clean)?;
        let wiring = pod.clone();
        let wired = self
            .workers
            .run(move |context| {
                let mut place = Place {
                    context,
                    netns,
                    inside: Some(inside),
                };
                place.wire(&wiring, &plan)
            })
            .map_err(clean)?;
        let second_in = match wired {
            Ok(Wired::Now(second_in)) => {
                self.reaper.forget(&pod.host_device());
                second_in
            }
            Ok(Wired::Before) => pod.second_in,
            Err((error, left)) => {
                return Err(Failure {
                    doing: doing(),
                    error,
                    left,
                });
            }
        };
        lock(&self.state).insert_pod(PodWiring { second_in, ..pod });
        Ok(second_in)
    }

    /// Takes a pod off the network: marks, routes and map entries are gone when it returns; the
    /// device is deleted later ([`Self::pending_removal`]). Idempotent; works without the namespace.
    ///
    /// # Errors
    /// What the kernel refused, after everything else was removed; repeat the call.
    pub fn unwire_pod(&self, pod: &PodWiring) -> Result<(), Failure> {
        self.unwire_pod_in(pod, &[])
    }

    /// As [`Self::unwire_pod`]; an ENI that the pod owns is looked for in `namespaces` and is back in
    /// the node's when this returns, if it was there.
    ///
    /// # Errors
    /// As [`Self::unwire_pod`].
    pub fn unwire_pod_in(
        &self,
        pod: &PodWiring,
        namespaces: &[BorrowedFd<'_>],
    ) -> Result<(), Failure> {
        if let Some(eni) = pod.whole() {
            return self.unwire_owner(pod, eni, whole::owned(namespaces));
        }
        let doing = || format!("unwire pod {}", pod.key);
        let _topology = self.read_topology();
        let plan = pod::unwire(&lock(&self.state).on_trunk(pod));
        let device = pod.host_device();
        let unwired = self
            .workers
            .run(move |context| unwire(context, &plan, &device));
        match unwired.map_err(|error| Failure::clean(doing(), error))? {
            Ok(true) => self.reaper.note(pod.host_device()),
            Ok(false) => {}
            Err(errors) => Failure::first(doing(), errors)?,
        }
        lock(&self.state).remove_pod(&pod.key);
        Ok(())
    }
}

/// A descriptor of a namespace for a worker.
pub(super) fn duplicate(netns: BorrowedFd<'_>) -> Result<OwnedFd, KernelError> {
    netns
        .try_clone_to_owned()
        .map_err(|error| refused("duplicate", "namespace descriptor", error.to_string()))
}

/// Where a pod is wired.
struct Place<'a> {
    context: &'a mut Context,
    netns: OwnedFd,
    inside: Option<Socket>,
}

type Failed = (KernelError, Vec<KernelError>);

impl Place<'_> {
    /// Most often nothing is in the way: that is looked at only when the device is refused.
    fn wire(&mut self, pod: &PodWiring, plan: &Plan) -> Result<Wired, Failed> {
        match self.carry_out(plan) {
            Err((error, left)) if error.errno == Errno::EXIST && left.is_empty() => {
                match self.make_way(pod, error)? {
                    Some(before) => Ok(before),
                    None => self.carry_out(plan),
                }
            }
            done => done,
        }
    }

    fn carry_out(&mut self, plan: &Plan) -> Result<Wired, Failed> {
        let mut execution =
            Execution::new(self.context, Some(self.netns.as_fd())).by(&mut self.inside);
        execution.all_or_nothing(plan)?;
        Ok(Wired::Now(execution.second_in))
    }

    /// Removes what is left of the pod's lease and in its way; `refused` is what it was refused
    /// for. Returns how it is wired, if it is.
    fn make_way(
        &mut self,
        pod: &PodWiring,
        refused_for: KernelError,
    ) -> Result<Option<Wired>, Failed> {
        let alone = |error| (error, Vec::new());
        let context = &mut *self.context;
        let device = pod.host_device();
        match link::by_name(&mut context.socket, &device) {
            // Something else is in the way, such as a device of the pod's own.
            Err(error) if error.is_missing() => return Err(alone(refused_for)),
            Err(error) => return Err(alone(error)),
            Ok(link) if link.group == RETIRED_GROUP => {}
            Ok(link) if link.group == POD_GROUP => {
                let differences = check::differences(context, pod, self.netns.as_fd());
                if differences.map_err(alone)?.is_empty() {
                    return Ok(Some(Wired::Before));
                }
                // Left by an earlier try of this very lease, which gives the device its name.
                let errors = Execution::new(context, None).all_possible(&pod::unwire(pod));
                if let Some(error) = errors.into_iter().next() {
                    return Err(alone(error));
                }
            }
            Ok(_) => {
                return Err(alone(refused(
                    "add veth",
                    device,
                    "a device that is not ours has the name",
                )));
            }
        }
        delete(context, &device).map_err(alone)?;
        Ok(None)
    }
}

fn delete(context: &mut Context, device: &str) -> Result<(), KernelError> {
    let delete = Plan(vec![Op::DeleteDevice(device.to_owned())]);
    let errors = Execution::new(context, None).all_possible(&delete);
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// Unwires a pod; true if its device is still there, retired.
fn unwire(context: &mut Context, plan: &Plan, device: &str) -> Result<bool, Vec<KernelError>> {
    let alone = |error| vec![error];
    let index = match link::by_name(&mut context.socket, device) {
        Ok(link) => Some(link.index),
        Err(error) if error.is_missing() => None,
        Err(error) => return Err(alone(error)),
    };
    let errors = Execution::new(context, None)
        .knowing(device, index)
        .all_possible(plan);
    if !errors.is_empty() {
        return Err(errors);
    }
    if index.is_none() {
        // The device died with the pod's namespace; its routes went along, its elements stayed.
        super::restore::sweep(context).map_err(alone)?;
    }
    Ok(index.is_some())
}
