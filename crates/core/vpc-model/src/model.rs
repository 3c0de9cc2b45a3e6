//! The state of an account in one Region, and how to read it.

mod address_plan;
mod addresses;
mod attach;
mod egress_to_all;
mod elastic_addresses;
mod eni_permissions;
mod eni_table;
mod enis;
mod everything;
mod flow_logs;
mod group_peers;
mod groups;
mod history;
mod idempotency;
mod instance_attributes;
mod instance_table;
mod internet_gateways;
mod launch;
mod lifecycle;
mod listed;
mod lookup;
mod metadata_options;
mod nat_gateways;
mod network_acl_entries;
mod network_acls;
mod network_tables;
mod peerings;
mod power;
mod prefix_lists;
mod public_addresses;
mod reservations;
mod route_tables;
mod routes;
mod rule_changes;
mod service_enis;
mod shown;
mod subnet_cidrs;
mod subnets;
mod table;
mod tagging;
mod terminate;
mod tracking;
mod trunks;
mod v6_addresses;
mod v6_plan;
mod vpc_cidrs;
mod vpcs;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use serde::{Deserialize, Serialize};
use underlay_types::{
    AllocationId, EgressOnlyInternetGatewayId, EniId, EniPermissionId, FlowLogId, ImageId,
    InstanceId, InternetGatewayId, Mac, NatGatewayId, PrefixListId, ReservationId, RouteTableId,
    SecurityGroupId, SecurityGroupRuleId, SubnetCidrReservationId, SubnetId, Timestamp, VpcId,
    VpcPeeringConnectionId,
};

pub use self::{
    address_plan::{Assigned, V4Request},
    elastic_addresses::AssociationTarget,
    enis::EniRequest,
    flow_logs::FlowLogRequest,
    groups::RuleSpec,
    launch::{LaunchInterface, LaunchInterfaceSource, LaunchRequest},
    listed::{Candidates, EniKey, InstanceKey, Listed, Listing, RuleKey},
    metadata_options::MetadataOptionsChange,
    nat_gateways::NatGatewayRequest,
    prefix_lists::{PrefixListChange, PrefixListRequest},
    reservations::ReservationRequest,
    subnets::{SubnetAttribute, SubnetRequest},
    tagging::{TagEntry, check_tags},
    v6_plan::{AssignedV6, V6Request},
    vpcs::VpcAttribute,
};
use self::{
    eni_table::EniTable,
    idempotency::Remembered,
    instance_table::InstanceTable,
    lifecycle::Timer,
    network_tables::{Groups, NetworkAcls, RouteTables, TrunkAssociations},
    public_addresses::PublicUse,
    shown::Past,
};
use crate::{
    Change, CidrReservation, EgressOnlyInternetGateway, ElasticAddress, Eni, EniPermission,
    FaultSet, FlowLog, FlowLogResource, HazardScope, Image, Instance, InternetGateway, ModelConfig,
    NatGateway, PrefixList, RouteTable, Rule, SecurityGroup, Subnet, Vpc, VpcPeeringConnection,
    address_pool::AddressPool, aws_prefix_lists, image_list, rng::Rng,
};

/// Of the seed, so that draws of chance differ from those of ids.
const CHANCE: u64 = 0x6368_616e_6365;

/// Everything an account has in one Region.
///
/// Methods that act take the current time of the Unix clock. They do all of what was asked, or
/// return an [`Ec2Error`](crate::Ec2Error) and leave the model equal to what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    config: ModelConfig,
    /// The latest moment that it was told of.
    now: Timestamp,
    rng: Rng,
    /// Draws for faults and delays, so that ids do not depend on them.
    chance: Rng,
    faults: FaultSet,
    past: Past,
    vpcs: BTreeMap<VpcId, Vpc>,
    subnets: BTreeMap<SubnetId, Subnet>,
    pools: BTreeMap<SubnetId, AddressPool>,
    reservations: BTreeMap<SubnetCidrReservationId, CidrReservation>,
    groups: Groups,
    route_tables: RouteTables,
    network_acls: NetworkAcls,
    internet_gateways: BTreeMap<InternetGatewayId, InternetGateway>,
    egress_only_gateways: BTreeMap<EgressOnlyInternetGatewayId, EgressOnlyInternetGateway>,
    nat_gateways: BTreeMap<NatGatewayId, NatGateway>,
    peerings: BTreeMap<VpcPeeringConnectionId, VpcPeeringConnection>,
    elastic_addresses: BTreeMap<AllocationId, ElasticAddress>,
    /// Whose each public address is that is in use.
    public_addresses: BTreeMap<Ipv4Addr, PublicUse>,
    /// The public address of each interface's private ones that have one.
    #[serde(with = "crate::pairs")]
    public_of: BTreeMap<(EniId, Ipv4Addr), Ipv4Addr>,
    enis: EniTable,
    instances: InstanceTable,
    /// Interfaces that have an attachment to the instance, in whatever status.
    attached: BTreeMap<InstanceId, BTreeSet<EniId>>,
    images: BTreeMap<ImageId, Image>,
    prefix_lists: BTreeMap<PrefixListId, PrefixList>,
    trunk_associations: TrunkAssociations,
    eni_permissions: BTreeMap<EniPermissionId, EniPermission>,
    flow_logs: BTreeMap<FlowLogId, FlowLog>,
    /// What ends by itself, by when; the number keeps those of one moment in order.
    #[serde(with = "crate::pairs")]
    timers: BTreeMap<(Timestamp, u64), Timer>,
    timers_set: u64,
    tokens: BTreeMap<String, Remembered>,
    macs_given: u64,
    #[serde(skip)]
    changes: Vec<Change>,
}

impl Model {
    /// An account without anything but images.
    #[must_use]
    pub fn new(config: ModelConfig) -> Self {
        Self {
            rng: Rng::new(config.seed),
            chance: Rng::new(config.seed ^ CHANCE),
            faults: FaultSet::of(config.preset, |hazard| {
                hazard.scope() == HazardScope::Objects
            }),
            past: Past::default(),
            prefix_lists: aws_prefix_lists::of_region(&config.region)
                .into_iter()
                .map(|list| (list.id.clone(), list))
                .collect(),
            config,
            now: Timestamp::ZERO,
            vpcs: BTreeMap::new(),
            subnets: BTreeMap::new(),
            pools: BTreeMap::new(),
            reservations: BTreeMap::new(),
            groups: Groups::default(),
            route_tables: RouteTables::default(),
            network_acls: NetworkAcls::default(),
            internet_gateways: BTreeMap::new(),
            egress_only_gateways: BTreeMap::new(),
            nat_gateways: BTreeMap::new(),
            peerings: BTreeMap::new(),
            elastic_addresses: BTreeMap::new(),
            public_addresses: BTreeMap::new(),
            public_of: BTreeMap::new(),
            enis: EniTable::default(),
            instances: InstanceTable::default(),
            attached: BTreeMap::new(),
            trunk_associations: TrunkAssociations::default(),
            eni_permissions: BTreeMap::new(),
            images: image_list::images()
                .into_iter()
                .map(|image| (image.id.clone(), image))
                .collect(),
            flow_logs: BTreeMap::new(),
            timers: BTreeMap::new(),
            timers_set: 0,
            tokens: BTreeMap::new(),
            macs_given: 0,
            changes: Vec::new(),
        }
    }

    /// What it was told at the start.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The interfaces of a subnet, by id.
    pub fn enis_in<'a>(&'a self, subnet: &'a SubnetId) -> impl Iterator<Item = &'a Eni> {
        self.enis.of_subnet(subnet)
    }

    /// What happened since the last time this was asked, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The VPCs, by id.
    pub fn vpcs(&self) -> impl Iterator<Item = &Vpc> {
        self.vpcs.values()
    }

    /// A VPC.
    #[must_use]
    pub fn vpc(&self, id: &VpcId) -> Option<&Vpc> {
        self.vpcs.get(id)
    }

    /// The subnets, by id.
    pub fn subnets(&self) -> impl Iterator<Item = &Subnet> {
        self.subnets.values()
    }

    /// A subnet.
    #[must_use]
    pub fn subnet(&self, id: &SubnetId) -> Option<&Subnet> {
        self.subnets.get(id)
    }

    /// How many addresses of a subnet are free; 0 for an unknown subnet.
    #[must_use]
    pub fn available_addresses(&self, subnet: &SubnetId) -> u32 {
        self.pools.get(subnet).map_or(0, AddressPool::free)
    }

    /// The groups, by id.
    pub fn groups(&self) -> impl Iterator<Item = &SecurityGroup> {
        self.groups.values()
    }

    /// A group.
    #[must_use]
    pub fn group(&self, id: &SecurityGroupId) -> Option<&SecurityGroup> {
        self.groups.get(id)
    }

    /// A rule, and the group that it belongs to.
    #[must_use]
    pub fn rule(&self, id: &SecurityGroupRuleId) -> Option<(&SecurityGroup, &Rule)> {
        let group = self.groups.get(self.groups.index().rules().get(id)?)?;
        let rule = group.rules.iter().find(|rule| &rule.id == id)?;
        Some((group, rule))
    }

    /// The interfaces that carry a group, by id: what a rule that names the group matches.
    pub fn members_of<'a>(&'a self, group: &'a SecurityGroupId) -> impl Iterator<Item = &'a Eni> {
        self.enis.of_group(group)
    }

    /// The route tables, by id.
    pub fn route_tables(&self) -> impl Iterator<Item = &RouteTable> {
        self.route_tables.values()
    }

    /// A route table.
    #[must_use]
    pub fn route_table(&self, id: &RouteTableId) -> Option<&RouteTable> {
        self.route_tables.get(id)
    }

    /// The route table that a subnet uses: the associated one, else its VPC's main one.
    #[must_use]
    pub fn route_table_of(&self, subnet: &SubnetId) -> Option<&RouteTable> {
        let associated = self.route_tables.index().of_subnet(subnet);
        let id = associated.or_else(|| {
            let vpc = self.vpcs.get(&self.subnets.get(subnet)?.vpc)?;
            Some(&vpc.main_route_table)
        })?;
        self.route_tables.get(id)
    }

    /// The interfaces, by id.
    pub fn enis(&self) -> impl Iterator<Item = &Eni> {
        self.enis.values()
    }

    /// An interface.
    #[must_use]
    pub fn eni(&self, id: &EniId) -> Option<&Eni> {
        self.enis.get(id)
    }

    /// The interface with an Ethernet address.
    #[must_use]
    pub fn eni_by_mac(&self, mac: Mac) -> Option<&Eni> {
        self.enis.by_mac(mac)
    }

    /// The interface of a VPC that has an address, itself or within a prefix.
    #[must_use]
    pub fn eni_by_address(&self, vpc: &VpcId, address: impl Into<IpAddr>) -> Option<&Eni> {
        self.enis.by_address(vpc, address.into())
    }

    /// The instances, by id, terminated ones included while they are still shown.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// An instance.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id)
    }

    /// The instances of a launch, by id.
    pub fn instances_of<'a>(
        &'a self,
        launch: &'a ReservationId,
    ) -> impl Iterator<Item = &'a Instance> {
        self.instances
            .all_of(self.instances.index().in_launch(launch))
    }

    /// The interfaces with an attachment to an instance, by network card and device index.
    /// Those on their way in or out are among them: see [`Eni::is_attached`].
    #[must_use]
    pub fn enis_of(&self, instance: &InstanceId) -> Vec<&Eni> {
        let ids = self.attached.get(instance).into_iter().flatten();
        let mut enis: Vec<_> = ids.filter_map(|id| self.enis.get(id)).collect();
        enis.sort_by_key(|eni| {
            eni.attachment
                .as_ref()
                .map(|each| (each.network_card, each.device_index))
        });
        enis
    }

    /// The primary interface of an instance.
    #[must_use]
    pub fn primary_eni_of(&self, instance: &InstanceId) -> Option<&Eni> {
        self.enis_of(instance).into_iter().next()
    }

    /// The images, by id.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.values()
    }

    /// An image.
    #[must_use]
    pub fn image(&self, id: &ImageId) -> Option<&Image> {
        self.images.get(id)
    }

    /// The prefix lists, by id: the account's and Amazon's.
    pub fn prefix_lists(&self) -> impl Iterator<Item = &PrefixList> {
        self.prefix_lists.values()
    }

    /// A prefix list.
    #[must_use]
    pub fn prefix_list(&self, id: &PrefixListId) -> Option<&PrefixList> {
        self.prefix_lists.get(id)
    }

    /// The flow logs, by id.
    pub fn flow_logs(&self) -> impl Iterator<Item = &FlowLog> {
        self.flow_logs.values()
    }

    /// A flow log.
    #[must_use]
    pub fn flow_log(&self, id: &FlowLogId) -> Option<&FlowLog> {
        self.flow_logs.get(id)
    }

    /// The flow logs that record an interface's traffic: its own, its subnet's, its VPC's.
    pub fn flow_logs_of<'a>(&'a self, eni: &'a Eni) -> impl Iterator<Item = &'a FlowLog> {
        self.flow_logs
            .values()
            .filter(move |log| match &log.resource {
                FlowLogResource::Eni(id) => id == &eni.id,
                FlowLogResource::Subnet(id) => id == &eni.subnet,
                FlowLogResource::Vpc(id) => id == &eni.vpc,
            })
    }
}
