//! What a request looks like from outside: what it names, how much it asks for, half of it.

use std::collections::{BTreeMap, BTreeSet};

use super::request::ApiRequest;

/// Parameters that count things to make or assign.
const COUNTS: [&str; 5] = [
    "Ipv4PrefixCount",
    "Ipv6AddressCount",
    "Ipv6PrefixCount",
    "MaxCount",
    "SecondaryPrivateIpAddressCount",
];
/// Parameters that list things, each of which is done by itself.
const LISTS: [&str; 9] = [
    "InstanceId",
    "IpPermissions",
    "Ipv4Prefix",
    "Ipv6Addresses",
    "Ipv6Prefix",
    "NetworkInterfaceId",
    "PrivateIpAddress",
    "ResourceId",
    "SecurityGroupRuleId",
];
/// Names that are looked at, for faults of one object; a request may hold many more.
const MAX_NAMES: usize = 1_000;

/// What a request looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// The instances and interfaces that it names.
    pub(super) names: Vec<String>,
    /// How many things it asks to make or end.
    pub(super) resources: u64,
    /// Whether half of it can be done.
    pub(super) divisible: bool,
}

impl Shape {
    /// Of the parameters of a call of `action`.
    pub(super) fn of(action: &str, values: &BTreeMap<String, String>) -> Self {
        let named = |value: &&String| value.starts_with("i-") || value.starts_with("eni-");
        let members = |list: &str| {
            let numbered = |name: &&String| {
                let index = name
                    .strip_prefix(list)
                    .and_then(|rest| rest.strip_prefix('.'));
                index.is_some_and(|index| index.parse::<u32>().is_ok())
            };
            values.keys().filter(numbered).count()
        };
        let number = |name: &str| values.get(name).and_then(|value| value.parse().ok());
        let resources = match action {
            "RunInstances" => number("MaxCount").unwrap_or(1),
            "StartInstances" | "StopInstances" | "TerminateInstances" => {
                u64::try_from(members("InstanceId")).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
        let pairs = values.iter().map(|(name, value)| (&**name, &**value));
        Self {
            names: values
                .values()
                .filter(named)
                .take(MAX_NAMES)
                .cloned()
                .collect(),
            resources,
            divisible: half(pairs).is_some(),
        }
    }
}

/// A request for half of what `request` counts, or else lists; `None` when that is nothing.
///
/// Its signature no longer fits.
pub(crate) fn halved(request: &ApiRequest) -> Option<ApiRequest> {
    let in_body = request.method == "POST" && !request.body.is_empty();
    let form = if in_body {
        request.body.as_slice()
    } else {
        request.query.as_bytes()
    };
    let pairs: Vec<_> = form_urlencoded::parse(form).collect();
    let kept = half(pairs.iter().map(|(name, value)| (&**name, &**value)))?;
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .finish();
    let mut request = request.clone();
    if in_body {
        request.body = form.into_bytes();
    } else {
        request.query = form;
    }
    Some(request)
}

fn half<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Option<Vec<(String, String)>> {
    let counted = pairs.clone().find_map(|(name, value)| {
        let count = value.parse::<u32>().ok().filter(|count| *count > 1)?;
        COUNTS.contains(&name).then_some((name, count / 2))
    });
    if let Some((counted, count)) = counted {
        let set = |(name, value): (&str, &str)| {
            let value = match name {
                name if name == counted => count.to_string(),
                // Half of the instances may be fewer than the least that were asked for.
                "MinCount" => "1".to_owned(),
                _ => value.to_owned(),
            };
            (name.to_owned(), value)
        };
        return Some(pairs.map(set).collect());
    }
    LISTS.into_iter().find_map(|list| {
        let index = |name: &str| -> Option<u32> {
            let rest = name.strip_prefix(list)?.strip_prefix('.')?;
            rest.split('.').next()?.parse().ok()
        };
        let indices: BTreeSet<_> = pairs.clone().filter_map(|(name, _)| index(name)).collect();
        let first_left_out = *indices.iter().nth(indices.len() / 2)?;
        if indices.len() < 2 {
            return None;
        }
        let kept = |(name, _): &(&str, &str)| index(name).is_none_or(|at| at < first_left_out);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Some(pairs.clone().filter(kept).map(owned).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halved_form(form: &str) -> Option<String> {
        let request = ApiRequest {
            method: "POST".to_owned(),
            body: form.as_bytes().to_vec(),
            ..ApiRequest::default()
        };
        halved(&request).map(|half| String::from_utf8(half.body).unwrap())
    }

    #[test]
    fn half_of_a_count_or_a_list_is_asked_for() {
        for (form, half) in [
            (
                "Action=A&Ipv4PrefixCount=5",
                Some("Action=A&Ipv4PrefixCount=2"),
            ),
            ("MinCount=4&MaxCount=6", Some("MinCount=1&MaxCount=3")),
            ("SecondaryPrivateIpAddressCount=1", None),
            (
                "InstanceId.1=i-1&InstanceId.2=i-2&X=1",
                Some("InstanceId.1=i-1&X=1"),
            ),
            (
                "IpPermissions.2.FromPort=1&IpPermissions.10.FromPort=2&IpPermissions.3.FromPort=3",
                Some("IpPermissions.2.FromPort=1"),
            ),
            ("InstanceId.1=i-1", None),
            ("", None),
            ("Ipv4PrefixCount=99999999999999", None),
        ] {
            assert_eq!(halved_form(form).as_deref(), half, "{form}");
        }
    }

    #[test]
    fn a_request_names_its_instances_and_interfaces() {
        let values = |pairs: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect::<BTreeMap<_, _>>()
        };
        let attach = values(&[
            ("InstanceId", "i-1"),
            ("NetworkInterfaceId", "eni-2"),
            ("SubnetId", "subnet-3"),
        ]);
        let expected = Shape {
            names: vec!["i-1".to_owned(), "eni-2".to_owned()],
            resources: 0,
            divisible: false,
        };
        assert_eq!(Shape::of("AttachNetworkInterface", &attach), expected);
        let terminate = values(&[("InstanceId.1", "i-1"), ("InstanceId.2", "i-2")]);
        let shape = Shape::of("TerminateInstances", &terminate);
        assert_eq!((shape.resources, shape.divisible), (2, true));
        let run = values(&[("MaxCount", "7")]);
        assert_eq!(Shape::of("RunInstances", &run).resources, 7);
    }
}
