//! ENIs as EC2 shows them, read as the allocator understands them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use underlay_cloud::ec2::{AttachmentStatus, NetworkInterface, Tags};
use underlay_ipam::{Attachment, EniOwner, Holding, ObservedEni, Place, Standing};
use underlay_types::{AttachmentId, InstanceId, Mac, PoolKey, SecurityGroupSet, SubnetId};

use crate::config::EniConfig;

/// Says which instance an ENI was created for.
pub(super) const INSTANCE_TAG: &str = "underlay.dev/instance";
/// Says which pool an ENI was created for.
pub(super) const POOL_TAG: &str = "underlay.dev/pool";
/// EC2 allows that many characters in a tag's value.
const TAG_VALUE_MAX: usize = 256;
/// The pool tag of a set too long to be written there: the ENI's own groups are the set.
const POOL_BY_GROUPS: &str = "own-groups";

/// What the node must know of an ENI besides its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EniFacts {
    pub(super) mac: Mac,
    /// The primary address of an ENI that we created.
    pub(super) address: Option<Ipv4Addr>,
    /// The address that names its IPv6 prefix, of an ENI that we created: no pod gets it.
    pub(super) address_v6: Option<Ipv6Addr>,
    pub(super) pool: PoolKey,
    pub(super) subnet: SubnetId,
    pub(super) place: Option<Place>,
    pub(super) attachment: Option<AttachmentId>,
    /// Somebody else's, or to be left alone.
    pub(super) foreign: bool,
    /// Carries branch ENIs.
    pub(super) trunk: bool,
}

/// Tags that an ENI gets when it is created, so that none exists that nobody knows.
pub(super) fn tags(instance: &InstanceId, pool: &PoolKey) -> Tags {
    let text = pool.to_string();
    let text = if text.len() > TAG_VALUE_MAX {
        pool.prefix() + POOL_BY_GROUPS
    } else {
        text
    };
    Tags::from([
        (INSTANCE_TAG.to_owned(), instance.to_string()),
        (POOL_TAG.to_owned(), text),
    ])
}

fn pool_of(tag: &str, groups: &SecurityGroupSet) -> Option<PoolKey> {
    let (eni_use, card, text) = PoolKey::split_prefix(tag);
    let pool = match text {
        "default" => PoolKey::default_pool(),
        POOL_BY_GROUPS => PoolKey::exactly(groups.clone()),
        set => PoolKey::exactly(set.parse().ok()?),
    };
    Some(PoolKey {
        eni_use,
        card,
        ..pool
    })
}

/// What an ENI has for pods. The pod that owns one gets its primary address; what else it may have of
/// IPv4 is the pod's too, and nobody hands it out.
fn holding(eni: &NetworkInterface, whole: bool) -> Holding {
    let (addresses, prefixes) = if whole {
        (eni.primary.into_iter().collect(), Vec::new())
    } else {
        (eni.secondary.clone(), eni.prefixes.clone())
    };
    Holding {
        addresses,
        prefixes,
        ipv6_prefixes: eni.ipv6_prefixes.clone(),
    }
}

/// Reads an ENI that is attached to `instance` or tagged as its own. `None`: it does not concern
/// this instance.
pub(super) fn read(
    eni: &NetworkInterface,
    instance: &InstanceId,
    primary_mac: Mac,
) -> Option<(ObservedEni, EniFacts)> {
    let groups = SecurityGroupSet::try_from(eni.groups.clone()).ok()?;
    let attachment = eni
        .attachment
        .as_ref()
        .filter(|attachment| attachment.status != AttachmentStatus::Detached);
    let place = match attachment {
        Some(attachment) if attachment.instance.as_ref() != Some(instance) => return None,
        Some(attachment) => Some(Place {
            card: u8::try_from(attachment.network_card).ok()?,
            index: u8::try_from(attachment.device_index).ok()?,
        }),
        None => None,
    };
    let ours = eni
        .tags
        .get(INSTANCE_TAG)
        .is_some_and(|tag| *tag == instance.as_str());
    let plain = eni.interface_type == "interface" && !eni.requester_managed;
    let owner = if eni.mac == primary_mac {
        EniOwner::Primary
    } else if ours && plain {
        let pool = eni.tags.get(POOL_TAG).and_then(|tag| pool_of(tag, &groups));
        pool.map_or(EniOwner::Foreign, EniOwner::Ours)
    } else {
        EniOwner::Foreign
    };
    let facts = EniFacts {
        mac: eni.mac,
        address: eni.primary.filter(|_| matches!(owner, EniOwner::Ours(_))),
        address_v6: eni
            .ipv6_prefixes
            .first()
            .map(Ipv6Net::network)
            .filter(|_| matches!(owner, EniOwner::Ours(_))),
        pool: match &owner {
            EniOwner::Ours(pool) => pool.clone(),
            EniOwner::Primary | EniOwner::Foreign => PoolKey::default_pool(),
        },
        subnet: eni.subnet.clone(),
        place,
        attachment: attachment.map(|attachment| attachment.id.clone()),
        foreign: owner == EniOwner::Foreign,
        trunk: eni.interface_type == "trunk",
    };
    let observed = ObservedEni {
        id: eni.id.clone(),
        owner,
        standing: Standing::Serving,
        attachment: attachment_at(place, attachment.map(|attachment| &attachment.status)),
        delete_on_termination: attachment
            .is_some_and(|attachment| attachment.delete_on_termination),
        groups,
        holding: holding(eni, facts.pool.is_whole()),
    };
    Some((observed, facts))
}

fn attachment_at(place: Option<Place>, status: Option<&AttachmentStatus>) -> Attachment {
    match place {
        Some(place) if status == Some(&AttachmentStatus::Detaching) => {
            Attachment::Detaching { place }
        }
        Some(place) => Attachment::Attached { place },
        None => Attachment::None,
    }
}

/// What the node may do with an ENI that was read as `owner`'s. `admits`: pods may have addresses of
/// a subnet.
pub(super) fn standing(
    eni: &NetworkInterface,
    owner: &EniOwner,
    config: &EniConfig,
    admits: impl Fn(&SubnetId) -> bool,
) -> Standing {
    if config.leaves_alone(&eni.tags) {
        return Standing::Unmanaged;
    }
    let serves = match owner {
        EniOwner::Primary => config.uses_primary() && admits(&eni.subnet),
        EniOwner::Ours(_) => admits(&eni.subnet),
        EniOwner::Foreign => true,
    };
    if serves {
        Standing::Serving
    } else {
        Standing::Emptying
    }
}

#[cfg(test)]
mod tests;
