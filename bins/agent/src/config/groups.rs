//! Which security groups pods may choose.

use std::collections::{BTreeMap, BTreeSet};

use underlay_types::SecurityGroupId;

/// A tag that, on a security group, lets pods choose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedTag {
    /// The tag's key.
    pub key: String,
    /// The value it must have.
    pub value: String,
}

impl Default for AllowedTag {
    fn default() -> Self {
        Self {
            key: "underlay.dev/allow-pods".to_owned(),
            value: "true".to_owned(),
        }
    }
}

/// The groups that pods may choose: those named, and those that carry the tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedGroups {
    /// `allowed_ids`.
    pub ids: BTreeSet<SecurityGroupId>,
    /// `allowed_tag = { key = "...", value = "..." }`; `allowed_tag = false` allows by id alone.
    pub tag: Option<AllowedTag>,
}

impl Default for AllowedGroups {
    fn default() -> Self {
        Self {
            ids: BTreeSet::new(),
            tag: Some(AllowedTag::default()),
        }
    }
}

impl AllowedGroups {
    /// Whether a pod may choose `group`, which carries `tags`.
    #[must_use]
    pub fn permits(&self, group: &SecurityGroupId, tags: &BTreeMap<String, String>) -> bool {
        self.ids.contains(group)
            || self
                .tag
                .as_ref()
                .is_some_and(|tag| tags.get(&tag.key) == Some(&tag.value))
    }
}
