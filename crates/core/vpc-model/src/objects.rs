//! The things an account owns, as plain data with public fields.

mod elastic_address;
mod eni;
mod eni_permission;
mod flow_log;
mod gateway;
mod group;
mod image;
mod instance;
mod network;
mod network_acl;
mod peering;
mod prefix_list;
mod reservation;
mod route_table;
mod tracking;
mod trunk;

pub use elastic_address::{ElasticAddress, ElasticAssociation, PublicAddress};
pub use eni::{
    Attachment, AttachmentHolder, AttachmentStatus, Eni, EniAddresses, EniStatus, InterfaceType,
};
pub use eni_permission::{EniPermission, EniPermissionKind, PermissionGrantee};
pub use flow_log::{
    DeliveryError, FlowLog, FlowLogDestination, FlowLogResource, ObjectOptions, TrafficType,
};
pub use gateway::{
    Connectivity, EgressOnlyInternetGateway, InternetGateway, NatGateway, NatGatewayAddress,
    NatGatewayFailure, NatGatewayState,
};
pub use group::{PortRange, Rule, RuleDirection, RulePeer, RuleTraffic, SecurityGroup};
pub use image::{BootMode, Image};
pub use instance::{
    Instance, InstanceAttribute, InstanceAttributes, InstanceState, MetadataOptions,
};
pub use network::{
    CidrState, LaunchNames, Subnet, SubnetCidrAssociation, Vpc, VpcCidrAssociation,
    VpcIpv6CidrAssociation,
};
pub use network_acl::{
    AclAction, AclDirection, AclTraffic, NetworkAcl, NetworkAclAssociation, NetworkAclEntry,
};
pub use peering::{PeeringSide, PeeringState, VpcPeeringConnection};
pub use prefix_list::{
    AddressFamily, PrefixList, PrefixListEntry, PrefixListOwner, PrefixListState,
};
pub use reservation::{CidrReservation, ReservationKind};
pub use route_table::{
    Route, RouteDestination, RouteDestinationError, RouteState, RouteTable, RouteTableAssociation,
    RouteTarget,
};
pub use tracking::{ConnectionTracking, TrackingTimeouts};
pub use trunk::TrunkAssociation;
