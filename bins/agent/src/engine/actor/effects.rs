//! What the actor has others do: EC2 calls as tasks, kernel work on blocking threads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};
use underlay_cloud::ec2::{Ipv4Grant, NewInterface};
use underlay_ipam::{Ec2Failure, Ec2Op, Ec2Outcome, Grant, Input, OpId};
use underlay_journal::{Change, Creation, PARTS_FOR, Parting};
use underlay_netplan::{EniSlot, EniWiring, PodWiring};
use underlay_types::{
    AttachmentId, Class, EniId, Family, Interface, PoolKey, SecurityGroupSet, WholeEni,
};

use super::Actor;
use crate::{
    engine::{
        calls::{Call, failure},
        clock::{boot_time, wall_ms},
        journal::JournalError,
        message::Message,
        node, observation, policy,
    },
    kernel::{Failure, Kernel},
    service::ServiceError,
    waiting::while_waiting,
};

/// How long the device of an attached ENI may take to appear.
const DEVICE_DEADLINE: Duration = Duration::from_secs(30);
/// How long the rules of a new set may hold its ENI back.
const RULES_DEADLINE: Duration = Duration::from_secs(5);

impl Actor {
    /// Starts an EC2 call. Returns its outcome if it cannot even be tried.
    pub(super) fn call(&mut self, op: OpId, call: Ec2Op) -> Option<Input> {
        debug!(op = op.0, "{call}");
        if let Err(failure) = self.record_parting(&call) {
            let outcome = Ec2Outcome::Failed(failure);
            return Some(Input::Ec2 { op, outcome });
        }
        let mut token = None;
        let call = match call {
            Ec2Op::Assign { eni, grant } => match in_ec2s_words(grant) {
                Some(grant) => Call::Assign { eni, grant },
                None => Call::AssignIpv6Prefix { eni },
            },
            Ec2Op::AttachEni { eni, place } => {
                if let Some(facts) = self.enis.get_mut(&eni) {
                    facts.place = Some(place);
                }
                Call::Attach { eni, place }
            }
            Ec2Op::CreateEni {
                pool,
                grant,
                ipv6_prefix,
            } => match self.creation(op, &pool, grant, ipv6_prefix) {
                Ok(new) => {
                    token = Some(new.client_token.clone());
                    Call::Create(Box::new(new))
                }
                Err(failure) => {
                    return Some(Input::Ec2 {
                        op,
                        outcome: Ec2Outcome::Failed(failure),
                    });
                }
            },
            Ec2Op::DeleteEni { eni } => Call::Delete { eni },
            Ec2Op::DetachEni { eni } => {
                let attachment = self.attachment(&eni);
                Call::Detach { eni, attachment }
            }
            Ec2Op::SetDeleteOnTermination { eni } => {
                let attachment = self.attachment(&eni);
                Call::SetDeleteOnTermination { eni, attachment }
            }
            Ec2Op::UnassignAddresses { eni, addresses } => Call::Unassign { eni, addresses },
            Ec2Op::UnassignIpv6Prefixes { eni, prefixes } => {
                Call::UnassignIpv6Prefixes { eni, prefixes }
            }
            Ec2Op::UnassignPrefixes { eni, prefixes } => Call::UnassignPrefixes { eni, prefixes },
        };
        self.memory.begins(op);
        let (caller, inbox) = (self.caller.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            let result = caller.run(call).await;
            // The actor has stopped if nobody listens.
            drop(inbox.send(Message::Called { op, token, result }));
        });
        None
    }

    /// Records what a call asks back: it may be carried out when this process is no more.
    fn record_parting(&mut self, call: &Ec2Op) -> Result<(), Ec2Failure> {
        let Some(parting) = underlay_ipam::Parting::of(call) else {
            return Ok(());
        };
        let lasts_ms = u64::try_from(PARTS_FOR.as_millis()).unwrap_or(u64::MAX);
        let parting = Parting {
            eni: parting.eni,
            addresses: parting.addresses,
            prefixes: parting.prefixes,
            until_wall_ms: wall_ms().saturating_add(lasts_ms),
            until_boot: boot_time() + PARTS_FOR,
        };
        self.journal
            .record(Change::Parting(parting))
            .map_err(|error| unrecorded(&error))
    }

    fn attachment(&self, eni: &EniId) -> Option<AttachmentId> {
        self.enis.get(eni)?.attachment.clone()
    }

    /// The call that creates an ENI, its intent recorded.
    fn creation(
        &mut self,
        op: OpId,
        pool: &PoolKey,
        grant: Grant,
        ipv6_prefix: bool,
    ) -> Result<NewInterface, Ec2Failure> {
        let groups = pool
            .explicit_set()
            .or_else(|| self.ipam.default_groups())
            .ok_or_else(|| untried("NotObserved", "the primary ENI is not known".to_owned()))?;
        let node = &self.caller.node;
        // The subnet is chosen when its turn has come.
        let token = format!("{}-{}-{}", node.identity.instance_id, self.run_id, op.0);
        let new = NewInterface {
            subnet: node.subnet.clone(),
            groups: groups.as_slice().to_vec(),
            description: format!("underlay pods on {}", node.identity.instance_id),
            tags: observation::tags(&node.identity.instance_id, pool),
            client_token: token.clone(),
            ipv4: in_ec2s_words(grant).unwrap_or(Ipv4Grant::Addresses(0)),
            ipv6_prefixes: u32::from(ipv6_prefix),
        };
        let intent = Creation {
            token,
            pool: pool.clone(),
            addresses: grant.addresses(),
        };
        self.journal
            .record(Change::Creating(intent))
            .map_err(|error| unrecorded(&error))?;
        Ok(new)
    }

    pub(super) fn use_eni(&mut self, eni: EniId) {
        let moved = self.record_place(&eni);
        if self
            .enis
            .get(&eni)
            .is_some_and(|facts| facts.pool.is_whole())
        {
            return self.use_whole(eni);
        }
        let wiring = moved.and_then(|()| self.eni_wiring(&eni));
        let pods = self.pods_of(&eni);
        let (kernel, inbox) = (Arc::clone(&self.kernel), self.inbox.clone());
        let policies = self.policies.clone();
        let set = self
            .enis
            .get(&eni)
            .and_then(|facts| facts.pool.explicit_set().cloned());
        self.runtime.spawn(async move {
            let used = match wiring {
                Ok(wiring) => {
                    let using = move || wait_and_use(&kernel, &wiring, &pods);
                    let used = tokio::task::spawn_blocking(using).await;
                    used.unwrap_or_else(|error| Err(error.to_string()))
                }
                Err(reason) => Err(reason),
            };
            // After the ENI is in use: an ENI of the set that leaves meanwhile then spares the
            // set's chains, or has removed them before they are written.
            if let (Ok(()), Some(set)) = (&used, set) {
                keep_rules(&policies, set).await;
            }
            drop(inbox.send(Message::Used(eni, used)));
        });
    }

    /// An ENI that pods own one by one needs nothing on the node but its device, which a pod may
    /// have by now.
    fn use_whole(&self, eni: EniId) {
        let state = self.journal.state();
        let mut leases = state.leases.values().filter(|lease| lease.eni == eni);
        let held = leases.next().map(|lease| lease.key.clone());
        let mac = self.enis.get(&eni).map(|facts| facts.mac);
        let back = self.attached_again.contains(&eni);
        let (kernel, inbox) = (Arc::clone(&self.kernel), self.inbox.clone());
        self.runtime.spawn_blocking(move || {
            let used = match (mac, held) {
                (Some(mac), Some(key)) if back => {
                    let found = wait_for_device(|| kernel.find_eni(mac));
                    if found.is_ok() {
                        drop(inbox.send(Message::Returned(key)));
                    }
                    found
                }
                (Some(_), Some(_)) => Ok(()),
                (Some(mac), None) => wait_for_device(|| kernel.find_eni(mac)),
                (None, _) => Err("it was never observed".to_owned()),
            };
            drop(inbox.send(Message::Used(eni, used)));
        });
    }

    /// What a pod has of the ENI that its addresses are of.
    pub(super) fn interface(&self, eni: &EniId) -> Result<Interface, ServiceError> {
        let facts = self.enis.get(eni).filter(|facts| facts.pool.is_whole());
        let Some(facts) = facts else {
            return Ok(Interface::Shared);
        };
        let wiring = self.eni_wiring(eni).map_err(|reason| {
            let message = format!("{eni} cannot be given to a pod: {reason}; try again");
            ServiceError::NotReady { message }
        })?;
        Ok(Interface::Whole(WholeEni {
            mac: facts.mac,
            subnet: wiring.subnet,
        }))
    }

    pub(in crate::engine) fn eni_wiring(&self, eni: &EniId) -> Result<EniWiring, String> {
        let facts = self.enis.get(eni).ok_or("it was never observed")?;
        let place = facts.place.ok_or("it is not attached")?;
        let families = self.caller.node.families;
        let subnet = self.caller.subnets.block(&facts.subnet);
        let unknown = |subnet| format!("EC2 has not told about its subnet {subnet} yet");
        Ok(EniWiring {
            slot: EniSlot::new(place.card, place.index).map_err(|error| error.to_string())?,
            eni: eni.clone(),
            mac: facts.mac,
            address: facts.address,
            address_v6: facts.address_v6.filter(|_| families.has(Family::V6)),
            subnet: subnet.ok_or_else(|| unknown(&facts.subnet))?,
            families,
            groups: facts.pool.groups.clone(),
            mtu: self.mtus.eni,
        })
    }

    pub(super) fn drop_eni(&self, eni: EniId) {
        let (kernel, inbox) = (Arc::clone(&self.kernel), self.inbox.clone());
        self.runtime.spawn_blocking(move || {
            if let Err(error) = kernel.drop_eni(&eni) {
                // Its rule and table stay; the next ENI in this place replaces them.
                warn!(%eni, error = %error, "cannot take an ENI out of use");
            }
            drop(inbox.send(Message::Dropped(eni)));
        });
    }

    pub(super) fn dropped(&mut self, eni: EniId) {
        let pool = self.enis.get(&eni).map(|facts| facts.pool.clone());
        let last = !self
            .enis
            .iter()
            .any(|(id, facts)| *id != eni && Some(&facts.pool) == pool.as_ref());
        if let Some(set) = pool
            .as_ref()
            .filter(|pool| last && !pool.is_whole())
            .and_then(PoolKey::explicit_set)
        {
            let request = policy::Request::Forget(set.clone());
            if let Err(error) = self.policies.try_send(request) {
                warn!(%error, "the rules of a set without ENIs are still read");
            }
        }
        info!(%eni, "ENI out of use");
        self.feed(Input::EniDropped(eni));
    }

    pub(super) fn observe(&mut self) {
        self.looks.under_way = true;
        self.memory.asks();
        let (caller, inbox) = (self.caller.clone(), self.inbox.clone());
        self.runtime.spawn(async move {
            let asked = boot_time();
            let seen = node::interfaces(&caller.ec2, &caller.node.identity).await;
            if let Ok(interfaces) = &seen
                && let Err(error) = caller.subnets.look(interfaces).await
            {
                warn!(%error, "cannot ask EC2 about subnets: what was known of them holds");
            }
            let result = seen.map_err(|error| failure(&error));
            drop(inbox.send(Message::Observed { asked, result }));
        });
    }
}

/// Why a call was not made.
fn untried(code: &str, message: String) -> Ec2Failure {
    Ec2Failure {
        code: code.to_owned(),
        message,
        class: Class::Retry,
    }
}

fn unrecorded(error: &JournalError) -> Ec2Failure {
    untried("Journal", error.to_string())
}

/// What is granted of IPv4; `None` for an IPv6 prefix.
fn in_ec2s_words(grant: Grant) -> Option<Ipv4Grant> {
    match grant {
        Grant::Addresses(count) => Some(Ipv4Grant::Addresses(count.into())),
        Grant::Prefixes(count) => Some(Ipv4Grant::Prefixes(count.into())),
        Grant::Ipv6Prefix => None,
    }
}

/// Brings an ENI into use for these pods of it, and others to come, as soon as its device is there.
pub(in crate::engine) fn wait_and_use(
    kernel: &Kernel,
    eni: &EniWiring,
    pods: &[PodWiring],
) -> Result<(), String> {
    wait_for_device(|| kernel.use_eni_of(eni, pods))
}

/// Tries again while the device that is to be used is not there.
pub(in crate::engine) fn wait_for_device(
    mut attempt: impl FnMut() -> Result<(), Failure>,
) -> Result<(), String> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) if may_appear(&error) && begun.elapsed() < DEVICE_DEADLINE => {
                while_waiting(|| std::thread::sleep(pause));
                pause = (pause * 2).min(Duration::from_millis(200));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Has the rules of a set applied, or applied again, to the node. Late rules delay nothing more:
/// until they come, the kernel drops.
async fn keep_rules(policies: &mpsc::Sender<policy::Request>, set: SecurityGroupSet) {
    let (first_try, tried) = oneshot::channel();
    let request = policy::Request::Keep(set, first_try);
    if policies.send(request).await.is_ok() {
        drop(tokio::time::timeout(RULES_DEADLINE, tried).await);
    }
}

fn may_appear(error: &Failure) -> bool {
    error.class() == Class::NotFound
}
