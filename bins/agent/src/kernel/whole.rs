//! Pods that own an ENI: its device goes into the pod's namespace and comes back.
//!
//! A device is told by its Ethernet address and, once a pod has had it, by a further name of ours:
//! inside a namespace there may be others with its address, and none has its first name for long.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_netlink::{
    Errno, Family, KernelError, Socket,
    address::{self, Address},
    link::{self, Link},
    route::{self, Kind, Route},
    sysctl,
};
use underlay_netplan::{
    PodWiring, diff, names,
    pod::PodFact,
    whole::{self, closed},
};
use underlay_types::{LeaseKey, Mac, WholeEni};

use super::{Failure, Kernel, check, execute::Execution, failure::refused, lock, workers::Context};

impl Kernel {
    /// Finds the device of an ENI that pods own one by one. Nothing is changed: it stays down until
    /// a pod gets it.
    ///
    /// # Errors
    /// `NotFound` while it is not in the node's namespace.
    pub fn find_eni(&self, mac: Mac) -> Result<(), Failure> {
        let found = self
            .workers
            .run(move |context| find(&mut context.socket, mac)?.ok_or_else(|| nowhere(mac)));
        found
            .and_then(|found| found)
            .map(drop)
            .map_err(|error| Failure::clean(format!("find the ENI {mac}"), error))
    }

    /// Whether the device of an ENI is in the node's namespace, and so in no pod's.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn is_home(&self, mac: Mac) -> Result<bool, Failure> {
        let found = self
            .workers
            .run(move |context| find(&mut context.socket, mac));
        found
            .and_then(|found| found)
            .map(|found| found.is_some())
            .map_err(|error| Failure::clean(format!("find the ENI {mac}"), error))
    }

    /// Notes that the ENI of a pod that is gone comes back only when the pod's namespace dies; see
    /// [`Self::pending_removal`].
    pub fn expect_home(&self, key: &LeaseKey, mac: Mac) {
        lock(&self.away).insert(key.clone(), mac);
    }

    /// Whether the ENI of this key's pod is still to come back.
    pub(super) fn is_away(&self, key: &LeaseKey) -> bool {
        let Some(mac) = lock(&self.away).get(key).copied() else {
            return false;
        };
        // What cannot be read now is asked for again.
        let home = self.is_home(mac).unwrap_or(false);
        if home {
            lock(&self.away).remove(key);
        }
        !home
    }

    pub(super) fn wire_owner(
        &self,
        pod: &PodWiring,
        eni: WholeEni,
        netns: OwnedFd,
    ) -> Result<(), Failure> {
        let doing = format!("give {} to pod {}", eni.mac, pod.key);
        let reaches_metadata = self.pods_reach_metadata();
        let wiring = pod.clone();
        let wired = self.workers.run(move |context| {
            let lines = differences(context, &wiring, eni, reaches_metadata, netns.as_fd());
            if lines.is_ok_and(|lines| lines.is_empty()) {
                return Ok(());
            }
            let plan = whole::wire(&wiring, eni, reaches_metadata);
            Execution::new(context, Some(netns.as_fd())).all_or_nothing(&plan)
        });
        match wired {
            Ok(Ok(())) => {
                lock(&self.away).remove(&pod.key);
                Ok(())
            }
            Ok(Err((error, left))) => {
                // No pod gets an ENI whose device nobody can find, before it is found.
                if error.is_missing() && !self.is_home(eni.mac)? {
                    self.expect_home(&pod.key, eni.mac);
                }
                Err(Failure { doing, error, left })
            }
            Err(error) => Err(Failure::clean(doing, error)),
        }
    }

    /// Takes the ENI out of the first of `namespaces` that has it. One that nobody can be asked to
    /// give back comes when its namespace dies.
    pub(super) fn unwire_owner(
        &self,
        pod: &PodWiring,
        eni: WholeEni,
        namespaces: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let doing = format!("take {} from pod {}", eni.mac, pod.key);
        let plan = whole::unwire(pod, eni);
        let unwired = self.workers.run(move |context| {
            let mut errors = Vec::new();
            let mut places: Vec<_> = namespaces.iter().map(|netns| Some(netns.as_fd())).collect();
            places.push(None);
            for netns in places {
                errors.extend(Execution::new(context, netns).all_possible(&plan));
                if errors.is_empty() && find(&mut context.socket, eni.mac)?.is_some() {
                    return Ok((true, errors));
                }
            }
            Ok((false, errors))
        });
        let (is_home, errors) = unwired
            .and_then(|unwired| unwired)
            .map_err(|error| Failure::clean(&doing, error))?;
        Failure::first(doing, errors)?;
        if is_home {
            lock(&self.away).remove(&pod.key);
        } else {
            tracing::warn!(key = %pod.key, mac = %eni.mac,
                "the ENI of a pod is in no namespace that can be opened: it comes back when its \
                 own dies");
            self.expect_home(&pod.key, eni.mac);
        }
        Ok(())
    }

    pub(super) fn check_owner(
        &self,
        pod: &PodWiring,
        eni: WholeEni,
        netns: OwnedFd,
    ) -> Result<Vec<String>, KernelError> {
        let (reaches_metadata, pod) = (self.pods_reach_metadata(), pod.clone());
        self.workers
            .run(move |context| differences(context, &pod, eni, reaches_metadata, netns.as_fd()))?
    }
}

impl Execution<'_> {
    /// Moves an ENI's device into the pod, or finds it there from an earlier try.
    pub(super) fn lend_eni(&mut self, pod: &PodWiring, eni: WholeEni) -> Result<(), KernelError> {
        let netns = self.pod_netns()?;
        let ifname = pod.key.ifname.as_str();
        let mut inside = self.context().socket_in(netns)?;
        let there = find(&mut inside, eni.mac)?;
        match link::by_name(&mut inside, ifname) {
            Ok(taken) if there.as_ref().map(|link| link.index) != Some(taken.index) => {
                let why = "the pod has another device of this name";
                return Err(refused("move link", ifname, why));
            }
            Err(error) if !error.is_missing() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if let Some(link) = there {
            let index = link.index;
            let mut requests = vec![link::set_up(index, false)];
            requests.extend((link.name != ifname).then(|| link::rename(index, ifname)));
            return inside.run(&requests);
        }
        let home = &mut self.context().socket;
        let link = find(home, eni.mac)?.ok_or_else(|| nowhere(eni.mac))?;
        let moved = home.run(&[
            link::set_up(link.index, false),
            link::add_altname(link.index, &names::lent_device(eni.mac)).or_exists(),
            link::move_to_as(link.index, netns, ifname),
        ]);
        if moved.is_err() {
            // It may be there under another name. What is to be told is why.
            if let Err(error) = self.return_eni(eni) {
                tracing::warn!(mac = %eni.mac, %error, "an ENI stays in a pod until its DEL");
            }
        }
        moved
    }

    /// Configures the device inside the pod.
    pub(super) fn configure_owner(
        &mut self,
        pod: &PodWiring,
        eni: WholeEni,
        reaches_metadata: bool,
    ) -> Result<(), KernelError> {
        let netns = self.pod_netns()?;
        let ifname = pod.key.ifname.as_str();
        if pod.addresses.v6().is_some() {
            let set =
                |name: &str, value| sysctl::write(&format!("ipv6/conf/{ifname}/{name}"), value);
            self.context().visit(netns, || {
                // Runtimes and distributions may have turned IPv6 off for new devices.
                set("disable_ipv6", "0")?;
                // The router is known, and the address usable at once.
                set("accept_ra", "0")?;
                set("accept_dad", "0")
            })?;
        }
        let mut socket = self.context().socket_in(netns)?;
        let link = find(&mut socket, eni.mac)?.ok_or_else(|| nowhere(eni.mac))?;
        let dev = link.index;
        let mut requests = vec![link::set_mtu(dev, pod.mtu), link::set_up(dev, true)];
        for (own, router) in pod.ips() {
            let family = Family::of(own.addr());
            let address = Address {
                no_prefix_route: family == Family::V6,
                ..Address::new(dev, own)
            };
            requests.push(address::add(&address).or_exists());
            let everywhere = match family {
                Family::V4 => IpNet::V4(Ipv4Net::default()),
                Family::V6 => IpNet::V6(Ipv6Net::default()),
            };
            let default = Route::via(everywhere, router, dev, route::MAIN).without_onlink();
            requests.push(route::add(&default));
        }
        let closed = closed(pod, reaches_metadata).map(Route::unreachable);
        requests.extend(closed.map(|route| route::replace(&route)));
        socket.run(&requests)?;
        // It sends only once the kernel's workers have noticed its carrier, unless somebody looks.
        link::by_index(&mut socket, dev).map(drop)
    }

    /// Moves an ENI's device from the namespace of this execution, if there is one and it has it,
    /// back to the node, and takes down what it finds there.
    pub(super) fn return_eni(&mut self, eni: WholeEni) -> Result<(), KernelError> {
        if let Ok(netns) = self.pod_netns() {
            let mut inside = self.context().socket_in(netns)?;
            if let Some(link) = find(&mut inside, eni.mac)? {
                let home = self.context().home();
                let back = names::returned_device(eni.mac);
                let mut requests = vec![link::set_up(link.index, false)];
                let renamed = link.mac != Some(eni.mac);
                requests.extend(renamed.then(|| link::set_mac(link.index, eni.mac)));
                requests.push(link::move_to_as(link.index, home, &back));
                inside.run(&requests)?;
            }
        }
        match find(&mut self.context().socket, eni.mac)? {
            Some(link) if link.up => {
                let down = link::set_up(link.index, false);
                self.context().socket.run(&[down])
            }
            _ => Ok(()),
        }
    }
}

/// The device of an ENI: the one with our further name, else the one with its Ethernet address.
fn find(socket: &mut Socket, mac: Mac) -> Result<Option<Link>, KernelError> {
    let named = link::by_name(socket, &names::lent_device(mac));
    for found in [named, link::by_mac(socket, mac)] {
        match found {
            Ok(link) => return Ok(Some(link)),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn nowhere(mac: Mac) -> KernelError {
    KernelError {
        op: "find link",
        object: mac.to_string(),
        errno: Errno::NODEV,
        message: "the ENI has no device here".to_owned(),
    }
}

/// The differences between what a pod that owns an ENI must have and what it has.
fn differences(
    context: &Context,
    pod: &PodWiring,
    eni: WholeEni,
    reaches_metadata: bool,
    netns: BorrowedFd<'_>,
) -> Result<Vec<String>, KernelError> {
    let mut found = BTreeSet::new();
    check::inside(context, pod, netns, &mut found)?;
    let wanted: BTreeSet<_> = whole::facts(pod, eni, reaches_metadata)
        .into_iter()
        .collect();
    let mut socket = context.socket_in(netns)?;
    for family in [Family::V4, Family::V6] {
        let routes = route::dump(&mut socket, family)?.into_iter();
        let closed = routes.filter(|it| it.table == route::MAIN && it.kind == Kind::Unreachable);
        found.extend(closed.map(|route| PodFact::Closed(route.destination)));
    }
    // What else is unreachable, or resolved, is the pod's own affair.
    found.retain(|fact| match fact {
        PodFact::Closed(_) => wanted.contains(fact),
        PodFact::Neighbour(..) => false,
        _ => true,
    });
    Ok(diff::describe(&wanted, &found))
}

/// The descriptors of namespaces to look for an ENI in, without those that cannot be duplicated.
pub(super) fn owned(namespaces: &[BorrowedFd<'_>]) -> Vec<OwnedFd> {
    let duplicates = namespaces.iter().map(|netns| {
        netns.try_clone_to_owned().map_err(|error| {
            tracing::warn!(fd = netns.as_raw_fd(), %error, "cannot hold a pod's namespace");
        })
    });
    duplicates.filter_map(Result::ok).collect()
}
