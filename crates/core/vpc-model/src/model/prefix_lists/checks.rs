//! What EC2 takes as a prefix list, and what not.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::PrefixListChange;
use crate::{AddressFamily, Ec2Error, ErrorCode, PrefixList, PrefixListEntry, PrefixListOwner};

/// Entries a call may add or remove.
const ENTRIES_PER_CALL: usize = 100;

pub(crate) fn check_not_of_aws(list: &PrefixList) -> Result<(), Ec2Error> {
    if list.owner == PrefixListOwner::Account {
        return Ok(());
    }
    let text = format!("The prefix list {} is managed by AWS.", list.id);
    Err(Ec2Error::new(ErrorCode::UnsupportedOperation, text))
}

pub(super) fn check_name(name: &str) -> Result<(), Ec2Error> {
    let invalid = |text: &str| Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
    if !(1..=255).contains(&name.chars().count()) {
        return invalid("The prefix list name must have 1 to 255 characters.");
    }
    if name.starts_with("com.amazonaws") {
        return invalid("The prefix list name cannot start with com.amazonaws.");
    }
    Ok(())
}

pub(super) fn check_version(list: &PrefixList, known: Option<u64>) -> Result<(), Ec2Error> {
    if known.is_none_or(|known| known == list.version) {
        return Ok(());
    }
    let text = "The prefix list has the incorrect version number.";
    Err(Ec2Error::new(ErrorCode::PrefixListVersionMismatch, text))
}

/// Entries and blocks of one call: of the list's family, each once, not too many.
pub(super) fn check_entries(
    family: AddressFamily,
    add: &[PrefixListEntry],
    remove: &[IpNet],
) -> Result<(), Ec2Error> {
    let invalid = |text: String| Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
    if add.len() > ENTRIES_PER_CALL || remove.len() > ENTRIES_PER_CALL {
        return invalid(format!(
            "The number of entries per request cannot exceeds limit ({ENTRIES_PER_CALL})."
        ));
    }
    let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for block in remove.iter().map(IpNet::trunc) {
        if !removed.insert(block) {
            return invalid(format!("The Cidr {block} is given more than once."));
        }
    }
    for entry in add {
        let block = entry.cidr.trunc();
        if AddressFamily::of(&block) != family {
            return invalid(format!(
                "The Cidr {block} is not of the prefix list's address family {}.",
                family.as_str()
            ));
        }
        if entry.description.chars().count() > 255 {
            return invalid(format!(
                "The description of {block} exceeds the maximum of 255 characters."
            ));
        }
        if !added.insert(block) {
            return invalid(format!("The Cidr {block} is given more than once."));
        }
        if removed.contains(&block) {
            return invalid(format!(
                "Request cannot contain Cidr {block} in both AddPrefixListEntries and \
                 RemovePrefixListEntries"
            ));
        }
    }
    Ok(())
}

pub(super) fn check_modification(
    list: &PrefixList,
    change: &PrefixListChange,
) -> Result<(), Ec2Error> {
    let refuse = |text: String| {
        let code = ErrorCode::InvalidPrefixListModification;
        Err(Ec2Error::new(code, text))
    };
    let held = |block: IpNet| list.entries().iter().find(move |each| each.cidr == block);
    for entry in &change.add {
        let block = entry.cidr.trunc();
        if held(block).is_some_and(|each| each.description == entry.description) {
            return refuse(format!(
                "An entry with the CIDR ({block}) and description ({}) already exists.",
                entry.description
            ));
        }
    }
    match change
        .remove
        .iter()
        .map(IpNet::trunc)
        .find(|block| held(*block).is_none())
    {
        Some(block) => refuse(format!("The entry with the CIDR ({block}) does not exist.")),
        None => Ok(()),
    }
}

pub(super) fn check_room(entries: usize, size: u32) -> Result<(), Ec2Error> {
    if usize::try_from(size).is_ok_and(|size| entries <= size) {
        return Ok(());
    }
    let text = "You've reached the maximum number of entries for the prefix list.";
    Err(Ec2Error::new(ErrorCode::PrefixListMaxEntriesExceeded, text))
}
