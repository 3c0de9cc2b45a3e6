//! What EC2 last said of this instance, kept beside the journal: the successor of an agent that died
//! serves by it at once and asks EC2 when an audit is due. After a reboot there is none.
//!
//! The file stands only while it is true as far as this agent knows: it goes before a call that
//! changes something, and comes back when what the call did is known. So a successor that finds it
//! knows that no call was cut off.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use underlay_cloud::ec2::{
    Attachment, AttachmentStatus, InstanceTypeLimits, InterfaceStatus, NetworkInterface, Subnet,
};
use underlay_ipam::{Certainty, Ec2Op, Holding, OpId};
use underlay_types::{EniId, InstanceId, Mac};

use super::calls::Answer;

/// Another format is not read; EC2 is asked instead.
const FORMAT: u32 = 2;

/// What does not change while an instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) instance: InstanceId,
    pub(super) primary_mac: Mac,
    pub(super) limits: InstanceTypeLimits,
    pub(super) subnet_cidr: Ipv4Net,
    /// Whether the primary ENI's subnet was found to have IPv6; nobody looked where pods have none, or
    /// have it of other subnets.
    pub(super) subnet_has_ipv6: bool,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    format: u32,
    #[serde(flatten)]
    remembered: Remembered,
}

/// What the format is, whatever it is.
#[derive(Debug, Deserialize)]
struct Header {
    format: u32,
}

/// What an agent knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) place: Place,
    pub(super) interfaces: Vec<NetworkInterface>,
    /// Of the node's VPC and zone; none where EC2 was never asked.
    pub(super) subnets: Vec<Subnet>,
}

/// The memory of a running agent.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    place: Place,
    interfaces: BTreeMap<EniId, NetworkInterface>,
    subnets: Vec<Subnet>,
    certainty: Certainty,
}

/// Where the memory lies that belongs to a journal.
pub(super) fn beside(journal: &Path) -> PathBuf {
    journal.with_file_name("ec2.json")
}

/// Reads what an earlier agent left for this instance.
pub(super) fn read(path: &Path) -> Option<Remembered> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!(path = %path.display(), %error, "cannot read what EC2 said before; asking again");
            return None;
        }
    };
    match parse(&bytes) {
        Ok(Some(remembered)) => Some(remembered),
        Ok(None) => {
            debug!("another version's memory of EC2");
            None
        }
        Err(error) => {
            warn!(path = %path.display(), %error, "cannot use what EC2 said before; asking again");
            None
        }
    }
}

fn parse(bytes: &[u8]) -> serde_json::Result<Option<Remembered>> {
    let header: Header = serde_json::from_slice(bytes)?;
    if header.format != FORMAT {
        return Ok(None);
    }
    let content: Content = serde_json::from_slice(bytes)?;
    Ok(Some(content.remembered))
}

impl Memory {
    /// The memory of what EC2 said, not yet written.
    pub(super) fn new(path: PathBuf, known: Remembered) -> Self {
        Self {
            path,
            place: known.place,
            interfaces: by_id(&known.interfaces),
            subnets: known.subnets,
            certainty: Certainty::default(),
        }
    }

    /// A call begins. Until its outcome is known there is nothing to go by.
    pub(super) fn begins(&mut self, op: OpId) {
        self.certainty.begins(op);
        forget(&self.path);
    }

    /// A call ended with this answer, or failed.
    pub(super) fn ended(&mut self, op: OpId, call: Option<&Ec2Op>, answer: Option<&Answer>) {
        let applied = call.zip(answer).is_some_and(|(call, answer)| {
            let instance = &self.place.instance;
            apply(&mut self.interfaces, instance, call, answer)
        });
        self.certainty.ended(op, applied);
        self.write();
    }

    /// What EC2 last said of the subnets, to be written with the next change.
    pub(super) fn note_subnets(&mut self, subnets: Vec<Subnet>) {
        self.subnets = subnets;
    }

    /// EC2 is asked what this instance has.
    pub(super) fn asks(&mut self) {
        self.certainty.asks();
    }

    /// EC2 showed the ENIs. It may not have seen the end of a call that came in between.
    pub(super) fn observed(&mut self, interfaces: &[NetworkInterface]) {
        if self.certainty.hears() {
            self.interfaces = by_id(interfaces);
            self.write();
        }
    }

    /// Writes the file where it would be true; a failure only costs the successor its questions.
    pub(super) fn write(&self) {
        if !self.certainty.is_sure() {
            return;
        }
        let content = Content {
            format: FORMAT,
            remembered: Remembered {
                place: self.place.clone(),
                interfaces: self.interfaces.values().cloned().collect(),
                subnets: self.subnets.clone(),
            },
        };
        let written = serde_json::to_vec(&content)
            .map_err(io::Error::from)
            .and_then(|bytes| replace(&self.path, &bytes));
        if let Err(error) = written {
            warn!(path = %self.path.display(), %error, "cannot note what EC2 said");
            forget(&self.path);
        }
    }
}

/// Removes the memory, so that the next agent asks EC2.
pub(super) fn forget(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %path.display(), %error, "cannot remove what EC2 said before");
        }
        _ => {}
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(bytes)?;
    fs::rename(&draft, path)
}

fn by_id(interfaces: &[NetworkInterface]) -> BTreeMap<EniId, NetworkInterface> {
    let with_id = |eni: &NetworkInterface| (eni.id.clone(), eni.clone());
    interfaces.iter().map(with_id).collect()
}

/// Does to `interfaces` what the call did; false if that is not known.
fn apply(
    interfaces: &mut BTreeMap<EniId, NetworkInterface>,
    instance: &InstanceId,
    call: &Ec2Op,
    answer: &Answer,
) -> bool {
    if let Answer::Created(created) = answer {
        interfaces.insert(created.id.clone(), (**created).clone());
        return true;
    }
    if let Ec2Op::DeleteEni { eni } = call {
        return interfaces.remove(eni).is_some();
    }
    let Some(eni) = call.eni().and_then(|eni| interfaces.get_mut(eni)) else {
        return false;
    };
    match (call, answer) {
        (Ec2Op::Assign { .. }, Answer::Assigned(holding)) => add(eni, holding),
        (Ec2Op::AttachEni { place, .. }, Answer::Attached(id)) => {
            eni.status = InterfaceStatus::InUse;
            eni.attachment = Some(Attachment {
                id: id.clone(),
                instance: Some(instance.clone()),
                device_index: place.index.into(),
                network_card: place.card.into(),
                status: AttachmentStatus::Attached,
                delete_on_termination: false,
            });
        }
        (Ec2Op::DetachEni { .. }, Answer::Done) => {
            eni.status = InterfaceStatus::Available;
            eni.attachment = None;
        }
        (Ec2Op::SetDeleteOnTermination { .. }, Answer::Done) => {
            if let Some(attachment) = &mut eni.attachment {
                attachment.delete_on_termination = true;
            }
        }
        (Ec2Op::UnassignAddresses { addresses, .. }, Answer::Done) => {
            eni.secondary.retain(|held| !addresses.contains(held));
        }
        (Ec2Op::UnassignPrefixes { prefixes, .. }, Answer::Done) => {
            eni.prefixes.retain(|held| !prefixes.contains(held));
        }
        (Ec2Op::UnassignIpv6Prefixes { prefixes, .. }, Answer::Done) => {
            eni.ipv6_prefixes.retain(|held| !prefixes.contains(held));
        }
        _ => return false,
    }
    true
}

fn add(eni: &mut NetworkInterface, holding: &Holding) {
    eni.secondary.extend(&holding.addresses);
    eni.prefixes.extend(&holding.prefixes);
    eni.ipv6_prefixes.extend(&holding.ipv6_prefixes);
}

#[cfg(test)]
mod tests;
