//! A request of the Query protocol: an action and its flattened parameters.

use std::fmt::Display;

use super::model::{Filter, Tags};

/// The API version whose shapes this crate reads and writes.
const API_VERSION: &str = "2016-11-15";

/// Whether a request may be sent again when it is unknown if EC2 carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    /// A second one would do more, or answer as if the first had failed.
    Harmful,
    /// It changes nothing, or nothing more than the first.
    Harmless,
}

/// An action, what it is about, and its parameters in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) action: &'static str,
    pub(crate) object: String,
    pub(crate) replay: Replay,
    parameters: Vec<(String, String)>,
}

// === impl Request ===

impl Request {
    pub(crate) fn new(action: &'static str, object: impl Display, replay: Replay) -> Self {
        Self {
            action,
            object: object.to_string(),
            replay,
            parameters: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.parameters.push((name.into(), value.to_string()));
        self
    }

    /// `name.1`, `name.2`, ...
    pub(crate) fn with_list<T: Display>(self, name: &str, values: &[T]) -> Self {
        values
            .iter()
            .enumerate()
            .fold(self, |request, (index, value)| {
                request.with(format!("{name}.{}", index + 1), value)
            })
    }

    pub(crate) fn with_filters(self, filters: &[Filter]) -> Self {
        filters
            .iter()
            .enumerate()
            .fold(self, |request, (index, filter)| {
                let prefix = format!("Filter.{}", index + 1);
                request
                    .with(format!("{prefix}.Name"), &filter.name)
                    .with_list(&format!("{prefix}.Value"), &filter.values)
            })
    }

    /// Tags for what the action creates.
    pub(crate) fn with_tags(self, resource_type: &str, tags: &Tags) -> Self {
        if tags.is_empty() {
            return self;
        }
        let request = self.with("TagSpecification.1.ResourceType", resource_type);
        tags.iter()
            .enumerate()
            .fold(request, |request, (index, (key, value))| {
                let prefix = format!("TagSpecification.1.Tag.{}", index + 1);
                request
                    .with(format!("{prefix}.Key"), key)
                    .with(format!("{prefix}.Value"), value)
            })
    }

    /// The body of the POST that carries it.
    pub(crate) fn to_form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", self.action)
            .append_pair("Version", API_VERSION);
        form.extend_pairs(&self.parameters);
        form.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_filters_and_tags_are_flattened_and_numbered_from_one() {
        let tags = Tags::from([
            ("a b".to_owned(), "1&2".to_owned()),
            ("c".to_owned(), String::new()),
        ]);
        let filter = Filter {
            name: "tag:x".to_owned(),
            values: vec!["y".to_owned(), "z".to_owned()],
        };
        let request = Request::new("CreateThing", "thing", Replay::Harmless)
            .with("Count", 3)
            .with_list("Id", &["i-1", "i-2"])
            .with_filters(&[filter])
            .with_tags("thing", &tags);
        assert_eq!(
            request.to_form(),
            "Action=CreateThing&Version=2016-11-15&Count=3&Id.1=i-1&Id.2=i-2\
             &Filter.1.Name=tag%3Ax&Filter.1.Value.1=y&Filter.1.Value.2=z\
             &TagSpecification.1.ResourceType=thing\
             &TagSpecification.1.Tag.1.Key=a+b&TagSpecification.1.Tag.1.Value=1%262\
             &TagSpecification.1.Tag.2.Key=c&TagSpecification.1.Tag.2.Value="
        );
    }
}
