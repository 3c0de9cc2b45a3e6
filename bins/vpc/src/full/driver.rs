//! The driver: makes the kernel follow the model.

mod gateways;
mod placed;
mod repair;
mod resume;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use underlay_fabric::{Fabric, FabricError};
use underlay_flowlog::EniFacts;
use underlay_types::{
    EniId, InstanceId, NetworkAclId, PrefixListId, RouteTableId, SecurityGroupId, SubnetId,
};
use underlay_vpc_model::{BootMode, Change, Eni, Model, RouteTable};

use super::{
    debts::Debts,
    namespaces::{self, NamespaceError, Namespaces},
    translate,
};
use crate::flowlogs::eni_facts;

pub(super) use resume::Resumed;

/// What the driver could not do.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The fabric refused.
    #[error("{what}")]
    Fabric {
        /// What was to be done.
        what: String,
        /// Its answer.
        #[source]
        source: Box<FabricError>,
    },
    /// The instance's namespace could not be made, or somebody else's has its name.
    #[error("give a device to {eni}: this run made no namespace {instance}")]
    NoNamespace {
        /// The ENI.
        eni: EniId,
        /// The instance.
        instance: InstanceId,
    },
    /// A namespace could not be made, configured or removed.
    #[error("{what}")]
    Namespace {
        /// What was to be done.
        what: String,
        /// The cause.
        #[source]
        source: Box<NamespaceError>,
    },
}

/// Drives the fabric and the instances' namespaces.
#[derive(Debug)]
pub struct Driver {
    fabric: Fabric,
    namespaces: Namespaces,
    /// What flow records say of ENIs, those included that are gone before the window closes.
    seen: BTreeMap<EniId, EniFacts>,
    /// ENIs whose devices are gone and could not be made again.
    stuck: BTreeSet<EniId>,
    /// What the kernel refused.
    debts: Debts,
    /// ENIs of hosts and endpoints, and the namespaces where their devices were made.
    placed: BTreeMap<EniId, String>,
}

/// Devices that died with the namespaces of pods.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Whose were made again.
    pub(super) back: Vec<EniId>,
    /// Whose could not be made again, and why: each once, however often it is tried.
    pub(super) stuck: Vec<DriveError>,
}

impl Driver {
    /// A driver of a fabric without ports.
    #[must_use]
    pub fn new(fabric: Fabric, namespaces: Namespaces) -> Self {
        Self {
            fabric,
            namespaces,
            seen: BTreeMap::new(),
            stuck: BTreeSet::new(),
            debts: Debts::default(),
            placed: BTreeMap::new(),
        }
    }

    /// The fabric.
    pub const fn fabric(&mut self) -> &mut Fabric {
        &mut self.fabric
    }

    /// The namespaces.
    pub(super) const fn namespaces(&mut self) -> &mut Namespaces {
        &mut self.namespaces
    }

    /// Carries out what a call did. Goes on after failures and answers them; what was refused is
    /// tried again later, unless something else is done in its place.
    pub fn apply(&mut self, model: &Model, changes: &[Change]) -> Vec<DriveError> {
        let mut errors = Vec::new();
        let mut rest = changes;
        while let Some(change) = rest.first() {
            // Devices that go together cost as much as one.
            let (together, after) = rest.split_at(detachments(rest).max(1));
            rest = after;
            let done = if let Change::EniDetached { .. } = change {
                let enis: Vec<_> = together.iter().filter_map(detached).cloned().collect();
                self.remove_ports(&enis)
            } else {
                self.follow(model, change)
            };
            self.note_outcome(together, &done);
            errors.extend(done.err());
        }
        errors
    }

    /// What is known of the ENIs that were seen since the last time.
    pub(super) fn take_seen(&mut self) -> Vec<EniFacts> {
        std::mem::take(&mut self.seen).into_values().collect()
    }

    /// Gives an ENI a device in the namespace `name`, with the device index `index`.
    ///
    /// # Errors
    /// When the fabric refuses.
    pub fn add_port(
        &mut self,
        model: &Model,
        eni: &Eni,
        name: &str,
        index: u32,
    ) -> Result<(), DriveError> {
        self.see(model, eni);
        let path = Namespaces::path(name);
        let added = self
            .fabric
            .add_port(translate::port(model, eni), &path, index);
        added.map(drop).map_err(fabric("give a device to", &eni.id))
    }

    /// Configures an ENI's device in the namespace `name` as DHCP would.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn configure(
        &self,
        model: &Model,
        eni: &Eni,
        name: &str,
        all_addresses: bool,
    ) -> Result<(), DriveError> {
        let Some(subnet) = model.subnet(&eni.subnet) else {
            return Ok(());
        };
        let own = translate::configured(subnet, eni, all_addresses);
        namespaces::configure(name, eni.mac, &own)
            .map_err(|error| namespace("configure the device of", &eni.id)(error.into()))
    }

    /// Makes the devices again that died with the namespaces of pods. Goes on after failures.
    ///
    /// # Errors
    /// When the fabric does not say which are gone.
    pub(super) fn restore_lost(&mut self) -> Result<Restored, FabricError> {
        let mut restored = Restored::default();
        let mut stuck = BTreeSet::new();
        for eni in self.fabric.lost_ports()? {
            match self.fabric.restore_port(&eni) {
                Ok(_) => restored.back.push(eni),
                Err(error) => {
                    if !self.stuck.contains(&eni) {
                        let error = fabric("restore the device of", &eni)(error);
                        restored.stuck.push(error);
                    }
                    stuck.insert(eni);
                }
            }
        }
        self.stuck = stuck;
        Ok(restored)
    }

    fn follow(&mut self, model: &Model, change: &Change) -> Result<(), DriveError> {
        match change {
            Change::EniAttached {
                eni,
                instance,
                device_index,
            } => self.attach(model, eni, instance, *device_index),
            Change::EniChanged(eni) => self.update_port(model, eni),
            Change::EniDeleted(eni) | Change::EniDetached { eni, .. } => {
                self.remove_ports(std::slice::from_ref(eni))
            }
            Change::GroupChanged(group) => self.follow_group(model, group),
            Change::InstanceStarted(instance) => {
                let made = self.namespaces.create(instance.as_str());
                made.map_err(namespace("make the namespace of", instance))
            }
            Change::InstanceStopped(instance) | Change::InstanceTerminated(instance) => {
                let removed = self.namespaces.remove(instance.as_str());
                removed.map_err(namespace("remove the namespace of", instance))
            }
            Change::NetworkAclChanged(acl) => self.follow_acl(model, acl),
            Change::EgressOnlyInternetGatewayChanged(_) | Change::VpcChanged(_) => {
                self.follow_public_blocks(model)
            }
            Change::InternetGatewayChanged(_) => self.follow_internet(model),
            Change::NatGatewayChanged(gateway) => self.follow_nat_gateway(model, gateway),
            Change::PublicAddressChanged(public) => self.follow_public_address(model, *public),
            Change::PrefixListChanged(list) => self.follow_prefix_list(model, list),
            Change::RouteTableChanged(table) => self.follow_table(model, table),
            Change::SubnetChanged(subnet) => self.follow_subnet(model, subnet),
            Change::BranchAttached {
                branch,
                trunk,
                vlan,
            } => self.add_branch(model, branch, trunk, *vlan),
            Change::BranchDetached { branch, .. } => {
                self.remove_ports(std::slice::from_ref(branch))
            }
            // What a peering changes are its routes, which say so themselves.
            Change::EniCreated(_) | Change::FlowLogsChanged | Change::PeeringChanged(_) => Ok(()),
        }
    }

    fn attach(
        &mut self,
        model: &Model,
        eni: &EniId,
        instance: &InstanceId,
        device_index: u32,
    ) -> Result<(), DriveError> {
        let Some(eni) = model.eni(eni) else {
            return Ok(());
        };
        if !self.namespaces.has(instance.as_str()) {
            return Err(DriveError::NoNamespace {
                eni: eni.id.clone(),
                instance: instance.clone(),
            });
        }
        self.add_port(model, eni, instance.as_str(), device_index)?;
        if boots_by_dhcp(model, eni) {
            self.configure(model, eni, instance.as_str(), false)?;
        }
        Ok(())
    }

    fn add_branch(
        &mut self,
        model: &Model,
        branch: &EniId,
        trunk: &EniId,
        vlan: u16,
    ) -> Result<(), DriveError> {
        let Some(eni) = model.eni(branch) else {
            return Ok(());
        };
        self.see(model, eni);
        let added = self
            .fabric
            .add_branch(translate::port(model, eni), trunk, vlan);
        added.map_err(fabric("give a tag to", branch))
    }

    fn update_port(&mut self, model: &Model, id: &EniId) -> Result<(), DriveError> {
        let Some(eni) = model.eni(id) else {
            return Ok(());
        };
        self.see(model, eni);
        match self.fabric.update_port(translate::port(model, eni)) {
            // Attached to nothing: it gets its device, and all of this, later.
            Err(FabricError::UnknownPort(_)) => return Ok(()),
            other => other.map_err(fabric("update", id))?,
        }
        self.follow_addresses(model, eni)
    }

    fn remove_ports(&mut self, enis: &[EniId]) -> Result<(), DriveError> {
        let removed = self.fabric.remove_ports(enis);
        removed.map_err(|source| DriveError::Fabric {
            what: format!("take the devices of {enis:?} away"),
            source: Box::new(source),
        })
    }

    fn follow_group(&mut self, model: &Model, id: &SecurityGroupId) -> Result<(), DriveError> {
        let Some(group) = model.group(id) else {
            let removed = self.fabric.remove_group(id);
            return removed.map_err(fabric("remove the rules of", id));
        };
        // Lists of Amazon's never change, so that nothing else tells of them.
        translate::lists_of(group).try_for_each(|list| self.follow_prefix_list(model, list))?;
        let set = self.fabric.set_group(id, &translate::rules(group));
        set.map_err(fabric("set the rules of", id))
    }

    fn follow_acl(&mut self, model: &Model, id: &NetworkAclId) -> Result<(), DriveError> {
        let Some(acl) = model.network_acl(id) else {
            let removed = self.fabric.remove_acl(id);
            return removed.map_err(fabric("remove the entries of", id));
        };
        let set = self.fabric.set_acl(id, &translate::acl(acl));
        set.map_err(fabric("set the entries of", id))?;
        let subnets = acl.associations.iter().map(|each| &each.subnet);
        let mut subnets = subnets.filter(|subnet| model.subnet(subnet).is_some());
        subnets.try_for_each(|subnet| self.follow_subnet(model, subnet))
    }

    fn follow_prefix_list(&mut self, model: &Model, id: &PrefixListId) -> Result<(), DriveError> {
        match model.prefix_list(id) {
            Some(list) => {
                let blocks: Vec<_> = list.entries().iter().map(|entry| entry.cidr).collect();
                self.fabric.set_prefix_list(id, &blocks)
            }
            None => self.fabric.remove_prefix_list(id),
        }
        .map_err(fabric("set the blocks of", id))?;
        model
            .route_tables_naming(id)
            .try_for_each(|table| self.set_routes(model, table))
    }

    fn set_routes(&mut self, model: &Model, table: &RouteTable) -> Result<(), DriveError> {
        let routes = translate::routes(model, table);
        let set = self.fabric.set_routes(&table.id, &routes);
        set.map_err(fabric("set the routes of", &table.id))
    }

    fn follow_table(&mut self, model: &Model, id: &RouteTableId) -> Result<(), DriveError> {
        let Some(table) = model.route_table(id) else {
            let removed = self.fabric.remove_routes(id);
            return removed.map_err(fabric("remove the routes of", id));
        };
        self.set_routes(model, table)?;
        // Its associations may have changed: a subnet that uses the same table as before is not
        // touched.
        model
            .subnets()
            .filter(|subnet| subnet.vpc == table.vpc)
            .try_for_each(|subnet| self.follow_subnet(model, &subnet.id))
    }

    fn follow_subnet(&mut self, model: &Model, id: &SubnetId) -> Result<(), DriveError> {
        let Some(known) = model.subnet(id) else {
            self.fabric.remove_subnet(id);
            return Ok(());
        };
        match translate::subnet(model, known) {
            Some(subnet) => {
                let set = self.fabric.set_subnet(id, subnet);
                set.map_err(fabric("set", id))
            }
            None => Ok(()),
        }
    }

    fn see(&mut self, model: &Model, eni: &Eni) {
        if let Some(facts) = eni_facts(model, eni) {
            self.seen.insert(eni.id.clone(), facts);
        }
    }
}

/// Whether an interface is the one that its instance configures by DHCP when it boots.
fn boots_by_dhcp(model: &Model, eni: &Eni) -> bool {
    let instance = eni.instance().and_then(|id| model.instance(id));
    let held = eni.attachment.as_ref();
    held.is_some_and(|held| (held.network_card, held.device_index) == (0, 0))
        && instance.is_some_and(|instance| instance.boot == BootMode::Dhcp)
}

fn detached(change: &Change) -> Option<&EniId> {
    match change {
        Change::EniDetached { eni, .. } => Some(eni),
        _ => None,
    }
}

/// How many changes from the first on are detachments.
fn detachments(changes: &[Change]) -> usize {
    changes
        .iter()
        .take_while(|change| detached(change).is_some())
        .count()
}

fn fabric(what: &str, on: &impl fmt::Display) -> impl FnOnce(FabricError) -> DriveError {
    let what = format!("{what} {on}");
    move |source| DriveError::Fabric {
        what,
        source: Box::new(source),
    }
}

fn namespace(what: &str, on: &impl fmt::Display) -> impl FnOnce(NamespaceError) -> DriveError {
    let what = format!("{what} {on}");
    move |source| DriveError::Namespace {
        what,
        source: Box::new(source),
    }
}
