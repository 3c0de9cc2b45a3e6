//! Flow logs, as asked for. Writing records is somebody else's work.

use serde::{Deserialize, Serialize};
use underlay_types::{EniId, FlowLogId, SubnetId, Timestamp, VpcId};

use crate::Tags;

/// A flow log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLog {
    /// Its id.
    pub id: FlowLogId,
    /// Whose traffic it records.
    pub resource: FlowLogResource,
    /// Which verdicts it records.
    pub traffic: TrafficType,
    /// Its fields in order, by name without `${}`; all known, none twice.
    pub fields: Vec<String>,
    /// Whether the request named a format; without, it is the default one of version 2.
    pub custom_format: bool,
    /// Seconds per window as the API shows it: 60 or 600.
    pub aggregation_secs: u32,
    /// The destination as given (an S3 ARN).
    pub destination: Option<String>,
    /// When it was created, by the Unix clock.
    pub creation_time: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// Whose traffic a flow log records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowLogResource {
    /// One interface.
    Eni(EniId),
    /// Every interface of a subnet.
    Subnet(SubnetId),
    /// Every interface of a VPC.
    Vpc(VpcId),
}

impl FlowLogResource {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Eni(id) => id.as_str(),
            Self::Subnet(id) => id.as_str(),
            Self::Vpc(id) => id.as_str(),
        }
    }
}

/// Which verdicts a flow log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficType {
    /// What passed.
    Accept,
    /// What passed and what was refused.
    All,
    /// What was refused.
    Reject,
}

impl TrafficType {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::All => "ALL",
            Self::Reject => "REJECT",
        }
    }
}
