//! Namespaces of a run, and devices in them as DHCP would leave them.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_netlink::{
    IfIndex, KernelError, Request, Socket,
    address::{self, Address},
    link, netns,
    route::{self, Route},
};
use underlay_types::Mac;

use super::{
    run_dir::{RunDir, RunDirError},
    translate::Configured,
};

/// The named namespaces of a run, recorded in its folder before they are made.
#[derive(Debug)]
pub struct Namespaces {
    run: RunDir,
    names: BTreeSet<String>,
}

/// A namespace that could not be made, configured or removed.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// It could not be recorded.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
}

impl Namespaces {
    /// None yet.
    #[must_use]
    pub const fn new(run: RunDir) -> Self {
        Self {
            run,
            names: BTreeSet::new(),
        }
    }

    /// Those that another process recorded.
    ///
    /// # Errors
    /// When the run's folder cannot be read.
    pub(super) fn recorded(run: RunDir) -> Result<Self, NamespaceError> {
        let names = run.lines("namespaces")?.into_iter().collect();
        Ok(Self { run, names })
    }

    /// Makes a namespace unless it is there already; answers whether it was not.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(super) fn ensure(&mut self, name: &str) -> Result<bool, NamespaceError> {
        if self.has(name) {
            if let Ok(netns) = netns::open_named(name) {
                loopback_up(netns.as_fd())?;
                return Ok(false);
            }
            // A name without a namespace: it was being made or removed.
            netns::remove_named(name)?;
        }
        self.create(name).map(|()| true)
    }

    /// The names of instances, hosts and endpoints that are not `wanted`.
    pub(super) fn of_guests(&self, wanted: &BTreeSet<String>) -> Vec<String> {
        let own = self.run.netns_name("");
        let endpoint = self.run.netns_name("api-");
        let is_guest = |name: &String| !name.starts_with(&own) || name.starts_with(&endpoint);
        let unwanted = self.names.difference(wanted);
        unwanted.filter(|name| is_guest(name)).cloned().collect()
    }

    /// Where a namespace of this name is, or would be.
    #[must_use]
    pub(super) fn path(name: &str) -> PathBuf {
        Path::new(netns::DIRECTORY).join(name)
    }

    /// Records a name that somebody else makes.
    ///
    /// # Errors
    /// When the run's folder cannot be written.
    pub fn record(&mut self, name: &str) -> Result<(), NamespaceError> {
        self.names.insert(name.to_owned());
        Ok(self.run.record_namespaces(&self.names)?)
    }

    /// Makes a namespace with its loopback device up.
    ///
    /// # Errors
    /// When the name is taken or the kernel refuses; nothing is left behind.
    pub fn create(&mut self, name: &str) -> Result<(), NamespaceError> {
        if Self::path(name).exists() {
            // Not to be recorded, nor removed as a failed one of ours: it is in use.
            return Ok(netns::create_named(name).map(drop)?);
        }
        self.record(name)?;
        let netns = match netns::create_named(name) {
            Ok(netns) => netns,
            Err(error) => {
                // Nothing was made; if somebody was faster, the name is his.
                self.forget(name)?;
                return Err(error.into());
            }
        };
        if let Err(error) = loopback_up(netns.as_fd()) {
            self.remove(name)?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Whether a namespace of this name is this run's.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Removes a namespace. One that is not there is no error; one that this run did not record
    /// is somebody else's and stays.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), NamespaceError> {
        if !self.has(name) {
            return Ok(());
        }
        netns::remove_named(name)?;
        self.forget(name)
    }

    fn forget(&mut self, name: &str) -> Result<(), NamespaceError> {
        self.names.remove(name);
        Ok(self.run.record_namespaces(&self.names)?)
    }

    /// Removes all that are left. Goes on after failures.
    pub(super) fn remove_all(&mut self) -> Vec<NamespaceError> {
        let names: Vec<_> = self.names.iter().cloned().collect();
        names
            .iter()
            .filter_map(|name| self.remove(name).err())
            .collect()
    }
}

fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), KernelError> {
    let mut socket = Socket::open_in(netns)?;
    let lo = link::by_name(&mut socket, "lo")?.index;
    socket.run(&[link::set_up(lo, true)])
}

/// Configures the device with `mac` in the namespace `name`: up, with the addresses (and the
/// lengths of their subnets' blocks), and default routes by the routers.
///
/// # Errors
/// When there is no such device or the kernel refuses.
pub(super) fn configure(name: &str, mac: Mac, wanted: &Configured) -> Result<(), KernelError> {
    let netns = netns::open_named(name)?;
    let mut socket = Socket::open_in(netns.as_fd())?;
    let dev = link::by_mac(&mut socket, mac)?.index;
    let mut requests = vec![link::set_up(dev, true)];
    let add = |address: &IpNet| address::add(&Address::new(dev, *address));
    requests.extend(wanted.addresses.iter().map(add));
    requests.extend(default_routes(dev, wanted));
    socket.run(&requests)
}

/// Makes the addresses of a configured device what they are to be. Those that are none of the
/// subnet's stay, as do those of the interface's prefixes, which whoever is there gives out.
///
/// # Errors
/// When there is no such device or the kernel refuses.
pub(super) fn readdress(name: &str, mac: Mac, wanted: &Configured) -> Result<(), KernelError> {
    let netns = netns::open_named(name)?;
    let mut socket = Socket::open_in(netns.as_fd())?;
    let dev = link::by_mac(&mut socket, mac)?.index;
    let there = address::dump(&mut socket)?.into_iter();
    let there: Vec<_> = there
        .filter(|address| address.dev == dev)
        .map(|address| address.address)
        .collect();
    let (missing, stale) = difference(&there, wanted);
    if missing.is_empty() && stale.is_empty() {
        return Ok(());
    }
    let of_device = |address: &IpNet| Address::new(dev, *address);
    let delete = stale.iter().map(|each| address::delete(&of_device(each)));
    let mut requests: Vec<_> = delete.collect();
    requests.extend(missing.iter().map(|each| address::add(&of_device(each))));
    // The first address of a family brings its router.
    requests.extend(default_routes(dev, wanted));
    socket.run(&requests)
}

fn default_routes(dev: IfIndex, wanted: &Configured) -> impl Iterator<Item = Request> {
    wanted.routers.iter().map(move |router| {
        let everything = match router {
            IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
            IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
        };
        let default = Route::via(everything, *router, dev, route::MAIN);
        route::replace(&default.without_onlink())
    })
}

/// What a device lacks, and what it has and is not to have.
fn difference(there: &[IpNet], wanted: &Configured) -> (Vec<IpNet>, Vec<IpNet>) {
    let missing = wanted.addresses.iter();
    let missing = missing.filter(|address| !there.contains(address));
    let within = |blocks: &[IpNet], address: &IpNet| {
        blocks.iter().any(|block| block.contains(&address.addr()))
    };
    let stale = there.iter().filter(|address| {
        within(&wanted.blocks, address)
            && !within(&wanted.prefixes, address)
            && !wanted.addresses.contains(address)
    });
    (missing.copied().collect(), stale.copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_addresses_of_the_subnet_that_the_interface_does_not_have_are_taken_away() {
        let wanted = Configured {
            addresses: blocks(&["10.0.1.4/24", "10.0.1.9/24", "2001:db8::4/64"]),
            routers: vec![],
            blocks: blocks(&["10.0.1.0/24", "2001:db8::/64"]),
            prefixes: blocks(&["10.0.1.32/28"]),
        };
        let there = blocks(&[
            "10.0.1.4/24",
            "10.0.1.8/24",
            "10.0.1.33/32",
            "172.17.0.1/16",
            "fe80::1/64",
            "2001:db8::5/64",
        ]);
        let missing = blocks(&["10.0.1.9/24", "2001:db8::4/64"]);
        let stale = blocks(&["10.0.1.8/24", "2001:db8::5/64"]);
        assert_eq!(difference(&there, &wanted), (missing, stale));
    }
}
