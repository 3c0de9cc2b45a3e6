//! Which ENIs pods use, where they are created and what they carry.

use std::collections::BTreeMap;

use toml::Value;
use underlay_ipam::SubnetRule;
use underlay_types::{SecurityGroupId, SecurityGroupSet, SubnetId};

use super::mistakes::{Section, list_of, text};

/// The tag by which ENIs are kept from the AWS VPC CNI, and from this agent too.
const REFERENCE_TAG: (&str, &str) = ("node.k8s.amazonaws.com/no_manage", "true");

/// A tag of an AWS resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Whether pods get addresses of the primary ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrimaryUse {
    /// They do.
    Use,
    /// They do not: it is the node's own, and takes its place among the ENIs.
    Leave,
}

/// `[enis]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EniConfig {
    /// `primary`: absent where `subnets` and `security_groups` decide.
    pub primary: Option<PrimaryUse>,
    /// `subnets`: where ENIs for pods are created.
    pub subnets: SubnetRule,
    /// `security_groups`: of the default set's ENIs; those of the primary one if absent.
    pub security_groups: Option<SecurityGroupSet>,
    /// `unmanaged_tag`: ENIs that carry it are left alone.
    pub unmanaged_tag: Option<Tag>,
}

impl Default for EniConfig {
    fn default() -> Self {
        Self {
            primary: None,
            subnets: SubnetRule::Node,
            security_groups: None,
            unmanaged_tag: Some(Tag {
                key: "underlay.dev/manage".to_owned(),
                value: "false".to_owned(),
            }),
        }
    }
}

impl EniConfig {
    /// Whether pods get addresses of the primary ENI, as far as its subnet lets them. Other groups or
    /// subnets than the node's keep them off.
    #[must_use]
    pub fn uses_primary(&self) -> bool {
        let shared = self.security_groups.is_none() && self.subnets.shares_with_node();
        self.primary != Some(PrimaryUse::Leave) && shared
    }

    /// Whether an ENI with these tags is to be left alone.
    #[must_use]
    pub fn leaves_alone(&self, tags: &BTreeMap<String, String>) -> bool {
        let has = |key: &str, value: &str| tags.get(key).is_some_and(|tag| tag == value);
        let (key, value) = REFERENCE_TAG;
        let own = self.unmanaged_tag.as_ref();
        has(key, value) || own.is_some_and(|tag| has(&tag.key, &tag.value))
    }

    /// Reads the section; `groups_per_eni` is the account's quota.
    pub(super) fn read(mut section: Section<'_>, groups_per_eni: usize) -> Self {
        let mut config = Self::default();
        section.read("primary", &mut config.primary, |value| {
            match text(value)?.as_str() {
                "use" => Ok(Some(PrimaryUse::Use)),
                "leave" => Ok(Some(PrimaryUse::Leave)),
                other => Err(format!("must be \"use\" or \"leave\", not {other:?}")),
            }
        });
        section.read("subnets", &mut config.subnets, subnets);
        section.read("security_groups", &mut config.security_groups, |value| {
            let groups: Vec<SecurityGroupId> = list_of(value)?;
            if groups.is_empty() {
                return Ok(None);
            }
            SecurityGroupSet::new(groups, groups_per_eni)
                .map(Some)
                .map_err(|error| error.to_string())
        });
        section.read("unmanaged_tag", &mut config.unmanaged_tag, |value| {
            tag(value).ok_or_else(|| {
                "must be { key = \"...\", value = \"...\" }, or false for the AWS VPC CNI's tag alone"
                    .to_owned()
            })
        });
        if config.primary == Some(PrimaryUse::Use) && !config.uses_primary() {
            section.mistake(
                "primary",
                "must not be \"use\" beside security_groups or subnets of the pods' own: the \
                 primary ENI has the node's",
            );
        }
        section.finish(&["primary", "subnets", "security_groups", "unmanaged_tag"]);
        config
    }
}

fn subnets(value: Value) -> Result<SubnetRule, String> {
    let shape = "must be \"node\", \"discover\", a list of subnet ids or { key = \"...\", value = \
                 \"...\" }";
    match value {
        Value::String(text) if text == "node" => Ok(SubnetRule::Node),
        Value::String(text) if text == "discover" => Ok(SubnetRule::Discover),
        Value::Array(ids) if ids.is_empty() => Err(shape.to_owned()),
        ids @ Value::Array(_) => {
            let ids: Vec<SubnetId> = list_of(ids)?;
            Ok(SubnetRule::Ids(ids.into_iter().collect()))
        }
        other => match tag(other) {
            Some(Some(Tag { key, value })) => Ok(SubnetRule::Tagged { key, value }),
            Some(None) | None => Err(shape.to_owned()),
        },
    }
}

/// `{ key = "...", value = "..." }`, or `false` for none.
pub(super) fn tag(value: Value) -> Option<Option<Tag>> {
    match value {
        Value::Boolean(false) => Some(None),
        Value::Table(mut table) => match (table.remove("key"), table.remove("value")) {
            (Some(Value::String(key)), Some(Value::String(value)))
                if table.is_empty() && !key.is_empty() =>
            {
                Some(Some(Tag { key, value }))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError};

    fn read(section: &str) -> Result<EniConfig, String> {
        match Config::parse(&format!("version = 1\n[enis]\n{section}")) {
            Ok(config) => Ok(config.enis),
            Err(ConfigError::Mistakes(mistakes)) => {
                let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                Err(lines.join("\n"))
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn other_groups_or_subnets_than_the_nodes_keep_pods_off_the_primary_eni() {
        let uses = |section: &str| read(section).unwrap().uses_primary();
        assert!(uses("") && uses("primary = \"use\"") && uses("subnets = \"discover\""));
        assert!(uses(
            "primary = \"use\"\nsubnets = \"node\"\nsecurity_groups = []"
        ));
        assert!(!uses("primary = \"leave\""));
        assert!(!uses("subnets = [\"subnet-0000000a\"]"));
        assert!(!uses("subnets = { key = \"a\", value = \"b\" }"));
        assert!(!uses("security_groups = [\"sg-0000000a\"]"));
        for other in [
            "subnets = [\"subnet-0000000a\"]",
            "security_groups = [\"sg-0000000a\"]",
        ] {
            let wrong = read(&format!("primary = \"use\"\n{other}")).unwrap_err();
            assert!(wrong.starts_with("enis.primary: must not be"), "{wrong}");
        }
    }

    #[test]
    fn subnets_are_named_in_four_ways() {
        let rule = |value: &str| read(&format!("subnets = {value}")).map(|enis| enis.subnets);
        assert_eq!(rule("\"discover\""), Ok(SubnetRule::Discover));
        let ids = ["subnet-0000000a", "subnet-0000000b"].map(|id| id.parse().unwrap());
        assert_eq!(
            rule("[\"subnet-0000000b\", \"subnet-0000000a\"]"),
            Ok(SubnetRule::Ids(ids.into()))
        );
        let tagged = SubnetRule::Tagged {
            key: "team".to_owned(),
            value: "pods".to_owned(),
        };
        assert_eq!(rule("{ key = \"team\", value = \"pods\" }"), Ok(tagged));
        for wrong in [
            "\"all\"",
            "[]",
            "false",
            "{ key = \"team\" }",
            "[\"subnet-x\"]",
            "7",
        ] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn enis_are_left_alone_by_the_references_tag_and_by_a_configured_one() {
        let tagged = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let default = EniConfig::default();
        let (key, value) = REFERENCE_TAG;
        assert!(default.leaves_alone(&tagged(key, value)));
        assert!(!default.leaves_alone(&tagged(key, "false")));
        assert!(default.leaves_alone(&tagged("underlay.dev/manage", "false")));
        assert!(!default.leaves_alone(&BTreeMap::new()));
        let other = read("unmanaged_tag = { key = \"hands\", value = \"off\" }").unwrap();
        assert!(other.leaves_alone(&tagged("hands", "off")));
        assert!(!other.leaves_alone(&tagged("underlay.dev/manage", "false")));
        let none = read("unmanaged_tag = false").unwrap();
        assert!(none.leaves_alone(&tagged(key, value)));
        assert!(!none.leaves_alone(&tagged("underlay.dev/manage", "false")));
        assert!(read("unmanaged_tag = true").is_err());
    }
}
