//! Launching instances.

use std::collections::BTreeMap;

use underlay_types::{
    AttachmentId, EniId, ImageId, InstanceId, ReservationId, SubnetId, Timestamp,
};

use super::{
    address_plan::AddressPlan,
    addresses::{check_slots_of_type, check_v6_slots_of_type},
    attach::check_place,
    enis::{EniRequest, in_use},
    lifecycle::Timer,
};
use crate::{
    Attachment, AttachmentHolder, AttachmentStatus, Change, Ec2Error, Eni, ErrorCode, Image,
    Instance, InstanceAttributes, InstanceState, InstanceType, MetadataOptions, Model, Tags,
};

/// Instances to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    /// What they boot.
    pub image: ImageId,
    /// The name of their type.
    pub instance_type: String,
    /// How many at least.
    pub min_count: u32,
    /// How many at most.
    pub max_count: u32,
    /// The name of the zone they have to be in; wherever their interfaces are without one.
    pub zone: Option<String>,
    /// The same by the zone's id.
    pub zone_id: Option<String>,
    /// Their interfaces; one of them at device index 0 of card 0.
    pub interfaces: Vec<LaunchInterface>,
    /// How their metadata service answers.
    pub metadata: MetadataOptions,
    /// The instance profile, by name.
    pub profile: Option<String>,
    /// The key pair.
    pub key_name: Option<String>,
    /// User data (base64).
    pub user_data: Option<String>,
    /// The client token.
    pub client_token: Option<String>,
    /// What may be done with them.
    pub attributes: InstanceAttributes,
    /// Their tags.
    pub tags: Tags,
}

/// An interface of instances to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchInterface {
    /// The device index.
    pub device_index: u32,
    /// The network card.
    pub network_card: u32,
    /// Where the interface comes from.
    pub source: LaunchInterfaceSource,
    /// Whether it goes with the instance; by default a new one does and an existing one does not.
    pub delete_on_termination: Option<bool>,
    /// Whether it gets a public address; by default as its subnet says. Only a new interface that
    /// is its instance's only one can get any.
    pub public_address: Option<bool>,
}

/// Where an interface of instances to launch comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchInterfaceSource {
    /// One that is there; only one instance can have it.
    Existing(EniId),
    /// One made for the purpose.
    New(EniRequest),
}

/// Instances that are planned and not in the model yet.
struct LaunchPlan {
    pools: BTreeMap<SubnetId, AddressPlan>,
    /// Per instance its new interfaces.
    instances: Vec<Vec<Eni>>,
}

impl Model {
    /// RunInstances: as many as possible between the two counts, or none.
    ///
    /// # Errors
    /// `InvalidAMIID.NotFound`; `InvalidInstanceType`; `InvalidParameterValue` and
    /// `InvalidParameterCombination` for counts and interfaces that do not fit;
    /// `InstanceLimitExceeded`; `AttachmentLimitExceeded`; `PrivateIpAddressLimitExceeded`;
    /// `InvalidNetworkInterface.InUse`; `InsufficientAddressCapacity`; those of
    /// [`Self::create_eni`].
    pub fn launch(
        &mut self,
        request: &LaunchRequest,
        now: Timestamp,
    ) -> Result<ReservationId, Ec2Error> {
        let image = self.require_image(&request.image)?.clone();
        let kind = check_type(request, &image)?;
        let most = self.check_counts(request)?;
        self.check_interfaces(request, kind)?;
        self.check_launch_addresses(request, most)?;
        let plan = self.plan_launch(request, most)?;
        // Every draw of every subnet's plan began at the model's generator: go on from the last.
        let reservation = ReservationId::from_serial(self.rng.next());
        for (subnet, each) in plan.pools {
            self.pools.insert(subnet, each.pool);
        }
        for (index, enis) in plan.instances.into_iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.start_instance(request, (&image, &reservation, index), enis, now);
        }
        Ok(reservation)
    }

    /// How many instances there may be of `max_count`: `min_count` at least.
    fn check_counts(&self, request: &LaunchRequest) -> Result<u32, Ec2Error> {
        let (min, max) = (request.min_count, request.max_count);
        if min == 0 || min > max {
            let text = format!(
                "Invalid value '{max}' for maxCount. It must not be below minCount ({min}), which is at least 1."
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let there = self.instances.index().alive();
        let room = self.config.limits.instances.saturating_sub(there);
        let most = max.min(u32::try_from(room).unwrap_or(u32::MAX));
        if most < min {
            let text = format!(
                "You have requested more instances ({max}) than your current instance limit of {} allows.",
                self.config.limits.instances
            );
            return Err(Ec2Error::new(ErrorCode::InstanceLimitExceeded, text));
        }
        Ok(most)
    }

    fn check_interfaces(
        &self,
        request: &LaunchRequest,
        kind: &'static InstanceType,
    ) -> Result<(), Ec2Error> {
        let combination =
            |text: &str| Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        let mut places = Vec::new();
        let mut zone = None;
        let mut existing = Vec::new();
        for each in &request.interfaces {
            let place = (each.network_card, each.device_index);
            check_place(kind, &InstanceId::from_serial(0), &places, place)?;
            places.push(place);
            let (at, v4, v6) = match &each.source {
                LaunchInterfaceSource::Existing(id) => {
                    let eni = self.require_eni(id)?;
                    if eni.attachment.is_some() || existing.contains(id) {
                        return Err(in_use(id));
                    }
                    existing.push(id.clone());
                    let held = &eni.addresses;
                    let v4 = (held.slots(), !held.prefixes.is_empty());
                    let v6 = (held.v6_slots(), !held.v6_prefixes.is_empty());
                    (eni.zone.clone(), v4, v6)
                }
                LaunchInterfaceSource::New(new) => {
                    let subnet = self.require_subnet(&new.subnet)?;
                    let wanted = self.v6_of(new, subnet);
                    let v4 = (new.v4.slots().saturating_add(1), new.v4.has_prefixes());
                    let v6 = (wanted.slots(), wanted.has_prefixes());
                    (subnet.zone.clone(), v4, v6)
                }
            };
            check_slots_of_type(kind, v4.0, v4.1)?;
            check_v6_slots_of_type(kind, v6.0, v6.1)?;
            if zone.get_or_insert_with(|| at.clone()) != &at {
                return combination("All network interfaces must be in the same availability zone");
            }
        }
        if let Some(zone) = &zone {
            check_zone(request.zone.as_ref(), &zone.name)?;
            check_zone(request.zone_id.as_ref(), &zone.id)?;
        }
        if !places.contains(&(0, 0)) {
            return combination("A primary network interface with device index 0 is required");
        }
        if !existing.is_empty() && request.max_count > 1 {
            return combination(
                "Network interfaces and an instance count above 1 may not be specified on the same request",
            );
        }
        Ok(())
    }

    fn plan_launch(&self, request: &LaunchRequest, most: u32) -> Result<LaunchPlan, Ec2Error> {
        let mut plan = LaunchPlan {
            pools: BTreeMap::new(),
            instances: Vec::new(),
        };
        let mut planned = 0;
        for number in 0..most {
            let before = (number >= request.min_count).then(|| plan.pools.clone());
            match (
                self.plan_instance(request, &mut plan.pools, planned),
                before,
            ) {
                (Ok(enis), _) => {
                    planned += enis.len();
                    plan.instances.push(enis);
                }
                (Err(_), Some(before)) => {
                    plan.pools = before;
                    break;
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok(plan)
    }

    /// The new interfaces of one instance, their addresses taken from `pools`.
    fn plan_instance(
        &self,
        request: &LaunchRequest,
        pools: &mut BTreeMap<SubnetId, AddressPlan>,
        planned: usize,
    ) -> Result<Vec<Eni>, Ec2Error> {
        let mut enis = Vec::new();
        for each in &request.interfaces {
            let LaunchInterfaceSource::New(new) = &each.source else {
                continue;
            };
            if !pools.contains_key(&new.subnet) {
                pools.insert(new.subnet.clone(), self.plan_addresses(&new.subnet)?);
            }
            if let Some(pool) = pools.get_mut(&new.subnet) {
                enis.push(self.plan_eni(new, pool, planned + enis.len())?);
            }
        }
        Ok(enis)
    }

    fn start_instance(
        &mut self,
        request: &LaunchRequest,
        (image, reservation, launch_index): (&Image, &ReservationId, u32),
        new: Vec<Eni>,
        now: Timestamp,
    ) {
        let id = InstanceId::from_serial(self.rng.next());
        let public = self.wants_public_address(request);
        let mut new = new.into_iter();
        let mut places = Vec::new();
        for each in &request.interfaces {
            let eni = match &each.source {
                LaunchInterfaceSource::Existing(id) => Some(id.clone()),
                LaunchInterfaceSource::New(_) => new.next().map(|mut eni| {
                    // Drawn from the model's generator: plans of two subnets draw alike.
                    eni.id = EniId::from_serial(self.rng.next());
                    self.add_eni(eni)
                }),
            };
            let Some(eni) = eni else { continue };
            let made = matches!(each.source, LaunchInterfaceSource::New(_));
            if public {
                self.lend_public_address(&eni);
            }
            let attachment = Attachment {
                id: AttachmentId::from_serial(self.rng.next()),
                holder: AttachmentHolder::Instance(id.clone()),
                device_index: each.device_index,
                network_card: each.network_card,
                status: AttachmentStatus::Attaching,
                attach_time: now,
                delete_on_termination: each.delete_on_termination.unwrap_or(made),
            };
            places.push((
                each.network_card,
                each.device_index,
                eni.clone(),
                attachment.id.clone(),
            ));
            self.put_attachment(&eni, attachment);
        }
        self.add_instance(request, (image, reservation, launch_index), &id, now);
        self.changes.push(Change::InstanceStarted(id.clone()));
        places.sort_unstable();
        for (_, _, eni, attachment) in places {
            self.finish_attach(&eni, &attachment);
            self.show_in_metadata(&eni);
        }
        let delay = self.draw_delay(self.config.timings.launch);
        self.schedule(now, delay, Timer::Running(id));
    }

    fn add_instance(
        &mut self,
        request: &LaunchRequest,
        (image, reservation, launch_index): (&Image, &ReservationId, u32),
        id: &InstanceId,
        now: Timestamp,
    ) {
        let Some(primary) = self.primary_eni_of(id) else {
            return;
        };
        let default_role = &self.config.default_role;
        let instance = Instance {
            id: id.clone(),
            reservation: reservation.clone(),
            launch_index,
            image: image.id.clone(),
            boot: image.boot,
            instance_type: request.instance_type.clone(),
            vpc: primary.vpc.clone(),
            subnet: primary.subnet.clone(),
            zone: primary.zone.clone(),
            state: InstanceState::Pending,
            powered: true,
            attributes: request.attributes,
            launch_time: now,
            metadata: request.metadata,
            role: request
                .profile
                .clone()
                .unwrap_or_else(|| default_role.clone()),
            profile: request.profile.clone(),
            key_name: request.key_name.clone(),
            user_data: request.user_data.clone(),
            client_token: request.client_token.clone(),
            tags: request.tags.clone(),
        };
        self.instances.insert(id.clone(), instance);
        self.note_instance(id, None);
        self.note_new(id.as_str());
    }
}

fn check_type(request: &LaunchRequest, image: &Image) -> Result<&'static InstanceType, Ec2Error> {
    check_type_named(&request.instance_type, &image.architecture)
}

/// The type of this name, if it is of an architecture.
pub(super) fn check_type_named(
    name: &str,
    architecture: &str,
) -> Result<&'static InstanceType, Ec2Error> {
    let kind = InstanceType::named(name).ok_or_else(|| {
        let text = format!("Invalid value '{name}' for InstanceType.");
        Ec2Error::new(ErrorCode::InvalidParameterValue, text)
    })?;
    if kind.architecture == architecture {
        return Ok(kind);
    }
    let text = format!(
        "The architecture '{}' of the specified instance type does not match the architecture \
         '{}' of the specified AMI. Specify an instance type and an AMI that have matching \
         architectures, and try again.",
        kind.architecture, architecture
    );
    Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
}

fn check_zone(wanted: Option<&String>, zone: &str) -> Result<(), Ec2Error> {
    match wanted {
        Some(wanted) if wanted != zone => {
            let text =
                format!("Invalid availability zone '{wanted}': the interfaces are in '{zone}'.");
            Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
        }
        _ => Ok(()),
    }
}
