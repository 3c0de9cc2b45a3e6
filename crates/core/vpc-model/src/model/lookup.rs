//! Finding things by id, or saying as EC2 does that they are not there.

use underlay_types::{
    AllocationId, EgressOnlyInternetGatewayId, EniId, EniPermissionId, FlowLogId, ImageId,
    InstanceId, InternetGatewayId, NatGatewayId, NetworkAclId, PrefixListId, RouteTableId,
    SecurityGroupId, SubnetId, TrunkAssociationId, VpcId, VpcPeeringConnectionId,
};

use crate::{
    AvailabilityZone, Ec2Error, EgressOnlyInternetGateway, ElasticAddress, Eni, EniPermission,
    ErrorCode, FlowLog, Image, Instance, InternetGateway, Model, NatGateway, NetworkAcl,
    PrefixList, RouteTable, SecurityGroup, Subnet, TrunkAssociation, Vpc, VpcPeeringConnection,
};

macro_rules! lookups {
    ($($(#[$doc:meta])* $name:ident($id:ty) -> $object:ty: $field:ident, $code:ident $text:literal;)+) => {
        impl Model {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// The kind's `NotFound` code.
            pub fn $name(&self, id: &$id) -> Result<&$object, Ec2Error> {
                self.$field
                    .get(id)
                    .filter(|_| !self.is_unknown_yet(id.as_str()))
                    .ok_or_else(|| Ec2Error::new(ErrorCode::$code, format!($text, id)))
            }
        )+}
    };
}

lookups! {
    /// The egress-only internet gateway, or EC2's answer that there is none.
    require_egress_only_gateway(EgressOnlyInternetGatewayId) -> EgressOnlyInternetGateway: egress_only_gateways,
        InvalidGatewayIdNotFound "The eigw ID '{}' does not exist";
    /// The elastic address, or EC2's answer that there is none.
    require_elastic_address(AllocationId) -> ElasticAddress: elastic_addresses,
        InvalidAllocationIdNotFound "The allocation ID '{}' does not exist";
    /// The interface, or EC2's answer that there is none.
    require_eni(EniId) -> Eni: enis,
        InvalidNetworkInterfaceIdNotFound "The networkInterface ID '{}' does not exist";
    /// The permission on an interface, or an answer that there is none. EC2's code is not known.
    require_eni_permission(EniPermissionId) -> EniPermission: eni_permissions,
        InvalidPermissionIdNotFound "The network interface permission ID '{}' does not exist";
    /// The flow log, or EC2's answer that there is none.
    require_flow_log(FlowLogId) -> FlowLog: flow_logs,
        InvalidFlowLogIdNotFound "The flow log ID '{}' does not exist";
    /// The group, or EC2's answer that there is none.
    require_group(SecurityGroupId) -> SecurityGroup: groups,
        InvalidGroupNotFound "The security group '{}' does not exist";
    /// The image, or EC2's answer that there is none.
    require_image(ImageId) -> Image: images,
        InvalidAmiIdNotFound "The image id '[{}]' does not exist";
    /// The instance, or EC2's answer that there is none.
    require_instance(InstanceId) -> Instance: instances,
        InvalidInstanceIdNotFound "The instance ID '{}' does not exist";
    /// The prefix list, or EC2's answer that there is none.
    require_prefix_list(PrefixListId) -> PrefixList: prefix_lists,
        InvalidPrefixListIdNotFound "The prefix list ID '{}' does not exist";
    /// The internet gateway, or EC2's answer that there is none.
    require_internet_gateway(InternetGatewayId) -> InternetGateway: internet_gateways,
        InvalidInternetGatewayIdNotFound "The internetGateway ID '{}' does not exist";
    /// The NAT gateway, or EC2's answer that there is none.
    require_nat_gateway(NatGatewayId) -> NatGateway: nat_gateways,
        NatGatewayNotFound "The Nat Gateway {} was not found";
    /// The network ACL, or EC2's answer that there is none.
    require_network_acl(NetworkAclId) -> NetworkAcl: network_acls,
        InvalidNetworkAclIdNotFound "The networkAcl ID '{}' does not exist";
    /// The peering connection, or EC2's answer that there is none.
    require_peering(VpcPeeringConnectionId) -> VpcPeeringConnection: peerings,
        InvalidVpcPeeringConnectionIdNotFound "The vpcPeeringConnection ID '{}' does not exist";
    /// The route table, or EC2's answer that there is none.
    require_route_table(RouteTableId) -> RouteTable: route_tables,
        InvalidRouteTableIdNotFound "The routeTable ID '{}' does not exist";
    /// The subnet, or EC2's answer that there is none.
    require_subnet(SubnetId) -> Subnet: subnets,
        InvalidSubnetIdNotFound "The subnet ID '{}' does not exist";
    /// The association, or EC2's answer that there is none.
    require_trunk_association(TrunkAssociationId) -> TrunkAssociation: trunk_associations,
        InvalidAssociationIdNotFound "The association ID '{}' does not exist";
    /// The VPC, or EC2's answer that there is none.
    require_vpc(VpcId) -> Vpc: vpcs,
        InvalidVpcIdNotFound "The vpc ID '{}' does not exist";
}

impl Model {
    /// The zone of this name or id; without one, the Region's first.
    pub(crate) fn require_zone(&self, wanted: Option<&str>) -> Result<AvailabilityZone, Ec2Error> {
        let zones = &self.config.zones;
        let found = match wanted {
            None => zones.first(),
            Some(text) => zones
                .iter()
                .find(|zone| zone.name == text || zone.id == text),
        };
        found.cloned().ok_or_else(|| {
            let names: Vec<_> = zones.iter().map(|zone| zone.name.as_str()).collect();
            Ec2Error::new(
                ErrorCode::InvalidParameterValue,
                format!(
                    "Value ({}) for parameter availabilityZone is invalid. Subnets can currently \
                     only be created in the following availability zones: {}.",
                    wanted.unwrap_or_default(),
                    names.join(", ")
                ),
            )
        })
    }

    /// Groups for an interface in `vpc`: known there, sorted, not too many; the VPC's default
    /// group when none is named.
    pub(crate) fn require_eni_groups(
        &self,
        vpc: &VpcId,
        wanted: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroupId>, Ec2Error> {
        let vpc = self.require_vpc(vpc)?;
        for id in wanted {
            let group = self.require_group(id)?;
            if group.vpc != vpc.id {
                let text = format!(
                    "The security group '{id}' does not exist in VPC '{}'",
                    vpc.id
                );
                return Err(Ec2Error::new(ErrorCode::InvalidGroupNotFound, text));
            }
        }
        let mut groups = wanted.to_vec();
        groups.sort_unstable();
        groups.dedup();
        if groups.is_empty() {
            groups.push(vpc.default_group.clone());
        }
        if groups.len() > self.config.limits.groups_per_eni {
            return Err(Ec2Error::new(
                ErrorCode::SecurityGroupsPerInterfaceLimitExceeded,
                "The maximum number of security groups per interface has been reached.",
            ));
        }
        Ok(groups)
    }
}
