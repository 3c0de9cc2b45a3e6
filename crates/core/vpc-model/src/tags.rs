//! Tags of a resource.

use std::collections::BTreeMap;

/// Keys and values, ordered by key. At most 50 per resource; keys of 1 to 128 characters that do
/// not begin with `aws:`, values of up to 256.
pub type Tags = BTreeMap<String, String>;
