//! What filters of DescribeNetworkInterfaces see.

use underlay_vpc_model::{Attachment, AttachmentHolder, Eni, EniKey, Model, PublicAddress};

use super::{
    elastic_addresses::public_dns_name, enis::private_dns_name, filter::FilterTable,
    instant::iso8601, keys::Keys,
};

/// The filters, by name.
pub(super) static FILTERS: FilterTable<Eni> = FilterTable {
    fields: &[
        ("addresses.association.owner-id", |model, eni| {
            associations(model, eni, |each| owner(model, each))
        }),
        ("addresses.association.public-ip", |model, eni| {
            associations(model, eni, |each| Some(each.address.to_string()))
        }),
        ("addresses.primary", |_, eni| {
            let mut primary = vec!["true".to_owned()];
            if !eni.addresses.secondary.is_empty() {
                primary.push("false".to_owned());
            }
            primary
        }),
        ("addresses.private-ip-address", |_, eni| addresses(eni)),
        ("association.allocation-id", |model, eni| {
            associations(model, eni, |each| Some(each.elastic?.id.to_string()))
        }),
        ("association.association-id", |model, eni| {
            associations(model, eni, |each| {
                Some(each.elastic?.association.as_ref()?.id.to_string())
            })
        }),
        ("association.ip-owner-id", |model, eni| {
            associations(model, eni, |each| owner(model, each))
        }),
        ("association.public-dns-name", |model, eni| {
            associations(model, eni, |each| {
                Some(public_dns_name(model, eni, each.address))
            })
        }),
        ("association.public-ip", |model, eni| {
            associations(model, eni, |each| Some(each.address.to_string()))
        }),
        ("attachment.attach-time", |_, eni| {
            attached(eni, |held| iso8601(held.attach_time))
        }),
        ("attachment.attachment-id", |_, eni| {
            attached(eni, |held| held.id.to_string())
        }),
        ("attachment.delete-on-termination", |_, eni| {
            attached(eni, |held| held.delete_on_termination.to_string())
        }),
        ("attachment.device-index", |_, eni| {
            attached(eni, |held| held.device_index.to_string())
        }),
        ("attachment.instance-id", |_, eni| {
            eni.instance()
                .map(ToString::to_string)
                .into_iter()
                .collect()
        }),
        ("attachment.instance-owner-id", |model, eni| {
            attached(eni, |held| match &held.holder {
                AttachmentHolder::Instance(_) => model.config().account.to_string(),
                AttachmentHolder::External { owner } => owner.clone(),
                AttachmentHolder::Trunk(_) => String::new(),
            })
        }),
        ("attachment.network-card-index", |_, eni| {
            attached(eni, |held| held.network_card.to_string())
        }),
        ("attachment.status", |_, eni| {
            attached(eni, |held| held.status.as_str().to_owned())
        }),
        ("availability-zone", |_, eni| vec![eni.zone.name.clone()]),
        ("availability-zone-id", |_, eni| vec![eni.zone.id.clone()]),
        ("description", |_, eni| vec![eni.description.clone()]),
        ("group-id", |_, eni| {
            eni.groups.iter().map(ToString::to_string).collect()
        }),
        ("group-name", |model, eni| {
            let groups = eni.groups.iter().filter_map(|id| model.group(id));
            groups.map(|group| group.name.clone()).collect()
        }),
        ("interface-type", |_, eni| {
            vec![eni.shown_type().as_str().to_owned()]
        }),
        ("ipv4-prefix.ipv4-prefix", |_, eni| {
            eni.addresses
                .prefixes
                .iter()
                .map(ToString::to_string)
                .collect()
        }),
        ("ipv6-addresses.ipv6-address", |_, eni| {
            eni.addresses.v6.iter().map(ToString::to_string).collect()
        }),
        ("ipv6-prefix.ipv6-prefix", |_, eni| {
            let prefixes = eni.addresses.v6_prefixes.iter();
            prefixes.map(ToString::to_string).collect()
        }),
        ("mac-address", |_, eni| vec![eni.mac.to_string()]),
        ("network-interface-id", |_, eni| vec![eni.id.to_string()]),
        // Nothing here is managed by somebody else.
        ("operator.managed", |_, _| vec!["false".to_owned()]),
        ("operator.principal", |_, _| Vec::new()),
        ("owner-id", |model, _| {
            vec![model.config().account.to_string()]
        }),
        ("private-dns-name", |model, eni| {
            vec![private_dns_name(model, eni.addresses.primary)]
        }),
        ("private-ip-address", |_, eni| addresses(eni)),
        ("requester-id", |_, eni| {
            eni.requester.clone().into_iter().collect()
        }),
        ("requester-managed", |_, eni| {
            vec![eni.requester.is_some().to_string()]
        }),
        ("source-dest-check", |_, eni| {
            vec![eni.source_dest_check.to_string()]
        }),
        ("status", |_, eni| vec![eni.status().as_str().to_owned()]),
        ("subnet-id", |_, eni| vec![eni.subnet.to_string()]),
        ("vpc-id", |_, eni| vec![eni.vpc.to_string()]),
    ],
    tags: Some(|eni| &eni.tags),
};

/// What a filter of DescribeNetworkInterfaces sees of an interface, by the filter's name.
pub(super) fn values_of(model: &Model, eni: &Eni, filter: &str) -> Vec<String> {
    let field = FILTERS.fields.iter().find(|(name, _)| *name == filter);
    field.map_or_else(Vec::new, |(_, values)| values(model, eni))
}

/// Those that an index answers.
pub(super) static KEYS: Keys<Eni> = Keys {
    fields: &[
        ("addresses.private-ip-address", |text| {
            text.parse().ok().map(EniKey::Address)
        }),
        ("attachment.attachment-id", |text| {
            text.parse().ok().map(EniKey::Attachment)
        }),
        ("attachment.instance-id", |text| {
            text.parse().ok().map(EniKey::Instance)
        }),
        ("group-id", |text| text.parse().ok().map(EniKey::Group)),
        ("ipv6-addresses.ipv6-address", |text| {
            text.parse().ok().map(EniKey::Address)
        }),
        ("mac-address", |text| text.parse().ok().map(EniKey::Mac)),
        ("network-interface-id", |text| {
            text.parse().ok().map(EniKey::Id)
        }),
        ("private-ip-address", |text| {
            text.parse().ok().map(EniKey::Address)
        }),
        ("subnet-id", |text| text.parse().ok().map(EniKey::Subnet)),
        ("vpc-id", |text| text.parse().ok().map(EniKey::Vpc)),
    ],
    tag: Some(EniKey::Tag),
};

fn associations(
    model: &Model,
    eni: &Eni,
    value: impl Fn(PublicAddress<'_>) -> Option<String>,
) -> Vec<String> {
    let all = std::iter::once(&eni.addresses.primary).chain(&eni.addresses.secondary);
    let publics = all.filter_map(|private| model.public_address_of(&eni.id, *private));
    publics.filter_map(value).collect()
}

fn owner(model: &Model, public: PublicAddress<'_>) -> Option<String> {
    Some(match public.elastic {
        Some(_) => model.config().account.to_string(),
        None => "amazon".to_owned(),
    })
}

fn addresses(eni: &Eni) -> Vec<String> {
    let all = std::iter::once(&eni.addresses.primary).chain(&eni.addresses.secondary);
    all.map(ToString::to_string).collect()
}

fn attached(eni: &Eni, value: impl Fn(&Attachment) -> String) -> Vec<String> {
    eni.shown_attachment().into_iter().map(value).collect()
}
