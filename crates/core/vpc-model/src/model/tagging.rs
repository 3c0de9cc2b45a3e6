//! Tags of anything that has an id.

use crate::{Ec2Error, ErrorCode, Model, Tags};

/// Tags a resource has at most.
const MAX_TAGS: usize = 50;

/// Per kind of resource: the prefix of its ids, its name in EC2, and its `NotFound` code. The
/// longer of two prefixes comes first.
const KINDS: [(&str, &str, ErrorCode); 9] = [
    (
        "eni-",
        "network-interface",
        ErrorCode::InvalidNetworkInterfaceIdNotFound,
    ),
    ("fl-", "vpc-flow-log", ErrorCode::InvalidFlowLogIdNotFound),
    ("i-", "instance", ErrorCode::InvalidInstanceIdNotFound),
    (
        "rtb-",
        "route-table",
        ErrorCode::InvalidRouteTableIdNotFound,
    ),
    ("sg-", "security-group", ErrorCode::InvalidGroupNotFound),
    (
        "sgr-",
        "security-group-rule",
        ErrorCode::InvalidSecurityGroupRuleIdNotFound,
    ),
    ("subnet-", "subnet", ErrorCode::InvalidSubnetIdNotFound),
    ("vpc-", "vpc", ErrorCode::InvalidVpcIdNotFound),
    ("ami-", "image", ErrorCode::InvalidAmiIdNotFound),
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
        let mut add = |resource, kind, tags| all.extend(entries(resource, kind, tags));
        self.instances
            .values()
            .for_each(|each| add(each.id.as_str(), "instance", &each.tags));
        for each in self.enis.values() {
            add(each.id.as_str(), "network-interface", &each.tags);
        }
        self.route_tables
            .values()
            .for_each(|each| add(each.id.as_str(), "route-table", &each.tags));
        for group in self.groups.values() {
            add(group.id.as_str(), "security-group", &group.tags);
            for rule in &group.rules {
                add(rule.id.as_str(), "security-group-rule", &rule.tags);
            }
        }
        self.subnets
            .values()
            .for_each(|each| add(each.id.as_str(), "subnet", &each.tags));
        self.vpcs
            .values()
            .for_each(|each| add(each.id.as_str(), "vpc", &each.tags));
        self.flow_logs
            .values()
            .for_each(|each| add(each.id.as_str(), "vpc-flow-log", &each.tags));
        all
    }

    fn tags_of(&self, id: &str) -> Result<&Tags, Ec2Error> {
        let Some((_, kind, code)) = KINDS.iter().find(|(prefix, _, _)| id.starts_with(prefix))
        else {
            return Err(Ec2Error::new(
                ErrorCode::InvalidId,
                format!("The ID '{id}' is not valid"),
            ));
        };
        let found = match *kind {
            "network-interface" => id
                .parse()
                .ok()
                .and_then(|id| self.enis.get(&id))
                .map(|each| &each.tags),
            "vpc-flow-log" => id
                .parse()
                .ok()
                .and_then(|id| self.flow_logs.get(&id))
                .map(|each| &each.tags),
            "instance" => id
                .parse()
                .ok()
                .and_then(|id| self.instances.get(&id))
                .map(|each| &each.tags),
            "route-table" => id
                .parse()
                .ok()
                .and_then(|id| self.route_tables.get(&id))
                .map(|each| &each.tags),
            "security-group" => id
                .parse()
                .ok()
                .and_then(|id| self.groups.get(&id))
                .map(|each| &each.tags),
            "security-group-rule" => self
                .groups
                .values()
                .flat_map(|group| &group.rules)
                .find(|rule| rule.id.as_str() == id)
                .map(|rule| &rule.tags),
            "subnet" => id
                .parse()
                .ok()
                .and_then(|id| self.subnets.get(&id))
                .map(|each| &each.tags),
            "vpc" => id
                .parse()
                .ok()
                .and_then(|id| self.vpcs.get(&id))
                .map(|each| &each.tags),
            "image" if id.parse().is_ok_and(|id| self.images.contains_key(&id)) => {
                let text = format!("The image '{id}' is not yours: it cannot be tagged.");
                return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
            }
            _ => None,
        };
        let missing = || Ec2Error::new(*code, format!("The {kind} ID '{id}' does not exist"));
        found.ok_or_else(missing)
    }

    fn tags_mut(&mut self, id: &str) -> Option<&mut Tags> {
        let (prefix, _) = id.split_once('-')?;
        match prefix {
            "eni" => self.enis.tags_mut(&id.parse().ok()?),
            "fl" => self
                .flow_logs
                .get_mut(&id.parse().ok()?)
                .map(|each| &mut each.tags),
            "i" => self
                .instances
                .get_mut(&id.parse().ok()?)
                .map(|each| &mut each.tags),
            "rtb" => self
                .route_tables
                .get_mut(&id.parse().ok()?)
                .map(|each| &mut each.tags),
            "sg" => self
                .groups
                .get_mut(&id.parse().ok()?)
                .map(|each| &mut each.tags),
            "sgr" => self
                .groups
                .values_mut()
                .flat_map(|group| &mut group.rules)
                .find(|rule| rule.id.as_str() == id)
                .map(|rule| &mut rule.tags),
            "subnet" => self
                .subnets
                .get_mut(&id.parse().ok()?)
                .map(|each| &mut each.tags),
            "vpc" => self
                .vpcs
                .get_mut(&id.parse().ok()?)
                .map(|each| &mut each.tags),
            _ => None,
        }
    }
}

fn entries<'a>(
    resource: &'a str,
    kind: &'static str,
    tags: &'a Tags,
) -> impl Iterator<Item = TagEntry<'a>> {
    tags.iter().map(move |(key, value)| TagEntry {
        resource,
        kind,
        key,
        value,
    })
}
