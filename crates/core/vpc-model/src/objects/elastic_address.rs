//! Elastic addresses: public IPv4 addresses that the account holds.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use underlay_types::{AllocationId, ElasticAssociationId, EniId};

use crate::Tags;

/// An elastic address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElasticAddress {
    /// The allocation's id.
    pub id: AllocationId,
    /// The public address.
    pub address: Ipv4Addr,
    /// The private address it stands for.
    pub association: Option<ElasticAssociation>,
    /// Its tags.
    pub tags: Tags,
}

/// The private address that an elastic one stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElasticAssociation {
    /// Its id.
    pub id: ElasticAssociationId,
    /// The interface.
    pub eni: EniId,
    /// The interface's private address.
    pub private: Ipv4Addr,
}

/// The public address of a private one, as Describe calls show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAddress<'a> {
    /// The public address.
    pub address: Ipv4Addr,
    /// The elastic address; `None` for one that was lent at launch and goes with the instance.
    pub elastic: Option<&'a ElasticAddress>,
}
