//! What is under way, and when it is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use underlay_types::{
    AttachmentId, EniId, InstanceId, NatGatewayId, PrefixListId, SubnetCidrAssociationId, SubnetId,
    Timestamp, VpcCidrAssociationId, VpcId, VpcPeeringConnectionId,
};

use crate::{CidrState, Delay, InstanceState, Model};

/// How long a terminated instance is still shown.
const SHOWN_AFTER_TERMINATION: Duration = Duration::from_secs(3_600);
/// How long a client token is remembered.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// Something that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Timer {
    /// An attachment is done.
    Attached(EniId, AttachmentId),
    /// A detachment is done; whether the device had been there.
    Detached {
        eni: EniId,
        attachment: AttachmentId,
        announce: bool,
    },
    /// A new interface is available.
    EniReady(EniId),
    /// A terminated instance is no longer shown.
    Forget(InstanceId),
    /// A client token is no longer remembered.
    ForgetToken(String),
    /// A NAT gateway that failed or was deleted is no longer shown.
    ForgetNatGateway(NatGatewayId),
    /// A peering connection that is over is no longer shown.
    ForgetPeering(VpcPeeringConnectionId),
    /// What was asked of a prefix list is done.
    PrefixList(PrefixListId),
    /// A subnet's block is no longer in the state that it was in.
    SubnetCidr(SubnetId, SubnetCidrAssociationId, CidrState),
    /// A NAT gateway is deleted.
    NatGatewayGone(NatGatewayId),
    /// A NAT gateway is made, or cannot be.
    NatGatewayMade(NatGatewayId),
    /// A peering connection is in force.
    PeeringActive(VpcPeeringConnectionId),
    /// Nobody accepted a peering connection.
    PeeringExpires(VpcPeeringConnectionId),
    /// An instance runs.
    Running(InstanceId),
    /// Something that was seen late is seen now.
    Seen,
    /// An instance is stopped.
    Stopped(InstanceId),
    /// An instance is gone.
    Terminated(InstanceId),
    /// A VPC's block is no longer in the state that it was in.
    VpcCidr(VpcId, VpcCidrAssociationId, CidrState),
}

impl Model {
    /// When to call [`Self::tick`] next, if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.keys().next().map(|(when, _)| *when)
    }

    /// Ends what is over by `now`, in order. Whoever acts on the model calls it first: then what
    /// an action finds depends on its moment alone, not on when somebody last looked.
    pub fn tick(&mut self, now: Timestamp) {
        self.begin_call();
        while let Some(entry) = self
            .timers
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let ((when, _), timer) = entry.remove_entry();
            self.now = self.now.max(when);
            self.fire(timer, when);
        }
        self.now = self.now.max(now);
    }

    /// Ends `timer` after `delay`: at once when there is none.
    pub(crate) fn schedule(&mut self, now: Timestamp, delay: Duration, timer: Timer) {
        if delay.is_zero() {
            self.fire(timer, now);
        } else {
            self.timers_set += 1;
            self.timers.insert((now + delay, self.timers_set), timer);
        }
    }

    pub(crate) fn draw_delay(&mut self, delay: Delay) -> Duration {
        delay.draw(&mut self.chance)
    }

    fn fire(&mut self, timer: Timer, now: Timestamp) {
        match timer {
            Timer::Attached(eni, attachment) => self.finish_attach(&eni, &attachment),
            Timer::Detached {
                eni,
                attachment,
                announce,
            } => {
                self.finish_detach(&eni, &attachment, announce);
            }
            Timer::Forget(instance) => {
                self.instances.remove(&instance);
            }
            Timer::ForgetToken(token) => {
                self.tokens.remove(&token);
            }
            Timer::ForgetNatGateway(id) => self.forget_nat_gateway(&id),
            Timer::ForgetPeering(id) => self.forget_peering(&id),
            Timer::NatGatewayGone(id) => self.end_nat_gateway(&id, now),
            Timer::NatGatewayMade(id) => self.finish_nat_gateway(&id, now),
            Timer::PeeringActive(id) => self.finish_peering(&id),
            Timer::PeeringExpires(id) => self.expire_peering(&id, now),
            Timer::PrefixList(list) => self.settle_prefix_list(&list),
            Timer::EniReady(id) => self.finish_create(&id),
            Timer::Seen => self.forget_past(),
            Timer::Running(instance) => {
                let was = self.instances.get(&instance).cloned();
                self.note_instance(&instance, was);
                if let Some(mut instance) = self.instances.get_mut(&instance)
                    && instance.state == InstanceState::Pending
                {
                    instance.state = InstanceState::Running;
                }
            }
            Timer::SubnetCidr(subnet, association, from) => {
                self.end_subnet_cidr_state(&subnet, &association, from);
            }
            Timer::VpcCidr(vpc, association, from) => {
                self.end_vpc_cidr_state(&vpc, &association, from);
            }
            Timer::Stopped(instance) => self.finish_stop(&instance),
            Timer::Terminated(instance) => {
                self.finish_termination(&instance);
                self.schedule(now, SHOWN_AFTER_TERMINATION, Timer::Forget(instance));
            }
        }
    }
}
