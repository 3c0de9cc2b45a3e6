//! The entries of network ACLs.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use underlay_types::{NetworkAclId, VpcId};

use crate::{
    AclAction, AclDirection, AclTraffic, Change, Ec2Error, ErrorCode, Model, NetworkAcl,
    NetworkAclEntry,
};

/// The highest number that a caller may give an entry.
const HIGHEST: u16 = 32_766;
/// The numbers of the `*` entries: what no other entry matches is dropped.
const STAR_V4: u16 = 32_767;
const STAR_V6: u16 = 32_768;
const BOTH: [AclDirection; 2] = [AclDirection::Ingress, AclDirection::Egress];

impl Model {
    /// CreateNetworkAclEntry.
    ///
    /// # Errors
    /// `InvalidNetworkAclID.NotFound`; `InvalidParameterValue` for a number that is not 1 to
    /// 32766; `NetworkAclEntryAlreadyExists`; `NetworkAclEntryLimitExceeded`.
    pub fn create_network_acl_entry(
        &mut self,
        id: &NetworkAclId,
        entry: NetworkAclEntry,
    ) -> Result<(), Ec2Error> {
        let acl = self.require_network_acl(id)?;
        check_number(entry.number)?;
        if find(acl, entry.number, entry.direction).is_some() {
            let text = format!(
                "The network acl entry identified by {} already exists.",
                entry.number
            );
            return Err(Ec2Error::new(ErrorCode::NetworkAclEntryAlreadyExists, text));
        }
        self.check_entry_quota(acl, &entry, None)?;
        self.change_entries(id, |entries| entries.push(entry));
        Ok(())
    }

    /// ReplaceNetworkAclEntry: the entry of this number and direction becomes another.
    ///
    /// # Errors
    /// `InvalidNetworkAclID.NotFound`; `InvalidNetworkAclEntry.NotFound`; `InvalidParameterValue`;
    /// `NetworkAclEntryLimitExceeded`.
    pub fn replace_network_acl_entry(
        &mut self,
        id: &NetworkAclId,
        entry: NetworkAclEntry,
    ) -> Result<(), Ec2Error> {
        let acl = self.require_network_acl(id)?;
        check_number(entry.number)?;
        let (number, direction) = (entry.number, entry.direction);
        let before = find(acl, number, direction);
        let before = before.ok_or_else(|| no_entry(id, number, direction))?;
        self.check_entry_quota(acl, &entry, Some(before))?;
        self.change_entries(id, |entries| {
            entries.retain(|each| (each.number, each.direction) != (number, direction));
            entries.push(entry);
        });
        Ok(())
    }

    /// DeleteNetworkAclEntry.
    ///
    /// # Errors
    /// `InvalidNetworkAclID.NotFound`; `InvalidNetworkAclEntry.NotFound`; `InvalidParameterValue`.
    pub fn delete_network_acl_entry(
        &mut self,
        id: &NetworkAclId,
        number: u16,
        direction: AclDirection,
    ) -> Result<(), Ec2Error> {
        let acl = self.require_network_acl(id)?;
        check_number(number)?;
        find(acl, number, direction).ok_or_else(|| no_entry(id, number, direction))?;
        self.change_entries(id, |entries| {
            entries.retain(|each| (each.number, each.direction) != (number, direction));
        });
        Ok(())
    }

    /// A VPC has its first IPv6 block: its ACLs deny other IPv6, and the default one allows it
    /// unless its entries were changed.
    pub(crate) fn open_network_acls_to_v6(&mut self, vpc: &VpcId) {
        let acls = self.network_acls.values().filter(|acl| &acl.vpc == vpc);
        let closed = acls.filter(|acl| acl.entries.iter().all(|each| each.number != STAR_V6));
        let closed: Vec<_> = closed.map(|acl| acl.id.clone()).collect();
        for id in closed {
            self.change_entries(&id, |entries| {
                let untouched = *entries == default_entries(false);
                *entries = if untouched {
                    default_entries(true)
                } else {
                    entries.iter().cloned().chain(BOTH.map(star_v6)).collect()
                };
            });
        }
    }

    /// IPv4 and IPv6 entries count apart, the `*` ones not at all. The documentation counted them
    /// together once; the quota is configurable.
    fn check_entry_quota(
        &self,
        acl: &NetworkAcl,
        entry: &NetworkAclEntry,
        replaced: Option<&NetworkAclEntry>,
    ) -> Result<(), Ec2Error> {
        let alike = |each: &&NetworkAclEntry| {
            each.number <= HIGHEST
                && matches!(each.cidr, IpNet::V4(_)) == matches!(entry.cidr, IpNet::V4(_))
                && Some(*each) != replaced
        };
        let count = acl.entries_of(entry.direction).filter(alike).count();
        if count < self.config.limits.entries_per_network_acl {
            return Ok(());
        }
        let text = "The maximum number of network acl entries has been reached.";
        Err(Ec2Error::new(ErrorCode::NetworkAclEntryLimitExceeded, text))
    }

    fn change_entries(
        &mut self,
        id: &NetworkAclId,
        change: impl FnOnce(&mut Vec<NetworkAclEntry>),
    ) {
        if let Some(mut acl) = self.network_acls.get_mut(id) {
            change(&mut acl.entries);
            acl.entries
                .sort_by_key(|each| (each.direction, each.number));
            self.changes.push(Change::NetworkAclChanged(id.clone()));
        }
    }
}

/// What every ACL ends with.
pub(super) fn star_entries(v6: bool) -> Vec<NetworkAclEntry> {
    let of = |direction| {
        let star = [star_v4(direction), star_v6(direction)];
        star.into_iter().take(if v6 { 2 } else { 1 })
    };
    BOTH.into_iter().flat_map(of).collect()
}

/// What a VPC's default ACL has: everything is allowed.
pub(super) fn default_entries(v6: bool) -> Vec<NetworkAclEntry> {
    let mut entries = star_entries(v6);
    for direction in BOTH {
        entries.push(for_all(100, direction, AclAction::Allow, v4()));
        if v6 {
            entries.push(for_all(
                101,
                direction,
                AclAction::Allow,
                IpNet::V6(Ipv6Net::default()),
            ));
        }
    }
    entries.sort_by_key(|each| (each.direction, each.number));
    entries
}

fn star_v4(direction: AclDirection) -> NetworkAclEntry {
    for_all(STAR_V4, direction, AclAction::Deny, v4())
}

fn star_v6(direction: AclDirection) -> NetworkAclEntry {
    for_all(
        STAR_V6,
        direction,
        AclAction::Deny,
        IpNet::V6(Ipv6Net::default()),
    )
}

fn v4() -> IpNet {
    IpNet::V4(Ipv4Net::default())
}

const fn for_all(
    number: u16,
    direction: AclDirection,
    action: AclAction,
    cidr: IpNet,
) -> NetworkAclEntry {
    NetworkAclEntry {
        number,
        direction,
        action,
        traffic: AclTraffic::All,
        cidr,
    }
}

fn find(acl: &NetworkAcl, number: u16, direction: AclDirection) -> Option<&NetworkAclEntry> {
    acl.entries_of(direction).find(|each| each.number == number)
}

fn check_number(number: u16) -> Result<(), Ec2Error> {
    if (1..=HIGHEST).contains(&number) {
        return Ok(());
    }
    let text = format!(
        "Invalid value '{number}' for ruleNumber. It must be between 1 and {HIGHEST} inclusive."
    );
    Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text))
}

fn no_entry(id: &NetworkAclId, number: u16, direction: AclDirection) -> Ec2Error {
    let egress = direction == AclDirection::Egress;
    let text = format!(
        "The network acl entry with rule number {number} and egress {egress} does not exist in network ACL {id}"
    );
    Ec2Error::new(ErrorCode::InvalidNetworkAclEntryNotFound, text)
}
