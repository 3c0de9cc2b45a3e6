//! Instances.

use serde::{Deserialize, Serialize};
use underlay_types::{
    ImageId, InstanceId, ReservationId, SecurityGroupId, SubnetId, Timestamp, VpcId,
};

use crate::{AvailabilityZone, BootMode, Tags};

/// An instance. Its interfaces are asked of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The launch it came from.
    pub reservation: ReservationId,
    /// Its number within that launch.
    pub launch_index: u32,
    /// Its image.
    pub image: ImageId,
    /// How its image boots.
    pub boot: BootMode,
    /// The name of its type; the model's table knows the type.
    pub instance_type: String,
    /// The VPC of its primary interface.
    pub vpc: VpcId,
    /// The subnet of its primary interface.
    pub subnet: SubnetId,
    /// Its availability zone.
    pub zone: AvailabilityZone,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Whether the devices of its interfaces are there: not while it is stopped.
    pub powered: bool,
    /// What may be done with it, and what happens then.
    pub attributes: InstanceAttributes,
    /// When it was launched, by the Unix clock.
    pub launch_time: Timestamp,
    /// How its metadata service answers.
    pub metadata: MetadataOptions,
    /// The role its metadata service hands out credentials for.
    pub role: String,
    /// The instance profile named at launch, by name.
    pub profile: Option<String>,
    /// The key pair named at launch.
    pub key_name: Option<String>,
    /// User data as given at launch (base64).
    pub user_data: Option<String>,
    /// The client token of the launch.
    pub client_token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// What may be done with an instance, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceAttributes {
    /// Whether StopInstances is refused.
    pub disable_api_stop: bool,
    /// Whether TerminateInstances is refused.
    pub disable_api_termination: bool,
    /// Stored, without effect.
    pub ebs_optimized: bool,
    /// `InstanceInitiatedShutdownBehavior` is `terminate`, not `stop`. Stored: no instance here
    /// shuts itself down.
    pub terminate_on_shutdown: bool,
}

/// An attribute of an instance, to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceAttribute {
    /// `disableApiStop`
    DisableApiStop(bool),
    /// `disableApiTermination`
    DisableApiTermination(bool),
    /// `ebsOptimized`
    EbsOptimized(bool),
    /// `groupSet`, of the only interface
    Groups(Vec<SecurityGroupId>),
    /// `instanceType`, of a stopped instance
    InstanceType(String),
    /// `sourceDestCheck`, of the only interface
    SourceDestCheck(bool),
    /// `instanceInitiatedShutdownBehavior`
    TerminateOnShutdown(bool),
    /// `userData` (base64), of a stopped instance
    UserData(Option<String>),
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    /// Launched, not running yet.
    Pending,
    /// Running.
    Running,
    /// Going away.
    ShuttingDown,
    /// Going to be stopped.
    Stopping,
    /// Stopped: it can be started again.
    Stopped,
    /// Gone; shown for an hour.
    Terminated,
}

impl InstanceState {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Terminated => "terminated",
        }
    }

    /// EC2's number for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Stopping => 64,
            Self::Stopped => 80,
            Self::Terminated => 48,
        }
    }
}

/// How an instance's metadata service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// Whether a token is required (`HttpTokens`).
    pub tokens_required: bool,
    /// The TTL of answers to PUT, 1 to 64 (`HttpPutResponseHopLimit`).
    pub hop_limit: u8,
    /// Whether it answers at all (`HttpEndpoint`).
    pub enabled: bool,
    /// Whether it shows the instance's tags (`InstanceMetadataTags`).
    pub tags: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            tokens_required: true,
            hop_limit: 1,
            enabled: true,
            tags: false,
        }
    }
}
