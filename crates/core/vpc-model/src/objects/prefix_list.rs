//! Managed prefix lists.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use underlay_types::PrefixListId;

use crate::Tags;

/// A managed prefix list: blocks that rules and routes name together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixList {
    /// Its id.
    pub id: PrefixListId,
    /// Its name.
    pub name: String,
    /// What its blocks are of.
    pub family: AddressFamily,
    /// Whose it is.
    pub owner: PrefixListOwner,
    /// How many entries it may have. It counts as so many rules and routes; of a list of Amazon's
    /// this is the documented weight.
    pub max_entries: u32,
    /// The number of the version that counts now.
    pub version: u64,
    /// The entries of each version that is kept, the current one included.
    pub versions: BTreeMap<u64, Vec<PrefixListEntry>>,
    /// What last happened to it.
    pub state: PrefixListState,
    /// Why that failed, if it did.
    pub state_message: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl PrefixList {
    /// The entries of the current version, by block.
    #[must_use]
    pub fn entries(&self) -> &[PrefixListEntry] {
        self.versions.get(&self.version).map_or(&[], Vec::as_slice)
    }

    /// Whether an entry covers `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.entries()
            .iter()
            .any(|entry| entry.cidr.contains(&address))
    }
}

/// A block of a prefix list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PrefixListEntry {
    /// The block, canonical.
    pub cidr: IpNet,
    /// What its creator wrote about it.
    pub description: String,
}

/// The kind of addresses of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AddressFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl AddressFamily {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The family of a block.
    #[must_use]
    pub const fn of(block: &IpNet) -> Self {
        match block {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }
}

/// Whose a prefix list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrefixListOwner {
    /// The account's: it may change it.
    Account,
    /// Amazon's: nobody here may change it.
    Aws,
}

/// What last happened to a prefix list, and whether it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrefixListState {
    /// It is being created.
    CreateInProgress,
    /// It was created.
    CreateComplete,
    /// Its entries, its name or its size are being changed.
    ModifyInProgress,
    /// They were changed.
    ModifyComplete,
    /// They could not be changed; everything is as before.
    ModifyFailed,
    /// An earlier version is being restored.
    RestoreInProgress,
    /// An earlier version was restored.
    RestoreComplete,
    /// It is being deleted.
    DeleteInProgress,
    /// It could not be deleted.
    DeleteFailed,
}

impl PrefixListState {
    /// As EC2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateInProgress => "create-in-progress",
            Self::CreateComplete => "create-complete",
            Self::ModifyInProgress => "modify-in-progress",
            Self::ModifyComplete => "modify-complete",
            Self::ModifyFailed => "modify-failed",
            Self::RestoreInProgress => "restore-in-progress",
            Self::RestoreComplete => "restore-complete",
            Self::DeleteInProgress => "delete-in-progress",
            Self::DeleteFailed => "delete-failed",
        }
    }
}
