//! What filters of DescribeInstances and DescribeInstanceStatus see.

use underlay_vpc_model::{Eni, Instance, Model};

use super::{enis::private_dns_name, filter::FilterTable, instant::iso8601};

/// The filters of DescribeInstances, by name.
pub(super) static FILTERS: FilterTable<Instance> = FilterTable {
    fields: &[
        ("availability-zone", |_, each| vec![each.zone.name.clone()]),
        ("availability-zone-id", |_, each| vec![each.zone.id.clone()]),
        ("client-token", |_, each| {
            each.client_token.clone().into_iter().collect()
        }),
        ("image-id", |_, each| vec![each.image.to_string()]),
        ("instance-id", |_, each| vec![each.id.to_string()]),
        ("instance-state-code", |_, each| {
            vec![each.state.code().to_string()]
        }),
        ("instance-state-name", |_, each| {
            vec![each.state.as_str().to_owned()]
        }),
        ("instance-type", |_, each| vec![each.instance_type.clone()]),
        ("instance.group-id", |model, each| {
            primary(model, each, groups)
        }),
        ("key-name", |_, each| {
            each.key_name.clone().into_iter().collect()
        }),
        ("launch-time", |_, each| vec![iso8601(each.launch_time)]),
        ("mac-address", |model, each| {
            primary(model, each, |eni| vec![eni.mac.to_string()])
        }),
        (
            "network-interface.addresses.private-ip-address",
            |model, each| {
                interfaces(model, each, |eni| {
                    let all =
                        std::iter::once(&eni.addresses.primary).chain(&eni.addresses.secondary);
                    all.map(ToString::to_string).collect()
                })
            },
        ),
        ("network-interface.group-id", |model, each| {
            interfaces(model, each, groups)
        }),
        ("network-interface.mac-address", |model, each| {
            interfaces(model, each, |eni| vec![eni.mac.to_string()])
        }),
        ("network-interface.network-interface-id", |model, each| {
            interfaces(model, each, |eni| vec![eni.id.to_string()])
        }),
        ("network-interface.subnet-id", |model, each| {
            interfaces(model, each, |eni| vec![eni.subnet.to_string()])
        }),
        ("network-interface.vpc-id", |model, each| {
            interfaces(model, each, |eni| vec![eni.vpc.to_string()])
        }),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("private-dns-name", |model, each| {
            primary(model, each, |eni| {
                vec![private_dns_name(model, eni.addresses.primary)]
            })
        }),
        ("private-ip-address", |model, each| {
            primary(model, each, |eni| vec![eni.addresses.primary.to_string()])
        }),
        ("reservation-id", |_, each| {
            vec![each.reservation.to_string()]
        }),
        ("source-dest-check", |model, each| {
            primary(model, each, |eni| vec![eni.source_dest_check.to_string()])
        }),
        ("subnet-id", |_, each| vec![each.subnet.to_string()]),
        ("vpc-id", |_, each| vec![each.vpc.to_string()]),
    ],
    tags: Some(|each| &each.tags),
};

/// The filters of DescribeInstanceStatus, by name.
pub(super) static STATUS_FILTERS: FilterTable<Instance> = FilterTable {
    fields: &[
        ("availability-zone", |_, each| vec![each.zone.name.clone()]),
        ("instance-state-code", |_, each| {
            vec![each.state.code().to_string()]
        }),
        ("instance-state-name", |_, each| {
            vec![each.state.as_str().to_owned()]
        }),
    ],
    tags: None,
};

fn groups(eni: &Eni) -> Vec<String> {
    eni.groups.iter().map(ToString::to_string).collect()
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
