//! Tags of anything that has an id.

use std::str::FromStr;

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
    /// The tags of an id, to be changed.
    of_mut: for<'a> fn(&'a mut Model, &str) -> Option<&'a mut Tags>,
    /// Every id with its tags.
    all: for<'a> fn(&'a Model) -> Vec<(&'a str, &'a Tags)>,
}

/// A kind whose objects stand in a map of the model by id.
macro_rules! kind {
    ($prefix:literal, $name:literal, $missing:ident, $map:ident) => {
        kind!($prefix, $name, $missing, $map, |model, id| {
            Some(&mut model.$map.get_mut(&id.parse().ok()?)?.tags)
        })
    };
    ($prefix:literal, $name:literal, $missing:ident, $map:ident, $of_mut:expr) => {
        Kind {
            prefix: $prefix,
            name: $name,
            missing: ErrorCode::$missing,
            of: |model, id| Some(&model.$map.get(&id.parse().ok()?)?.tags),
            of_mut: $of_mut,
            all: |model| {
                let each = model.$map.values();
                each.map(|each| (each.id.as_str(), &each.tags)).collect()
            },
        }
    };
}

/// By name. No prefix begins another.
static KINDS: [Kind; 16] = [
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
    kind!("i-", "instance", InvalidInstanceIdNotFound, instances),
    kind!(
        "igw-",
        "internet-gateway",
        InvalidInternetGatewayIdNotFound,
        internet_gateways
    ),
    kind!("nat-", "natgateway", NatGatewayNotFound, nat_gateways),
    kind!(
        "acl-",
        "network-acl",
        InvalidNetworkAclIdNotFound,
        network_acls
    ),
    kind!(
        "eni-",
        "network-interface",
        InvalidNetworkInterfaceIdNotFound,
        enis,
        |model, id| model.enis.tags_mut(&id.parse().ok()?)
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
    kind!("sg-", "security-group", InvalidGroupNotFound, groups),
    Kind {
        prefix: "sgr-",
        name: "security-group-rule",
        missing: ErrorCode::InvalidSecurityGroupRuleIdNotFound,
        of: |model, id| {
            let mut rules = model.groups.values().flat_map(|group| &group.rules);
            let rule = rules.find(|rule| rule.id.as_str() == id);
            rule.map(|rule| &rule.tags)
        },
        of_mut: |model, id| {
            let groups = model.groups.values_mut();
            let mut rules = groups.flat_map(|group| &mut group.rules);
            let rule = rules.find(|rule| rule.id.as_str() == id);
            rule.map(|rule| &mut rule.tags)
        },
        all: |model| {
            let rules = model.groups.values().flat_map(|group| &group.rules);
            rules.map(|rule| (rule.id.as_str(), &rule.tags)).collect()
        },
    },
    kind!("subnet-", "subnet", InvalidSubnetIdNotFound, subnets),
    kind!(
        "scr-",
        "subnet-cidr-reservation",
        InvalidSubnetCidrReservationIdNotFound,
        reservations
    ),
    kind!("vpc-", "vpc", InvalidVpcIdNotFound, vpcs),
    kind!("fl-", "vpc-flow-log", InvalidFlowLogIdNotFound, flow_logs),
    kind!(
        "pcx-",
        "vpc-peering-connection",
        InvalidVpcPeeringConnectionIdNotFound,
        peerings
    ),
];

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
            if let Some(held) = self.tags_mut(id) {
                held.extend(tags.clone());
            }
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
            let Some(held) = self.tags_mut(id) else {
                continue;
            };
            held.retain(|key, value| {
                let named = |(name, only): &(String, Option<String>)| {
                    name == key && only.as_ref().is_none_or(|only| only == value)
                };
                !(tags.is_empty() || tags.iter().any(named))
            });
        }
        Ok(())
    }

    /// Every tag of every resource, by kind, id and key.
    #[must_use]
    pub fn all_tags(&self) -> Vec<TagEntry<'_>> {
        let mut all = Vec::new();
        for kind in &KINDS {
            for (resource, tags) in (kind.all)(self) {
                all.extend(tags.iter().map(|(key, value)| TagEntry {
                    resource,
                    kind: kind.name,
                    key,
                    value,
                }));
            }
        }
        all
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

    fn tags_mut(&mut self, id: &str) -> Option<&mut Tags> {
        (kind_of(id)?.of_mut)(self, id)
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
