//! What filters of DescribeInstances and DescribeInstanceStatus see.
//!
//! Filters of what no instance here has (Outposts, hosts, spot requests, Windows) find nothing, as
//! on EC2 where there is none of it.

use underlay_vpc_model::{Eni, Instance, InstanceKey, InstanceState, Model};

use super::{
    eni_filters,
    enis::private_dns_name,
    filter::FilterTable,
    instances::{PLATFORM, ROOT_DEVICE, USAGE_OPERATION, architecture, profile},
    instant::iso8601,
    keys::Keys,
    metadata_options::{switch, tokens},
};

/// The filters of DescribeInstances, by name.
pub(super) static FILTERS: FilterTable<Instance> = FilterTable {
    fields: &[
        ("affinity", |_, _| Vec::new()),
        ("architecture", |_, each| texts(architecture(each))),
        ("availability-zone", |_, each| vec![each.zone.name.clone()]),
        ("availability-zone-id", |_, each| vec![each.zone.id.clone()]),
        ("capacity-reservation-id", |_, _| Vec::new()),
        (
            "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
            |_, _| Vec::new(),
        ),
        (
            "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn",
            |_, _| Vec::new(),
        ),
        ("client-token", |_, each| texts(each.client_token.as_ref())),
        ("dns-name", |model, each| {
            of_primary(model, each, "association.public-dns-name")
        }),
        ("ebs-optimized", |_, each| {
            vec![each.attributes.ebs_optimized.to_string()]
        }),
        ("ena-support", |_, _| vec!["true".to_owned()]),
        ("enclave-options.enabled", |_, _| vec!["false".to_owned()]),
        ("hibernation-options.configured", |_, _| {
            vec!["false".to_owned()]
        }),
        ("host-id", |_, _| Vec::new()),
        ("hypervisor", |_, _| vec!["xen".to_owned()]),
        ("iam-instance-profile.arn", |model, each| {
            texts(profile(model, each).map(|(arn, _)| arn))
        }),
        ("iam-instance-profile.id", |model, each| {
            texts(profile(model, each).map(|(_, id)| id))
        }),
        ("image-id", |_, each| vec![each.image.to_string()]),
        ("instance-id", |_, each| vec![each.id.to_string()]),
        ("instance-lifecycle", |_, _| Vec::new()),
        ("instance-state-code", |_, each| {
            vec![each.state.code().to_string()]
        }),
        ("instance-state-name", |_, each| {
            vec![each.state.as_str().to_owned()]
        }),
        ("instance-type", |_, each| vec![each.instance_type.clone()]),
        ("instance.group-id", |model, each| {
            of_primary(model, each, "group-id")
        }),
        ("instance.group-name", |model, each| {
            of_primary(model, each, "group-name")
        }),
        ("ip-address", |model, each| {
            let primary = model.primary_eni_of(&each.id);
            let public =
                primary.and_then(|eni| model.public_address_of(&eni.id, eni.addresses.primary));
            texts(public.map(|public| public.address))
        }),
        ("ipv6-address", |model, each| {
            of_primary(model, each, "ipv6-addresses.ipv6-address")
        }),
        ("kernel-id", |_, _| Vec::new()),
        ("key-name", |_, each| texts(each.key_name.as_ref())),
        ("launch-index", |_, each| {
            vec![each.launch_index.to_string()]
        }),
        ("launch-time", |_, each| vec![iso8601(each.launch_time)]),
        ("mac-address", |model, each| {
            of_primary(model, each, "mac-address")
        }),
        ("metadata-options.http-endpoint", |_, each| {
            vec![switch(each.metadata.enabled).to_owned()]
        }),
        ("metadata-options.http-protocol-ipv4", |_, each| {
            vec![switch(each.metadata.enabled).to_owned()]
        }),
        ("metadata-options.http-protocol-ipv6", |_, _| {
            vec![switch(false).to_owned()]
        }),
        ("metadata-options.http-put-response-hop-limit", |_, each| {
            vec![each.metadata.hop_limit.to_string()]
        }),
        ("metadata-options.http-tokens", |_, each| {
            vec![tokens(&each.metadata).to_owned()]
        }),
        ("metadata-options.instance-metadata-tags", |_, each| {
            vec![switch(each.metadata.tags).to_owned()]
        }),
        ("metadata-options.state", |_, _| vec!["applied".to_owned()]),
        ("monitoring-state", |_, _| vec!["disabled".to_owned()]),
        (
            "network-interface.addresses.association.allocation-id",
            |model, each| of_interfaces(model, each, "association.allocation-id"),
        ),
        (
            "network-interface.addresses.association.association-id",
            |model, each| of_interfaces(model, each, "association.association-id"),
        ),
        (
            "network-interface.addresses.association.carrier-ip",
            |_, _| Vec::new(),
        ),
        (
            "network-interface.addresses.association.customer-owned-ip",
            |_, _| Vec::new(),
        ),
        (
            "network-interface.addresses.association.ip-owner-id",
            |model, each| of_interfaces(model, each, "association.ip-owner-id"),
        ),
        (
            "network-interface.addresses.association.public-dns-name",
            |model, each| of_interfaces(model, each, "association.public-dns-name"),
        ),
        (
            "network-interface.addresses.association.public-ip",
            |model, each| of_interfaces(model, each, "association.public-ip"),
        ),
        ("network-interface.addresses.primary", |model, each| {
            of_interfaces(model, each, "addresses.primary")
        }),
        (
            "network-interface.addresses.private-dns-name",
            |model, each| {
                interfaces(model, each, |eni| {
                    let all =
                        std::iter::once(&eni.addresses.primary).chain(&eni.addresses.secondary);
                    all.map(|address| private_dns_name(model, *address))
                        .collect()
                })
            },
        ),
        (
            "network-interface.addresses.private-ip-address",
            |model, each| of_interfaces(model, each, "addresses.private-ip-address"),
        ),
        (
            "network-interface.association.allocation-id",
            |model, each| of_interfaces(model, each, "association.allocation-id"),
        ),
        (
            "network-interface.association.association-id",
            |model, each| of_interfaces(model, each, "association.association-id"),
        ),
        ("network-interface.association.carrier-ip", |_, _| {
            Vec::new()
        }),
        ("network-interface.association.customer-owned-ip", |_, _| {
            Vec::new()
        }),
        (
            "network-interface.association.ip-owner-id",
            |model, each| of_interfaces(model, each, "association.ip-owner-id"),
        ),
        (
            "network-interface.association.public-dns-name",
            |model, each| of_interfaces(model, each, "association.public-dns-name"),
        ),
        ("network-interface.association.public-ip", |model, each| {
            of_interfaces(model, each, "association.public-ip")
        }),
        ("network-interface.attachment.attach-time", |model, each| {
            of_interfaces(model, each, "attachment.attach-time")
        }),
        (
            "network-interface.attachment.attachment-id",
            |model, each| of_interfaces(model, each, "attachment.attachment-id"),
        ),
        (
            "network-interface.attachment.delete-on-termination",
            |model, each| of_interfaces(model, each, "attachment.delete-on-termination"),
        ),
        (
            "network-interface.attachment.device-index",
            |model, each| of_interfaces(model, each, "attachment.device-index"),
        ),
        ("network-interface.attachment.instance-id", |model, each| {
            of_interfaces(model, each, "attachment.instance-id")
        }),
        (
            "network-interface.attachment.instance-owner-id",
            |model, each| of_interfaces(model, each, "attachment.instance-owner-id"),
        ),
        (
            "network-interface.attachment.network-card-index",
            |model, each| of_interfaces(model, each, "attachment.network-card-index"),
        ),
        ("network-interface.attachment.status", |model, each| {
            of_interfaces(model, each, "attachment.status")
        }),
        ("network-interface.availability-zone", |model, each| {
            of_interfaces(model, each, "availability-zone")
        }),
        ("network-interface.deny-all-igw-traffic", |_, _| Vec::new()),
        ("network-interface.description", |model, each| {
            of_interfaces(model, each, "description")
        }),
        ("network-interface.group-id", |model, each| {
            of_interfaces(model, each, "group-id")
        }),
        ("network-interface.group-name", |model, each| {
            of_interfaces(model, each, "group-name")
        }),
        (
            "network-interface.ipv4-prefixes.ipv4-prefix",
            |model, each| of_interfaces(model, each, "ipv4-prefix.ipv4-prefix"),
        ),
        ("network-interface.ipv6-address", |model, each| {
            interfaces(model, each, |eni| texts(eni.addresses.v6.first()))
        }),
        (
            "network-interface.ipv6-addresses.ipv6-address",
            |model, each| of_interfaces(model, each, "ipv6-addresses.ipv6-address"),
        ),
        (
            "network-interface.ipv6-addresses.is-primary-ipv6",
            |model, each| {
                interfaces(model, each, |eni| {
                    let primary = eni.addresses.primary_v6;
                    let all = eni.addresses.v6.iter();
                    all.map(|address| (primary == Some(*address)).to_string())
                        .collect()
                })
            },
        ),
        ("network-interface.ipv6-native", |model, each| {
            interfaces(model, each, |_| vec!["false".to_owned()])
        }),
        (
            "network-interface.ipv6-prefixes.ipv6-prefix",
            |model, each| of_interfaces(model, each, "ipv6-prefix.ipv6-prefix"),
        ),
        ("network-interface.mac-address", |model, each| {
            of_interfaces(model, each, "mac-address")
        }),
        ("network-interface.network-interface-id", |model, each| {
            of_interfaces(model, each, "network-interface-id")
        }),
        ("network-interface.operator.managed", |model, each| {
            of_interfaces(model, each, "operator.managed")
        }),
        ("network-interface.operator.principal", |_, _| Vec::new()),
        ("network-interface.outpost-arn", |_, _| Vec::new()),
        ("network-interface.owner-id", |model, each| {
            of_interfaces(model, each, "owner-id")
        }),
        ("network-interface.private-dns-name", |model, each| {
            of_interfaces(model, each, "private-dns-name")
        }),
        ("network-interface.private-ip-address", |model, each| {
            of_interfaces(model, each, "private-ip-address")
        }),
        ("network-interface.public-dns-name", |model, each| {
            of_interfaces(model, each, "association.public-dns-name")
        }),
        ("network-interface.requester-id", |model, each| {
            of_interfaces(model, each, "requester-id")
        }),
        ("network-interface.requester-managed", |model, each| {
            of_interfaces(model, each, "requester-managed")
        }),
        ("network-interface.source-dest-check", |model, each| {
            of_interfaces(model, each, "source-dest-check")
        }),
        ("network-interface.status", |model, each| {
            of_interfaces(model, each, "status")
        }),
        ("network-interface.subnet-id", |model, each| {
            of_interfaces(model, each, "subnet-id")
        }),
        ("network-interface.tag-key", |model, each| {
            interfaces(model, each, |eni| eni.tags.keys().cloned().collect())
        }),
        ("network-interface.tag-value", |model, each| {
            interfaces(model, each, |eni| eni.tags.values().cloned().collect())
        }),
        ("network-interface.vpc-id", |model, each| {
            of_interfaces(model, each, "vpc-id")
        }),
        ("operator.managed", |_, _| vec!["false".to_owned()]),
        ("operator.principal", |_, _| Vec::new()),
        ("outpost-arn", |_, _| Vec::new()),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("placement-group-name", |_, _| Vec::new()),
        ("placement-partition-number", |_, _| Vec::new()),
        ("platform", |_, _| Vec::new()),
        ("platform-details", |_, _| vec![PLATFORM.to_owned()]),
        ("private-dns-name", |model, each| {
            of_primary(model, each, "private-dns-name")
        }),
        ("private-ip-address", |model, each| {
            primary(model, each, |eni| vec![eni.addresses.primary.to_string()])
        }),
        ("product-code", |_, _| Vec::new()),
        ("product-code.type", |_, _| Vec::new()),
        ("ramdisk-id", |_, _| Vec::new()),
        ("requester-id", |_, _| Vec::new()),
        ("reservation-id", |_, each| {
            vec![each.reservation.to_string()]
        }),
        ("root-device-name", |_, _| vec![ROOT_DEVICE.to_owned()]),
        ("root-device-type", |_, _| vec!["ebs".to_owned()]),
        ("source-dest-check", |model, each| {
            of_primary(model, each, "source-dest-check")
        }),
        ("spot-instance-request-id", |_, _| Vec::new()),
        ("subnet-id", |_, each| vec![each.subnet.to_string()]),
        ("tenancy", |_, _| vec!["default".to_owned()]),
        ("tpm-support", |_, _| Vec::new()),
        ("usage-operation", |_, _| vec![USAGE_OPERATION.to_owned()]),
        ("usage-operation-update-time", |_, each| {
            vec![iso8601(each.launch_time)]
        }),
        ("virtualization-type", |_, _| vec!["hvm".to_owned()]),
        ("vpc-id", |_, each| vec![each.vpc.to_string()]),
    ],
    tags: Some(|each| &each.tags),
};

/// The filters of DescribeInstanceStatus, by name. Nothing is ever scheduled for an instance here.
pub(super) static STATUS_FILTERS: FilterTable<Instance> = FilterTable {
    fields: &[
        ("availability-zone", |_, each| vec![each.zone.name.clone()]),
        ("availability-zone-id", |_, each| vec![each.zone.id.clone()]),
        ("event.code", |_, _| Vec::new()),
        ("event.description", |_, _| Vec::new()),
        ("event.instance-event-id", |_, _| Vec::new()),
        ("event.not-after", |_, _| Vec::new()),
        ("event.not-before", |_, _| Vec::new()),
        ("event.not-before-deadline", |_, _| Vec::new()),
        ("instance-state-code", |_, each| {
            vec![each.state.code().to_string()]
        }),
        ("instance-state-name", |_, each| {
            vec![each.state.as_str().to_owned()]
        }),
        ("instance-status.reachability", |_, each| reachability(each)),
        ("instance-status.status", |_, each| {
            vec![status(each).to_owned()]
        }),
        ("operator.managed", |_, _| vec!["false".to_owned()]),
        ("operator.principal", |_, _| Vec::new()),
        ("system-status.reachability", |_, each| reachability(each)),
        ("system-status.status", |_, each| {
            vec![status(each).to_owned()]
        }),
    ],
    tags: None,
};

/// Those that an index answers.
pub(super) static KEYS: Keys<Instance> = Keys {
    fields: &[
        ("instance-id", |text| text.parse().ok().map(InstanceKey::Id)),
        ("network-interface.addresses.private-ip-address", |text| {
            text.parse().ok().map(InstanceKey::Address)
        }),
        ("network-interface.network-interface-id", |text| {
            text.parse().ok().map(InstanceKey::Eni)
        }),
        ("private-ip-address", |text| {
            text.parse().ok().map(InstanceKey::Address)
        }),
        ("reservation-id", |text| {
            text.parse().ok().map(InstanceKey::Launch)
        }),
        ("subnet-id", |text| {
            text.parse().ok().map(InstanceKey::Subnet)
        }),
        ("vpc-id", |text| text.parse().ok().map(InstanceKey::Vpc)),
    ],
    tag: Some(InstanceKey::Tag),
};

/// What both checks of an instance say.
pub(super) fn status(instance: &Instance) -> &'static str {
    if instance.state == InstanceState::Running {
        "ok"
    } else {
        "not-applicable"
    }
}

fn reachability(instance: &Instance) -> Vec<String> {
    let running = instance.state == InstanceState::Running;
    texts(running.then_some("passed"))
}

fn texts<T: ToString>(value: Option<T>) -> Vec<String> {
    value.map(|value| value.to_string()).into_iter().collect()
}

/// What a filter of DescribeNetworkInterfaces sees of the primary interface.
fn of_primary(model: &Model, instance: &Instance, filter: &str) -> Vec<String> {
    primary(model, instance, |eni| {
        eni_filters::values_of(model, eni, filter)
    })
}

/// What a filter of DescribeNetworkInterfaces sees of all interfaces.
fn of_interfaces(model: &Model, instance: &Instance, filter: &str) -> Vec<String> {
    interfaces(model, instance, |eni| {
        eni_filters::values_of(model, eni, filter)
    })
}

fn primary(model: &Model, instance: &Instance, value: impl Fn(&Eni) -> Vec<String>) -> Vec<String> {
    model
        .primary_eni_of(&instance.id)
        .map(value)
        .unwrap_or_default()
}

fn interfaces(
    model: &Model,
    instance: &Instance,
    value: impl Fn(&Eni) -> Vec<String>,
) -> Vec<String> {
    model
        .described_enis_of(&instance.id)
        .into_iter()
        .flat_map(value)
        .collect()
}
