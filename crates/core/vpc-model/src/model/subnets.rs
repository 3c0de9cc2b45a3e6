//! Creating and deleting subnets.

use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{SubnetId, Timestamp, VpcId};

use crate::{
    Change, Ec2Error, ErrorCode, LaunchNames, Model, Subnet, Tags, address_pool::AddressPool,
};

/// A subnet to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetRequest {
    /// Where.
    pub vpc: VpcId,
    /// Its IPv4 block.
    pub cidr: Ipv4Net,
    /// Its IPv6 block.
    pub v6: Option<Ipv6Net>,
    /// The name or id of its zone; the first without one.
    pub zone: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// An attribute of a subnet, with its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubnetAttribute {
    /// `assignIpv6AddressOnCreation`.
    AssignV6OnCreation(bool),
    /// `enableDns64`.
    Dns64(bool),
    /// `mapPublicIpOnLaunch`.
    MapPublicIpOnLaunch(bool),
    /// `privateDnsHostnameTypeOnLaunch`: whether it is `resource-name`.
    NameByInstance(bool),
    /// `enableResourceNameDnsAAAARecordOnLaunch`.
    NameHasAaaaRecord(bool),
    /// `enableResourceNameDnsARecordOnLaunch`.
    NameHasARecord(bool),
}

impl Model {
    /// CreateSubnet without an IPv6 block, in the zone of this name or id (the first without one).
    ///
    /// # Errors
    /// As [`Self::create_subnet_with`].
    pub fn create_subnet(
        &mut self,
        vpc: &VpcId,
        cidr: Ipv4Net,
        zone: Option<&str>,
        tags: Tags,
    ) -> Result<SubnetId, Ec2Error> {
        let request = SubnetRequest {
            vpc: vpc.clone(),
            cidr,
            v6: None,
            zone: zone.map(str::to_owned),
            tags,
        };
        self.create_subnet_with(request, self.now)
    }

    /// CreateSubnet.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidSubnet.Range` unless the IPv4 block is a /16 to /28 and
    /// the IPv6 block a /44 to /64 of the VPC; `InvalidSubnet.Conflict` when one overlaps another
    /// subnet's; `InvalidParameterValue` for an unknown zone; `SubnetLimitExceeded`.
    pub fn create_subnet_with(
        &mut self,
        request: SubnetRequest,
        now: Timestamp,
    ) -> Result<SubnetId, Ec2Error> {
        self.check_subnet_v4(&request.vpc, request.cidr)?;
        if let Some(cidr) = request.v6 {
            self.check_subnet_v6(&request.vpc, cidr)?;
        }
        let siblings = self.subnets.values();
        let siblings = siblings.filter(|subnet| subnet.vpc == request.vpc);
        if siblings.count() >= self.config.limits.subnets_per_vpc {
            let text = "The maximum number of subnets has been reached.";
            return Err(Ec2Error::new(ErrorCode::SubnetLimitExceeded, text));
        }
        let zone = self.require_zone(request.zone.as_deref())?;
        let id = SubnetId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let cidr = request.cidr.trunc();
        let subnet = Subnet {
            id: id.clone(),
            vpc: request.vpc.clone(),
            cidr,
            v6: None,
            zone,
            map_public_ip_on_launch: false,
            assign_v6_on_creation: false,
            dns64: false,
            launch_names: LaunchNames::default(),
            tags: request.tags,
        };
        self.subnets.insert(id.clone(), subnet);
        self.pools.insert(id.clone(), AddressPool::new(cidr));
        self.add_network_acl_of(&request.vpc, &id);
        self.changes.push(Change::SubnetChanged(id.clone()));
        if let Some(cidr) = request.v6 {
            self.add_subnet_v6(&id, cidr.trunc(), now);
        }
        Ok(id)
    }

    fn check_subnet_v4(&self, vpc: &VpcId, given: Ipv4Net) -> Result<(), Ec2Error> {
        let cidr = given.trunc();
        let mut blocks = self.require_vpc(vpc)?.v4_blocks();
        if !blocks.any(|block| block.contains(&cidr)) || !(16..=28).contains(&cidr.prefix_len()) {
            let text = format!("The CIDR '{given}' is invalid.");
            return Err(Ec2Error::new(ErrorCode::InvalidSubnetRange, text));
        }
        let mut siblings = self.subnets.values().filter(|subnet| &subnet.vpc == vpc);
        if siblings.any(|each| each.cidr.contains(&cidr) || cidr.contains(&each.cidr)) {
            let text = format!("The CIDR '{given}' conflicts with another subnet");
            return Err(Ec2Error::new(ErrorCode::InvalidSubnetConflict, text));
        }
        Ok(())
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
        if let Some(table) = self.route_tables.index().of_subnet(id).cloned() {
            self.change_route_table(&table, |table| {
                let associations = &mut table.associations;
                associations.retain(|each| each.subnet.as_ref() != Some(id));
            });
        }
        self.drop_network_acl_of(id);
        self.reservations.retain(|_, each| &each.subnet != id);
        self.subnets.remove(id);
        self.pools.remove(id);
        self.drop_flow_logs_of(id.as_str());
        self.changes.push(Change::SubnetChanged(id.clone()));
        Ok(())
    }

    /// ModifySubnetAttribute.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `InvalidParameterValue` when new interfaces are to get IPv6
    /// addresses that the subnet does not have.
    pub fn set_subnet_attribute(
        &mut self,
        id: &SubnetId,
        attribute: SubnetAttribute,
    ) -> Result<(), Ec2Error> {
        let subnet = self.require_subnet(id)?;
        if attribute == SubnetAttribute::AssignV6OnCreation(true) && subnet.v6_cidr().is_none() {
            let text = format!("The subnet '{id}' does not have an IPv6 CIDR block.");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        if let Some(subnet) = self.subnets.get_mut(id) {
            match attribute {
                SubnetAttribute::AssignV6OnCreation(on) => subnet.assign_v6_on_creation = on,
                SubnetAttribute::Dns64(on) => subnet.dns64 = on,
                SubnetAttribute::MapPublicIpOnLaunch(on) => subnet.map_public_ip_on_launch = on,
                SubnetAttribute::NameByInstance(on) => subnet.launch_names.by_instance = on,
                SubnetAttribute::NameHasAaaaRecord(on) => subnet.launch_names.aaaa_record = on,
                SubnetAttribute::NameHasARecord(on) => subnet.launch_names.a_record = on,
            }
            self.changes.push(Change::SubnetChanged(id.clone()));
        }
        Ok(())
    }
}
