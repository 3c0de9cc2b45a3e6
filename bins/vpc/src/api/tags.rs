//! Tags: at creation, on what is there, and described.

use std::collections::BTreeSet;

use underlay_vpc_model::{Ec2Error, ErrorCode, TagEntry, Tags, check_tags};

use super::{
    call::{Call, done},
    filter::{FilterTable, Filters},
    page::Page,
    params::Params,
    xml::Xml,
};

/// Takes the tags of `TagSpecification.N` for the given kinds of resource, in their order.
///
/// # Errors
/// `InvalidParameterValue` for another kind or tags EC2 does not take; `TagLimitExceeded`.
pub(super) fn take_specifications<const N: usize>(
    params: &mut Params,
    kinds: [&str; N],
) -> Result<[Tags; N], Ec2Error> {
    let specifications = params.structures("TagSpecification", |p| {
        let kind = p.required("ResourceType")?;
        let place = kinds.iter().position(|each| *each == kind);
        let place = place.ok_or_else(|| {
            let text =
                format!("'{kind}' is not a valid taggable resource type for this operation.");
            Ec2Error::new(ErrorCode::InvalidParameterValue, text)
        })?;
        Ok((place, take_tags(p)?))
    })?;
    let mut tags = [const { Tags::new() }; N];
    for (place, each) in specifications {
        if let Some(tags) = tags.get_mut(place) {
            tags.extend(each);
        }
    }
    tags.iter().try_for_each(check_tags)?;
    Ok(tags)
}

fn take_tags(params: &mut Params) -> Result<Tags, Ec2Error> {
    let mut tags = Tags::new();
    for (key, value) in params.structures("Tag", |p| {
        Ok((p.required("Key")?, p.text("Value").unwrap_or_default()))
    })? {
        if let Some(_earlier) = tags.insert(key.clone(), value) {
            let text = format!("Duplicate tag key '{key}' specified.");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
    }
    Ok(tags)
}

/// Writes a `tagSet`.
pub(super) fn write_tags(xml: &mut Xml, tags: &Tags) {
    xml.items("tagSet", tags, |xml, (key, value)| {
        xml.leaf("key", key);
        xml.leaf("value", value);
    });
}

/// CreateTags.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let resources = take_resources(params)?;
    let tags = take_tags(params)?;
    if tags.is_empty() {
        return Err(params.missing("Tag"));
    }
    Ok(Call::new(move |model, _| {
        model.create_tags(&resources, &tags)?;
        Ok(done())
    }))
}

/// DeleteTags.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let resources = take_resources(params)?;
    let tags = params.structures("Tag", |p| Ok((p.required("Key")?, p.text("Value"))))?;
    Ok(Call::new(move |model, _| {
        model.delete_tags(&resources, &tags)?;
        Ok(done())
    }))
}

fn take_resources(params: &mut Params) -> Result<Vec<String>, Ec2Error> {
    let resources = params.list("ResourceId")?;
    if resources.is_empty() {
        Err(params.missing("ResourceId"))
    } else {
        Ok(resources)
    }
}

/// A tag as filters see it: owned, since they look at one object at a time.
struct Entry {
    resource: String,
    kind: &'static str,
    key: String,
    value: String,
    /// The tag by itself, for filters by tag.
    alone: Tags,
}

impl From<TagEntry<'_>> for Entry {
    fn from(entry: TagEntry<'_>) -> Self {
        Self {
            resource: entry.resource.to_owned(),
            kind: entry.kind,
            key: entry.key.to_owned(),
            value: entry.value.to_owned(),
            alone: Tags::from([(entry.key.to_owned(), entry.value.to_owned())]),
        }
    }
}

static FILTERS: FilterTable<Entry> = FilterTable {
    fields: &[
        ("key", |_, entry| vec![entry.key.clone()]),
        ("resource-id", |_, entry| vec![entry.resource.clone()]),
        ("resource-type", |_, entry| vec![entry.kind.to_owned()]),
        ("value", |_, entry| vec![entry.value.clone()]),
    ],
    tags: Some(|entry| &entry.alone),
};

/// DescribeTags.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    let filters = Filters::take(params, &FILTERS)?;
    let page = Page::take(params, "DescribeTags", 1_000)?;
    let after: Option<String> = page.after()?;
    Ok(Call::new(move |model, _| {
        let named = filters.exact().find(|(name, _)| *name == "resource-id");
        let named: Option<BTreeSet<_>> = named.map(|(_, ids)| ids.into_iter().collect());
        let after = after.as_ref().and_then(|after| after.split_once(' '));
        let all: Box<dyn Iterator<Item = TagEntry<'_>>> = match &named {
            Some(ids) => Box::new(ids.iter().flat_map(|id| model.tags_on(id))),
            None => Box::new(model.tags_after(after)),
        };
        let wanted = all
            .map(Entry::from)
            .filter(|entry| filters.pass(model, &FILTERS, entry));
        let key = |entry: &Entry| format!("{} {}", entry.resource, entry.key);
        let (entries, next) = page.pick(wanted, key);
        let mut xml = Xml::default();
        xml.items("tagSet", entries, |xml, entry| {
            xml.leaf("key", entry.key);
            xml.leaf("resourceId", entry.resource);
            xml.leaf("resourceType", entry.kind);
            xml.leaf("value", entry.value);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}
