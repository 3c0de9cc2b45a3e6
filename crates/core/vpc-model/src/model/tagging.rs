//! Tags of anything that has an id.

use std::{collections::BTreeMap, ops::Bound, str::FromStr};

use super::prefix_lists::check_not_of_aws;
use crate::{Ec2Error, ErrorCode, Model, Tags};

/// Tags a resource has at most.
const MAX_TAGS: usize = 50;

/// A kind of resource that has tags.
struct Kind {
    /// The prefix of its ids.
    prefix: &'static str,
    /// Its name in EC2.
    name: &'static str,
    /// The code for an id that does not exist.
    missing: ErrorCode,
    /// The tags of an id.
    of: for<'a> fn(&'a Model, &str) -> Option<&'a Tags>,
    /// Changes the tags of an id.
    change: fn(&mut Model, &str, Change<'_>) -> Option<()>,
    /// The ids from this one on, with their tags; all without one.
    from: for<'a> fn(&'a Model, Option<&str>) -> Tagged<'a>,
}

/// What is to happen to a resource's tags.
type Change<'a> = &'a dyn Fn(&mut Tags);

/// Ids and their tags, by id.
type Tagged<'a> = Box<dyn Iterator<Item = (&'a str, &'a Tags)> + 'a>;

/// A kind whose objects stand in a map of the model by id.
macro_rules! kind {
    ($prefix:literal, $name:literal, $missing:ident, $map:ident) => {
        Kind {
            prefix: $prefix,
            name: $name,
            missing: ErrorCode::$missing,
            of: |model, id| Some(&model.$map.get(&id.parse().ok()?)?.tags),
            change: |model, id, change| {
                change(&mut model.$map.get_mut(&id.parse().ok()?)?.tags);
                Some(())
            },
            from: |model, id| {
                let each = from(&model.$map, id);
                Box::new(each.map(|(id, each)| (id.as_str(), &each.tags)))
            },
        }
    };
}

/// By prefix, and so by id. No prefix begins another.
static KINDS: [Kind; 16] = [
    kind!(
        "acl-",
        "network-acl",
        InvalidNetworkAclIdNotFound,
        network_acls
    ),
    kind!(
        "eigw-",
        "egress-only-internet-gateway",
        InvalidGatewayIdNotFound,
        egress_only_gateways
    ),
    kind!(
        "eipalloc-",
        "elastic-ip",
        InvalidAllocationIdNotFound,
        elastic_addresses
    ),
    kind!(
        "eni-",
        "network-interface",
        InvalidNetworkInterfaceIdNotFound,
        enis
    ),
    kind!("fl-", "vpc-flow-log", InvalidFlowLogIdNotFound, flow_logs),
    kind!("i-", "instance", InvalidInstanceIdNotFound, instances),
    kind!(
        "igw-",
        "internet-gateway",
        InvalidInternetGatewayIdNotFound,
        internet_gateways
    ),
    kind!("nat-", "natgateway", NatGatewayNotFound, nat_gateways),
    kind!(
        "pcx-",
        "vpc-peering-connection",
        InvalidVpcPeeringConnectionIdNotFound,
        peerings
    ),
    kind!(
        "pl-",
        "prefix-list",
        InvalidPrefixListIdNotFound,
        prefix_lists
    ),
    kind!(
        "rtb-",
        "route-table",
        InvalidRouteTableIdNotFound,
        route_tables
    ),
    kind!(
        "scr-",
        "subnet-cidr-reservation",
        InvalidSubnetCidrReservationIdNotFound,
        reservations
    ),
    kind!("sg-", "security-group", InvalidGroupNotFound, groups),
    Kind {
        prefix: "sgr-",
        name: "security-group-rule",
        missing: ErrorCode::InvalidSecurityGroupRuleIdNotFound,
        of: |model, id| Some(&model.rule(&id.parse().ok()?)?.1.tags),
        change: |model, id, change| {
            let group = model.groups.index().rules().get(&id.parse().ok()?)?;
            let group = group.clone();
            let mut group = model.groups.get_mut(&group)?;
            let mut rules = group.rules.iter_mut();
            change(&mut rules.find(|rule| rule.id.as_str() == id)?.tags);
            Some(())
        },
        from: |model, id| {
            let ids = from(model.groups.index().rules(), id);
            let rules = ids.filter_map(|(id, _)| Some((id.as_str(), &model.rule(id)?.1.tags)));
            Box::new(rules)
        },
    },
    kind!("subnet-", "subnet", InvalidSubnetIdNotFound, subnets),
    kind!("vpc-", "vpc", InvalidVpcIdNotFound, vpcs),
];

/// The part of a map from an id on; all of it without one.
fn from<'a, K: Ord + FromStr, V>(
    map: &'a BTreeMap<K, V>,
    id: Option<&str>,
) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
    let id: Option<K> = id.and_then(|id| id.parse().ok());
    let first = id.map_or(Bound::Unbounded, Bound::Included);
    map.range((first, Bound::Unbounded))
}

/// One tag of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagEntry<'a> {
    /// The resource's id.
    pub resource: &'a str,
    /// Its kind, as EC2 names it.
    pub kind: &'static str,
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a str,
}

/// Whether a resource may have these tags.
///
/// # Errors
/// `InvalidParameterValue` for a key or value EC2 does not take; `TagLimitExceeded`.
pub fn check_tags(tags: &Tags) -> Result<(), Ec2Error> {
    let invalid = |text: String| Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
    for (key, value) in tags {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return invalid(
                "Tag keys starting with 'aws:' are reserved for internal use".to_owned(),
            );
        }
        if !(1..=128).contains(&key.chars().count()) {
            return invalid(format!("Tag key '{key}' must have 1 to 128 characters"));
        }
        if value.chars().count() > 256 {
            return invalid(format!(
                "Tag value of '{key}' exceeds the maximum of 256 characters"
            ));
        }
    }
    if tags.len() > MAX_TAGS {
        let text = format!("The maximum number of {MAX_TAGS} tags per resource has been reached.");
        return Err(Ec2Error::new(ErrorCode::TagLimitExceeded, text));
    }
    Ok(())
}

impl Model {
    /// CreateTags: every tag on every resource, or nothing.
    ///
    /// # Errors
    /// The kind's `NotFound`; `InvalidID` for text that is no id; `UnsupportedOperation` for an
    /// image; those of [`check_tags`].
    pub fn create_tags(&mut self, resources: &[String], tags: &Tags) -> Result<(), Ec2Error> {
        for id in resources {
            let mut merged = self.tags_of(id)?.clone();
            merged.extend(tags.clone());
            check_tags(&merged)?;
        }
        for id in resources {
            self.change_tags(id, &|held| held.extend(tags.clone()));
        }
        Ok(())
    }

    /// DeleteTags: each key, where a value is given only with that value; without keys, all.
    ///
    /// # Errors
    /// The kind's `NotFound`; `InvalidID` for text that is no id; `UnsupportedOperation` for an
    /// image.
    pub fn delete_tags(
        &mut self,
        resources: &[String],
        tags: &[(String, Option<String>)],
    ) -> Result<(), Ec2Error> {
        for id in resources {
            self.tags_of(id)?;
        }
        for id in resources {
            self.change_tags(id, &|held| {
                held.retain(|key, value| {
                    let named = |(name, only): &(String, Option<String>)| {
                        name == key && only.as_ref().is_none_or(|only| only == value)
                    };
                    !(tags.is_empty() || tags.iter().any(named))
                });
            });
        }
        Ok(())
    }

    /// Every tag of every resource, by id and key: those after a tag, which need not be there.
    pub fn tags_after<'a>(
        &'a self,
        after: Option<(&'a str, &'a str)>,
    ) -> impl Iterator<Item = TagEntry<'a>> {
        let first = after.map(|(resource, _)| resource);
        let kinds = KINDS.iter().filter(move |kind| {
            first.is_none_or(|first| kind.prefix > first || first.starts_with(kind.prefix))
        });
        let resources = kinds.flat_map(move |kind| {
            let first = first.filter(|first| first.starts_with(kind.prefix));
            let each = (kind.from)(self, first);
            each.map(move |(resource, tags)| (kind, resource, tags))
        });
        let all = resources.flat_map(|(kind, resource, tags)| kind.entries(resource, tags));
        all.filter(move |entry| after.is_none_or(|after| (entry.resource, entry.key) > after))
    }

    /// The tags of a resource, by key; none of one that is not there.
    pub fn tags_on<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = TagEntry<'a>> {
        let held = kind_of(resource).and_then(|kind| Some((kind, (kind.of)(self, resource)?)));
        held.into_iter()
            .flat_map(move |(kind, tags)| kind.entries(resource, tags))
    }

    fn tags_of(&self, id: &str) -> Result<&Tags, Ec2Error> {
        if id.starts_with("ami-") {
            self.require_image(&parsed(id)?)?;
            let text = format!("The image '{id}' is not yours: it cannot be tagged.");
            return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
        }
        let kind = kind_of(id).ok_or_else(|| invalid_id(id))?;
        if let Some(list) = id.parse().ok().and_then(|id| self.prefix_lists.get(&id)) {
            check_not_of_aws(list)?;
        }
        (kind.of)(self, id).ok_or_else(|| {
            let text = format!("The {} ID '{id}' does not exist", kind.name);
            Ec2Error::new(kind.missing, text)
        })
    }

    fn change_tags(&mut self, id: &str, change: Change<'_>) {
        let changed = kind_of(id).and_then(|kind| (kind.change)(self, id, change));
        debug_assert!(changed.is_some(), "{id} was looked at before");
    }
}

impl Kind {
    fn entries<'a>(
        &'static self,
        resource: &'a str,
        tags: &'a Tags,
    ) -> impl Iterator<Item = TagEntry<'a>> + use<'a> {
        tags.iter().map(move |(key, value)| TagEntry {
            resource,
            kind: self.name,
            key,
            value,
        })
    }
}

fn kind_of(id: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| id.starts_with(kind.prefix))
}

fn parsed<T: FromStr>(id: &str) -> Result<T, Ec2Error> {
    id.parse().map_err(|_malformed| invalid_id(id))
}

fn invalid_id(id: &str) -> Ec2Error {
    Ec2Error::new(ErrorCode::InvalidId, format!("The ID '{id}' is not valid"))
}
