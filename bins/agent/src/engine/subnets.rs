//! The subnets of the node's zone: asked for rarely, chosen from for each new ENI.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::Ipv4Net;
use tracing::info;
use underlay_cloud::{
    Ec2, Ec2Error,
    ec2::{self, Ipv4Grant, NetworkInterface, NewInterface},
};
use underlay_ipam::{ADDRESSES_PER_PREFIX, Ec2Failure, Site, Subnet, SubnetRule, Subnets};
use underlay_types::{Class, Family, SubnetId};

use super::{calls::failure, clock::boot_time, node::NodeFacts, observation::INSTANCE_TAG};

/// What is known of them, and a way to know more.
#[derive(Debug)]
pub(super) struct SubnetRegister {
    ec2: Ec2,
    known: Mutex<Subnets>,
    /// The last answer, for an agent that comes after this one.
    described: Mutex<Vec<ec2::Subnet>>,
    /// Held while EC2 is asked: who comes meanwhile waits for the same answer.
    asking: tokio::sync::Mutex<()>,
}

impl SubnetRegister {
    /// `remembered` is what EC2 last said to an earlier agent.
    pub(super) fn new(
        rule: SubnetRule,
        ec2: Ec2,
        node: &NodeFacts,
        remembered: Vec<ec2::Subnet>,
    ) -> Self {
        let site = Site {
            vpc: node.vpc.clone(),
            zone: node.zone.clone(),
            subnet: node.subnet.clone(),
        };
        let ipv6 = node.families.has(Family::V6);
        let mut known = Subnets::new(rule, site, node.subnet_cidr, ipv6);
        let told: Vec<Subnet> = remembered.iter().map(subnet).collect();
        known.recall(&told);
        Self {
            ec2,
            known: Mutex::new(known),
            described: Mutex::new(remembered),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The IPv4 block of a subnet, once known.
    pub(super) fn block(&self, subnet: &SubnetId) -> Option<Ipv4Net> {
        self.known().block(subnet)
    }

    /// Whether pods get addresses of ENIs in this subnet.
    pub(super) fn admits(&self, subnet: &SubnetId) -> bool {
        self.known().admits(subnet)
    }

    /// What EC2 last said of the subnets; nothing where it was never asked.
    pub(super) fn described(&self) -> Vec<ec2::Subnet> {
        lock(&self.described).clone()
    }

    /// Asks EC2 unless enough is known to judge these ENIs by, if only from an earlier agent.
    pub(super) async fn look_first(&self, interfaces: &[NetworkInterface]) -> Result<(), Ec2Error> {
        self.ask_if(|known| !known.is_known() || has_unknown(known, interfaces))
            .await
    }

    /// Asks EC2 if it was not asked lately, or if an ENI of ours stands in an unknown subnet. Where
    /// pods use the node's subnet alone, that is never.
    pub(super) async fn look(&self, interfaces: &[NetworkInterface]) -> Result<(), Ec2Error> {
        self.ask_if(|known| known.is_stale(boot_time()) || has_unknown(known, interfaces))
            .await
    }

    /// Creates an ENI in the subnet with the most free addresses, or in the next one where that has
    /// too few: who asked hears of a shortage only when all have it.
    pub(super) async fn create(&self, new: NewInterface) -> Result<NetworkInterface, Ec2Failure> {
        self.ask_if(|known| known.is_stale(boot_time()))
            .await
            .map_err(|error| failure(&error))?;
        let order = self.known().in_order(boot_time());
        let mut told: Option<Ec2Failure> = None;
        for (number, subnet) in order.into_iter().enumerate() {
            match self.try_in(&new, number, &subnet).await {
                Err(error) if has_no_room(&error) => {
                    info!(%subnet, %error, "no ENI in this subnet");
                    self.known().refuses(boot_time(), &subnet);
                    told = Some(failure(&error).after(told));
                }
                answer => return answer.map_err(|error| failure(&error)),
            }
        }
        Err(told.unwrap_or_else(|| self.none()))
    }

    /// Each subnet has a request of its own: EC2 refuses a token with other parameters.
    async fn try_in(
        &self,
        new: &NewInterface,
        number: usize,
        subnet: &SubnetId,
    ) -> Result<NetworkInterface, Ec2Error> {
        let mut new = new.clone();
        new.subnet = subnet.clone();
        if number > 0 {
            new.client_token = format!("{}-{number}", new.client_token);
        }
        let created = self.ec2.create_network_interface(&new).await?;
        let taken = match new.ipv4 {
            Ipv4Grant::Addresses(count) => count,
            Ipv4Grant::Prefixes(count) => count * u32::from(ADDRESSES_PER_PREFIX),
        };
        self.known().gave(subnet, taken + 1);
        Ok(created)
    }

    fn none(&self) -> Ec2Failure {
        Ec2Failure {
            code: "NoSubnet".to_owned(),
            message: self.known().none(),
            class: Class::Conflict,
        }
    }

    async fn ask_if(&self, wants: impl Fn(&Subnets) -> bool) -> Result<(), Ec2Error> {
        if !wants(&self.known()) {
            return Ok(());
        }
        let _one_at_a_time = self.asking.lock().await;
        let site = {
            let known = self.known();
            if !wants(&known) {
                return Ok(());
            }
            known.site().clone()
        };
        let asked = boot_time();
        let found = self.ec2.describe_subnets_of(&site.vpc, &site.zone).await?;
        let subnets: Vec<Subnet> = found.iter().map(subnet).collect();
        self.known().learn(asked, &subnets);
        *lock(&self.described) = found;
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Subnets> {
        lock(&self.known)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An ENI of ours stands in a subnet that nothing is known of.
fn has_unknown(known: &Subnets, interfaces: &[NetworkInterface]) -> bool {
    interfaces
        .iter()
        .filter(|eni| eni.tags.contains_key(INSTANCE_TAG))
        .any(|eni| known.block(&eni.subnet).is_none())
}

/// The subnet is full, or gone.
fn has_no_room(error: &Ec2Error) -> bool {
    error.refusal().is_some_and(|refusal| {
        refusal.is_subnet_exhausted() || refusal.code == "InvalidSubnetID.NotFound"
    })
}

fn subnet(found: &ec2::Subnet) -> Subnet {
    Subnet {
        id: found.id.clone(),
        block: found.cidr,
        ipv6: !found.ipv6_cidrs.is_empty(),
        free: found.available_addresses,
        tags: found.tags.clone(),
    }
}
