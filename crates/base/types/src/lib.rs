//! Words every part of Underlay shares: ids, addresses, group sets, pool and lease keys, time.
//!
//! Data only: no I/O, no clock, no randomness. Everything a person may type has `FromStr` and
//! `Display` that round-trip, and serde goes through them.

#![forbid(unsafe_code)]

mod account;
mod addresses;
mod error_chain;
mod error_class;
mod group_set;
mod ids;
mod interface;
mod kubernetes_pod;
mod lease;
mod mac;
mod pool;
mod refusal;
mod time;

pub use account::{AccountId, AccountIdError};
pub use addresses::{Families, Family, PodAddresses, PodAddressesError};
pub use error_chain::chain;
pub use error_class::Class;
pub use group_set::{GROUPS_PER_ENI_DEFAULT, GroupSetError, SecurityGroupSet};
pub use ids::{
    AllocationId, AttachmentId, EgressOnlyInternetGatewayId, ElasticAssociationId, EniId,
    EniPermissionId, FlowLogId, ImageId, InstanceId, InternetGatewayId, NatGatewayId,
    NetworkAclAssociationId, NetworkAclId, PrefixListId, ReservationId, ResourceIdError,
    RouteTableAssociationId, RouteTableId, SecurityGroupId, SecurityGroupRuleId,
    SubnetCidrAssociationId, SubnetCidrReservationId, SubnetId, TrunkAssociationId,
    VpcCidrAssociationId, VpcId, VpcPeeringConnectionId,
};
pub use interface::{
    BranchEni, BranchIpv4, Enforcement, EnforcementError, Interface, VlanId, VlanIdError, WholeEni,
};
pub use kubernetes_pod::KubernetesPod;
pub use lease::{ContainerId, IfName, LeaseKey, LeaseKeyError, NetworkName};
pub use mac::{Mac, MacError};
pub use pool::{EniUse, PoolGroups, PoolKey, SubnetClassId};
pub use refusal::Refusal;
pub use time::Timestamp;

// Addresses are `std::net` types and prefixes are `ipnet` types; both are re-used, not wrapped.
