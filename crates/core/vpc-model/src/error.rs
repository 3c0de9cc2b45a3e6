//! Why EC2 refuses a call: the code a client's program reads, and the message a person reads.

use std::fmt;

use underlay_types::Class;

/// A refused call. The code and the message are what goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Ec2Error {
    /// What a program acts on.
    pub code: ErrorCode,
    /// What a person reads.
    pub message: String,
}

impl Ec2Error {
    /// A refusal with `code` and `message`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        self.code.class()
    }
}

macro_rules! error_codes {
    ($($name:ident $text:literal $status:literal),+ $(,)?) => {
        /// EC2's error codes (Amazon EC2 API Reference, "Error codes").
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $text, "`")] $name,)+
        }

        impl ErrorCode {
            /// Every code this VPC can answer with.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as it stands in the answer.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }
        }
    };
}

error_codes! {
    AddressLimitExceeded "AddressLimitExceeded" 400,
    AttachmentLimitExceeded "AttachmentLimitExceeded" 400,
    AuthFailure "AuthFailure" 401,
    CannotDelete "CannotDelete" 400,
    CidrLimitExceeded "CidrLimitExceeded" 400,
    DependencyViolation "DependencyViolation" 400,
    DryRunOperation "DryRunOperation" 412,
    EgressOnlyInternetGatewayLimitExceeded "EgressOnlyInternetGatewayLimitExceeded" 400,
    FilterLimitExceeded "FilterLimitExceeded" 400,
    FlowLogAlreadyExists "FlowLogAlreadyExists" 400,
    GatewayNotAttached "Gateway.NotAttached" 400,
    IdempotentParameterMismatch "IdempotentParameterMismatch" 400,
    IncompleteSignature "IncompleteSignature" 400,
    IncorrectInstanceState "IncorrectInstanceState" 400,
    IncorrectState "IncorrectState" 400,
    InstanceLimitExceeded "InstanceLimitExceeded" 400,
    InsufficientAddressCapacity "InsufficientAddressCapacity" 400,
    InsufficientCidrBlocks "InsufficientCidrBlocks" 400,
    InsufficientInstanceCapacity "InsufficientInstanceCapacity" 500,
    InsufficientFreeAddressesInSubnet "InsufficientFreeAddressesInSubnet" 400,
    InternalError "InternalError" 500,
    InternetGatewayLimitExceeded "InternetGatewayLimitExceeded" 400,
    InvalidAction "InvalidAction" 400,
    InvalidAddressNotFound "InvalidAddress.NotFound" 400,
    InvalidAllocationIdNotFound "InvalidAllocationID.NotFound" 400,
    InvalidAmiIdMalformed "InvalidAMIID.Malformed" 400,
    InvalidAmiIdNotFound "InvalidAMIID.NotFound" 400,
    InvalidAssociationIdNotFound "InvalidAssociationID.NotFound" 400,
    InvalidAttachmentIdNotFound "InvalidAttachmentID.NotFound" 400,
    InvalidCidrBlockInUse "InvalidCidrBlock.InUse" 400,
    InvalidFlowLogIdNotFound "InvalidFlowLogId.NotFound" 400,
    InvalidGatewayIdNotFound "InvalidGatewayID.NotFound" 400,
    InvalidGroupDuplicate "InvalidGroup.Duplicate" 400,
    InvalidGroupIdMalformed "InvalidGroupId.Malformed" 400,
    InvalidGroupNotFound "InvalidGroup.NotFound" 400,
    InvalidId "InvalidID" 400,
    InvalidInstanceId "InvalidInstanceID" 400,
    InvalidInstanceIdMalformed "InvalidInstanceID.Malformed" 400,
    InvalidInstanceIdNotFound "InvalidInstanceID.NotFound" 400,
    InvalidInstanceType "InvalidInstanceType" 400,
    InvalidInternetGatewayIdMalformed "InvalidInternetGatewayId.Malformed" 400,
    InvalidInternetGatewayIdNotFound "InvalidInternetGatewayID.NotFound" 400,
    InvalidIpAddressInUse "InvalidIPAddress.InUse" 400,
    InvalidNatGatewayIdNotFound "InvalidNatGatewayID.NotFound" 400,
    InvalidNetworkAclEntryNotFound "InvalidNetworkAclEntry.NotFound" 400,
    InvalidNetworkAclIdMalformed "InvalidNetworkAclId.Malformed" 400,
    InvalidNetworkAclIdNotFound "InvalidNetworkAclID.NotFound" 400,
    InvalidNetworkInterfaceIdMalformed "InvalidNetworkInterfaceId.Malformed" 400,
    InvalidNetworkInterfaceIdNotFound "InvalidNetworkInterfaceID.NotFound" 400,
    InvalidNetworkInterfaceInUse "InvalidNetworkInterface.InUse" 400,
    InvalidNextToken "InvalidNextToken" 400,
    InvalidParameter "InvalidParameter" 400,
    InvalidParameterCombination "InvalidParameterCombination" 400,
    InvalidParameterValue "InvalidParameterValue" 400,
    InvalidPermissionDuplicate "InvalidPermission.Duplicate" 400,
    InvalidPermissionIdNotFound "InvalidPermissionID.NotFound" 400,
    InvalidPermissionMalformed "InvalidPermission.Malformed" 400,
    InvalidPermissionNotFound "InvalidPermission.NotFound" 400,
    InvalidPrefixListIdNotFound "InvalidPrefixListID.NotFound" 400,
    InvalidPrefixListModification "InvalidPrefixListModification" 400,
    InvalidRouteNotFound "InvalidRoute.NotFound" 400,
    InvalidRouteTableIdMalformed "InvalidRouteTableID.Malformed" 400,
    InvalidRouteTableIdNotFound "InvalidRouteTableID.NotFound" 400,
    InvalidSecurityGroupRuleIdNotFound "InvalidSecurityGroupRuleId.NotFound" 400,
    InvalidSubnetCidrBlockAssociationIdNotFound "InvalidSubnetCidrBlockAssociationID.NotFound" 400,
    InvalidStateTransition "InvalidStateTransition" 400,
    InvalidSubnetCidrReservationIdNotFound "InvalidSubnetCidrReservationID.NotFound" 400,
    InvalidSubnetConflict "InvalidSubnet.Conflict" 400,
    InvalidSubnetIdMalformed "InvalidSubnetID.Malformed" 400,
    InvalidSubnetIdNotFound "InvalidSubnetID.NotFound" 400,
    InvalidSubnetRange "InvalidSubnet.Range" 400,
    InvalidUserDataMalformed "InvalidUserData.Malformed" 400,
    InvalidVpcCidrBlockAssociationIdNotFound "InvalidVpcCidrBlockAssociationID.NotFound" 400,
    InvalidVpcIdMalformed "InvalidVpcID.Malformed" 400,
    InvalidVpcIdNotFound "InvalidVpcID.NotFound" 400,
    InvalidVpcPeeringConnectionIdMalformed "InvalidVpcPeeringConnectionId.Malformed" 400,
    InvalidVpcPeeringConnectionIdNotFound "InvalidVpcPeeringConnectionID.NotFound" 400,
    InvalidVpcRange "InvalidVpc.Range" 400,
    MalformedQueryString "MalformedQueryString" 400,
    MissingAction "MissingAction" 400,
    MissingParameter "MissingParameter" 400,
    NatGatewayLimitExceeded "NatGatewayLimitExceeded" 400,
    NatGatewayMalformed "NatGatewayMalformed" 400,
    NatGatewayNotFound "NatGatewayNotFound" 400,
    NetworkAclEntryAlreadyExists "NetworkAclEntryAlreadyExists" 400,
    NetworkAclEntryLimitExceeded "NetworkAclEntryLimitExceeded" 400,
    NetworkAclLimitExceeded "NetworkAclLimitExceeded" 400,
    NetworkInterfaceLimitExceeded "NetworkInterfaceLimitExceeded" 400,
    OperationNotPermitted "OperationNotPermitted" 400,
    PrefixListLimitExceeded "PrefixListLimitExceeded" 400,
    PrefixListMaxEntriesExceeded "PrefixListMaxEntriesExceeded" 400,
    PrefixListVersionMismatch "PrefixListVersionMismatch" 400,
    PrivateIpAddressLimitExceeded "PrivateIpAddressLimitExceeded" 400,
    RequestEntityTooLarge "RequestEntityTooLarge" 413,
    RequestExpired "RequestExpired" 400,
    RequestLimitExceeded "RequestLimitExceeded" 503,
    ResourceAlreadyAssociated "Resource.AlreadyAssociated" 400,
    RouteAlreadyExists "RouteAlreadyExists" 400,
    RouteLimitExceeded "RouteLimitExceeded" 400,
    RouteTableLimitExceeded "RouteTableLimitExceeded" 400,
    RulesPerSecurityGroupLimitExceeded "RulesPerSecurityGroupLimitExceeded" 400,
    SecurityGroupLimitExceeded "SecurityGroupLimitExceeded" 400,
    SecurityGroupsPerInterfaceLimitExceeded "SecurityGroupsPerInterfaceLimitExceeded" 400,
    SignatureDoesNotMatch "SignatureDoesNotMatch" 403,
    SubnetLimitExceeded "SubnetLimitExceeded" 400,
    TagLimitExceeded "TagLimitExceeded" 400,
    UnauthorizedOperation "UnauthorizedOperation" 403,
    Unavailable "Unavailable" 503,
    UnknownParameter "UnknownParameter" 400,
    UnsupportedOperation "UnsupportedOperation" 400,
    VpcIdNotSpecified "VPCIdNotSpecified" 400,
    VpcLimitExceeded "VpcLimitExceeded" 400,
    VpcPeeringConnectionAlreadyExists "VpcPeeringConnectionAlreadyExists" 400,
    VpcPeeringConnectionsPerVpcLimitExceeded "VpcPeeringConnectionsPerVpcLimitExceeded" 400,
}

impl ErrorCode {
    /// What the caller can do about a refusal with this code.
    #[must_use]
    pub fn class(self) -> Class {
        let text = self.as_str();
        if text.ends_with("NotFound") {
            return Class::NotFound;
        }
        match self {
            Self::RequestLimitExceeded => Class::Throttled { after: None },
            Self::InsufficientInstanceCapacity | Self::Unavailable => Class::Retry,
            Self::InternalError => Class::Bug,
            Self::AuthFailure
            | Self::IncompleteSignature
            | Self::SignatureDoesNotMatch
            | Self::UnauthorizedOperation => Class::Denied,
            Self::AttachmentLimitExceeded
            | Self::DependencyViolation
            | Self::InvalidCidrBlockInUse
            | Self::InsufficientCidrBlocks
            | Self::InsufficientFreeAddressesInSubnet
            | Self::InvalidIpAddressInUse
            | Self::InvalidNetworkInterfaceInUse
            | Self::PrivateIpAddressLimitExceeded => Class::Conflict,
            _ => Class::Invalid,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
