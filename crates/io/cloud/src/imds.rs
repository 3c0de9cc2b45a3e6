//! The instance metadata service, version 2: which instance this is and what is plugged into it.
//!
//! It is a lagging view (seconds behind `DescribeNetworkInterfaces`): good for finding one's own
//! place, not for deciding which addresses are free.

mod client;
mod error;
mod read;

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use underlay_types::{EniId, InstanceId, Mac, SecurityGroupId, SubnetId};

pub use self::error::{ImdsError, ImdsFailure};
pub(crate) use self::read::any as read_any;

/// How to reach the service.
#[derive(Debug, Clone)]
pub struct ImdsConfig {
    /// Where it listens, without a path: `http://169.254.169.254` on EC2.
    pub endpoint: String,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How many attempts a request gets.
    pub attempts: u32,
}

/// A client of the instance metadata service. Cheap to clone; clones share token and connection.
#[derive(Debug, Clone)]
pub struct Imds {
    client: std::sync::Arc<client::Client>,
}

/// Which instance the program runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceIdentity {
    /// Its id.
    pub instance_id: InstanceId,
    /// Its type, for example `m5.large`.
    pub instance_type: String,
    /// Its region, for example `eu-west-1`.
    pub region: String,
    /// Its availability zone, for example `eu-west-1a`.
    pub zone: String,
    /// The account that owns it; twelve digits.
    pub account: String,
    /// The Ethernet address of its primary ENI.
    pub primary_mac: Mac,
}

/// An ENI as the instance sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceInterface {
    /// The ENI.
    pub interface_id: EniId,
    /// Unique per network card; 0 is the primary ENI's.
    pub device_number: u32,
    /// The network card.
    pub network_card: u32,
    /// Its subnet.
    pub subnet_id: SubnetId,
    /// Its subnet's IPv4 block.
    pub subnet_cidr: Ipv4Net,
    /// Its VPC's IPv4 blocks, the primary one first.
    pub vpc_cidrs: Vec<Ipv4Net>,
    /// Its IPv4 addresses, the primary one first.
    pub addresses: Vec<Ipv4Addr>,
    /// The groups it carries.
    pub group_ids: Vec<SecurityGroupId>,
}

// === impl ImdsConfig ===

impl Default for ImdsConfig {
    fn default() -> Self {
        Self {
            endpoint: "http://169.254.169.254".to_owned(),
            attempt_timeout: Duration::from_secs(1),
            attempts: 4,
        }
    }
}

impl ImdsConfig {
    /// The default, with `AWS_EC2_METADATA_SERVICE_ENDPOINT` as endpoint where it is set.
    #[must_use]
    pub fn from_env() -> Self {
        let default = Self::default();
        match std::env::var("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            Ok(endpoint) if !endpoint.is_empty() => Self {
                endpoint,
                ..default
            },
            _ => default,
        }
    }
}

// === impl Imds ===

impl Imds {
    /// A client. Opens no connection yet.
    ///
    /// # Errors
    /// Where the endpoint is not a URL.
    pub fn new(config: ImdsConfig) -> Result<Self, ImdsError> {
        Ok(Self {
            client: std::sync::Arc::new(client::Client::new(config)?),
        })
    }

    /// The text at `path`, for example `/latest/meta-data/instance-id`.
    ///
    /// # Errors
    /// Where the service cannot be reached, gives no token, or has no such path.
    pub async fn get(&self, path: &str) -> Result<String, ImdsError> {
        self.client.get(path).await
    }

    /// The text at `path`, or `None` where the service has no such path: for most paths that is
    /// how it says "none".
    ///
    /// # Errors
    /// Where the service cannot be reached or gives no token.
    pub async fn get_optional(&self, path: &str) -> Result<Option<String>, ImdsError> {
        self.client.get_optional(path).await
    }

    /// Which instance the program runs on.
    ///
    /// # Errors
    /// As `get`, or where the service says something unreadable.
    pub async fn identity(&self) -> Result<InstanceIdentity, ImdsError> {
        read::identity(&self.client).await
    }

    /// What is plugged into the instance, by Ethernet address. An ENI that goes away while it is
    /// being read is left out.
    ///
    /// # Errors
    /// As `get`, or where the service says something unreadable.
    pub async fn interfaces(&self) -> Result<BTreeMap<Mac, InstanceInterface>, ImdsError> {
        read::interfaces(&self.client).await
    }

    /// The IPv4 blocks of the VPC that the ENI with this Ethernet address is in; never none.
    ///
    /// # Errors
    /// As `get`, or where the service says something unreadable.
    pub async fn vpc_blocks(&self, mac: Mac) -> Result<Vec<Ipv4Net>, ImdsError> {
        read::vpc_blocks(&self.client, mac).await
    }
}
