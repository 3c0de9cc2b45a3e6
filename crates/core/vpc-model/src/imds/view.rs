//! What the metadata service knows of an instance: a snapshot of the model.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ipnet::{Ipv4Net, Ipv6Net};
use underlay_types::{
    AccountId, EniId, ImageId, InstanceId, Mac, ReservationId, SecurityGroupId, SubnetId,
    Timestamp, VpcId,
};

use crate::{AvailabilityZone, Eni, Instance, InstanceState, MetadataOptions, Model, Tags};

/// An instance, as its metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// The instance.
    pub id: InstanceId,
    /// How the service answers.
    pub options: MetadataOptions,
    /// The account's id.
    pub account: AccountId,
    /// The Region.
    pub region: String,
    /// The availability zone.
    pub zone: AvailabilityZone,
    /// The launch it came from.
    pub reservation: ReservationId,
    /// Its number within that launch.
    pub launch_index: u32,
    /// When it was launched.
    pub launch_time: Timestamp,
    /// Its image.
    pub image: ImageId,
    /// Its architecture, such as `x86_64`.
    pub architecture: String,
    /// Its type's name.
    pub instance_type: String,
    /// The role whose credentials it reads.
    pub role: String,
    /// The instance profile's name.
    pub profile: String,
    /// The key pair named at launch.
    pub key_name: Option<String>,
    /// User data, decoded.
    pub user_data: Option<Vec<u8>>,
    /// Its tags; shown when the options say so.
    pub tags: Tags,
    /// Its attached interfaces, the primary one first.
    pub interfaces: Vec<InterfaceView>,
}

/// An attached interface, as its instance's metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceView {
    /// The interface.
    pub id: EniId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its device index on its network card.
    pub device_index: u32,
    /// The network card.
    pub network_card: u32,
    /// Its addresses, the primary first; none of its prefixes' members.
    pub addresses: Vec<Ipv4Addr>,
    /// Its prefixes.
    pub prefixes: Vec<Ipv4Net>,
    /// Its IPv6 addresses; none of its prefixes' members.
    pub v6: Vec<Ipv6Addr>,
    /// Its IPv6 prefixes.
    pub v6_prefixes: Vec<Ipv6Net>,
    /// Its public addresses, each with the private one that it stands for.
    pub public: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Its groups, with their names.
    pub groups: Vec<(SecurityGroupId, String)>,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its subnet's block.
    pub subnet_cidr: Ipv4Net,
    /// Its subnet's IPv6 block.
    pub subnet_v6_cidr: Option<Ipv6Net>,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its VPC's blocks, the primary first.
    pub vpc_cidrs: Vec<Ipv4Net>,
    /// Its VPC's IPv6 blocks.
    pub vpc_v6_cidrs: Vec<Ipv6Net>,
}

impl InstanceView {
    /// The instance as the model's metadata addresses show it now.
    ///
    /// `None` for an instance that does not exist or does not run (any more).
    #[must_use]
    pub fn of(model: &Model, id: &InstanceId) -> Option<Self> {
        let instance = model.instance(id).filter(|instance| is_up(instance))?;
        let attached = model.metadata_enis_of(id);
        Some(Self {
            id: id.clone(),
            options: instance.metadata,
            account: model.config().account.clone(),
            region: model.config().region.clone(),
            zone: instance.zone.clone(),
            reservation: instance.reservation.clone(),
            launch_index: instance.launch_index,
            launch_time: instance.launch_time,
            image: instance.image.clone(),
            architecture: model
                .image(&instance.image)
                .map_or_else(|| "x86_64".to_owned(), |image| image.architecture.clone()),
            instance_type: instance.instance_type.clone(),
            role: instance.role.clone(),
            profile: instance.profile.as_ref().unwrap_or(&instance.role).clone(),
            key_name: instance.key_name.clone(),
            user_data: instance
                .user_data
                .as_ref()
                .and_then(|text| STANDARD.decode(text).ok()),
            tags: instance.tags.clone(),
            interfaces: attached
                .into_iter()
                .filter_map(|eni| InterfaceView::of(model, eni))
                .collect(),
        })
    }

    /// The private DNS name of an address: by its dashes, under the Region's domain.
    pub(super) fn host_name(&self, address: Ipv4Addr) -> String {
        let [a, b, c, d] = address.octets();
        let domain = match self.region.as_str() {
            "us-east-1" => "ec2.internal".to_owned(),
            region => format!("{region}.compute.internal"),
        };
        format!("ip-{a}-{b}-{c}-{d}.{domain}")
    }

    /// The public DNS name of an address (Amazon VPC User Guide, "DNS hostnames").
    pub(super) fn public_host_name(&self, address: Ipv4Addr) -> String {
        let [a, b, c, d] = address.octets();
        let domain = match self.region.as_str() {
            "us-east-1" => "compute-1".to_owned(),
            region => format!("{region}.compute"),
        };
        format!("ec2-{a}-{b}-{c}-{d}.{domain}.amazonaws.com")
    }

    /// The primary address of the primary interface.
    pub(super) fn primary_address(&self) -> Option<Ipv4Addr> {
        self.interfaces.first()?.addresses.first().copied()
    }
}

impl InterfaceView {
    fn of(model: &Model, eni: &Eni) -> Option<Self> {
        let attachment = eni.attachment.as_ref()?;
        let subnet = model.subnet(&eni.subnet)?;
        let vpc = model.vpc(&eni.vpc)?;
        let shown = &eni.addresses;
        let name_of = |id: &SecurityGroupId| {
            let group = model.group(id)?;
            Some((id.clone(), group.name.clone()))
        };
        let private = || std::iter::once(&shown.primary).chain(&shown.secondary);
        let public_of = |private: &Ipv4Addr| {
            let public = model.public_address_of(&eni.id, *private)?;
            Some((public.address, *private))
        };
        Some(Self {
            id: eni.id.clone(),
            mac: eni.mac,
            device_index: attachment.device_index,
            network_card: attachment.network_card,
            addresses: private().copied().collect(),
            public: private().filter_map(public_of).collect(),
            prefixes: shown.prefixes.clone(),
            v6: shown.v6.clone(),
            v6_prefixes: shown.v6_prefixes.clone(),
            groups: eni.groups.iter().filter_map(name_of).collect(),
            subnet: eni.subnet.clone(),
            subnet_cidr: subnet.cidr,
            subnet_v6_cidr: subnet.v6_cidr(),
            vpc: eni.vpc.clone(),
            vpc_cidrs: vpc.v4_blocks().collect(),
            vpc_v6_cidrs: vpc.v6_blocks().collect(),
        })
    }
}

fn is_up(instance: &Instance) -> bool {
    matches!(
        instance.state,
        InstanceState::Pending
            | InstanceState::Running
            | InstanceState::ShuttingDown
            | InstanceState::Stopping
    )
}

#[cfg(test)]
mod tests;
