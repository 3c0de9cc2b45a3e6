//! Creating and deleting subnets.

use ipnet::Ipv4Net;
use underlay_types::{SubnetId, VpcId};

use crate::{Change, Ec2Error, ErrorCode, Model, Subnet, Tags, address_pool::AddressPool};

impl Model {
    /// CreateSubnet, in the zone of this name or id (the first without one).
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidSubnet.Range` unless the block is a /16 to /28 of the
    /// VPC; `InvalidSubnet.Conflict` when it overlaps another; `InvalidParameterValue` for an
    /// unknown zone; `SubnetLimitExceeded`.
    pub fn create_subnet(
        &mut self,
        vpc: &VpcId,
        cidr: Ipv4Net,
        zone: Option<&str>,
        tags: Tags,
    ) -> Result<SubnetId, Ec2Error> {
        let owner = self.require_vpc(vpc)?;
        let (given, cidr) = (cidr, cidr.trunc());
        let within = owner.cidrs.iter().any(|block| block.cidr.contains(&cidr));
        if !within || !(16..=28).contains(&cidr.prefix_len()) {
            let text = format!("The CIDR '{given}' is invalid.");
            return Err(Ec2Error::new(ErrorCode::InvalidSubnetRange, text));
        }
        let siblings = || self.subnets.values().filter(|subnet| &subnet.vpc == vpc);
        if siblings().any(|each| each.cidr.contains(&cidr) || cidr.contains(&each.cidr)) {
            let text = format!("The CIDR '{given}' conflicts with another subnet");
            return Err(Ec2Error::new(ErrorCode::InvalidSubnetConflict, text));
        }
        if siblings().count() >= self.config.limits.subnets_per_vpc {
            let text = "The maximum number of subnets has been reached.";
            return Err(Ec2Error::new(ErrorCode::SubnetLimitExceeded, text));
        }
        let zone = self.require_zone(zone)?;
        let id = SubnetId::from_serial(self.rng.next());
        let subnet = Subnet {
            id: id.clone(),
            vpc: vpc.clone(),
            cidr,
            v6: None,
            zone,
            map_public_ip_on_launch: false,
            assign_v6_on_creation: false,
            tags,
        };
        self.subnets.insert(id.clone(), subnet);
        self.pools.insert(id.clone(), AddressPool::new(cidr));
        self.changes.push(Change::SubnetChanged(id.clone()));
        Ok(id)
    }

    /// DeleteSubnet, with its route table association.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `DependencyViolation` while interfaces are in it.
    pub fn delete_subnet(&mut self, id: &SubnetId) -> Result<(), Ec2Error> {
        self.require_subnet(id)?;
        if self.enis.of_subnet(id).next().is_some() {
            let text = format!("The subnet '{id}' has dependencies and cannot be deleted.");
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        for table in self.route_tables.values_mut() {
            let before = table.associations.len();
            table
                .associations
                .retain(|each| each.subnet.as_ref() != Some(id));
            if table.associations.len() != before {
                self.changes
                    .push(Change::RouteTableChanged(table.id.clone()));
            }
        }
        self.subnets.remove(id);
        self.pools.remove(id);
        self.drop_flow_logs_of(id.as_str());
        self.changes.push(Change::SubnetChanged(id.clone()));
        Ok(())
    }

    /// ModifySubnetAttribute: `mapPublicIpOnLaunch`, stored without effect.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`.
    pub fn modify_subnet(&mut self, id: &SubnetId, map_public_ip: bool) -> Result<(), Ec2Error> {
        self.require_subnet(id)?;
        if let Some(subnet) = self.subnets.get_mut(id) {
            subnet.map_public_ip_on_launch = map_public_ip;
        }
        Ok(())
    }
}
