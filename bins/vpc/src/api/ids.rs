//! Reading resource ids: text of another shape is `Malformed`, as EC2 answers.

use std::str::FromStr;

use underlay_types::{
    AllocationId, AttachmentId, EgressOnlyInternetGatewayId, ElasticAssociationId, EniId,
    EniPermissionId, FlowLogId, ImageId, InstanceId, InternetGatewayId, NatGatewayId,
    NetworkAclAssociationId, NetworkAclId, PrefixListId, ResourceIdError, RouteTableAssociationId,
    RouteTableId, SecurityGroupId, SecurityGroupRuleId, SubnetCidrAssociationId,
    SubnetCidrReservationId, SubnetId, TrunkAssociationId, VpcCidrAssociationId, VpcId,
    VpcPeeringConnectionId,
};
use underlay_vpc_model::{Ec2Error, ErrorCode};

use super::params::Params;

/// A kind of id with the code of EC2's answer to text that is no id of the kind.
pub(super) trait WireId: FromStr<Err = ResourceIdError> + Ord + Clone {
    /// The code.
    const MALFORMED: ErrorCode;
}

macro_rules! wire_ids {
    ($($id:ty => $code:ident),+ $(,)?) => {
        $(impl WireId for $id { const MALFORMED: ErrorCode = ErrorCode::$code; })+
    };
}

wire_ids! {
    AllocationId => InvalidAllocationIdNotFound,
    AttachmentId => InvalidAttachmentIdNotFound,
    EgressOnlyInternetGatewayId => InvalidGatewayIdNotFound,
    ElasticAssociationId => InvalidAssociationIdNotFound,
    EniId => InvalidNetworkInterfaceIdMalformed,
    EniPermissionId => InvalidPermissionIdNotFound,
    FlowLogId => InvalidFlowLogIdNotFound,
    ImageId => InvalidAmiIdMalformed,
    InstanceId => InvalidInstanceIdMalformed,
    InternetGatewayId => InvalidInternetGatewayIdMalformed,
    NatGatewayId => NatGatewayMalformed,
    NetworkAclAssociationId => InvalidAssociationIdNotFound,
    NetworkAclId => InvalidNetworkAclIdMalformed,
    PrefixListId => InvalidPrefixListIdNotFound,
    RouteTableAssociationId => InvalidAssociationIdNotFound,
    RouteTableId => InvalidRouteTableIdMalformed,
    SecurityGroupId => InvalidGroupIdMalformed,
    SecurityGroupRuleId => InvalidSecurityGroupRuleIdNotFound,
    SubnetCidrAssociationId => InvalidSubnetCidrBlockAssociationIdNotFound,
    SubnetCidrReservationId => InvalidSubnetCidrReservationIdNotFound,
    TrunkAssociationId => InvalidAssociationIdNotFound,
    SubnetId => InvalidSubnetIdMalformed,
    VpcCidrAssociationId => InvalidVpcCidrBlockAssociationIdNotFound,
    VpcId => InvalidVpcIdMalformed,
    VpcPeeringConnectionId => InvalidVpcPeeringConnectionIdMalformed,
}

/// Reads one id.
///
/// # Errors
/// The kind's `Malformed` code.
pub(super) fn parse_id<T: WireId>(text: &str) -> Result<T, Ec2Error> {
    text.parse().map_err(|error: ResourceIdError| {
        let text = format!("Invalid id: \"{text}\" (expecting \"{}...\")", error.prefix);
        Ec2Error::new(T::MALFORMED, text)
    })
}

impl Params {
    /// Takes an id that has to be there.
    ///
    /// # Errors
    /// `MissingParameter`; the kind's `Malformed` code.
    pub(super) fn id<T: WireId>(&mut self, name: &str) -> Result<T, Ec2Error> {
        parse_id(&self.required(name)?)
    }

    /// Takes an id.
    ///
    /// # Errors
    /// The kind's `Malformed` code.
    pub(super) fn optional_id<T: WireId>(&mut self, name: &str) -> Result<Option<T>, Ec2Error> {
        self.text(name).map(|text| parse_id(&text)).transpose()
    }

    /// Takes `name.1`, `name.2` and so on.
    ///
    /// # Errors
    /// The kind's `Malformed` code.
    pub(super) fn ids<T: WireId>(&mut self, name: &str) -> Result<Vec<T>, Ec2Error> {
        self.list(name)?.iter().map(|text| parse_id(text)).collect()
    }
}
