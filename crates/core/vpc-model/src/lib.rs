//! A VPC as a pure state machine: objects, addresses, limits, lifecycles and a reference verdict.
//!
//! [`Model`] holds everything an account has in one Region. Each EC2 action is one method that
//! takes the current time, either does all of what was asked or refuses and changes nothing, and
//! notes what it did in a list of [`Change`]s for whoever moves packets.
//!
//! Time is an argument: a [`Timestamp`](underlay_types::Timestamp) of the Unix clock. Randomness
//! comes from a generator inside the model, seeded by [`ModelConfig::seed`].

#![forbid(unsafe_code)]

mod address_pool;
mod admission;
mod aws_prefix_lists;
mod change;
mod cidr_rules;
mod clock;
mod config;
mod delay;
mod dns;
mod error;
mod event;
mod faults;
mod image_list;
mod imds;
mod instance_type;
mod model;
mod objects;
mod pairs;
mod rng;
mod tags;
mod throttle;
mod timings;
mod verdict;

pub use admission::{Admission, CallCount, CallFacts, Fate, Treatment};
pub use change::Change;
pub use clock::{Speed, SpeedError, VirtualClock};
pub use config::{AddressOrder, AvailabilityZone, Limits, ModelConfig, Preset};
pub use delay::{Delay, DelayError};
pub use dns::Resolution;
pub use error::{Ec2Error, ErrorCode};
pub use event::Event;
pub use faults::{
    Fault, FaultError, FaultRequest, FaultSet, Hazard, HazardError, HazardScope, Probability,
    ProbabilityError,
};
pub use imds::{
    Imds, ImdsRequest, ImdsResponse, InstanceView, InterfaceView, RoleCredentials,
    TOKEN_ENTROPY_BYTES, instance_profile_id,
};
pub use instance_type::{Hypervisor, InstanceType};
pub use model::{
    Assigned, AssignedV6, AssociationTarget, Candidates, EniKey, EniRequest, FlowLogRequest,
    InstanceKey, LaunchInterface, LaunchInterfaceSource, LaunchRequest, Listed, Listing,
    MetadataOptionsChange, Model, NatGatewayRequest, PrefixListChange, PrefixListRequest,
    ReservationRequest, RuleKey, RuleSpec, SubnetAttribute, SubnetRequest, TagEntry, V4Request,
    V6Request, VpcAttribute, check_tags,
};
pub use objects::{
    AclAction, AclDirection, AclTraffic, AddressFamily, Attachment, AttachmentHolder,
    AttachmentStatus, BootMode, CidrReservation, CidrState, ConnectionTracking, Connectivity,
    DeliveryError, EgressOnlyInternetGateway, ElasticAddress, ElasticAssociation, Eni,
    EniAddresses, EniPermission, EniPermissionKind, EniStatus, FlowLog, FlowLogDestination,
    FlowLogResource, Image, Instance, InstanceAttribute, InstanceAttributes, InstanceState,
    InterfaceType, InternetGateway, LaunchNames, MetadataOptions, NatGateway, NatGatewayAddress,
    NatGatewayFailure, NatGatewayState, NetworkAcl, NetworkAclAssociation, NetworkAclEntry,
    ObjectOptions, PeeringSide, PeeringState, PermissionGrantee, PortRange, PrefixList,
    PrefixListEntry, PrefixListOwner, PrefixListState, PublicAddress, ReservationKind, Route,
    RouteDestination, RouteDestinationError, RouteState, RouteTable, RouteTableAssociation,
    RouteTarget, Rule, RuleDirection, RulePeer, RuleTraffic, SecurityGroup, Subnet,
    SubnetCidrAssociation, TrackingTimeouts, TrafficType, TrunkAssociation, Vpc,
    VpcCidrAssociation, VpcIpv6CidrAssociation, VpcPeeringConnection,
};
pub use tags::Tags;
pub use throttle::{BucketKind, BucketState, Budget, Budgets, Rate, RateError, Throttle};
pub use timings::Timings;
pub use verdict::{
    DropReason, Packet, Quoted, QuotedTransport, Segment, Tracker, TrackerTimeouts, Transport,
    Verdict,
};
