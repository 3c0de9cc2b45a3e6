//! Gateways: what leads out of a VPC.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use underlay_types::{
    AllocationId, EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, SubnetId,
    Timestamp, VpcId,
};

use crate::Tags;

/// An internet gateway. It translates one to one between private and public IPv4 addresses,
/// without memory, and lets IPv6 through in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGateway {
    /// Its id.
    pub id: InternetGatewayId,
    /// The VPC it is attached to; each has one at most.
    pub vpc: Option<VpcId>,
    /// Its tags.
    pub tags: Tags,
}

/// An egress-only internet gateway: IPv6 flows that begin in the VPC, and their answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressOnlyInternetGateway {
    /// Its id.
    pub id: EgressOnlyInternetGatewayId,
    /// The VPC it belongs to for life.
    pub vpc: VpcId,
    /// Its tags.
    pub tags: Tags,
}

/// A NAT gateway: IPv4 flows of many private addresses, by way of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    /// Its id.
    pub id: NatGatewayId,
    /// Its subnet's VPC.
    pub vpc: VpcId,
    /// Its subnet, whose route table its own packets follow.
    pub subnet: SubnetId,
    /// Whether it has public addresses.
    pub connectivity: Connectivity,
    /// Where it is in its life.
    pub state: NatGatewayState,
    /// Why it failed, when it did.
    pub failure: Option<NatGatewayFailure>,
    /// Its addresses, the primary one first.
    pub addresses: Vec<NatGatewayAddress>,
    /// When it was created.
    pub create_time: Timestamp,
    /// When its deletion was asked for.
    pub delete_time: Option<Timestamp>,
    /// Its tags.
    pub tags: Tags,
}

impl NatGateway {
    /// Whether it takes packets now.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == NatGatewayState::Available
    }

    /// Its interface; none before it is made and after it failed or was deleted.
    #[must_use]
    pub fn eni(&self) -> Option<&EniId> {
        self.addresses.first()?.eni.as_ref()
    }
}

/// Whether a NAT gateway has public addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connectivity {
    /// No: it translates to its private address only.
    Private,
    /// Yes: elastic ones, used by way of its VPC's internet gateway.
    Public,
}

impl Connectivity {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// Where a NAT gateway is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatGatewayState {
    /// Being made.
    Pending,
    /// It could not be made; shown for an hour.
    Failed,
    /// It takes packets.
    Available,
    /// Being deleted; it takes no packets any more.
    Deleting,
    /// Gone; shown for an hour.
    Deleted,
}

impl NatGatewayState {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Available => "available",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

/// Why a NAT gateway could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGatewayFailure {
    /// What a program acts on.
    pub code: String,
    /// What a person reads.
    pub message: String,
}

/// An address of a NAT gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGatewayAddress {
    /// Its interface.
    pub eni: Option<EniId>,
    /// The interface's private address.
    pub private: Option<Ipv4Addr>,
    /// The elastic address; of a public gateway only.
    pub allocation: Option<AllocationId>,
}
