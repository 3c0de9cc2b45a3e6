//! The things an account owns, as plain data with public fields.

mod eni;
mod flow_log;
mod group;
mod image;
mod instance;
mod network;
mod prefix_list;
mod route_table;
mod tracking;

pub use eni::{
    Attachment, AttachmentHolder, AttachmentStatus, Eni, EniAddresses, EniStatus, InterfaceType,
};
pub use flow_log::{
    DeliveryError, FlowLog, FlowLogDestination, FlowLogResource, ObjectOptions, TrafficType,
};
pub use group::{PortRange, Rule, RuleDirection, RulePeer, RuleTraffic, SecurityGroup};
pub use image::{BootMode, Image};
pub use instance::{Instance, InstanceState, MetadataOptions};
pub use network::{
    CidrState, LaunchNames, Subnet, SubnetCidrAssociation, Vpc, VpcCidrAssociation,
    VpcIpv6CidrAssociation,
};
pub use prefix_list::{
    AddressFamily, PrefixList, PrefixListEntry, PrefixListOwner, PrefixListState,
};
pub use route_table::{Route, RouteState, RouteTable, RouteTableAssociation, RouteTarget};
pub use tracking::{ConnectionTracking, TrackingTimeouts};
