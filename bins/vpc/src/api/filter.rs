//! Filters of a Describe: names with values, of which one has to match.

use underlay_vpc_model::{Ec2Error, ErrorCode, Model, Tags};

use super::params::Params;

/// An object's values that a filter looks at.
type Values<T> = fn(&Model, &T) -> Vec<String>;

/// What an object of kind `T` has for a filter to look at.
pub(super) struct FilterTable<T: 'static> {
    /// By filter name, the object's values.
    pub(super) fields: &'static [(&'static str, Values<T>)],
    /// The object's tags, for `tag:<key>` and `tag-key`.
    pub(super) tags: fn(&T) -> Option<&Tags>,
}

/// The filters of a call: an object has to pass all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Takes `Filter.N.Name` and `Filter.N.Value.M`, known to `table`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for an unknown filter or one without values.
    pub(super) fn take<T>(params: &mut Params, table: &FilterTable<T>) -> Result<Self, Ec2Error> {
        let filters = params.structures("Filter", |p| {
            let (name, values) = (p.required("Name")?, p.list("Value")?);
            let known = name.starts_with("tag:")
                || name == "tag-key"
                || table.fields.iter().any(|(field, _)| *field == name);
            let complaint = if !known {
                format!("The filter '{name}' is invalid")
            } else if values.is_empty() {
                format!("The filter '{name}' has no value")
            } else if values.len() > 200 {
                format!("The filter '{name}' has more than 200 values")
            } else {
                return Ok((name, values));
            };
            Err(Ec2Error::new(ErrorCode::InvalidParameterValue, complaint))
        })?;
        Ok(Self(filters))
    }

    /// Whether an object passes all of them.
    pub(super) fn pass<T>(&self, model: &Model, table: &FilterTable<T>, object: &T) -> bool {
        self.0.iter().all(|(name, patterns)| {
            let matches = |value: &str| patterns.iter().any(|pattern| wildcard(pattern, value));
            let tags = (table.tags)(object);
            if let Some(key) = name.strip_prefix("tag:") {
                return tags
                    .and_then(|tags| tags.get(key))
                    .is_some_and(|value| matches(value));
            }
            if name == "tag-key" {
                return tags.is_some_and(|tags| tags.keys().any(|key| matches(key)));
            }
            let field = table.fields.iter().find(|(field, _)| field == name);
            field
                .is_some_and(|(_, values)| values(model, object).iter().any(|value| matches(value)))
        })
    }
}

/// Whether `text` matches a pattern in which `*` stands for any characters and `?` for one.
/// A backslash takes the meaning from the character after it.
fn wildcard(pattern: &str, text: &str) -> bool {
    let pattern: Vec<Glob> = globs(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Glob::Any) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Glob::One) => (p, t) = (p + 1, t + 1),
            Some(Glob::Exactly(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, from)) = retry else {
                    return false;
                };
                retry = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|glob| matches!(glob, Glob::Any))
}

enum Glob {
    Any,
    Exactly(char),
    One,
}

fn globs(pattern: &str) -> Vec<Glob> {
    let mut chars = pattern.chars();
    let mut globs = Vec::new();
    while let Some(c) = chars.next() {
        globs.push(match c {
            '*' => Glob::Any,
            '?' => Glob::One,
            '\\' => Glob::Exactly(chars.next().unwrap_or('\\')),
            c => Glob::Exactly(c),
        });
    }
    globs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_documented() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "axxbyyc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("abc", "ABC", false),
            ("**x", "x", true),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }
}
