//! How long things take, preset by preset.

use serde::{Deserialize, Serialize};

use crate::{Delay, Preset, Probability};

/// How long things take. Each is drawn anew, from the seeded generator.
///
/// The ranges are those that users of EC2 report, not documented ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timings {
    /// From `attaching` to `attached`.
    pub attach: Delay,
    /// From `associating` to `associated` of a block, and back.
    pub cidr: Delay,
    /// From `detaching` to gone.
    pub detach: Delay,
    /// From `pending` to `available`, of a new interface.
    pub create_eni: Delay,
    /// From `pending` to `running`.
    pub launch: Delay,
    /// From `shutting-down` to `terminated`.
    pub terminate: Delay,
    /// From `pending` to `available`, of a NAT gateway.
    pub nat_create: Delay,
    /// From `deleting` to `deleted`, of a NAT gateway.
    pub nat_delete: Delay,
    /// From `provisioning` to `active`, of a peering connection.
    pub peering: Delay,
    /// From a change of a prefix list to its new version.
    pub prefix_list: Delay,
    /// Until metadata shows a change of an interface.
    pub metadata: Delay,
    /// Until a Describe shows a change of an interface or an instance,
    pub describe: Delay,
    /// and how likely it is late at all.
    pub describe_late: Probability,
    /// Until a new id is known to other calls,
    pub visible: Delay,
    /// and how likely it is late at all.
    pub visible_late: Probability,
    /// Whether calls take their time.
    pub latency: bool,
    /// Whether buckets throttle.
    pub throttle: bool,
}

impl Timings {
    /// Those of a preset.
    #[must_use]
    pub const fn of(preset: Preset) -> Self {
        match preset {
            Preset::Instant => Self {
                attach: Delay::NONE,
                cidr: Delay::NONE,
                detach: Delay::NONE,
                create_eni: Delay::NONE,
                launch: Delay::NONE,
                terminate: Delay::NONE,
                nat_create: Delay::NONE,
                nat_delete: Delay::NONE,
                peering: Delay::NONE,
                prefix_list: Delay::NONE,
                metadata: Delay::NONE,
                describe: Delay::NONE,
                describe_late: Probability::NEVER,
                visible: Delay::NONE,
                visible_late: Probability::NEVER,
                latency: false,
                throttle: false,
            },
            Preset::Realistic => Self {
                attach: Delay::millis(1_000, 10_000),
                cidr: Delay::millis(1_000, 3_000),
                detach: Delay::millis(1_000, 20_000),
                create_eni: Delay::millis(100, 1_000),
                launch: Delay::millis(2_000, 6_000),
                terminate: Delay::millis(3_000, 8_000),
                nat_create: Delay::millis(60_000, 120_000),
                nat_delete: Delay::millis(30_000, 60_000),
                peering: Delay::millis(500, 2_000),
                prefix_list: Delay::millis(500, 3_000),
                metadata: Delay::millis(300, 1_500),
                describe: Delay::millis(100, 1_000),
                describe_late: Probability::percent(5),
                visible: Delay::millis(100, 1_000),
                visible_late: Probability::percent(1),
                latency: true,
                throttle: true,
            },
            Preset::Hostile => Self {
                attach: Delay::millis(1_000, 20_000),
                cidr: Delay::millis(1_000, 10_000),
                detach: Delay::millis(1_000, 40_000),
                create_eni: Delay::millis(500, 5_000),
                launch: Delay::millis(2_000, 15_000),
                terminate: Delay::millis(3_000, 20_000),
                nat_create: Delay::millis(60_000, 300_000),
                nat_delete: Delay::millis(30_000, 120_000),
                peering: Delay::millis(500, 10_000),
                prefix_list: Delay::millis(500, 10_000),
                metadata: Delay::millis(1_000, 10_000),
                describe: Delay::millis(500, 5_000),
                describe_late: Probability::percent(25),
                visible: Delay::millis(500, 5_000),
                visible_late: Probability::percent(10),
                latency: true,
                throttle: true,
            },
        }
    }

    /// How long a call of `action` takes.
    #[must_use]
    pub(crate) fn of_call(action: &str) -> Delay {
        match action {
            "AssignIpv6Addresses"
            | "AssignPrivateIpAddresses"
            | "UnassignIpv6Addresses"
            | "UnassignPrivateIpAddresses" => Delay::millis(300, 1_000),
            "AttachNetworkInterface" | "DetachNetworkInterface" => Delay::millis(300, 800),
            "CreateNetworkInterface" => Delay::millis(200, 1_000),
            "RunInstances" => Delay::millis(800, 2_000),
            _ if action.starts_with("Describe") || action.starts_with("Get") => {
                Delay::millis(30, 120)
            }
            _ => Delay::millis(80, 300),
        }
    }
}
