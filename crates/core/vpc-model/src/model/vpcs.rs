//! Creating and deleting VPCs, each with its main route table and default group.

use ipnet::Ipv4Net;
use underlay_types::{
    RouteTableAssociationId, RouteTableId, SecurityGroupId, SecurityGroupRuleId, Timestamp,
    VpcCidrAssociationId, VpcId,
};

use crate::{
    Change, CidrState, Ec2Error, ErrorCode, Model, Route, RouteTable, RouteTableAssociation,
    RouteTarget, Rule, RuleDirection, RulePeer, RuleTraffic, SecurityGroup, Tags, Vpc,
    VpcCidrAssociation,
};

impl Model {
    /// CreateVpc: a VPC of one block, with a main route table and a default group.
    ///
    /// # Errors
    /// `InvalidVpc.Range` unless the block is a /16 to /28 of addresses that hosts may have;
    /// `VpcLimitExceeded`.
    pub fn create_vpc(&mut self, cidr: Ipv4Net, tags: Tags) -> Result<VpcId, Ec2Error> {
        self.check_new_vpc(cidr)?;
        Ok(self.add_vpc(cidr.trunc(), tags))
    }

    /// CreateVpc with an IPv6 block that Amazon provides.
    ///
    /// # Errors
    /// As [`Self::create_vpc`]; `CidrLimitExceeded` when the quota of IPv6 blocks is 0.
    pub fn create_dual_stack_vpc(
        &mut self,
        cidr: Ipv4Net,
        tags: Tags,
        now: Timestamp,
    ) -> Result<VpcId, Ec2Error> {
        self.check_new_vpc(cidr)?;
        if self.config.limits.v6_cidrs_per_vpc == 0 {
            let text = "This network has met its maximum number of allowed CIDRs: 0";
            return Err(Ec2Error::new(ErrorCode::CidrLimitExceeded, text));
        }
        let id = self.add_vpc(cidr.trunc(), tags);
        self.associate_vpc_v6(&id, now)?;
        Ok(id)
    }

    fn add_vpc(&mut self, cidr: Ipv4Net, tags: Tags) -> VpcId {
        let id = VpcId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let main_route_table = self.add_main_route_table(&id, cidr);
        let default_group = self.add_default_group(&id);
        self.add_default_network_acl(&id);
        let association = VpcCidrAssociationId::from_serial(self.rng.next());
        let vpc = Vpc {
            id: id.clone(),
            cidrs: vec![VpcCidrAssociation {
                id: association,
                cidr,
                state: CidrState::Associated,
            }],
            v6_cidrs: Vec::new(),
            main_route_table,
            default_group,
            dns_support: true,
            dns_hostnames: false,
            address_usage_metrics: false,
            tags,
        };
        self.vpcs.insert(id.clone(), vpc);
        self.changes.push(Change::VpcChanged(id.clone()));
        id
    }

    fn check_new_vpc(&self, cidr: Ipv4Net) -> Result<(), Ec2Error> {
        check_block(cidr)?;
        if self.vpcs.len() >= self.config.limits.vpcs {
            let text = "The maximum number of VPCs has been reached.";
            return Err(Ec2Error::new(ErrorCode::VpcLimitExceeded, text));
        }
        Ok(())
    }

    fn add_main_route_table(&mut self, vpc: &VpcId, cidr: Ipv4Net) -> RouteTableId {
        let id = RouteTableId::from_serial(self.rng.next());
        let association = RouteTableAssociationId::from_serial(self.rng.next());
        let table = RouteTable {
            id: id.clone(),
            vpc: vpc.clone(),
            routes: vec![Route {
                destination: cidr.into(),
                target: RouteTarget::Local,
            }],
            associations: vec![RouteTableAssociation {
                id: association,
                subnet: None,
            }],
            tags: Tags::new(),
        };
        self.route_tables.insert(id.clone(), table);
        self.changes.push(Change::RouteTableChanged(id.clone()));
        id
    }

    fn add_default_group(&mut self, vpc: &VpcId) -> SecurityGroupId {
        let id = SecurityGroupId::from_serial(self.rng.next());
        let from_members = Rule {
            id: SecurityGroupRuleId::from_serial(self.rng.next()),
            direction: RuleDirection::Ingress,
            traffic: RuleTraffic::All,
            peer: RulePeer::Group(id.clone()),
            description: None,
            tags: Tags::new(),
        };
        let group = SecurityGroup {
            id: id.clone(),
            vpc: vpc.clone(),
            name: "default".to_owned(),
            description: "default VPC security group".to_owned(),
            rules: [vec![from_members], self.egress_to_all(false)].concat(),
            tags: Tags::new(),
        };
        self.groups.insert(id.clone(), group);
        self.changes.push(Change::GroupChanged(id.clone()));
        id
    }

    /// DeleteVpc, with its main route table and default group.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `DependencyViolation` while it has subnets, gateways or peering
    /// connections, or groups, route tables or network ACLs other than those it came with. (The
    /// documentation does not say what becomes of peering connections.)
    pub fn delete_vpc(&mut self, id: &VpcId) -> Result<(), Ec2Error> {
        let vpc = self.require_vpc(id)?.clone();
        let in_use = self.subnets.values().any(|subnet| &subnet.vpc == id)
            || self
                .groups
                .values()
                .any(|group| &group.vpc == id && group.id != vpc.default_group)
            || self
                .route_tables
                .values()
                .any(|table| &table.vpc == id && table.id != vpc.main_route_table)
            || self.has_gateways(id)
            || self.has_peerings(id)
            || self
                .network_acls()
                .any(|acl| &acl.vpc == id && !acl.is_default);
        if in_use {
            let text = format!("The vpc '{id}' has dependencies and cannot be deleted.");
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        self.vpcs.remove(id);
        self.groups.remove(&vpc.default_group);
        self.route_tables.remove(&vpc.main_route_table);
        self.drop_network_acls_of(id);
        self.drop_flow_logs_of(id.as_str());
        self.changes.push(Change::GroupChanged(vpc.default_group));
        self.changes
            .push(Change::RouteTableChanged(vpc.main_route_table));
        self.changes.push(Change::VpcChanged(id.clone()));
        Ok(())
    }

    /// ModifyVpcAttribute.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidParameterValue` for DNS host names without DNS support.
    pub fn set_vpc_attribute(
        &mut self,
        id: &VpcId,
        attribute: VpcAttribute,
    ) -> Result<(), Ec2Error> {
        let vpc = self.require_vpc(id)?;
        if attribute == VpcAttribute::DnsHostnames(true) && !vpc.dns_support {
            let text = format!("DNS host names need DNS support, which is off in VPC '{id}'.");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if let Some(vpc) = self.vpcs.get_mut(id) {
            match attribute {
                VpcAttribute::AddressUsageMetrics(on) => vpc.address_usage_metrics = on,
                VpcAttribute::DnsHostnames(on) => vpc.dns_hostnames = on,
                VpcAttribute::DnsSupport(on) => vpc.dns_support = on,
            }
            self.changes.push(Change::VpcChanged(id.clone()));
        }
        Ok(())
    }
}

/// An attribute of a VPC, with its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VpcAttribute {
    /// `enableNetworkAddressUsageMetrics`.
    AddressUsageMetrics(bool),
    /// `enableDnsHostnames`.
    DnsHostnames(bool),
    /// `enableDnsSupport`.
    DnsSupport(bool),
}

/// Whether a VPC may have this block at all.
pub(super) fn check_block(cidr: Ipv4Net) -> Result<(), Ec2Error> {
    if (16..=28).contains(&cidr.prefix_len()) && !is_reserved(cidr) {
        return Ok(());
    }
    let text = format!("The CIDR '{cidr}' is invalid.");
    Err(Ec2Error::new(ErrorCode::InvalidVpcRange, text))
}

/// Whether a block of a /16 or less is in 0/8, 127/8, 169.254/16, or 224/4 and above.
const fn is_reserved(cidr: Ipv4Net) -> bool {
    matches!(cidr.addr().octets(), [0 | 127 | 224.., ..] | [169, 254, ..])
}
