//! VPC peering connections.

use std::time::Duration;

use ipnet::IpNet;
use underlay_types::{Timestamp, VpcId, VpcPeeringConnectionId};

use super::lifecycle::Timer;
use crate::{
    Change, Ec2Error, ErrorCode, Model, PeeringSide, PeeringState, RouteTarget, Tags, Vpc,
    VpcPeeringConnection,
};

/// How long a request can be accepted.
const REQUEST_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long a connection is shown that came to nothing (VPC Peering Guide, "lifecycle").
const SHOWN_AFTER_END: Duration = Duration::from_secs(2 * 3_600);
const SHOWN_AFTER_EXPIRY: Duration = Duration::from_secs(2 * 24 * 3_600);

impl Model {
    /// The peering connections, by id, those included that are over and still shown.
    pub fn peerings(&self) -> impl Iterator<Item = &VpcPeeringConnection> {
        self.peerings.values()
    }

    /// A peering connection.
    #[must_use]
    pub fn peering(&self, id: &VpcPeeringConnectionId) -> Option<&VpcPeeringConnection> {
        self.peerings.get(id)
    }

    /// CreateVpcPeeringConnection. VPCs that cannot be peers make one that `failed`.
    ///
    /// # Errors
    /// `InvalidVpcID.NotFound` for the requester; `VpcPeeringConnectionAlreadyExists`;
    /// `VpcPeeringConnectionsPerVpcLimitExceeded`.
    pub fn create_peering(
        &mut self,
        requester: &VpcId,
        accepter: &VpcId,
        tags: Tags,
        now: Timestamp,
    ) -> Result<VpcPeeringConnectionId, Ec2Error> {
        let own = self.require_vpc(requester)?;
        let peer = self.vpcs.get(accepter);
        let possible = peer.is_some_and(|peer| peer.id != own.id && !overlap(own, peer));
        let between = |each: &&VpcPeeringConnection| {
            is_alive(each.state) && each.peer_of(requester) == Some(accepter)
        };
        if let Some(held) = self.peerings().find(between) {
            let text = format!(
                "A VPC peering connection {} between {requester} and {accepter} already exists.",
                held.id
            );
            let code = ErrorCode::VpcPeeringConnectionAlreadyExists;
            return Err(Ec2Error::new(code, text));
        }
        self.check_peering_quota(requester)?;
        let id = VpcPeeringConnectionId::from_serial(self.rng.next());
        self.note_new(id.as_str());
        let side = |vpc: &VpcId| PeeringSide {
            vpc: vpc.clone(),
            remote_dns: false,
        };
        let (state, over) = if possible {
            let timer = Timer::PeeringExpires(id.clone());
            (PeeringState::PendingAcceptance, (REQUEST_LIFETIME, timer))
        } else {
            let timer = Timer::ForgetPeering(id.clone());
            (PeeringState::Failed, (SHOWN_AFTER_END, timer))
        };
        let peering = VpcPeeringConnection {
            id: id.clone(),
            requester: side(requester),
            accepter: side(accepter),
            state,
            expires: now + REQUEST_LIFETIME,
            tags,
        };
        self.peerings.insert(id.clone(), peering);
        self.changes.push(Change::PeeringChanged(id.clone()));
        self.schedule(now, over.0, over.1);
        Ok(id)
    }

    /// AcceptVpcPeeringConnection.
    ///
    /// # Errors
    /// `InvalidVpcPeeringConnectionID.NotFound`; `InvalidStateTransition` unless it waits for it;
    /// `VpcPeeringConnectionsPerVpcLimitExceeded`.
    pub fn accept_peering(
        &mut self,
        id: &VpcPeeringConnectionId,
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let peering = self.require_peering(id)?;
        require_state(peering, &[PeeringState::PendingAcceptance], "active")?;
        self.check_peering_quota(&peering.accepter.vpc)?;
        self.set_peering(id, PeeringState::Provisioning);
        let delay = self.draw_delay(self.config.timings.peering);
        self.schedule(now, delay, Timer::PeeringActive(id.clone()));
        Ok(())
    }

    /// RejectVpcPeeringConnection.
    ///
    /// # Errors
    /// `InvalidVpcPeeringConnectionID.NotFound`; `InvalidStateTransition` unless it waits for it.
    pub fn reject_peering(
        &mut self,
        id: &VpcPeeringConnectionId,
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let peering = self.require_peering(id)?;
        require_state(peering, &[PeeringState::PendingAcceptance], "rejected")?;
        self.end_peering(id, PeeringState::Rejected, now);
        Ok(())
    }

    /// DeleteVpcPeeringConnection. Routes to it become blackholes.
    ///
    /// # Errors
    /// `InvalidVpcPeeringConnectionID.NotFound`; `InvalidStateTransition` when it is over.
    pub fn delete_peering(
        &mut self,
        id: &VpcPeeringConnectionId,
        now: Timestamp,
    ) -> Result<(), Ec2Error> {
        let deletable = [
            PeeringState::Active,
            PeeringState::PendingAcceptance,
            PeeringState::Provisioning,
        ];
        require_state(self.require_peering(id)?, &deletable, "deleted")?;
        self.end_peering(id, PeeringState::Deleted, now);
        Ok(())
    }

    /// ModifyVpcPeeringConnectionOptions: whether each side's names resolve to private addresses
    /// for the other. Returns both options, the requester's first.
    ///
    /// # Errors
    /// `InvalidVpcPeeringConnectionID.NotFound`; `OperationNotPermitted` unless it is active.
    pub fn set_peering_dns(
        &mut self,
        id: &VpcPeeringConnectionId,
        [requester, accepter]: [Option<bool>; 2],
    ) -> Result<[bool; 2], Ec2Error> {
        if !self.require_peering(id)?.is_active() {
            let text = format!(
                "Peering pcx {id} is not active. Peering options can be added only to active peerings."
            );
            return Err(Ec2Error::new(ErrorCode::OperationNotPermitted, text));
        }
        let mut options = [false; 2];
        if let Some(peering) = self.peerings.get_mut(id) {
            for (side, wanted) in [
                (&mut peering.requester, requester),
                (&mut peering.accepter, accepter),
            ] {
                side.remote_dns = wanted.unwrap_or(side.remote_dns);
            }
            options = [peering.requester.remote_dns, peering.accepter.remote_dns];
            self.changes.push(Change::PeeringChanged(id.clone()));
        }
        Ok(options)
    }

    pub(crate) fn finish_peering(&mut self, id: &VpcPeeringConnectionId) {
        let state = self.peering(id).map(|peering| peering.state);
        if state == Some(PeeringState::Provisioning) {
            self.set_peering(id, PeeringState::Active);
        }
    }

    pub(crate) fn expire_peering(&mut self, id: &VpcPeeringConnectionId, now: Timestamp) {
        let state = self.peering(id).map(|peering| peering.state);
        if state == Some(PeeringState::PendingAcceptance) {
            self.end_peering(id, PeeringState::Expired, now);
        }
    }

    pub(crate) fn forget_peering(&mut self, id: &VpcPeeringConnectionId) {
        if self.peerings.remove(id).is_some() {
            self.changes.push(Change::PeeringChanged(id.clone()));
        }
    }

    /// Whether a VPC takes part in a peering connection that is not over.
    pub(crate) fn has_peerings(&self, vpc: &VpcId) -> bool {
        let mut alive = self.peerings().filter(|each| is_alive(each.state));
        alive.any(|each| each.peer_of(vpc).is_some())
    }

    fn end_peering(&mut self, id: &VpcPeeringConnectionId, state: PeeringState, now: Timestamp) {
        self.set_peering(id, state);
        let shown = if state == PeeringState::Expired {
            SHOWN_AFTER_EXPIRY
        } else {
            SHOWN_AFTER_END
        };
        self.schedule(now, shown, Timer::ForgetPeering(id.clone()));
    }

    fn set_peering(&mut self, id: &VpcPeeringConnectionId, state: PeeringState) {
        if let Some(peering) = self.peerings.get_mut(id) {
            peering.state = state;
            self.changes.push(Change::PeeringChanged(id.clone()));
            self.note_routes_to(&RouteTarget::Peering(id.clone()));
        }
    }

    /// Whether a VPC may have another block, for the sake of its peers (Amazon VPC User Guide, "IPv4
    /// CIDR block association restrictions"). Which codes EC2 answers with is not documented.
    pub(super) fn check_peers_beside(&self, vpc: &VpcId, block: IpNet) -> Result<(), Ec2Error> {
        for peering in self.peerings() {
            let Some(peer) = peering.peer_of(vpc).and_then(|peer| self.vpcs.get(peer)) else {
                continue;
            };
            let asked_for = peering.state == PeeringState::PendingAcceptance;
            if asked_for && &peering.requester.vpc == vpc {
                let text = format!(
                    "The vpc {vpc} cannot have further CIDR blocks while its request {} is pending.",
                    peering.id
                );
                return Err(Ec2Error::new(ErrorCode::OperationNotPermitted, text));
            }
            if !asked_for && is_alive(peering.state) && overlaps(peer, block) {
                let text = format!(
                    "The CIDR '{block}' overlaps with a CIDR block of the peer VPC '{}'.",
                    peer.id
                );
                return Err(Ec2Error::new(ErrorCode::InvalidVpcRange, text));
            }
        }
        Ok(())
    }

    /// A VPC has another block: requests of VPCs whose blocks overlap it fail.
    pub(super) fn fail_requests_beside(&mut self, vpc: &VpcId, block: IpNet, now: Timestamp) {
        let fails = |peering: &&VpcPeeringConnection| {
            let requester = self.vpcs.get(&peering.requester.vpc);
            peering.state == PeeringState::PendingAcceptance
                && &peering.accepter.vpc == vpc
                && requester.is_some_and(|requester| overlaps(requester, block))
        };
        let failed: Vec<_> = self
            .peerings()
            .filter(fails)
            .map(|each| each.id.clone())
            .collect();
        for id in failed {
            self.set_peering(&id, PeeringState::Failed);
            self.schedule(now, SHOWN_AFTER_END, Timer::ForgetPeering(id));
        }
    }

    fn check_peering_quota(&self, vpc: &VpcId) -> Result<(), Ec2Error> {
        let counts = |each: &&VpcPeeringConnection| {
            matches!(
                each.state,
                PeeringState::Active | PeeringState::Provisioning
            ) && each.peer_of(vpc).is_some()
        };
        if self.peerings().filter(counts).count() < self.config.limits.peerings_per_vpc {
            return Ok(());
        }
        let text = format!(
            "The maximum number of active VPC peering connections of {vpc} has been reached."
        );
        let code = ErrorCode::VpcPeeringConnectionsPerVpcLimitExceeded;
        Err(Ec2Error::new(code, text))
    }
}

const fn is_alive(state: PeeringState) -> bool {
    matches!(
        state,
        PeeringState::Active | PeeringState::PendingAcceptance | PeeringState::Provisioning
    )
}

fn require_state(
    peering: &VpcPeeringConnection,
    allowed: &[PeeringState],
    wanted: &str,
) -> Result<(), Ec2Error> {
    if allowed.contains(&peering.state) {
        return Ok(());
    }
    let text = format!(
        "Invalid state transition for {}, attempted to transition from {} to {wanted}",
        peering.id,
        peering.state.as_str()
    );
    Err(Ec2Error::new(ErrorCode::InvalidStateTransition, text))
}

/// Whether any block of one overlaps any block of the other, of either family.
fn overlap(one: &Vpc, other: &Vpc) -> bool {
    one.blocks().any(|block| overlaps(other, block))
}

fn overlaps(vpc: &Vpc, block: IpNet) -> bool {
    let mut blocks = vpc.blocks();
    blocks.any(|each| each.contains(&block) || block.contains(&each))
}
