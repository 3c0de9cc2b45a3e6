//! VPC peering connections.

use serde::{Deserialize, Serialize};
use underlay_types::{Timestamp, VpcId, VpcPeeringConnectionId};

use crate::Tags;

/// A peering connection between two VPCs of the account and Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcPeeringConnection {
    /// Its id.
    pub id: VpcPeeringConnectionId,
    /// The VPC that asked for it.
    pub requester: PeeringSide,
    /// The VPC that was asked.
    pub accepter: PeeringSide,
    /// Where it is in its life.
    pub state: PeeringState,
    /// When a request that nobody accepts ends.
    pub expires: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

impl VpcPeeringConnection {
    /// Whether packets pass.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == PeeringState::Active
    }

    /// The VPC on the other side of `vpc`; `None` when `vpc` is on neither.
    #[must_use]
    pub fn peer_of(&self, vpc: &VpcId) -> Option<&VpcId> {
        if &self.requester.vpc == vpc {
            Some(&self.accepter.vpc)
        } else if &self.accepter.vpc == vpc {
            Some(&self.requester.vpc)
        } else {
            None
        }
    }
}

/// One side of a peering connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeringSide {
    /// The VPC.
    pub vpc: VpcId,
    /// Option `AllowDnsResolutionFromRemoteVpc`.
    pub remote_dns: bool,
}

/// Where a peering connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeeringState {
    /// Accepted; packets pass.
    Active,
    /// Ended by either side; shown for a while.
    Deleted,
    /// Nobody accepted it in time; shown for a while.
    Expired,
    /// The VPCs cannot be peers; shown for a while.
    Failed,
    /// Asked for.
    PendingAcceptance,
    /// Accepted, and not in force yet.
    Provisioning,
    /// Refused by the accepter; shown for a while.
    Rejected,
}

impl PeeringState {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::PendingAcceptance => "pending-acceptance",
            Self::Provisioning => "provisioning",
            Self::Rejected => "rejected",
        }
    }
}
