//! Parts of subnets that are kept for one use.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use underlay_types::{SubnetCidrReservationId, SubnetId};

use crate::Tags;

/// A part of a subnet's addresses that EC2 does not give out as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CidrReservation {
    /// Its id.
    pub id: SubnetCidrReservationId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// The part, canonical, within one of the subnet's blocks.
    pub cidr: IpNet,
    /// What it is kept for.
    pub kind: ReservationKind,
    /// What its creator wrote about it.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// What a part of a subnet is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReservationKind {
    /// For addresses and prefixes that a caller names.
    Explicit,
    /// For prefixes that EC2 chooses, which come from nowhere else then.
    Prefix,
}

impl ReservationKind {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Prefix => "prefix",
        }
    }
}
