//! The node's address allocator: pure, driven by inputs and time, answers with actions.
//!
//! [`Ipam`] knows ENIs and their addresses, hands them to pods, and decides which EC2 calls keep
//! the pools filled. It never reads a clock, a socket or a file: the program feeds [`Input`]s with
//! the time, runs the [`Action`]s that come out, and feeds their outcomes back.
//!
//! A pool of whole ENIs hands each to one pod at a time, under its primary address: it holds none
//! ahead of need, and such an ENI neither gets addresses nor gives any back.
//!
//! An address is in exactly one state: free, leased, cooling or being given back. A pool never
//! hands out an address of another pool's ENI.

#![forbid(unsafe_code)]

mod action;
mod backoff;
mod certainty;
mod config;
mod cut_off;
mod eni;
mod error;
mod input;
mod ipam;
mod node_local;
mod report;
mod subnets;

pub use action::{Action, Ec2Op, Grant, Lease, Notice, OpId, RequestId};
pub use certainty::Certainty;
pub(crate) use config::IPV6_PREFIX_SIZE;
pub use config::{
    ADDRESSES_PER_PREFIX, Config, Delegation, IPV6_PREFIX_LENGTH, InstanceLimits, PREFIX_LENGTH,
    Place,
};
pub use cut_off::{CutOff, CutOffCause};
pub use error::{AllocError, Numbers, Reason};
pub use input::{
    Attachment, Cooldown, Ec2Failure, Ec2Outcome, EniOwner, Holding, Input, ObservedEni, Parting,
    PodAdd, Standing,
};
pub use ipam::Ipam;
pub use node_local::next_node_local;
pub use report::{EniReport, LeaseReport, PoolReport, Report, WaiterReport};
pub use subnets::{Site, Subnet, SubnetRule, Subnets};
