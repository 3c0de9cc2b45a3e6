//! Internet gateways, and egress-only ones for IPv6.

use underlay_types::{EgressOnlyInternetGatewayId, InternetGatewayId, VpcId};

use crate::{
    Change, Ec2Error, EgressOnlyInternetGateway, ErrorCode, InternetGateway, Model, RouteTarget,
    Tags,
};

impl Model {
    /// The internet gateways, by id.
    pub fn internet_gateways(&self) -> impl Iterator<Item = &InternetGateway> {
        self.internet_gateways.values()
    }

    /// An internet gateway.
    #[must_use]
    pub fn internet_gateway(&self, id: &InternetGatewayId) -> Option<&InternetGateway> {
        self.internet_gateways.get(id)
    }

    /// The internet gateway that is attached to a VPC.
    #[must_use]
    pub fn internet_gateway_of(&self, vpc: &VpcId) -> Option<&InternetGateway> {
        self.internet_gateways()
            .find(|gateway| gateway.vpc.as_ref() == Some(vpc))
    }

    /// The egress-only internet gateways, by id.
    pub fn egress_only_gateways(&self) -> impl Iterator<Item = &EgressOnlyInternetGateway> {
        self.egress_only_gateways.values()
    }

    /// An egress-only internet gateway.
    #[must_use]
    pub fn egress_only_gateway(
        &self,
        id: &EgressOnlyInternetGatewayId,
    ) -> Option<&EgressOnlyInternetGateway> {
        self.egress_only_gateways.get(id)
    }

    /// Whether a VPC has an internet gateway or an egress-only one.
    pub(crate) fn has_gateways(&self, vpc: &VpcId) -> bool {
        let mut egress_only = self.egress_only_gateways();
        self.internet_gateway_of(vpc).is_some() || egress_only.any(|each| &each.vpc == vpc)
    }

    /// CreateInternetGateway, attached to nothing.
    ///
    /// # Errors
    /// `InternetGatewayLimitExceeded`.
    pub fn create_internet_gateway(&mut self, tags: Tags) -> Result<InternetGatewayId, Ec2Error> {
        if self.internet_gateways.len() >= self.config.limits.internet_gateways {
            let text = "The maximum number of internet gateways has been reached.";
            return Err(Ec2Error::new(ErrorCode::InternetGatewayLimitExceeded, text));
        }
        let id = InternetGatewayId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let gateway = InternetGateway {
            id: id.clone(),
            vpc: None,
            tags,
        };
        self.internet_gateways.insert(id.clone(), gateway);
        self.changes
            .push(Change::InternetGatewayChanged(id.clone()));
        Ok(id)
    }

    /// AttachInternetGateway.
    ///
    /// # Errors
    /// `InvalidInternetGatewayID.NotFound`; `InvalidVpcID.NotFound`; `Resource.AlreadyAssociated`
    /// when it is attached; `InvalidParameterValue` when the VPC has another.
    pub fn attach_internet_gateway(
        &mut self,
        id: &InternetGatewayId,
        vpc: &VpcId,
    ) -> Result<(), Ec2Error> {
        let gateway = self.require_internet_gateway(id)?;
        self.require_vpc(vpc)?;
        if let Some(held) = &gateway.vpc {
            let text = format!("resource {id} is already attached to network {held}");
            return Err(Ec2Error::new(ErrorCode::ResourceAlreadyAssociated, text));
        }
        if self.internet_gateway_of(vpc).is_some() {
            let text = format!("Network {vpc} already has an internet gateway attached");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.put_internet_gateway(id, Some(vpc.clone()));
        Ok(())
    }

    /// DetachInternetGateway. Routes to it become blackholes.
    ///
    /// # Errors
    /// `InvalidInternetGatewayID.NotFound`; `InvalidVpcID.NotFound`; `Gateway.NotAttached`;
    /// `DependencyViolation` while public addresses stand for private ones of the VPC.
    pub fn detach_internet_gateway(
        &mut self,
        id: &InternetGatewayId,
        vpc: &VpcId,
    ) -> Result<(), Ec2Error> {
        let gateway = self.require_internet_gateway(id)?;
        self.require_vpc(vpc)?;
        if gateway.vpc.as_ref() != Some(vpc) {
            let text = format!("resource {id} is not attached to network {vpc}");
            return Err(Ec2Error::new(ErrorCode::GatewayNotAttached, text));
        }
        if self.has_public_addresses(vpc) {
            let text = format!(
                "Network {vpc} has some mapped public address(es). Please unmap those public \
                 address(es) before detaching the gateway."
            );
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        self.put_internet_gateway(id, None);
        Ok(())
    }

    /// DeleteInternetGateway. Routes to it stay, as blackholes.
    ///
    /// # Errors
    /// `InvalidInternetGatewayID.NotFound`; `DependencyViolation` while it is attached.
    pub fn delete_internet_gateway(&mut self, id: &InternetGatewayId) -> Result<(), Ec2Error> {
        if self.require_internet_gateway(id)?.vpc.is_some() {
            let text =
                format!("The internetGateway '{id}' has dependencies and cannot be deleted.");
            return Err(Ec2Error::new(ErrorCode::DependencyViolation, text));
        }
        self.internet_gateways.remove(id);
        self.changes
            .push(Change::InternetGatewayChanged(id.clone()));
        Ok(())
    }

    /// CreateEgressOnlyInternetGateway, for a VPC and for good.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound`; `InvalidParameterValue` when the VPC has one;
    /// `EgressOnlyInternetGatewayLimitExceeded`.
    pub fn create_egress_only_gateway(
        &mut self,
        vpc: &VpcId,
        tags: Tags,
    ) -> Result<EgressOnlyInternetGatewayId, Ec2Error> {
        self.require_vpc(vpc)?;
        if self.egress_only_gateways.len() >= self.config.limits.internet_gateways {
            let text = "The maximum number of egress only internet gateways has been reached.";
            let code = ErrorCode::EgressOnlyInternetGatewayLimitExceeded;
            return Err(Ec2Error::new(code, text));
        }
        if self.egress_only_gateways().any(|each| &each.vpc == vpc) {
            let text = format!("Network {vpc} already has an egress only internet gateway");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let id = EgressOnlyInternetGatewayId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let gateway = EgressOnlyInternetGateway {
            id: id.clone(),
            vpc: vpc.clone(),
            tags,
        };
        self.egress_only_gateways.insert(id.clone(), gateway);
        self.changes
            .push(Change::EgressOnlyInternetGatewayChanged(id.clone()));
        Ok(id)
    }

    /// DeleteEgressOnlyInternetGateway. Routes to it stay, as blackholes.
    ///
    /// # Errors
    /// `InvalidGatewayID.NotFound`.
    pub fn delete_egress_only_gateway(
        &mut self,
        id: &EgressOnlyInternetGatewayId,
    ) -> Result<(), Ec2Error> {
        self.require_egress_only_gateway(id)?;
        self.egress_only_gateways.remove(id);
        self.changes
            .push(Change::EgressOnlyInternetGatewayChanged(id.clone()));
        self.note_routes_to(&RouteTarget::EgressOnlyInternetGateway(id.clone()));
        Ok(())
    }

    fn put_internet_gateway(&mut self, id: &InternetGatewayId, vpc: Option<VpcId>) {
        if let Some(gateway) = self.internet_gateways.get_mut(id) {
            gateway.vpc = vpc;
            self.changes
                .push(Change::InternetGatewayChanged(id.clone()));
            self.note_routes_to(&RouteTarget::InternetGateway(id.clone()));
        }
    }
}
