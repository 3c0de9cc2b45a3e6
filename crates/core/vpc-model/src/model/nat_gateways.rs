//! NAT gateways, each with an interface of its own that only the service may change.

use std::{net::Ipv4Addr, time::Duration};

use underlay_types::{AllocationId, AttachmentId, EniId, NatGatewayId, SubnetId, Timestamp};

use super::{
    address_plan::V4Request, elastic_addresses::no_gateway, enis::EniRequest, lifecycle::Timer,
};
use crate::{
    Attachment, AttachmentHolder, AttachmentStatus, Change, Connectivity, Ec2Error, ErrorCode,
    InterfaceType, Model, NatGateway, NatGatewayAddress, NatGatewayFailure, NatGatewayState,
    RouteTarget, Tags,
};

/// Who owns the attachment of a NAT gateway's interface.
const SERVICE: &str = "amazon-aws";
/// How long a gateway is shown that failed or was deleted.
const SHOWN_AFTER_END: Duration = Duration::from_secs(3_600);

/// A NAT gateway to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatGatewayRequest {
    /// Where.
    pub subnet: SubnetId,
    /// Whether it has public addresses.
    pub connectivity: Connectivity,
    /// Its elastic addresses, the primary one first: some of a public gateway, none of a private one.
    pub allocations: Vec<AllocationId>,
    /// Its primary private address; any free one without it.
    pub private: Option<Ipv4Addr>,
    /// Its other private addresses.
    pub secondary: V4Request,
    /// Its tags.
    pub tags: Tags,
}

impl Model {
    /// The NAT gateways, by id, those included that failed or were deleted and are still shown.
    pub fn nat_gateways(&self) -> impl Iterator<Item = &NatGateway> {
        self.nat_gateways.values()
    }

    /// A NAT gateway.
    #[must_use]
    pub fn nat_gateway(&self, id: &NatGatewayId) -> Option<&NatGateway> {
        self.nat_gateways.get(id)
    }

    /// CreateNatGateway. One that cannot be made is there all the same, and `failed` says why.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `NatGatewayLimitExceeded`; `MissingParameter` and
    /// `InvalidParameterCombination` for elastic addresses that do not go with the connectivity;
    /// `InvalidParameterValue` for more addresses than a gateway has; those of
    /// [`Self::create_eni`] for addresses, but for a subnet without free ones.
    pub fn create_nat_gateway(
        &mut self,
        request: &NatGatewayRequest,
        now: Timestamp,
    ) -> Result<NatGatewayId, Ec2Error> {
        self.check_nat_gateway(request)?;
        let failure = self.nat_gateway_failure(request);
        let (addresses, failure) = match failure {
            Some(failure) => (asked(request), Some(failure)),
            None => match self.add_nat_interface(request, now) {
                Ok(addresses) => (addresses, None),
                Err(error) if error.code == ErrorCode::InsufficientFreeAddressesInSubnet => {
                    let text = "Subnet has insufficient free addresses to create this NAT gateway";
                    (asked(request), Some(failed(error.code, text.to_owned())))
                }
                Err(error) => return Err(error),
            },
        };
        let id = NatGatewayId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let vpc = self.require_subnet(&request.subnet)?.vpc.clone();
        let gateway = NatGateway {
            id: id.clone(),
            vpc,
            subnet: request.subnet.clone(),
            connectivity: request.connectivity,
            state: NatGatewayState::Pending,
            failure,
            addresses,
            create_time: now,
            delete_time: None,
            tags: request.tags.clone(),
        };
        self.describe_nat_interface(&gateway);
        self.nat_gateways.insert(id.clone(), gateway);
        self.changes.push(Change::NatGatewayChanged(id.clone()));
        let delay = self.draw_delay(self.config.timings.nat_create);
        self.schedule(now, delay, Timer::NatGatewayMade(id.clone()));
        Ok(id)
    }

    /// DeleteNatGateway. Routes to it become blackholes at once.
    ///
    /// # Errors
    /// `NatGatewayNotFound`, also for one that is deleted and still shown.
    pub fn delete_nat_gateway(
        &mut self,
        id: &NatGatewayId,
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let state = self.require_nat_gateway(id)?.state;
        match state {
            NatGatewayState::Deleted => {
                let text = format!("The Nat Gateway {id} was not found");
                return Err(Ec2Error::new(ErrorCode::NatGatewayNotFound, text));
            }
            NatGatewayState::Deleting => return Ok(()),
            NatGatewayState::Available | NatGatewayState::Failed | NatGatewayState::Pending => {}
        }
        if let Some(gateway) = self.nat_gateways.get_mut(id) {
            gateway.state = NatGatewayState::Deleting;
            gateway.delete_time = Some(now);
        }
        self.note_nat_gateway(id);
        let delay = self.draw_delay(self.config.timings.nat_delete);
        self.schedule(now, delay, Timer::NatGatewayGone(id.clone()));
        Ok(())
    }

    /// Ends the making of a gateway.
    pub(crate) fn finish_nat_gateway(&mut self, id: &NatGatewayId, now: Timestamp) {
        let Some(gateway) = self.nat_gateways.get_mut(id) else {
            return;
        };
        if gateway.state != NatGatewayState::Pending {
            return;
        }
        if gateway.failure.is_none() {
            gateway.state = NatGatewayState::Available;
        } else {
            gateway.state = NatGatewayState::Failed;
            let timer = Timer::ForgetNatGateway(id.clone());
            self.schedule(now, SHOWN_AFTER_END, timer);
        }
        self.note_nat_gateway(id);
    }

    /// Ends the deletion of a gateway: its interface goes, its elastic addresses are free.
    pub(crate) fn end_nat_gateway(&mut self, id: &NatGatewayId, now: Timestamp) {
        let Some(gateway) = self.nat_gateways.get_mut(id) else {
            return;
        };
        gateway.state = NatGatewayState::Deleted;
        let eni = gateway.eni().cloned();
        for address in &mut gateway.addresses {
            address.eni = None;
        }
        if let Some(eni) = eni {
            self.remove_eni(&eni);
        }
        self.note_nat_gateway(id);
        let timer = Timer::ForgetNatGateway(id.clone());
        self.schedule(now, SHOWN_AFTER_END, timer);
    }

    /// A gateway that failed or was deleted is no longer shown.
    pub(crate) fn forget_nat_gateway(&mut self, id: &NatGatewayId) {
        let over = |state| matches!(state, NatGatewayState::Failed | NatGatewayState::Deleted);
        if self.nat_gateway(id).is_some_and(|each| over(each.state)) {
            self.nat_gateways.remove(id);
            self.changes.push(Change::NatGatewayChanged(id.clone()));
        }
    }

    fn note_nat_gateway(&mut self, id: &NatGatewayId) {
        self.changes.push(Change::NatGatewayChanged(id.clone()));
        self.note_routes_to(&RouteTarget::NatGateway(id.clone()));
    }

    fn check_nat_gateway(&self, request: &NatGatewayRequest) -> Result<(), Ec2Error> {
        let zone = &self.require_subnet(&request.subnet)?.zone;
        let given = !request.allocations.is_empty();
        if request.connectivity == Connectivity::Public && !given {
            let text = "The request must contain the parameter AllocationId";
            return Err(Ec2Error::new(ErrorCode::MissingParameter, text));
        }
        if request.connectivity == Connectivity::Private && given {
            let text = "An Elastic IP address cannot be specified with a private NAT gateway";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        let limits = &self.config.limits;
        let privates = request.secondary.slots().saturating_add(1);
        if request.allocations.len() > limits.elastic_addresses_per_nat_gateway
            || privates > limits.addresses_per_nat_gateway
        {
            let text = "The maximum number of addresses of a NAT gateway is exceeded.";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let counts = |gateway: &&NatGateway| {
            let over = matches!(
                gateway.state,
                NatGatewayState::Failed | NatGatewayState::Deleted
            );
            let subnet = self.subnets.get(&gateway.subnet);
            !over && subnet.is_some_and(|subnet| &subnet.zone == zone)
        };
        if self.nat_gateways().filter(counts).count() >= limits.nat_gateways_per_zone {
            let text = "The maximum number of NAT Gateways has been reached.";
            return Err(Ec2Error::new(ErrorCode::NatGatewayLimitExceeded, text));
        }
        Ok(())
    }

    /// Why the gateway fails later, as `FailureMessage` documents it.
    fn nat_gateway_failure(&self, request: &NatGatewayRequest) -> Option<NatGatewayFailure> {
        let vpc = &self.subnets.get(&request.subnet)?.vpc;
        let public = request.connectivity == Connectivity::Public;
        if public && self.internet_gateway_of(vpc).is_none() {
            let text = format!("Network {vpc} has no Internet gateway attached");
            return Some(failed(no_gateway(vpc).code, text));
        }
        request.allocations.iter().find_map(|id| {
            let Some(elastic) = self.elastic_addresses.get(id) else {
                let text = format!(
                    "Elastic IP address {id} could not be associated with this NAT gateway"
                );
                return Some(failed(ErrorCode::InvalidAllocationIdNotFound, text));
            };
            let text = || format!("Elastic IP address {id} is already associated");
            elastic
                .association
                .as_ref()
                .map(|_| failed(ErrorCode::ResourceAlreadyAssociated, text()))
        })
    }

    /// Makes the gateway's interface and gives it its elastic addresses.
    fn add_nat_interface(
        &mut self,
        request: &NatGatewayRequest,
        now: Timestamp,
    ) -> Result<Vec<NatGatewayAddress>, Ec2Error> {
        let mut wanted = EniRequest::new(request.subnet.clone());
        wanted.primary = request.private;
        // Further elastic addresses stand for private ones that nobody named.
        let unnamed = request.allocations.len().saturating_sub(1);
        wanted.v4 = match (&request.secondary, unnamed) {
            (V4Request::Nothing, 1..) => {
                V4Request::Count(u32::try_from(unnamed).unwrap_or(u32::MAX))
            }
            (named, _) => named.clone(),
        };
        let id = self.create_eni(&wanted)?;
        let addresses = self.take_over_nat_interface(&id, now);
        let mut allocations = request.allocations.iter().cloned();
        let mut made = Vec::new();
        for private in addresses {
            let allocation = allocations.next();
            if let Some(allocation) = &allocation {
                self.put_association(allocation, id.clone(), private);
            }
            made.push(NatGatewayAddress {
                eni: Some(id.clone()),
                private: Some(private),
                allocation,
            });
        }
        Ok(made)
    }

    /// Makes a new interface the service's, and answers its addresses, the primary one first.
    fn take_over_nat_interface(&mut self, id: &EniId, now: Timestamp) -> Vec<Ipv4Addr> {
        let attachment = AttachmentId::from_serial(self.rng.next());
        let Some(mut eni) = self.enis.get_mut(id) else {
            return Vec::new();
        };
        eni.interface_type = InterfaceType::NatGateway;
        eni.requester = Some(SERVICE.to_owned());
        eni.source_dest_check = false;
        eni.groups.clear();
        eni.attachment = Some(Attachment {
            id: attachment,
            holder: AttachmentHolder::External {
                owner: SERVICE.to_owned(),
            },
            device_index: 1,
            network_card: 0,
            status: AttachmentStatus::Attached,
            attach_time: now,
            delete_on_termination: false,
        });
        let primary = std::iter::once(eni.addresses.primary);
        primary
            .chain(eni.addresses.secondary.iter().copied())
            .collect()
    }

    fn describe_nat_interface(&mut self, gateway: &NatGateway) {
        if let Some(mut eni) = gateway.eni().and_then(|id| self.enis.get_mut(id)) {
            eni.description = format!("Interface for NAT Gateway {}", gateway.id);
            self.changes.push(Change::EniChanged(eni.id.clone()));
        }
    }
}

/// What a gateway shows whose addresses were not to be had.
fn asked(request: &NatGatewayRequest) -> Vec<NatGatewayAddress> {
    let address = |allocation: &AllocationId| NatGatewayAddress {
        eni: None,
        private: None,
        allocation: Some(allocation.clone()),
    };
    request.allocations.iter().map(address).collect()
}

fn failed(code: ErrorCode, message: String) -> NatGatewayFailure {
    NatGatewayFailure {
        code: code.as_str().to_owned(),
        message,
    }
}
