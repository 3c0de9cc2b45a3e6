//! Actions on instances.

use std::collections::HashMap;

use underlay_types::{InstanceId, ReservationId};
use underlay_vpc_model::{
    Ec2Error, ErrorCode, Instance, InstanceState, InstanceType, Model, instance_profile_id,
};

use super::{
    call::Call,
    elastic_addresses::public_dns_name,
    enis::{private_dns_name, write_attachment, write_groups, write_interface},
    filter::{FilterTable, Filters},
    instance_filters::{FILTERS, KEYS, STATUS_FILTERS, status},
    instant::iso8601,
    launch::take_launch,
    metadata_options::write_options,
    page::Page,
    params::Params,
    power::{changes, take_ids},
    tags::write_tags,
    xml::Xml,
};

/// What every instance here runs on, as `platformDetails` and `usageOperation` tell.
pub(super) const PLATFORM: &str = "Linux/UNIX";
pub(super) const USAGE_OPERATION: &str = "RunInstances";

/// The device of every instance's root volume.
pub(super) const ROOT_DEVICE: &str = "/dev/xvda";

/// The architecture of an instance's type.
pub(super) fn architecture(instance: &Instance) -> Option<&'static str> {
    InstanceType::named(&instance.instance_type).map(|kind| kind.architecture)
}

/// The ARN and the id of an instance's profile.
pub(super) fn profile(model: &Model, instance: &Instance) -> Option<(String, String)> {
    let name = instance.profile.as_ref()?;
    let account = &model.config().account;
    let arn = format!("arn:aws:iam::{account}:instance-profile/{name}");
    Some((arn, instance_profile_id(name)))
}

pub(super) fn write_state(xml: &mut Xml, name: &str, state: InstanceState) {
    xml.tree(name, |xml| {
        xml.leaf("code", state.code());
        xml.leaf("name", state.as_str());
    });
}

fn write_instance(xml: &mut Xml, model: &Model, instance: &Instance) {
    xml.leaf("instanceId", &instance.id);
    xml.leaf("imageId", &instance.image);
    write_state(xml, "instanceState", instance.state);
    xml.leaf("instanceType", &instance.instance_type);
    xml.leaf("launchTime", iso8601(instance.launch_time));
    xml.leaf("amiLaunchIndex", instance.launch_index);
    xml.optional("keyName", instance.key_name.as_ref());
    xml.optional("clientToken", instance.client_token.as_ref());
    xml.tree("placement", |xml| {
        xml.leaf("availabilityZone", &instance.zone.name);
        xml.leaf("availabilityZoneId", &instance.zone.id);
        xml.leaf("groupName", "");
        xml.leaf("tenancy", "default");
    });
    xml.tree("monitoring", |xml| xml.leaf("state", "disabled"));
    xml.optional("architecture", architecture(instance));
    xml.leaf("virtualizationType", "hvm");
    xml.leaf("hypervisor", "xen");
    xml.leaf("platformDetails", PLATFORM);
    xml.leaf("usageOperation", USAGE_OPERATION);
    xml.leaf("usageOperationUpdateTime", iso8601(instance.launch_time));
    xml.leaf("rootDeviceName", ROOT_DEVICE);
    xml.leaf("rootDeviceType", "ebs");
    xml.leaf("ebsOptimized", instance.attributes.ebs_optimized);
    xml.leaf("enaSupport", true);
    if let Some((arn, id)) = profile(model, instance) {
        xml.tree("iamInstanceProfile", |xml| {
            xml.leaf("arn", arn);
            xml.leaf("id", id);
        });
    }
    write_options(xml, &instance.metadata, "applied");
    write_network(xml, model, instance);
    write_tags(xml, &instance.tags);
}

fn write_network(xml: &mut Xml, model: &Model, instance: &Instance) {
    let enis = model.described_enis_of(&instance.id);
    if let Some(primary) = enis.first() {
        xml.leaf("subnetId", &instance.subnet);
        xml.leaf("vpcId", &instance.vpc);
        xml.leaf("privateIpAddress", primary.addresses.primary);
        xml.leaf(
            "privateDnsName",
            private_dns_name(model, primary.addresses.primary),
        );
        let private = primary.addresses.primary;
        let public = model.public_address_of(&primary.id, private);
        let public = public.map(|public| public.address);
        xml.optional("ipAddress", public);
        let name = public.map(|public| public_dns_name(model, primary, public));
        xml.leaf("dnsName", name.unwrap_or_default());
        xml.optional("ipv6Address", primary.addresses.v6.first());
        xml.leaf("sourceDestCheck", primary.source_dest_check);
        write_groups(xml, model, &primary.groups);
    }
    xml.items("networkInterfaceSet", enis, |xml, eni| {
        write_interface(xml, model, eni);
        xml.leaf("status", eni.status().as_str());
        if let Some(attachment) = &eni.attachment {
            xml.tree("attachment", |xml| write_attachment(xml, attachment));
        }
    });
}

/// Writes instances grouped by launch, in the order given.
fn write_reservation(xml: &mut Xml, model: &Model, id: &ReservationId, instances: &[&Instance]) {
    xml.leaf("reservationId", id);
    xml.leaf("ownerId", &model.config().account);
    xml.items("groupSet", std::iter::empty::<()>(), |_, ()| {});
    xml.items("instancesSet", instances, |xml, instance| {
        write_instance(xml, model, instance)
    });
}

/// RunInstances.
pub(super) fn run(params: &mut Params) -> Result<Call, Ec2Error> {
    let request = take_launch(params)?;
    Ok(Call::new(move |model, context| {
        let mut request = request;
        request.client_token = context.token.as_ref().map(|(token, _)| token.clone());
        let made = context.once(model, |model| {
            model
                .launch(&request, context.now)
                .map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for reservation in made.iter().filter_map(|text| text.parse().ok()) {
            let mut launched: Vec<_> = model.instances_of(&reservation).collect();
            launched.sort_by_key(|each| each.launch_index);
            write_reservation(&mut xml, model, &reservation, &launched);
        }
        Ok(xml)
    }))
}

/// Which instances a call is about, and which page of them.
struct Wanted {
    ids: Vec<InstanceId>,
    filters: Filters,
    table: &'static FilterTable<Instance>,
    page: Page,
    after: Option<InstanceId>,
}

impl Wanted {
    fn take(
        params: &mut Params,
        action: &'static str,
        table: &'static FilterTable<Instance>,
    ) -> Result<Self, Ec2Error> {
        // Nothing here is managed by somebody else.
        params.flag("IncludeManagedResources")?;
        let filters = Filters::take(params, table)?;
        let ids: Vec<InstanceId> = params.ids("InstanceId")?;
        let page = Page::take(params, action, 1_000)?;
        if !ids.is_empty() && page.is_wanted() {
            let text = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        Ok(Self {
            ids,
            filters,
            table,
            after: page.after()?,
            page,
        })
    }

    /// The instances that pass, and the next page's token.
    fn select<'a>(
        &self,
        model: &'a Model,
        pass: impl Fn(&Instance) -> bool,
    ) -> Result<(Vec<&'a Instance>, Option<String>), Ec2Error> {
        for id in &self.ids {
            model.require_described_instance(id)?;
        }
        let all = KEYS.listing(model, &self.ids, &self.filters, self.after.as_ref());
        let wanted = all.filter(|each| {
            !model.is_unknown_yet(each.id.as_str())
                && pass(each)
                && self.filters.pass(model, self.table, each)
        });
        Ok(self.page.pick(wanted, |each| each.id.to_string()))
    }
}

/// DescribeInstances. A page is cut by instances; a launch may be spread over pages.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    let wanted = Wanted::take(params, "DescribeInstances", &FILTERS)?;
    Ok(Call::new(move |model, _| {
        let (found, next) = wanted.select(model, |_| true)?;
        let launches = by_launch(found);
        let mut xml = Xml::default();
        xml.items("reservationSet", launches, |xml, (id, instances)| {
            write_reservation(xml, model, id, &instances);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

/// Instances by launch: launches in the order of their first instance.
fn by_launch(found: Vec<&Instance>) -> Vec<(&ReservationId, Vec<&Instance>)> {
    let mut launches: Vec<(&ReservationId, Vec<&Instance>)> = Vec::new();
    let mut places = HashMap::new();
    for instance in found {
        let launch = &instance.reservation;
        let place = *places.entry(launch).or_insert(launches.len());
        match launches.get_mut(place) {
            Some((_, instances)) => instances.push(instance),
            None => launches.push((launch, vec![instance])),
        }
    }
    launches
}

/// DescribeInstanceStatus: running instances, or all.
pub(super) fn describe_status(params: &mut Params) -> Result<Call, Ec2Error> {
    let everything = params.flag("IncludeAllInstances")?.unwrap_or(false);
    let wanted = Wanted::take(params, "DescribeInstanceStatus", &STATUS_FILTERS)?;
    Ok(Call::new(move |model, _| {
        let runs = |each: &Instance| everything || each.state == InstanceState::Running;
        let (found, next) = wanted.select(model, runs)?;
        let mut xml = Xml::default();
        xml.items("instanceStatusSet", found, |xml, instance| {
            xml.leaf("instanceId", &instance.id);
            xml.leaf("availabilityZone", &instance.zone.name);
            xml.leaf("availabilityZoneId", &instance.zone.id);
            write_state(xml, "instanceState", instance.state);
            for name in ["systemStatus", "instanceStatus"] {
                xml.tree(name, |xml| write_check(xml, instance));
            }
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

fn write_check(xml: &mut Xml, instance: &Instance) {
    xml.leaf("status", status(instance));
    let passed = instance.state == InstanceState::Running;
    xml.items("details", passed.then_some("passed"), |xml, passed| {
        xml.leaf("name", "reachability");
        xml.leaf("status", passed);
    });
}

/// TerminateInstances.
pub(super) fn terminate(params: &mut Params) -> Result<Call, Ec2Error> {
    let ids = take_ids(params)?;
    params.flag("Force")?;
    params.flag("SkipOsShutdown")?;
    Ok(Call::new(move |model, context| {
        let before = model.terminate(&ids, context.now)?;
        Ok(changes(model, &before))
    }))
}
