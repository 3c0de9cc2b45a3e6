//! ENIs of the model as the agent reads them from answers.

use underlay_ipam::{Attachment, EniOwner, Holding, ObservedEni, Place, Standing};
use underlay_types::{EniId, InstanceId, PoolKey, SecurityGroupSet};
use underlay_vpc_model::{AttachmentStatus, Eni, Tags};

use super::Seen;

const INSTANCE_TAG: &str = "underlay.dev/instance";
const POOL_TAG: &str = "underlay.dev/pool";

/// Tags of an ENI that the node creates.
pub(super) fn tags(instance: &InstanceId, pool: &PoolKey) -> Tags {
    Tags::from([
        (INSTANCE_TAG.to_owned(), instance.to_string()),
        (POOL_TAG.to_owned(), pool.to_string()),
    ])
}

pub(super) fn is_ours(eni: &Eni, instance: &InstanceId) -> bool {
    eni.tags
        .get(INSTANCE_TAG)
        .is_some_and(|tag| tag == instance.as_str())
}

pub(super) fn read(eni: &Eni, instance: &InstanceId, primary: &EniId) -> Seen {
    let attachment = eni.attachment.as_ref();
    let place = attachment.map(|held| Place {
        card: u8::try_from(held.network_card).unwrap_or(u8::MAX),
        index: u8::try_from(held.device_index).unwrap_or(u8::MAX),
    });
    let detaching = attachment.is_some_and(|held| held.status == AttachmentStatus::Detaching);
    let owner = if eni.id == *primary {
        EniOwner::Primary
    } else if is_ours(eni, instance) {
        eni.tags
            .get(POOL_TAG)
            .and_then(|tag| pool(tag))
            .map_or(EniOwner::Foreign, EniOwner::Ours)
    } else {
        EniOwner::Foreign
    };
    Seen {
        observed: ObservedEni {
            id: eni.id.clone(),
            owner,
            standing: Standing::Serving,
            attachment: match place {
                Some(place) if detaching => Attachment::Detaching { place },
                Some(place) => Attachment::Attached { place },
                None => Attachment::None,
            },
            delete_on_termination: attachment.is_some_and(|held| held.delete_on_termination),
            groups: SecurityGroupSet::try_from(eni.groups.clone())
                .expect("an interface has at least one group"),
            holding: holding(eni),
        },
        attachment: attachment.map(|held| held.id.clone()),
        available: attachment.is_none() && !eni.pending,
    }
}

/// What an ENI has for pods: of one that is a pod's own, its primary address.
pub(crate) fn holding(eni: &Eni) -> Holding {
    let held = &eni.addresses;
    let ipv6_prefixes = held.v6_prefixes.clone();
    if is_whole(eni) {
        return Holding {
            addresses: vec![held.primary],
            ipv6_prefixes,
            ..Holding::default()
        };
    }
    Holding {
        addresses: held.secondary.clone(),
        prefixes: held.prefixes.clone(),
        ipv6_prefixes,
    }
}

fn is_whole(eni: &Eni) -> bool {
    let pool = eni.tags.get(POOL_TAG).and_then(|tag| pool(tag));
    pool.is_some_and(|pool| pool.is_whole())
}

fn pool(tag: &str) -> Option<PoolKey> {
    let (eni_use, card, text) = PoolKey::split_prefix(tag);
    let pool = match text {
        "default" => PoolKey::default_pool(),
        set => PoolKey::exactly(set.parse().ok()?),
    };
    Some(PoolKey {
        eni_use,
        card,
        ..pool
    })
}
