//! Managed prefix lists.

use ipnet::IpNet;
use underlay_types::PrefixListId;
use underlay_vpc_model::{
    AddressFamily, Ec2Error, ErrorCode, Model, PrefixList, PrefixListChange, PrefixListEntry,
    PrefixListOwner, PrefixListRequest,
};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    keys::Keys,
    page::Page,
    params::Params,
    tags::{take_specifications, write_tags},
    xml::Xml,
};

static FILTERS: FilterTable<PrefixList> = FilterTable {
    fields: &[
        ("owner-id", |model, list| vec![owner(model, list)]),
        ("prefix-list-id", |_, list| vec![list.id.to_string()]),
        ("prefix-list-name", |_, list| vec![list.name.clone()]),
    ],
    tags: None,
};

/// The filters of DescribePrefixLists.
static SERVICE_FILTERS: FilterTable<PrefixList> = FilterTable {
    fields: &[
        ("prefix-list-id", |_, list| vec![list.id.to_string()]),
        ("prefix-list-name", |_, list| vec![list.name.clone()]),
    ],
    tags: None,
};

fn owner(model: &Model, list: &PrefixList) -> String {
    match list.owner {
        PrefixListOwner::Account => model.config().account.to_string(),
        PrefixListOwner::Aws => "AWS".to_owned(),
    }
}

/// Writes a list. Size and version are the account's own affair: Amazon's lists show none.
fn write(xml: &mut Xml, model: &Model, list: &PrefixList) {
    let config = model.config();
    let ours = list.owner == PrefixListOwner::Account;
    let account = if ours { config.account.as_str() } else { "aws" };
    xml.leaf("prefixListId", &list.id);
    xml.leaf("addressFamily", list.family.as_str());
    xml.leaf("state", list.state.as_str());
    xml.optional("stateMessage", list.state_message.as_ref());
    xml.leaf(
        "prefixListArn",
        format!(
            "arn:aws:ec2:{}:{account}:prefix-list/{}",
            config.region, list.id
        ),
    );
    xml.leaf("prefixListName", &list.name);
    if ours {
        xml.leaf("maxEntries", list.max_entries);
        xml.leaf("version", list.version);
    }
    write_tags(xml, &list.tags);
    xml.leaf("ownerId", owner(model, list));
}

fn answer(model: &Model, list: &PrefixList) -> Xml {
    let mut xml = Xml::default();
    xml.tree("prefixList", |xml| write(xml, model, list));
    xml
}

fn take_family(params: &mut Params) -> Result<AddressFamily, Ec2Error> {
    let text = params.required("AddressFamily")?;
    let families = [AddressFamily::Ipv4, AddressFamily::Ipv6];
    let family = families.into_iter().find(|each| each.as_str() == text);
    family.ok_or_else(|| params.invalid("AddressFamily", text))
}

fn take_entries(params: &mut Params, name: &str) -> Result<Vec<PrefixListEntry>, Ec2Error> {
    params.structures(name, |p| {
        Ok(PrefixListEntry {
            cidr: p.required_parsed("Cidr")?,
            description: p.text("Description").unwrap_or_default(),
        })
    })
}

/// Takes `MaxEntries`. What is too small or too large is the model's affair.
fn take_size(params: &mut Params) -> Result<Option<u32>, Ec2Error> {
    let size: Option<i64> = params.parsed("MaxEntries")?;
    Ok(size.map(|size| u32::try_from(size.max(0)).unwrap_or(u32::MAX)))
}

/// CreateManagedPrefixList.
pub(super) fn create(params: &mut Params) -> Result<Call, Ec2Error> {
    let [tags] = take_specifications(params, ["prefix-list"])?;
    let request = PrefixListRequest {
        name: params.required("PrefixListName")?,
        family: take_family(params)?,
        max_entries: take_size(params)?.ok_or_else(|| params.missing("MaxEntries"))?,
        entries: take_entries(params, "Entry")?,
        tags,
    };
    Ok(Call::new(move |model, context| {
        let now = context.now;
        let made = context.once(model, |model| {
            let made = model.create_prefix_list(&request, now);
            made.map(|id| vec![id.to_string()])
        })?;
        let mut xml = Xml::default();
        for text in &made {
            let list = model.require_prefix_list(&super::ids::parse_id(text)?)?;
            xml.append(&answer(model, list));
        }
        Ok(xml)
    }))
}

/// DescribeManagedPrefixLists.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    describe_some(
        params,
        "DescribeManagedPrefixLists",
        &FILTERS,
        |xml, model, list| {
            write(xml, model, list);
        },
    )
}

/// DescribePrefixLists: Amazon's, with their blocks.
pub(super) fn describe_services(params: &mut Params) -> Result<Call, Ec2Error> {
    describe_some(
        params,
        "DescribePrefixLists",
        &SERVICE_FILTERS,
        |xml, _, list| {
            xml.items("cidrSet", list.entries(), |xml, entry| {
                xml.text(entry.cidr);
            });
            xml.leaf("prefixListId", &list.id);
            xml.leaf("prefixListName", &list.name);
        },
    )
}

fn describe_some(
    params: &mut Params,
    action: &'static str,
    table: &'static FilterTable<PrefixList>,
    write: fn(&mut Xml, &Model, &PrefixList),
) -> Result<Call, Ec2Error> {
    let of_services = action == "DescribePrefixLists";
    let ids: Vec<PrefixListId> = params.ids("PrefixListId")?;
    let filters = Filters::take(params, table)?;
    let page = Page::take_within(params, action, 1..=if of_services { 1_000 } else { 100 })?;
    let after = page.after()?;
    Ok(Call::new(move |model, _| {
        for id in &ids {
            model.require_prefix_list(id)?;
        }
        let wanted = |list: &&PrefixList| {
            (!of_services || list.owner == PrefixListOwner::Aws) && filters.pass(model, table, list)
        };
        let all = Keys::NONE.listing(model, &ids, &filters, after.as_ref());
        let (lists, next) = page.pick(all.filter(wanted), |list| list.id.to_string());
        let mut xml = Xml::default();
        xml.items("prefixListSet", lists, |xml, list| write(xml, model, list));
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

/// GetManagedPrefixListEntries.
pub(super) fn entries(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: PrefixListId = params.id("PrefixListId")?;
    let version: Option<u64> = params.parsed("TargetVersion")?;
    let page = Page::take_within(params, "GetManagedPrefixListEntries", 1..=100)?;
    let after = page.after()?;
    Ok(Call::new(move |model, _| {
        let entries = model.prefix_list_entries(&id, version)?;
        // Pages are cut by their place: a block has no text that sorts as it does.
        let first = after.map_or(0, |place: usize| place.saturating_add(1));
        let later = entries.iter().enumerate().skip(first);
        let (entries, next) = page.pick(later, |(place, _)| format!("{place:06}"));
        let mut xml = Xml::default();
        xml.items("entrySet", entries, |xml, (_, entry)| {
            xml.leaf("cidr", entry.cidr);
            let description = Some(&entry.description);
            xml.optional("description", description.filter(|text| !text.is_empty()));
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

/// GetManagedPrefixListAssociations.
pub(super) fn associations(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: PrefixListId = params.id("PrefixListId")?;
    let page = Page::take(params, "GetManagedPrefixListAssociations", 255)?;
    Ok(Call::new(move |model, _| {
        model.require_prefix_list(&id)?;
        let mut all = model.prefix_list_references(&id);
        all.sort_unstable();
        let (resources, next) = page.pick(all.into_iter(), Clone::clone);
        let mut xml = Xml::default();
        xml.items("prefixListAssociationSet", resources, |xml, resource| {
            xml.leaf("resourceId", resource);
            xml.leaf("resourceOwner", &model.config().account);
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }))
}

/// ModifyManagedPrefixList.
pub(super) fn modify(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: PrefixListId = params.id("PrefixListId")?;
    if params.flag("IpamPrefixListResolverSyncEnabled")? == Some(true) {
        let text = "This VPC has no IPAM prefix list resolvers.";
        return Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text));
    }
    let change = PrefixListChange {
        current_version: params.parsed("CurrentVersion")?,
        name: params.text("PrefixListName"),
        add: take_entries(params, "AddEntry")?,
        remove: params.structures("RemoveEntry", |p| p.required_parsed::<IpNet>("Cidr"))?,
        max_entries: take_size(params)?,
    };
    let nothing = PrefixListChange {
        current_version: change.current_version,
        ..PrefixListChange::default()
    };
    if change == nothing {
        return Err(params.missing("AddEntry, RemoveEntry, PrefixListName or MaxEntries"));
    }
    Ok(Call::new(move |model, context| {
        model.modify_prefix_list(&id, &change, context.now)?;
        Ok(answer(model, model.require_prefix_list(&id)?))
    }))
}

/// RestoreManagedPrefixListVersion.
pub(super) fn restore(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: PrefixListId = params.id("PrefixListId")?;
    let previous: u64 = params.required_parsed("PreviousVersion")?;
    let current: u64 = params.required_parsed("CurrentVersion")?;
    Ok(Call::new(move |model, context| {
        model.restore_prefix_list(&id, previous, current, context.now)?;
        Ok(answer(model, model.require_prefix_list(&id)?))
    }))
}

/// DeleteManagedPrefixList.
pub(super) fn delete(params: &mut Params) -> Result<Call, Ec2Error> {
    let id: PrefixListId = params.id("PrefixListId")?;
    Ok(Call::new(move |model, context| {
        let going = model.delete_prefix_list(&id, context.now)?;
        Ok(answer(model, &going))
    }))
}
