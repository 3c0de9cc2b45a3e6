//! The node's own eBPF programs: the tags of branch ENIs at the device of their trunk.
//!
//! The kernel may lack VLAN devices, and needs none: a program at the egress of the trunk's device
//! tags what carries the mark of a branch, one at its ingress takes tags off (`bpf/branch.c`).
//!
//! Filters at the device hold the programs, and these their maps, so that packets go on while no
//! agent runs. The next agent loads its own programs, fills their maps and puts them in the place
//! of the others, without a packet lost in between; nothing has to be pinned or found again.

mod error;
mod object;

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aya::maps::{HashMap, MapData, PerCpuArray};
use underlay_datapath_abi as abi;
use underlay_netlink::{
    IfIndex, KernelError, Socket,
    tc::{self, Place, Side},
};
use underlay_types::{BranchIpv4, Mac, VlanId};
use zerocopy::transmute;

pub use error::DatapathError;
use object::Programs;

type Key = [u8; size_of::<abi::BranchKey>()];
type Value = [u8; size_of::<abi::Branch>()];

/// A branch ENI as the programs know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// Its IPv4 address, the only one that its packets may come from and go to, and the router of its
    /// subnet.
    pub ipv4: Option<BranchIpv4>,
    /// The same for IPv6; the router has the same address in every subnet.
    pub ipv6: Option<Ipv6Addr>,
    /// Its Ethernet address.
    pub mac: Mac,
}

/// Programs that are loaded, with their maps.
pub struct Datapath {
    programs: Programs,
    branches: Mutex<HashMap<MapData, Key, Value>>,
    counters: PerCpuArray<MapData, u64>,
}

impl fmt::Debug for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datapath").finish_non_exhaustive()
    }
}

impl Datapath {
    /// Loads the programs, which do nothing until [`Self::attach`].
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn load() -> Result<Self, DatapathError> {
        let mut object = object::load()?;
        Ok(Self {
            branches: Mutex::new(object::map(&mut object, "branches")?),
            counters: object::map(&mut object, "branch_counters")?,
            programs: Programs::of(object)?,
        })
    }

    /// Tells the programs a branch ENI on `trunk`, or tells it anew. Idempotent.
    ///
    /// # Errors
    /// When the map is full or the kernel refuses.
    pub fn set(&self, trunk: IfIndex, vlan: VlanId, branch: &Branch) -> Result<(), DatapathError> {
        let value = value(branch);
        let set = self.lock().insert(key(trunk, vlan), value, 0);
        set.map_err(|source| map_error("set", trunk, vlan, source))
    }

    /// Makes the programs forget a branch ENI. Idempotent.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&self, trunk: IfIndex, vlan: VlanId) -> Result<(), DatapathError> {
        match self.lock().remove(&key(trunk, vlan)) {
            Ok(()) => Ok(()),
            Err(error) if object::is_missing(&error) => Ok(()),
            Err(source) => Err(map_error("remove", trunk, vlan, source)),
        }
    }

    /// The branch ENIs that the programs know, with the index of their trunk's device.
    ///
    /// # Errors
    /// When the kernel does not list them.
    pub fn branches(&self) -> Result<Vec<(IfIndex, VlanId, Branch)>, DatapathError> {
        let map = self.lock();
        let mut found = Vec::new();
        for entry in map.iter() {
            let (key, value) = entry.map_err(|source| DatapathError::Read {
                map: "branches",
                source: Box::new(source),
            })?;
            let (key, value): (abi::BranchKey, abi::Branch) = (transmute!(key), transmute!(value));
            let Ok(vlan) = VlanId::try_from(u64::from(key.vlan)) else {
                continue;
            };
            let ipv4 = BranchIpv4 {
                address: value.address_be.into(),
                router: value.router_be.into(),
            };
            let ipv6 = Ipv6Addr::from(value.address_v6_be);
            let branch = Branch {
                ipv4: Some(ipv4).filter(|ipv4| !ipv4.address.is_unspecified()),
                ipv6: Some(ipv6).filter(|ipv6| !ipv6.is_unspecified()),
                mac: Mac(value.mac),
            };
            found.push((IfIndex(key.trunk), vlan, branch));
        }
        Ok(found)
    }

    /// What happened to packets, by the name of what did.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn counters(&self) -> Result<Vec<(&'static str, u64)>, DatapathError> {
        let read = |(index, name): (u32, &'static str)| {
            let values = self.counters.get(&index, 0);
            let values = values.map_err(|source| DatapathError::Read {
                map: "branch_counters",
                source: Box::new(source),
            })?;
            Ok((name, values.iter().sum()))
        };
        (0..).zip(abi::COUNTERS).map(read).collect()
    }

    /// Puts the programs at a device, in the place of those of an earlier agent. Idempotent.
    ///
    /// # Errors
    /// What the kernel refused; a side that was changed stays so.
    pub fn attach(&self, socket: &mut Socket, trunk: IfIndex) -> Result<(), KernelError> {
        socket.run(&[tc::add_clsact(trunk).or_exists()])?;
        // What comes in before what leaves: an answer finds its way.
        for side in [Side::Ingress, Side::Egress] {
            let name = format!("{}{}", abi::FILTER_NAME_PREFIX, Programs::name(side));
            let program = self.programs.at(side);
            let put = tc::replace_filter(&place(trunk, side), &name, program.as_fd());
            socket.run(&[put])?;
        }
        Ok(())
    }

    /// Whether both programs stand at the device.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn is_attached(&self, socket: &mut Socket, trunk: IfIndex) -> Result<bool, KernelError> {
        for side in [Side::Ingress, Side::Egress] {
            let (place, id) = (place(trunk, side), self.programs.id(side));
            let filters = tc::filters(socket, trunk, side)?;
            let stands = |filter: &tc::Filter| filter.place == place && filter.program == id;
            if !filters.iter().any(stands) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MapData, Key, Value>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes programs of ours, of whichever agent, from a device, and the qdisc with them if nobody
/// else uses it. Answers whether there were any. Needs no programs loaded.
///
/// # Errors
/// What the kernel refused; repeat the call.
pub fn detach(socket: &mut Socket, device: IfIndex) -> Result<bool, KernelError> {
    let (mut ours, mut others) = (Vec::new(), false);
    for side in [Side::Egress, Side::Ingress] {
        for filter in tc::filters(socket, device, side)? {
            if filter.name.starts_with(abi::FILTER_NAME_PREFIX) {
                ours.push(filter.place);
            } else {
                others = true;
            }
        }
    }
    if ours.is_empty() {
        return Ok(false);
    }
    let delete = ours
        .iter()
        .map(|place| tc::delete_filter(place).or_missing());
    let mut requests: Vec<_> = delete.collect();
    if !others {
        requests.push(tc::delete_clsact(device).or_missing());
    }
    socket.run(&requests)?;
    Ok(true)
}

const fn place(device: IfIndex, side: Side) -> Place {
    Place {
        device,
        side,
        priority: abi::FILTER_PRIORITY,
        handle: abi::FILTER_HANDLE,
    }
}

fn key(trunk: IfIndex, vlan: VlanId) -> Key {
    transmute!(abi::BranchKey {
        trunk: trunk.0,
        vlan: u32::from(vlan.number()),
    })
}

fn value(branch: &Branch) -> Value {
    let none = Ipv4Addr::UNSPECIFIED;
    let (address, router) = branch
        .ipv4
        .map_or((none, none), |ipv4| (ipv4.address, ipv4.router));
    transmute!(abi::Branch {
        address_be: address.octets(),
        router_be: router.octets(),
        address_v6_be: branch.ipv6.unwrap_or(Ipv6Addr::UNSPECIFIED).octets(),
        asker_be: [0; 16],
        mac: branch.mac.0,
        pad: [0; 2],
    })
}

fn map_error(
    op: &'static str,
    trunk: IfIndex,
    vlan: VlanId,
    source: aya::maps::MapError,
) -> DatapathError {
    DatapathError::Map {
        op,
        what: format!("VLAN {vlan} on device {trunk}"),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
