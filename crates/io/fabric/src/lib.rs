//! The packet fabric of the local VPC: a namespace in which each ENI is a port, and eBPF between
//! the ports.
//!
//! A [`Fabric`] owns two namespaces with names: its own, where the near ends of all ENIs' veths
//! lie and nothing but eBPF programs touches a packet, and the one of the link-local services,
//! where a program may listen on 169.254.169.254. ENIs become ports with [`Fabric::add_port`]; the
//! VPC's subnets, routes and groups are pushed with `set_*` and take effect at once.
//!
//! A fabric that [`FabricStore::keep`]s its maps outlives the process: packets go on, and another
//! process takes it over with [`Fabric::resume`].
//!
//! The words of this crate are its own ([`PortConfig`], [`Subnet`], [`Route`], [`GroupRules`]):
//! whoever owns the VPC model translates.

mod caller;
mod device;
mod error;
mod fabric;
mod flows;
mod ledger;
mod maps;
mod numbers;
mod outside;
mod pod;
mod programs;
mod services;
mod show;
mod store;
mod tracking;
mod trie;
mod words;

pub use error::FabricError;
pub use fabric::{Fabric, FabricLimits, FabricNames, FabricSizes, LoadedPrograms};
pub use flows::{Action, Direction, Drained, FlowRecord};
pub use outside::INTERNET_MTU;
pub use show::Entrance;
pub use store::FabricStore;
pub use tracking::{FlowPhase, TrackedFlow, TrackedFlows, TrackingUse};
pub use words::{
    AclRule, AclRules, BlockOwner, GroupRules, Peer, PortConfig, Protocol, Route, RouteTarget,
    Rule, Subnet, TrackingAllowance, TrackingTimeouts,
};

/// Bytes of the largest IP packet that passes, and the MTU of an ENI.
pub const MTU: u16 = underlay_fabric_abi::MTU;
