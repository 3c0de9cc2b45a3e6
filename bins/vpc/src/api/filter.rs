//! Filters of a Describe: names with values, of which one has to match.

use underlay_vpc_model::{Ec2Error, ErrorCode, Model, Tags};

use super::params::Params;

/// An object's values that a filter looks at.
type Values<T> = fn(&Model, &T) -> Vec<String>;

/// What an object of kind `T` has for a filter to look at.
pub(super) struct FilterTable<T: 'static> {
    /// By filter name, the object's values.
    pub(super) fields: &'static [(&'static str, Values<T>)],
    /// The object's tags, for `tag:<key>` and `tag-key`, if its kind has any.
    pub(super) tags: Option<fn(&T) -> &Tags>,
}

/// Filters a call has at most.
const MAX_FILTERS: usize = 50;

/// Values a filter has at most.
const MAX_VALUES: usize = 200;

/// The filters of a call: an object has to pass all of them.
#[derive(Debug)]
pub(super) struct Filters(Vec<(String, Vec<Pattern>)>);

impl Filters {
    /// Takes `Filter.N.Name` and `Filter.N.Value.M`, known to `table`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for an unknown filter or one without values;
    /// `FilterLimitExceeded` for more than 50 filters or 200 values of one.
    pub(super) fn take<T>(params: &mut Params, table: &FilterTable<T>) -> Result<Self, Ec2Error> {
        let filters = params.structures("Filter", |p| {
            let (name, values) = (p.required("Name")?, p.list("Value")?);
            let of_tags = name.starts_with("tag:") || name == "tag-key";
            let known = (of_tags && table.tags.is_some())
                || table.fields.iter().any(|(field, _)| *field == name);
            let complaint = if !known {
                format!("The filter '{name}' is invalid")
            } else if values.is_empty() {
                format!("The filter '{name}' has no value")
            } else if values.len() > MAX_VALUES {
                let text = format!("The filter '{name}' has more than {MAX_VALUES} values");
                return Err(Ec2Error::new(ErrorCode::FilterLimitExceeded, text));
            } else {
                let patterns = values.iter().map(|value| Pattern::new(value));
                return Ok((name, patterns.collect()));
            };
            Err(Ec2Error::new(ErrorCode::InvalidParameterValue, complaint))
        })?;
        if filters.len() > MAX_FILTERS {
            let text = format!("The request has more than {MAX_FILTERS} filters");
            return Err(Ec2Error::new(ErrorCode::FilterLimitExceeded, text));
        }
        Ok(Self(filters))
    }

    /// The filters without wildcards: names and values.
    pub(super) fn exact(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.0.iter().filter_map(|(name, patterns)| {
            let values: Option<_> = patterns.iter().map(Pattern::exact).collect();
            Some((name.as_str(), values?))
        })
    }

    /// Whether an object passes all of them.
    pub(super) fn pass<T>(&self, model: &Model, table: &FilterTable<T>, object: &T) -> bool {
        self.0.iter().all(|(name, patterns)| {
            let matches = |value: &str| patterns.iter().any(|pattern| pattern.matches(value));
            let tags = table.tags.map(|tags| tags(object));
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

/// A pattern in which `*` stands for any characters and `?` for one. A backslash takes the meaning
/// from the character after it.
#[derive(Debug)]
struct Pattern(Vec<Glob>);

impl Pattern {
    fn new(text: &str) -> Self {
        let mut chars = text.chars();
        let mut globs = Vec::new();
        while let Some(c) = chars.next() {
            globs.push(match c {
                '*' => Glob::Any,
                '?' => Glob::One,
                '\\' => Glob::Exactly(chars.next().unwrap_or('\\')),
                c => Glob::Exactly(c),
            });
        }
        Self(globs)
    }

    /// The only text that it matches, if there is only one.
    fn exact(&self) -> Option<String> {
        let chars = self.0.iter().map(|glob| match glob {
            Glob::Exactly(c) => Some(*c),
            Glob::Any | Glob::One => None,
        });
        chars.collect()
    }

    fn matches(&self, text: &str) -> bool {
        let Self(pattern) = self;
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
}

#[derive(Debug)]
enum Glob {
    Any,
    Exactly(char),
    One,
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
            let pattern = Pattern::new(pattern);
            assert_eq!(pattern.matches(text), expected, "{pattern:?} {text}");
            if let Some(only) = pattern.exact() {
                assert_eq!(only == text, expected, "{pattern:?} {text}");
            }
        }
    }

    static TABLE: FilterTable<()> = FilterTable {
        fields: &[("name", |_, ()| vec!["n".to_owned()])],
        tags: None,
    };

    #[test]
    fn filters_and_values_are_limited_and_tags_belong_to_what_has_them() {
        let filter = |index: usize| format!("Filter.{index}.Name=name&Filter.{index}.Value.1=n");
        let values = |count: usize| {
            let value = |index| format!("&Filter.1.Value.{index}=n");
            format!(
                "{}{}",
                filter(1),
                (2..=count).map(value).collect::<String>()
            )
        };
        let filters = |count| (1..=count).map(filter).collect::<Vec<_>>().join("&");
        let tag = |name| format!("Filter.1.Name={name}&Filter.1.Value.1=x");
        for (form, refusal) in [
            (filters(50), None),
            (filters(51), Some(ErrorCode::FilterLimitExceeded)),
            (values(200), None),
            (values(201), Some(ErrorCode::FilterLimitExceeded)),
            (tag("tag:a"), Some(ErrorCode::InvalidParameterValue)),
            (tag("tag-key"), Some(ErrorCode::InvalidParameterValue)),
        ] {
            let mut params = Params::parse(form.as_bytes()).unwrap();
            let outcome = Filters::take(&mut params, &TABLE);
            assert_eq!(outcome.err().map(|error| error.code), refusal, "{form}");
        }
    }
}
