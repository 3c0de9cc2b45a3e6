//! Carries out plans.

use std::{collections::HashMap, os::fd::BorrowedFd};

use ipnet::IpNet;
use underlay_netlink::{
    Errno, IfIndex, KernelError, Request, Socket,
    address::{self, Address},
    link::{self, Veth, VethEnd},
    nft::{self, Element},
    sysctl,
};
use underlay_netplan::{
    Object, Op, Plan, PodWiring,
    numbers::{POD_GROUP, RETIRED_GROUP},
};
use underlay_types::Families;

use super::{
    translate::{Wanted, wanted},
    workers::Context,
};

/// The index of "no device" in messages.
const NONE: IfIndex = IfIndex(0);

/// A plan under way.
pub(super) struct Execution<'a> {
    context: &'a mut Context,
    netns: Option<BorrowedFd<'a>>,
    /// A socket in `netns`, once there is one.
    pub(super) inside: Option<&'a mut Option<Socket>>,
    indices: HashMap<String, Option<IfIndex>>,
    /// The pod's end of the pair that was made last.
    pub(super) pod_end: Option<IfIndex>,
    /// Families whose default route another interface of the pod turned out to have.
    pub(super) second_in: Option<Families>,
}

/// An operation on objects that can be sent together with its neighbours in the plan.
struct Change<'a> {
    op: &'a Op,
    wanted: Wanted,
    is_add: bool,
}

impl<'a> Execution<'a> {
    /// Plans run with `context`; those that wire a pod also need its namespace.
    pub(super) fn new(context: &'a mut Context, netns: Option<BorrowedFd<'a>>) -> Self {
        Self {
            context,
            netns,
            inside: None,
            indices: HashMap::new(),
            pod_end: None,
            second_in: None,
        }
    }

    /// The same, with a socket in the pod's namespace.
    pub(super) fn by(self, inside: &'a mut Option<Socket>) -> Self {
        Self {
            inside: Some(inside),
            ..self
        }
    }

    /// The same, with the index of a device, or that it is not there.
    pub(super) fn knowing(mut self, device: &str, index: Option<IfIndex>) -> Self {
        self.indices.insert(device.to_owned(), index);
        self
    }

    pub(super) const fn context(&mut self) -> &mut Context {
        self.context
    }

    /// The namespace of the pod that is wired or unwired.
    pub(super) fn pod_netns(&self) -> Result<BorrowedFd<'a>, KernelError> {
        self.netns
            .ok_or_else(|| no_device("configure", "pod without namespace"))
    }

    /// Carries out the whole plan or nothing of it: what was done before a failure is undone, in
    /// the reverse order. Returns the failure and what could not be undone.
    pub(super) fn all_or_nothing(
        &mut self,
        plan: &Plan,
    ) -> Result<(), (KernelError, Vec<KernelError>)> {
        let mut done = Vec::new();
        let mut failed = None;
        for group in plan.batches() {
            for (op, answer) in group.iter().zip(self.run_group(group)) {
                match answer {
                    Ok(()) => done.push(op),
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = failed {
                let undo: Vec<_> = done.iter().rev().filter_map(|op| op.inverse()).collect();
                return Err((error, self.all_possible(&Plan(undo))));
            }
        }
        Ok(())
    }

    /// Carries out all of the plan that can be; returns what failed.
    pub(super) fn all_possible(&mut self, plan: &Plan) -> Vec<KernelError> {
        let mut errors = Vec::new();
        for group in plan.batches() {
            errors.extend(self.run_group(group).into_iter().filter_map(Result::err));
        }
        errors
    }

    /// Carries out operations of one of the plan's batches.
    fn run_group(&mut self, ops: &[Op]) -> Vec<Result<(), KernelError>> {
        if let [op] = ops
            && op.change().is_none()
        {
            return vec![self.run_single(op)];
        }
        if let Some(answers) = self.run_on_programs(ops) {
            return answers;
        }
        let mut answers: Vec<Result<(), KernelError>> = vec![Ok(()); ops.len()];
        let mut changes = Vec::with_capacity(ops.len());
        for (position, op) in ops.iter().enumerate() {
            match self.translate(op) {
                Ok(Some(change)) => changes.push((position, change)),
                Ok(None) => {}
                Err(error) => answers[position] = Err(error),
            }
        }
        for (position, answer) in self.send(changes) {
            answers[position] = answer;
        }
        answers
    }

    /// Carries out operations on eBPF programs, if these are any: one by one.
    fn run_on_programs(&mut self, ops: &[Op]) -> Option<Vec<Result<(), KernelError>>> {
        let changes = ops.iter().filter_map(Op::change);
        let changes: Vec<_> = changes
            .filter(|(object, _)| object.is_of_programs())
            .collect();
        if changes.is_empty() {
            return None;
        }
        let run = |(object, is_add): (&Object, bool)| {
            let device = object.device().unwrap_or_default();
            match self.index(device)? {
                Some(index) => self.context.change_programs(object, index, is_add),
                None if is_add => Err(no_device("add", &object.to_string())),
                None => Ok(()),
            }
        };
        Some(changes.into_iter().map(run).collect())
    }

    /// The change that an operation asks for; none if its device is gone and the object with it.
    fn translate<'o>(&mut self, op: &'o Op) -> Result<Option<Change<'o>>, KernelError> {
        let Some((object, is_add)) = op.change() else {
            return Ok(None);
        };
        let index = match object.device() {
            None => NONE,
            Some(device) => match self.index(device)? {
                Some(index) => index,
                None if is_add => return Err(no_device("add", &object.to_string())),
                None => return Ok(None),
            },
        };
        Ok(Some(Change {
            op,
            wanted: wanted(object, index),
            is_add,
        }))
    }

    /// Sends changes: elements of nftables as one transaction, the others as one datagram.
    fn send(&mut self, changes: Vec<(usize, Change<'_>)>) -> Vec<(usize, Result<(), KernelError>)> {
        let (mut elements, mut requests) = (Vec::new(), Vec::new());
        let mut is_add = false;
        for (position, change) in changes {
            debug_assert!(change.op.change().is_some(), "only objects are grouped");
            is_add = change.is_add;
            match change.wanted {
                Wanted::Element(element) => elements.push((position, element)),
                Wanted::Nothing => {}
                Wanted::Requests(add, _) if is_add => requests.push((position, add)),
                Wanted::Requests(_, remove) => requests.push((position, remove)),
            }
        }
        let mut answers = self.send_elements(elements, is_add);
        let (positions, requests): (Vec<_>, Vec<Request>) = requests.into_iter().unzip();
        answers.extend(
            positions
                .into_iter()
                .zip(self.context.socket.run_each(&requests)),
        );
        answers
    }

    fn send_elements(
        &mut self,
        elements: Vec<(usize, Element)>,
        is_add: bool,
    ) -> Vec<(usize, Result<(), KernelError>)> {
        if elements.is_empty() {
            return Vec::new();
        }
        let (positions, elements): (Vec<_>, Vec<Element>) = elements.into_iter().unzip();
        let answer = if is_add {
            self.context.nft.add(&elements)
        } else {
            self.context.nft.delete(&elements)
        };
        positions
            .into_iter()
            .map(|position| (position, answer.clone()))
            .collect()
    }

    fn run_single(&mut self, op: &Op) -> Result<(), KernelError> {
        match op {
            Op::Add(_) | Op::Remove(_) => Ok(()),
            Op::AddPodDevice(pod) => self.add_pod_device(pod),
            Op::ConfigureOwner {
                pod,
                eni,
                reaches_metadata,
            } => self.configure_owner(pod, *eni, *reaches_metadata),
            Op::ConfigurePod(pod) => self.configure_pod(pod),
            Op::DeleteDevice(device) => {
                self.indices.remove(device);
                self.context
                    .socket
                    .run(&[link::delete_by_name(device).or_missing()])
            }
            Op::LendEni(pod, eni) => self.lend_eni(pod, *eni),
            Op::RaiseDevice {
                device,
                addresses,
                mtu,
            } => {
                let index = self.index(device)?;
                let index = index.ok_or_else(|| no_device("raise", device))?;
                let mut requests = vec![link::set_mtu(index, *mtu), link::set_up(index, true)];
                requests.extend(addresses.iter().map(|own| {
                    let own = Address {
                        no_prefix_route: own.is_ipv6(),
                        deprecated: own.is_ipv6(),
                        ..Address::new(index, IpNet::from(*own))
                    };
                    address::add(&own).or_exists()
                }));
                self.context.socket.run(&requests)
            }
            Op::RetireDevice(device) => match self.index(device)? {
                Some(index) => {
                    let retire = link::set_group(index, RETIRED_GROUP).or_missing();
                    self.context.socket.run(&[retire])
                }
                None => Ok(()),
            },
            Op::ReturnEni(_, eni) => self.return_eni(*eni),
            Op::Script(script) => nft::load(script),
            Op::Sysctl { name, value } => sysctl::write(name, value),
        }
    }

    fn add_pod_device(&mut self, pod: &PodWiring) -> Result<(), KernelError> {
        let (host, inside) = (pod.host_device(), pod.key.ifname.to_string());
        let near = VethEnd {
            mac: Some(pod.host_mac()),
            mtu: Some(pod.mtu),
            group: POD_GROUP,
            ..VethEnd::named(&host)
        };
        let far = VethEnd {
            mac: Some(pod.pod_mac()),
            mtu: Some(pod.mtu),
            netns: self.netns,
            ..VethEnd::named(&inside)
        };
        let speaks_ipv6 = pod.addresses.v6().is_some();
        let veth = Veth {
            near,
            near_up: speaks_ipv6,
            far,
        };
        let socket = &mut self.context.socket;
        let made = link::create_veth(socket, &veth)?;
        if !speaks_ipv6 && let Err(error) = raise_without_ipv6(socket, &host, made.index) {
            return Err(match socket.run(&[link::delete_by_name(&host)]) {
                Ok(()) => error,
                Err(left) => KernelError {
                    message: format!("{}; left behind: {left}", error.message),
                    ..error
                },
            });
        }
        self.indices.insert(host, Some(made.index));
        self.pod_end = made.peer;
        Ok(())
    }

    /// The index of a device, looked up once; `#12` is the index 12 of a device that is gone.
    pub(super) fn index(&mut self, device: &str) -> Result<Option<IfIndex>, KernelError> {
        if let Some(index) = device.strip_prefix('#') {
            return Ok(index.parse().ok().map(IfIndex));
        }
        if let Some(known) = self.indices.get(device) {
            return Ok(*known);
        }
        let index = match link::by_name(&mut self.context.socket, device) {
            Ok(link) => Some(link.index),
            Err(error) if error.is_missing() => None,
            Err(error) => return Err(error),
        };
        self.indices.insert(device.to_owned(), index);
        Ok(index)
    }
}

/// Brings the node's end of an IPv4 pod up. With IPv6 it would get an address and routes that nobody
/// uses, and finding their place costs the more the more pods there are.
fn raise_without_ipv6(socket: &mut Socket, host: &str, dev: IfIndex) -> Result<(), KernelError> {
    match sysctl::write(&format!("ipv6/conf/{host}/disable_ipv6"), "1") {
        // The kernel has no IPv6 at all.
        Err(error) if error.is_missing() => {}
        done => done?,
    }
    socket.run(&[link::set_up(dev, true)])
}

pub(super) fn no_device(op: &'static str, object: &str) -> KernelError {
    KernelError {
        op,
        object: object.to_owned(),
        errno: Errno::NODEV,
        message: "the device does not exist".to_owned(),
    }
}
