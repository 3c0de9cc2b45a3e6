//! Creating, changing and deleting interfaces.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use underlay_types::{AttachmentId, EniId, Mac, SecurityGroupId, SubnetId};

use super::{
    address_plan::{AddressPlan, V4Request, check_sane},
    addresses::check_not_managed,
    lifecycle::Timer,
    shown::EniEvent,
    tracking::check_tracking,
    v6_addresses::no_v6_to_make_primary,
    v6_plan::V6Request,
};
use crate::{
    Change, ConnectionTracking, Ec2Error, Eni, EniAddresses, ErrorCode, InterfaceType, Model,
    RouteTarget, Subnet, Tags, rng::Rng,
};

/// An interface to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniRequest {
    /// Where.
    pub subnet: SubnetId,
    /// Its primary address; any free one without it.
    pub primary: Option<Ipv4Addr>,
    /// What else.
    pub v4: V4Request,
    /// Its IPv6 addresses; without it, what the subnet gives to new interfaces.
    pub v6: Option<V6Request>,
    /// Whether the first IPv6 address is its primary one.
    pub primary_v6: bool,
    /// Its groups; the VPC's default group without any.
    pub groups: Vec<SecurityGroupId>,
    /// How long its flows are tracked while idle.
    pub tracking: ConnectionTracking,
    /// What kind of interface it is: [`Branch`](InterfaceType::Branch),
    /// [`Interface`](InterfaceType::Interface) or [`Trunk`](InterfaceType::Trunk).
    pub interface_type: InterfaceType,
    /// What its creator writes about it.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
}

impl EniRequest {
    /// An interface in `subnet` with everything left to EC2.
    #[must_use]
    pub const fn new(subnet: SubnetId) -> Self {
        Self {
            subnet,
            primary: None,
            v4: V4Request::Nothing,
            v6: None,
            primary_v6: false,
            groups: Vec::new(),
            tracking: ConnectionTracking {
                tcp_established_secs: None,
                udp_stream_secs: None,
                udp_secs: None,
            },
            interface_type: InterfaceType::Interface,
            description: String::new(),
            tags: Tags::new(),
        }
    }
}

impl Model {
    /// CreateNetworkInterface.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; those of groups (`InvalidGroup.NotFound`,
    /// `SecurityGroupsPerInterfaceLimitExceeded`) and of addresses as with [`Self::assign`];
    /// `PrivateIpAddressLimitExceeded` for more IPv6 addresses than any instance type takes;
    /// `NetworkInterfaceLimitExceeded`.
    pub fn create_eni(&mut self, request: &EniRequest) -> Result<EniId, Ec2Error> {
        let mut plan = self.plan_addresses(&request.subnet)?;
        let eni = self.plan_eni(request, &mut plan, 0)?;
        self.commit_plan(&request.subnet, plan);
        let id = self.add_eni(eni);
        let delay = self.draw_delay(self.config.timings.create_eni);
        if !delay.is_zero() {
            if let Some(mut eni) = self.enis.get_mut(&id) {
                eni.pending = true;
            }
            self.schedule(self.now, delay, Timer::EniReady(id.clone()));
        }
        Ok(id)
    }

    pub(crate) fn finish_create(&mut self, id: &EniId) {
        if let Some(mut eni) = self.enis.get_mut(id) {
            eni.pending = false;
        }
    }

    /// Checks a request and takes its addresses from `plan`; the interface is not in the model
    /// yet. `planned` interfaces of the same call count against the quota.
    pub(crate) fn plan_eni(
        &self,
        request: &EniRequest,
        plan: &mut AddressPlan,
        planned: usize,
    ) -> Result<Eni, Ec2Error> {
        let subnet = self.require_subnet(&request.subnet)?;
        let groups = self.require_eni_groups(&subnet.vpc, &request.groups)?;
        check_sane(&request.v4)?;
        request.v6.iter().try_for_each(V6Request::check_sane)?;
        check_description(&request.description)?;
        check_tracking(request.tracking)?;
        if self.enis.len() + planned >= self.config.limits.enis {
            let text = "You have reached the maximum number of network interfaces.";
            return Err(Ec2Error::new(
                ErrorCode::NetworkInterfaceLimitExceeded,
                text,
            ));
        }
        // Explicit addresses first: the primary address must not take one of them.
        let explicit = matches!(request.v4, V4Request::Addresses(_) | V4Request::Prefixes(_));
        let early = if explicit {
            Some(plan.take(&request.v4)?)
        } else {
            None
        };
        let primary = plan.take_primary(request.primary)?;
        let assigned = match early {
            Some(assigned) => assigned,
            None => plan.take(&request.v4)?,
        };
        let wanted = self.v6_of(request, subnet);
        self.check_v6_slots_of(None, wanted.slots(), wanted.has_prefixes())?;
        let v6 = plan.v6.take(&wanted, &self.enis, &mut plan.rng)?;
        let primary_v6 = v6.addresses.first().copied().filter(|_| request.primary_v6);
        if request.primary_v6 && primary_v6.is_none() {
            return Err(no_v6_to_make_primary());
        }
        let addresses = EniAddresses {
            primary,
            secondary: assigned.addresses,
            prefixes: assigned.prefixes,
            v6: v6.addresses,
            primary_v6,
            v6_prefixes: v6.prefixes,
        };
        Ok(Eni {
            id: EniId::from_serial(plan.rng.next()),
            vpc: subnet.vpc.clone(),
            subnet: subnet.id.clone(),
            zone: subnet.zone.clone(),
            mac: Mac::local(0),
            description: request.description.clone(),
            groups,
            interface_type: request.interface_type,
            requester: None,
            source_dest_check: true,
            tracking: request.tracking,
            pending: false,
            addresses,
            attachment: None,
            tags: request.tags.clone(),
        })
    }

    /// The IPv6 addresses that a request is for: those it names, or what its subnet gives.
    pub(crate) fn v6_of(&self, request: &EniRequest, subnet: &Subnet) -> V6Request {
        match &request.v6 {
            Some(v6) => v6.clone(),
            None if subnet.assign_v6_on_creation => V6Request::Count(1),
            None => V6Request::Nothing,
        }
    }

    pub(crate) fn commit_plan(&mut self, subnet: &SubnetId, plan: AddressPlan) {
        self.rng = plan.rng;
        self.pools.insert(subnet.clone(), plan.pool);
    }

    /// Puts a planned interface into the model, with an Ethernet address of its own.
    pub(crate) fn add_eni(&mut self, mut eni: Eni) -> EniId {
        self.macs_given += 1;
        // Times an odd number, plus a constant, is one to one modulo 2^40: no two share an address.
        let start = Rng::new(self.config.seed).next();
        eni.mac = Mac::local(
            self.macs_given
                .wrapping_mul(0x9e_3779_b97f)
                .wrapping_add(start),
        );
        let id = eni.id.clone();
        self.enis.insert(id.clone(), eni);
        self.note_eni(&id, None, EniEvent::Other);
        self.note_new(id.as_str());
        self.changes.push(Change::EniCreated(id.clone()));
        id
    }

    /// DeleteNetworkInterface.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue` while it is attached;
    /// `OperationNotPermitted` for a service's.
    pub fn delete_eni(&mut self, id: &EniId) -> Result<(), Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        if eni.attachment.is_some() || self.branches_of(id).next().is_some() {
            let text = format!("Network interface '{id}' is currently in use.");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        self.remove_eni(id);
        Ok(())
    }

    pub(crate) fn remove_eni(&mut self, id: &EniId) {
        self.drop_branches(id);
        let Some(eni) = self.enis.remove(id) else {
            return;
        };
        self.note_eni(id, Some(eni.clone()), EniEvent::Gone);
        if let Some(pool) = self.pools.get_mut(&eni.subnet) {
            let EniAddresses {
                primary,
                secondary,
                prefixes,
                ..
            } = eni.addresses;
            pool.release(primary.into());
            secondary
                .into_iter()
                .for_each(|address| pool.release(address.into()));
            prefixes.into_iter().for_each(|prefix| pool.release(prefix));
        }
        self.drop_public_addresses_of(id);
        self.drop_permissions_of(id);
        self.drop_flow_logs_of(id.as_str());
        self.changes.push(Change::EniDeleted(id.clone()));
        self.note_routes_to(&RouteTarget::Eni(id.clone()));
    }

    /// ModifyNetworkInterfaceAttribute `groupSet`.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; those of groups; `OperationNotPermitted`.
    pub fn set_eni_groups(
        &mut self,
        id: &EniId,
        groups: &[SecurityGroupId],
    ) -> Result<(), Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        let groups = self.require_eni_groups(&eni.vpc, groups)?;
        self.change_eni(id, |eni| eni.groups = groups);
        Ok(())
    }

    /// ModifyNetworkInterfaceAttribute `sourceDestCheck`.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `OperationNotPermitted`.
    pub fn set_source_dest_check(&mut self, id: &EniId, check: bool) -> Result<(), Ec2Error> {
        check_not_managed(self.require_eni(id)?)?;
        self.change_eni(id, |eni| eni.source_dest_check = check);
        Ok(())
    }

    /// ModifyNetworkInterfaceAttribute `description`.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidParameterValue`; `OperationNotPermitted`.
    pub fn set_eni_description(&mut self, id: &EniId, text: &str) -> Result<(), Ec2Error> {
        check_not_managed(self.require_eni(id)?)?;
        check_description(text)?;
        self.change_eni(id, |eni| text.clone_into(&mut eni.description));
        Ok(())
    }

    /// ModifyNetworkInterfaceAttribute `attachment`: whether it goes with its instance.
    ///
    /// # Errors
    /// `InvalidNetworkInterfaceID.NotFound`; `InvalidAttachmentID.NotFound` unless it is the
    /// interface's attachment; `OperationNotPermitted`.
    pub fn set_delete_on_termination(
        &mut self,
        id: &EniId,
        attachment: &AttachmentId,
        delete: bool,
    ) -> Result<(), Ec2Error> {
        let eni = self.require_eni(id)?;
        check_not_managed(eni)?;
        if eni
            .attachment
            .as_ref()
            .is_none_or(|each| &each.id != attachment)
        {
            return Err(no_attachment(attachment));
        }
        self.change_eni(id, |eni| {
            if let Some(attachment) = &mut eni.attachment {
                attachment.delete_on_termination = delete;
            }
        });
        Ok(())
    }

    pub(super) fn change_eni(&mut self, id: &EniId, change: impl FnOnce(&mut Eni)) {
        let was = self.enis.get(id).cloned();
        if let Some(mut eni) = self.enis.get_mut(id) {
            change(&mut eni);
        }
        self.changes.push(Change::EniChanged(id.clone()));
        self.note_eni(id, was, EniEvent::Other);
    }
}

pub(crate) fn in_use(id: &EniId) -> Ec2Error {
    Ec2Error::new(
        ErrorCode::InvalidNetworkInterfaceInUse,
        format!("Interface: [{id}] in use."),
    )
}

pub(crate) fn no_attachment(id: &AttachmentId) -> Ec2Error {
    Ec2Error::new(
        ErrorCode::InvalidAttachmentIdNotFound,
        format!("The attachment '{id}' does not exist."),
    )
}

fn check_description(text: &str) -> Result<(), Ec2Error> {
    if text.chars().count() <= 255 {
        return Ok(());
    }
    let text = "Invalid value for parameter description: at most 255 characters are allowed.";
    Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
}
