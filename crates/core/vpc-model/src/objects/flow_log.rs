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
    /// Where records go.
    pub destination: FlowLogDestination,
    /// Why the last delivery failed; `None` if it did not.
    pub delivery_error: Option<DeliveryError>,
    /// When it was created, by the Unix clock.
    pub creation_time: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

/// Where a flow log's records go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowLogDestination {
    /// A log group of CloudWatch Logs: one stream of events per interface.
    CloudWatchLogs {
        /// The group's name.
        group: String,
        /// The role that may write there, as given.
        role: String,
    },
    /// Objects in a bucket.
    S3 {
        /// The ARN of the bucket, with a prefix or without.
        arn: String,
        /// How the objects are written and laid out.
        options: ObjectOptions,
    },
}

/// How objects in a bucket are written and laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectOptions {
    /// Parquet instead of text.
    pub parquet: bool,
    /// Folders named `key=value`.
    pub hive_compatible: bool,
    /// One more folder, for the hour.
    pub per_hour: bool,
}

/// Why records were not delivered, in the words of DescribeFlowLogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryError {
    /// The destination may not be written.
    AccessError,
    /// More records than the destination takes.
    RateLimited,
    /// Anything else.
    UnknownError,
}

impl DeliveryError {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessError => "Access error",
            Self::RateLimited => "Rate limited",
            Self::UnknownError => "Unknown error",
        }
    }
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
