//! The fabric as a whole.

mod acls;
mod deviceless;
mod groups;
mod internet;
mod port_entry;
mod ports;
mod removal;
mod resume;
mod routes;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use aya::Ebpf;
use ipnet::{IpNet, Ipv6Net};
use underlay_fabric_abi as abi;
use underlay_netlink::{KernelError, Socket, netns, sysctl};
use underlay_types::{
    EniId, NetworkAclId, PrefixListId, RouteTableId, SecurityGroupId, SubnetId, VpcId,
};

use crate::{
    BlockOwner, FabricError, Subnet,
    ledger::{Ledger, Remembered},
    maps::Maps,
    numbers::Numbers,
    outside, programs, services,
};
use deviceless::Deviceless;
use ports::PortState;
use removal::Leaving;

/// Names of the fabric's namespaces under /run/netns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FabricNames {
    /// The namespace with the near ends of all ENIs.
    pub fabric: String,
    /// The namespace where link-local services listen.
    pub services: String,
    /// The namespace that stands for the internet.
    pub outside: String,
}

/// What EC2 allows, as far as it can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FabricLimits {
    /// Packets that an ENI may send to link-local services in a second.
    pub link_local_packets: u32,
    /// How long a flow through a NAT gateway, or an egress-only one, may be idle.
    pub nat_idle: Duration,
}

impl Default for FabricLimits {
    /// As documented (Amazon VPC User Guide, "Amazon DNS quotas" and "NAT gateway basics").
    fn default() -> Self {
        Self {
            link_local_packets: 1024,
            nat_idle: Duration::from_secs(350),
        }
    }
}

/// How much the fabric holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FabricSizes {
    /// Tracked flows of all ENIs; when full, packets that would begin one are dropped.
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
    pub(crate) object: Ebpf,
    socket: Socket,
    names: FabricNames,
    pub(crate) netns: OwnedFd,
    services: OwnedFd,
    outside: OwnedFd,
    vpcs: Numbers<VpcId>,
    tables: Numbers<RouteTableId>,
    groups: Numbers<SecurityGroupId>,
    lists: Numbers<PrefixListId>,
    list_blocks: HashMap<PrefixListId, BTreeSet<IpNet>>,
    acl_numbers: Numbers<NetworkAclId>,
    acls: HashMap<NetworkAclId, acls::Acl>,
    /// Instances, or ENIs without one, whose tracked flows are counted.
    holders: Numbers<String>,
    subnet_numbers: Numbers<SubnetId>,
    subnets: HashMap<SubnetId, Subnet>,
    pub(crate) ports: HashMap<EniId, PortState>,
    /// ENIs without a device of their own.
    deviceless: HashMap<EniId, Deviceless>,
    /// What the kernel refused to take back of ENIs that were removed.
    leaving: Leaving,
    /// The private addresses that a public one may stand for in the kernel: one, unless it refused.
    publics: HashMap<Ipv4Addr, Vec<abi::AddressKey>>,
    public_blocks: BTreeMap<Ipv6Net, BlockOwner>,
    routes: HashMap<RouteTableId, routes::Table>,
    chunks: HashMap<(u32, u32), u32>,
    ledger: Option<Arc<Ledger>>,
    /// Ports of another process that were found and are not taken over yet.
    found: BTreeMap<EniId, resume::FoundPort>,
    /// Whether everything stays when this is dropped.
    stays: bool,
}

/// The programs in the kernel, attached to nothing yet. Dropping it leaves nothing.
pub struct LoadedPrograms {
    pub(crate) object: Ebpf,
    pub(crate) kept: Option<(Arc<Ledger>, Remembered)>,
}

impl LoadedPrograms {
    /// Has the kernel verify and take the programs.
    ///
    /// # Errors
    /// Without root, or when the kernel lacks something that the programs use.
    pub fn load(sizes: &FabricSizes) -> Result<Self, FabricError> {
        let object = programs::load(sizes)?;
        Ok(Self { object, kept: None })
    }
}

impl fmt::Debug for LoadedPrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedPrograms").finish_non_exhaustive()
    }
}

impl Fabric {
    /// Makes the namespaces and connects them.
    ///
    /// # Errors
    /// When a name is taken, or the kernel refuses. Nothing is left behind.
    pub fn create(programs: LoadedPrograms, names: FabricNames) -> Result<Self, FabricError> {
        let LoadedPrograms { mut object, kept } = programs;
        let mut maps = Maps::take(&mut object)?;
        let netns = netns::create_named(&names.fabric)?;
        let guard = NameGuard(&names.fabric);
        let services = netns::create_named(&names.services)?;
        let services_guard = NameGuard(&names.services);
        let outside = netns::create_named(&names.outside)?;
        let outside_guard = NameGuard(&names.outside);
        silence(&netns)?;
        let mut socket = Socket::open_in(netns.as_fd())?;
        let mut settings = services::connect(&mut object, &mut socket, &netns, &services)?;
        outside::connect(&mut object, &mut socket, &netns, &outside, &mut settings)?;
        maps.set_settings(settings)?;
        let window = 1;
        maps.set_window(window)?;
        std::mem::forget((guard, services_guard, outside_guard));
        Ok(Self::with(
            object,
            maps,
            kept.as_ref(),
            window,
            Place {
                names,
                socket,
                netns,
                services,
                outside,
            },
        ))
    }

    fn with(
        object: Ebpf,
        maps: Maps,
        kept: Option<&(Arc<Ledger>, Remembered)>,
        window: u32,
        place: Place,
    ) -> Self {
        Self {
            maps,
            enis: Numbers::kept("eni", kept),
            window,
            object,
            socket: place.socket,
            names: place.names,
            netns: place.netns,
            services: place.services,
            outside: place.outside,
            vpcs: Numbers::kept("vpc", kept),
            tables: Numbers::kept("table", kept),
            groups: Numbers::kept("group", kept),
            lists: Numbers::kept("list", kept),
            list_blocks: HashMap::new(),
            acl_numbers: Numbers::kept("acl", kept),
            acls: HashMap::new(),
            holders: Numbers::kept("holder", kept),
            subnet_numbers: Numbers::kept("subnet", kept),
            subnets: HashMap::new(),
            ports: HashMap::new(),
            deviceless: HashMap::new(),
            leaving: Leaving::default(),
            publics: HashMap::new(),
            public_blocks: BTreeMap::new(),
            routes: HashMap::new(),
            chunks: HashMap::new(),
            ledger: kept.map(|(ledger, _)| Arc::clone(ledger)),
            found: BTreeMap::new(),
            stays: false,
        }
    }

    /// Whether everything stays as it is when this is dropped: packets go on, and another process
    /// may take over. So it is after [`Self::resume`], and not after [`Self::create`].
    pub fn stay(&mut self, stays: bool) {
        self.stays = stays;
    }

    /// Sets what the programs allow.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_limits(&mut self, limits: &FabricLimits) -> Result<(), FabricError> {
        let mut settings = self.maps.settings()?;
        settings.link_local_packets = limits.link_local_packets;
        settings.nat_idle_ns = u64::try_from(limits.nat_idle.as_nanos()).unwrap_or(u64::MAX);
        self.maps.set_settings(settings)
    }

    /// The namespace that stands for the internet: what listens there may do so on any address.
    #[must_use]
    pub fn outside_netns(&self) -> BorrowedFd<'_> {
        self.outside.as_fd()
    }

    /// Has what the outside world sends to `block` come to the fabric: public addresses that may
    /// be given out.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn route_from_outside(&mut self, block: IpNet) -> Result<(), FabricError> {
        Ok(outside::route_back(&self.outside, block)?)
    }

    /// Packets of an ENI to link-local services that were dropped since it sent too many in a
    /// second.
    ///
    /// # Errors
    /// When the kernel refuses to read the map.
    pub fn link_local_exceeded(&mut self, eni: &EniId) -> Result<u64, FabricError> {
        let number = self.enis.of(eni);
        let used = self.maps.allowances.find(number)?;
        Ok(used.map_or(0, |used| used.exceeded))
    }

    /// The namespace where link-local services listen, on 169.254.169.254, .253 and .123, and on
    /// fd00:ec2::254, ::253 and ::123.
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
        if self.stays {
            return;
        }
        // Who needs to know whether a name stayed behind removes the names first.
        drop(NameGuard(&self.names.outside));
        drop(NameGuard(&self.names.services));
        drop(NameGuard(&self.names.fabric));
    }
}

/// Where a fabric is.
struct Place {
    names: FabricNames,
    socket: Socket,
    netns: OwnedFd,
    services: OwnedFd,
    outside: OwnedFd,
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
