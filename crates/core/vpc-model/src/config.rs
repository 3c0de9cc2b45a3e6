//! What a VPC is told before it starts: account, Region, limits, timing.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use underlay_types::AccountId;

use crate::Timings;

/// Everything that is fixed for the life of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The account.
    pub account: AccountId,
    /// The Region's name.
    pub region: String,
    /// The Region's availability zones.
    pub zones: Vec<AvailabilityZone>,
    /// What happens besides what is asked for.
    pub preset: Preset,
    /// How long things take.
    pub timings: Timings,
    /// Which free address of a subnet is taken when the caller names none.
    pub address_order: AddressOrder,
    /// Where public addresses come from.
    pub public_pool: Ipv4Net,
    /// How many branch interfaces the trunks of an instance type carry, where that is not what
    /// [`InstanceType::branches`](crate::InstanceType::branches) says.
    pub branch_limits: BTreeMap<String, u32>,
    /// How many flows an instance tracks at most, where it is limited: EC2 publishes no number.
    #[serde(default)]
    pub tracking_allowance: Option<u32>,
    /// Quotas.
    pub limits: Limits,
    /// Seed of ids and random choices; the same seed and calls give the same state.
    pub seed: u64,
    /// The role whose credentials an instance gets when its launch names no instance profile.
    pub default_role: String,
}

/// One availability zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailabilityZone {
    /// Its name, such as `us-east-1a`.
    pub name: String,
    /// Its id, such as `use1-az1`.
    pub id: String,
}

/// How fast things happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preset {
    /// Every transition is over when the call returns; no throttling.
    Instant,
    /// Attach, detach and metadata take seconds, calls take their usual time, buckets throttle.
    Realistic,
    /// As realistic, slower, and with every sort of fault now and then.
    Hostile,
}

/// Which free address of a subnet is taken when the caller names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressOrder {
    /// Any, as EC2 does.
    Random,
    /// The lowest, for readable tests.
    Sequential,
}

/// Quotas (Amazon VPC User Guide, "Amazon VPC quotas").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// VPCs per Region.
    pub vpcs: usize,
    /// Subnets per VPC.
    pub subnets_per_vpc: usize,
    /// IPv4 blocks per VPC, the primary one included.
    pub v4_cidrs_per_vpc: usize,
    /// IPv6 blocks per VPC.
    pub v6_cidrs_per_vpc: usize,
    /// Interfaces per Region.
    pub enis: usize,
    /// Groups per Region.
    pub groups: usize,
    /// Groups per interface.
    pub groups_per_eni: usize,
    /// Rules per group and direction, IPv4 and IPv6 counted apart.
    pub rules_per_group: usize,
    /// Route tables per VPC.
    pub route_tables_per_vpc: usize,
    /// Routes per route table.
    pub routes_per_table: usize,
    /// Elastic addresses per Region.
    pub elastic_addresses: usize,
    /// Internet gateways per Region; egress-only ones are counted apart, with the same quota.
    pub internet_gateways: usize,
    /// Elastic addresses per public NAT gateway.
    pub elastic_addresses_per_nat_gateway: usize,
    /// Private addresses per NAT gateway.
    pub addresses_per_nat_gateway: usize,
    /// NAT gateways per availability zone that are not deleted.
    pub nat_gateways_per_zone: usize,
    /// Network ACLs per VPC.
    pub network_acls_per_vpc: usize,
    /// Entries per network ACL and direction, IPv4 and IPv6 counted apart, without the `*` ones.
    pub entries_per_network_acl: usize,
    /// Active peering connections per VPC.
    pub peerings_per_vpc: usize,
    /// Running instances per Region.
    pub instances: usize,
    /// Prefix lists of the account per Region.
    pub prefix_lists: usize,
    /// Entries of a prefix list.
    pub entries_per_prefix_list: u32,
    /// Versions of a prefix list that are kept.
    pub versions_per_prefix_list: usize,
}

impl ModelConfig {
    /// Everything as usual, with the times and faults of `preset`.
    #[must_use]
    pub fn of(preset: Preset) -> Self {
        Self {
            preset,
            timings: Timings::of(preset),
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            vpcs: 5,
            subnets_per_vpc: 200,
            v4_cidrs_per_vpc: 5,
            v6_cidrs_per_vpc: 5,
            enis: 5_000,
            groups: 2_500,
            groups_per_eni: 5,
            rules_per_group: 60,
            route_tables_per_vpc: 200,
            routes_per_table: 50,
            elastic_addresses: 5,
            internet_gateways: 5,
            elastic_addresses_per_nat_gateway: 2,
            addresses_per_nat_gateway: 8,
            nat_gateways_per_zone: 5,
            network_acls_per_vpc: 200,
            entries_per_network_acl: 20,
            peerings_per_vpc: 50,
            instances: 5_000,
            prefix_lists: 100,
            entries_per_prefix_list: 1_000,
            versions_per_prefix_list: 1_000,
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        let zone = |name: &str, id: &str| AvailabilityZone {
            name: name.to_owned(),
            id: id.to_owned(),
        };
        Self {
            account: "123456789012".parse().expect("it has twelve digits"),
            region: "us-east-1".to_owned(),
            zones: vec![
                zone("us-east-1a", "use1-az1"),
                zone("us-east-1b", "use1-az2"),
            ],
            preset: Preset::Instant,
            timings: Timings::of(Preset::Instant),
            address_order: AddressOrder::Sequential,
            // RFC 2544: public to whoever looks at it, and never anybody's on the real internet.
            public_pool: Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
            branch_limits: BTreeMap::new(),
            tracking_allowance: None,
            limits: Limits::default(),
            seed: 1,
            default_role: "underlay-node".to_owned(),
        }
    }
}
