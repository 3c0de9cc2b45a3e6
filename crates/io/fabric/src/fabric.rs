//! The fabric as a whole.

mod groups;
mod port_entry;
mod ports;
mod routes;

use std::{
    collections::HashMap,
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use aya::Ebpf;
use underlay_netlink::{KernelError, Socket, netns, sysctl};
use underlay_types::{EniId, RouteTableId, SecurityGroupId, SubnetId, VpcId};

use crate::{FabricError, Subnet, maps::Maps, numbers::Numbers, programs, services};
use ports::PortState;

/// Names of the fabric's namespaces under /run/netns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FabricNames {
    /// The namespace with the near ends of all ENIs.
    pub fabric: String,
    /// The namespace where link-local services listen.
    pub services: String,
}

/// How much the fabric holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FabricSizes {
    /// Tracked flows of all ENIs; when full, the least recently used one is forgotten.
    pub tracked_flows: u32,
    /// Flow records of the open window; what does not fit is counted as lost.
    pub flow_records: u32,
}

impl Default for FabricSizes {
    fn default() -> Self {
        Self {
            tracked_flows: 262_144,
            flow_records: 131_072,
        }
    }
}

/// The packet fabric. Dropping it removes both namespaces and with them every port's device.
pub struct Fabric {
    pub(crate) maps: Maps,
    pub(crate) enis: Numbers<EniId>,
    pub(crate) window: u32,
    object: Ebpf,
    socket: Socket,
    names: FabricNames,
    netns: OwnedFd,
    services: OwnedFd,
    vpcs: Numbers<VpcId>,
    tables: Numbers<RouteTableId>,
    groups: Numbers<SecurityGroupId>,
    subnet_numbers: Numbers<SubnetId>,
    subnets: HashMap<SubnetId, Subnet>,
    pub(crate) ports: HashMap<EniId, PortState>,
    routes: HashMap<RouteTableId, routes::Table>,
    chunks: HashMap<(u32, u32), u32>,
}

/// The programs in the kernel, attached to nothing yet. Dropping it leaves nothing.
pub struct LoadedPrograms {
    object: Ebpf,
    maps: Maps,
}

impl LoadedPrograms {
    /// Has the kernel verify and take the programs.
    ///
    /// # Errors
    /// Without root, or when the kernel lacks something that the programs use.
    pub fn load(sizes: &FabricSizes) -> Result<Self, FabricError> {
        let mut object = programs::load(sizes)?;
        let maps = Maps::take(&mut object)?;
        Ok(Self { object, maps })
    }
}

impl fmt::Debug for LoadedPrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedPrograms").finish_non_exhaustive()
    }
}

impl Fabric {
    /// Makes both namespaces and connects them.
    ///
    /// # Errors
    /// When a name is taken, or the kernel refuses. Nothing is left behind.
    pub fn create(programs: LoadedPrograms, names: FabricNames) -> Result<Self, FabricError> {
        let LoadedPrograms {
            mut object,
            mut maps,
        } = programs;
        let netns = netns::create_named(&names.fabric)?;
        let guard = NameGuard(&names.fabric);
        let services = netns::create_named(&names.services)?;
        let services_guard = NameGuard(&names.services);
        silence(&netns)?;
        let mut socket = Socket::open_in(netns.as_fd())?;
        maps.set_settings(services::connect(
            &mut object,
            &mut socket,
            &netns,
            &services,
        )?)?;
        let window = 1;
        maps.set_window(window)?;
        std::mem::forget((guard, services_guard));
        Ok(Self {
            maps,
            enis: Numbers::default(),
            window,
            object,
            socket,
            names,
            netns,
            services,
            vpcs: Numbers::default(),
            tables: Numbers::default(),
            groups: Numbers::default(),
            subnet_numbers: Numbers::default(),
            subnets: HashMap::new(),
            ports: HashMap::new(),
            routes: HashMap::new(),
            chunks: HashMap::new(),
        })
    }

    /// The namespace where link-local services listen, on 169.254.169.254, .253 and .123.
    #[must_use]
    pub fn services_netns(&self) -> BorrowedFd<'_> {
        self.services.as_fd()
    }

    /// What happened to packets since the beginning, by name.
    ///
    /// # Errors
    /// When the kernel refuses to read the map.
    pub fn counters(&self) -> Result<Vec<(&'static str, u64)>, FabricError> {
        self.maps.counters()
    }
}

impl fmt::Debug for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Fabric");
        text.field("names", &self.names)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        // Who needs to know whether a name stayed behind removes the names first.
        drop(NameGuard(&self.names.services));
        drop(NameGuard(&self.names.fabric));
    }
}

/// Removes a namespace's name when dropped.
struct NameGuard<'a>(&'a str);

impl Drop for NameGuard<'_> {
    fn drop(&mut self) {
        // Nobody is left to tell; a name that stays is visible under /run/netns.
        netns::remove_named(self.0).unwrap_or_default();
    }
}

/// Keeps the fabric's devices from speaking for themselves: no IPv6, so no address of their own.
fn silence(netns: &OwnedFd) -> Result<(), KernelError> {
    netns::run_in(netns.as_fd(), || {
        sysctl::write("ipv6/conf/default/disable_ipv6", "1")
    })?
}
