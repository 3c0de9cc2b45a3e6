//! Creating, changing and deleting managed prefix lists.
//!
//! EC2 answers such calls before they are carried out and shows in the list's state how they
//! ended. What the resources that name a list cannot bear ends in `modify-failed` or
//! `delete-failed`, not in a refusal.

mod checks;

use std::collections::BTreeMap;

use ipnet::IpNet;
use underlay_types::{PrefixListId, Timestamp};

pub(crate) use self::checks::check_not_of_aws;
use self::checks::{check_entries, check_modification, check_name, check_room, check_version};
use super::lifecycle::Timer;
use crate::{
    AddressFamily, Change, Ec2Error, ErrorCode, Model, PrefixList, PrefixListEntry,
    PrefixListOwner, PrefixListState, RuleDirection, RulePeer, SecurityGroup, Tags,
};

/// A prefix list to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixListRequest {
    /// Its name.
    pub name: String,
    /// What its blocks are of.
    pub family: AddressFamily,
    /// How many entries it may have.
    pub max_entries: u32,
    /// Its first entries; blocks need not be canonical.
    pub entries: Vec<PrefixListEntry>,
    /// Its tags.
    pub tags: Tags,
}

/// What to change about a prefix list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrefixListChange {
    /// The version that the caller knows; the call fails when it is another.
    pub current_version: Option<u64>,
    /// Another name.
    pub name: Option<String>,
    /// Entries to add; one whose block is there replaces its description.
    pub add: Vec<PrefixListEntry>,
    /// Blocks to remove.
    pub remove: Vec<IpNet>,
    /// Another size.
    pub max_entries: Option<u32>,
}

impl Model {
    /// CreateManagedPrefixList.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a name, size or entries EC2 does not take;
    /// `PrefixListMaxEntriesExceeded`; `PrefixListLimitExceeded`.
    pub fn create_prefix_list(
        &mut self,
        request: &PrefixListRequest,
        now: Timestamp,
    ) -> Result<PrefixListId, Ec2Error> {
        check_name(&request.name)?;
        self.check_size(request.max_entries)?;
        check_entries(request.family, &request.entries, &[])?;
        check_room(request.entries.len(), request.max_entries)?;
        let ours = |list: &&PrefixList| list.owner == PrefixListOwner::Account;
        if self.prefix_lists.values().filter(ours).count() >= self.config.limits.prefix_lists {
            let text = "The maximum number of prefix lists has been reached.";
            return Err(Ec2Error::new(ErrorCode::PrefixListLimitExceeded, text));
        }
        let id = PrefixListId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let list = PrefixList {
            id: id.clone(),
            name: request.name.clone(),
            family: request.family,
            owner: PrefixListOwner::Account,
            max_entries: request.max_entries,
            version: 1,
            versions: BTreeMap::from([(1, merged(&[], &request.entries, &[]))]),
            state: PrefixListState::CreateInProgress,
            state_message: None,
            tags: request.tags.clone(),
        };
        self.prefix_lists.insert(id.clone(), list);
        self.changes.push(Change::PrefixListChanged(id.clone()));
        self.settle_later(&id, now);
        Ok(id)
    }

    /// ModifyManagedPrefixList.
    ///
    /// # Errors
    /// `InvalidPrefixListID.NotFound`; `UnsupportedOperation` for a list of Amazon's;
    /// `IncorrectState` while something is under way; `PrefixListVersionMismatch`;
    /// `InvalidParameterCombination` for entries with a size; `InvalidPrefixListModification` for
    /// an entry that is there or a block that is not; those of [`Self::create_prefix_list`].
    pub fn modify_prefix_list(
        &mut self,
        id: &PrefixListId,
        change: &PrefixListChange,
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let list = self.require_settled_prefix_list(id)?;
        check_version(list, change.current_version)?;
        let of_entries = !change.add.is_empty() || !change.remove.is_empty();
        if of_entries && change.max_entries.is_some() {
            let text = "You cannot modify the entries and the maximum entries for the prefix list \
                        in the same request.";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        change.name.as_deref().map_or(Ok(()), check_name)?;
        check_entries(list.family, &change.add, &change.remove)?;
        check_modification(list, change)?;
        let entries = merged(list.entries(), &change.add, &change.remove);
        check_room(entries.len(), list.max_entries)?;
        if let Some(size) = change.max_entries {
            self.check_size(size)?;
            check_room(entries.len(), size)?;
        }
        let overloaded = change
            .max_entries
            .map_or_else(Vec::new, |size| self.overloaded_by(list, size));
        let failure = (!overloaded.is_empty()).then(|| {
            let ids = overloaded.into_iter().take(10).collect::<Vec<_>>();
            format!(
                "The following resources do not support the new maximum size: {}",
                ids.join(", ")
            )
        });
        self.change_prefix_list(id, PrefixListState::ModifyInProgress, now, |list| {
            if failure.is_some() {
                list.state_message = failure;
                return;
            }
            if let Some(name) = &change.name {
                name.clone_into(&mut list.name);
            }
            list.max_entries = change.max_entries.unwrap_or(list.max_entries);
            if of_entries {
                list.version += 1;
                list.versions.insert(list.version, entries);
            }
        });
        Ok(())
    }

    /// RestoreManagedPrefixListVersion: a new version with the entries of an earlier one.
    ///
    /// # Errors
    /// `InvalidPrefixListID.NotFound`; `UnsupportedOperation` for a list of Amazon's;
    /// `IncorrectState`; `PrefixListVersionMismatch`; `InvalidParameterValue` for a version that
    /// is not kept; `PrefixListMaxEntriesExceeded`.
    pub fn restore_prefix_list(
        &mut self,
        id: &PrefixListId,
        previous: u64,
        current: u64,
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let list = self.require_settled_prefix_list(id)?;
        check_version(list, Some(current))?;
        let entries = self.prefix_list_entries(id, Some(previous))?.to_vec();
        check_room(entries.len(), list.max_entries)?;
        self.change_prefix_list(id, PrefixListState::RestoreInProgress, now, |list| {
            list.version += 1;
            list.versions.insert(list.version, entries);
        });
        Ok(())
    }

    /// DeleteManagedPrefixList. The list as it was when the call came is in the answer.
    ///
    /// # Errors
    /// `InvalidPrefixListID.NotFound`; `UnsupportedOperation` for a list of Amazon's;
    /// `IncorrectState`.
    pub fn delete_prefix_list(
        &mut self,
        id: &PrefixListId,
        now: Timestamp,
    ) -> Result<PrefixList, Ec2Error> {
        let mut list = self.require_settled_prefix_list(id)?.clone();
        list.state = PrefixListState::DeleteInProgress;
        self.change_prefix_list(id, PrefixListState::DeleteInProgress, now, |_| {});
        Ok(list)
    }

    /// The entries of a version of a list; of the current one without a number.
    ///
    /// # Errors
    /// `InvalidPrefixListID.NotFound`; `InvalidParameterValue` for a version that is not kept.
    pub fn prefix_list_entries(
        &self,
        id: &PrefixListId,
        version: Option<u64>,
    ) -> Result<&[PrefixListEntry], Ec2Error> {
        let list = self.require_prefix_list(id)?;
        let version = version.unwrap_or(list.version);
        let entries = list.versions.get(&version).map(Vec::as_slice);
        entries.ok_or_else(|| {
            let text = format!("The prefix list {id} has no version {version}.");
            Ec2Error::new(ErrorCode::InvalidParameterValue, text)
        })
    }

    /// The resources that name a list, by id.
    #[must_use]
    pub fn prefix_list_references(&self, id: &PrefixListId) -> Vec<String> {
        let tables = self.route_tables_naming(id).map(|each| each.id.to_string());
        let groups = self.groups_naming(id).map(|group| group.id.to_string());
        tables.chain(groups).collect()
    }

    /// The groups with a rule that names a list.
    pub fn groups_naming<'a>(
        &'a self,
        id: &'a PrefixListId,
    ) -> impl Iterator<Item = &'a SecurityGroup> {
        let names = move |peer: &RulePeer| matches!(peer, RulePeer::PrefixList(each) if each == id);
        self.groups
            .values()
            .filter(move |group| group.rules.iter().any(|rule| names(&rule.peer)))
    }

    /// The groups that would have more rules than they may if a list had this size.
    fn overloaded_by(&self, list: &PrefixList, size: u32) -> Vec<String> {
        let resized = PrefixList {
            max_entries: size,
            ..list.clone()
        };
        let overloaded = |group: &&SecurityGroup| {
            let directions = [RuleDirection::Ingress, RuleDirection::Egress];
            let full = |direction| {
                let peers = group.rules_of(direction).map(|rule| &rule.peer);
                self.check_rule_quota(peers, Some(&resized)).is_err()
            };
            directions.into_iter().any(full)
        };
        let groups = self.groups_naming(&list.id).filter(overloaded);
        groups.map(|group| group.id.to_string()).collect()
    }

    fn require_settled_prefix_list(&self, id: &PrefixListId) -> Result<&PrefixList, Ec2Error> {
        let list = self.require_prefix_list(id)?;
        check_not_of_aws(list)?;
        match list.state {
            PrefixListState::CreateInProgress
            | PrefixListState::ModifyInProgress
            | PrefixListState::RestoreInProgress
            | PrefixListState::DeleteInProgress => {
                let text = format!(
                    "The prefix list ({id}) is in the current state ({}).",
                    list.state.as_str()
                );
                Err(Ec2Error::new(ErrorCode::IncorrectState, text))
            }
            PrefixListState::CreateComplete
            | PrefixListState::ModifyComplete
            | PrefixListState::ModifyFailed
            | PrefixListState::RestoreComplete
            | PrefixListState::DeleteFailed => Ok(list),
        }
    }

    fn change_prefix_list(
        &mut self,
        id: &PrefixListId,
        state: PrefixListState,
        now: Timestamp,
        change: impl FnOnce(&mut PrefixList),
    ) {
        let kept = self.config.limits.versions_per_prefix_list;
        let Some(list) = self.prefix_lists.get_mut(id) else {
            return;
        };
        list.state = state;
        list.state_message = None;
        change(list);
        while list.versions.len() > kept {
            list.versions.pop_first();
        }
        self.changes.push(Change::PrefixListChanged(id.clone()));
        self.settle_later(id, now);
    }

    fn settle_later(&mut self, id: &PrefixListId, now: Timestamp) {
        let delay = self.draw_delay(self.config.timings.prefix_list);
        self.schedule(now, delay, Timer::PrefixList(id.clone()));
    }

    /// Ends what is under way with a list.
    pub(crate) fn settle_prefix_list(&mut self, id: &PrefixListId) {
        let references = self.prefix_list_references(id);
        let Some(list) = self.prefix_lists.get_mut(id) else {
            return;
        };
        list.state = match list.state {
            PrefixListState::CreateInProgress => PrefixListState::CreateComplete,
            PrefixListState::ModifyInProgress if list.state_message.is_some() => {
                PrefixListState::ModifyFailed
            }
            PrefixListState::ModifyInProgress => PrefixListState::ModifyComplete,
            PrefixListState::RestoreInProgress => PrefixListState::RestoreComplete,
            PrefixListState::DeleteInProgress if references.is_empty() => {
                self.prefix_lists.remove(id);
                self.changes.push(Change::PrefixListChanged(id.clone()));
                return;
            }
            PrefixListState::DeleteInProgress => {
                let ids = references.into_iter().take(10).collect::<Vec<_>>();
                list.state_message = Some(format!(
                    "The prefix list is referenced by the following resources: {}",
                    ids.join(", ")
                ));
                PrefixListState::DeleteFailed
            }
            settled => settled,
        };
    }

    fn check_size(&self, size: u32) -> Result<(), Ec2Error> {
        let most = self.config.limits.entries_per_prefix_list;
        if (1..=most).contains(&size) {
            return Ok(());
        }
        let text = format!("Must specify a max size between 1 and {most}");
        Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
    }
}

/// The entries after adding and removing, by block.
fn merged(
    held: &[PrefixListEntry],
    add: &[PrefixListEntry],
    remove: &[IpNet],
) -> Vec<PrefixListEntry> {
    let canonical = |entry: &PrefixListEntry| (entry.cidr.trunc(), entry.description.clone());
    let mut entries: BTreeMap<IpNet, String> = held.iter().map(canonical).collect();
    for block in remove {
        entries.remove(&block.trunc());
    }
    entries.extend(add.iter().map(canonical));
    let entry = |(cidr, description)| PrefixListEntry { cidr, description };
    entries.into_iter().map(entry).collect()
}
