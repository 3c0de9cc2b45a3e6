//! Creating and deleting VPCs, each with its main route table and default group.

use ipnet::Ipv4Net;
use underlay_types::{
    RouteTableAssociationId, RouteTableId, SecurityGroupId, SecurityGroupRuleId,
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
        if !(16..=28).contains(&cidr.prefix_len()) || is_reserved(cidr) {
            let text = format!("The CIDR '{cidr}' is invalid.");
            return Err(Ec2Error::new(ErrorCode::InvalidVpcRange, text));
        }
        if self.vpcs.len() >= self.config.limits.vpcs {
            let text = "The maximum number of VPCs has been reached.";
            return Err(Ec2Error::new(ErrorCode::VpcLimitExceeded, text));
        }
        let cidr = cidr.trunc();
        let id = VpcId::from_serial(self.rng.next());
        let main_route_table = self.add_main_route_table(&id, cidr);
        let default_group = self.add_default_group(&id);
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
            tags,
        };
        self.vpcs.insert(id.clone(), vpc);
        self.changes.push(Change::VpcChanged(id.clone()));
        Ok(id)
    }

    fn add_main_route_table(&mut self, vpc: &VpcId, cidr: Ipv4Net) -> RouteTableId {
        let id = RouteTableId::from_serial(self.rng.next());
        let association = RouteTableAssociationId::from_serial(self.rng.next());
        let table = RouteTable {
            id: id.clone(),
            vpc: vpc.clone(),
            routes: vec![Route {
                destination: cidr,
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
            rules: vec![from_members, self.egress_to_all()],
            tags: Tags::new(),
        };
        self.groups.insert(id.clone(), group);
        self.changes.push(Change::GroupChanged(id.clone()));
        id
    }

    /// The rule every new group has: all egress.
    pub(crate) fn egress_to_all(&mut self) -> Rule {
        Rule {
            id: SecurityGroupRuleId::from_serial(self.rng.next()),
            direction: RuleDirection::Egress,
            traffic: RuleTraffic::All,
            peer: RulePeer::Ipv4(Ipv4Net::default()),
            description: None,
            tags: Tags::new(),
        }
    }

    /// DeleteVpc, with its main route table and default group.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `DependencyViolation` while it has subnets, or groups or route
    /// tables other than those it came with.
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
                .any(|table| &table.vpc == id && table.id != vpc.main_route_table);
        if in_use {
            let text = format!("The vpc '{id}' has dependencies and cannot be deleted.");
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        self.vpcs.remove(id);
        self.groups.remove(&vpc.default_group);
        self.route_tables.remove(&vpc.main_route_table);
        self.drop_flow_logs_of(id.as_str());
        self.changes.push(Change::GroupChanged(vpc.default_group));
        self.changes
            .push(Change::RouteTableChanged(vpc.main_route_table));
        self.changes.push(Change::VpcChanged(id.clone()));
        Ok(())
    }

    /// ModifyVpcAttribute: `enableDnsSupport` and `enableDnsHostnames`, where given.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`.
    pub fn modify_vpc_dns(
        &mut self,
        id: &VpcId,
        support: Option<bool>,
        hostnames: Option<bool>,
    ) -> Result<(), Ec2Error> {
        self.require_vpc(id)?;
        if let Some(vpc) = self.vpcs.get_mut(id) {
            vpc.dns_support = support.unwrap_or(vpc.dns_support);
            vpc.dns_hostnames = hostnames.unwrap_or(vpc.dns_hostnames);
        }
        Ok(())
    }
}

/// Whether a block of a /16 or less is in 0/8, 127/8, 169.254/16, or 224/4 and above.
const fn is_reserved(cidr: Ipv4Net) -> bool {
    matches!(cidr.addr().octets(), [0 | 127 | 224.., ..] | [169, 254, ..])
}
