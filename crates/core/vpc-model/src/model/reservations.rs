//! Keeping parts of subnets for one use.
//!
//! Amazon VPC User Guide, "Subnet CIDR reservations". An address that a caller names may lie in a
//! part of either kind: the guide speaks only of what EC2 chooses by itself.

use ipnet::IpNet;
use underlay_types::{SubnetCidrReservationId, SubnetId};

use crate::{Change, CidrReservation, Ec2Error, ErrorCode, Model, ReservationKind, Tags};

/// A part of a subnet to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationRequest {
    /// The subnet.
    pub subnet: SubnetId,
    /// The part.
    pub cidr: IpNet,
    /// What it is kept for.
    pub kind: ReservationKind,
    /// What its creator writes about it.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Model {
    /// The kept parts of subnets, by id.
    pub fn reservations(&self) -> impl Iterator<Item = &CidrReservation> {
        self.reservations.values()
    }

    /// CreateSubnetCidrReservation. Addresses of the part that are in use stay in use.
    ///
    /// # Errors
    /// `InvalidSubnetID.NotFound`; `InvalidParameterValue` unless the part lies in a block of the
    /// subnet and overlaps no other kept part, and for prefixes is as wide as one.
    pub fn reserve(
        &mut self,
        request: ReservationRequest,
    ) -> Result<SubnetCidrReservationId, Ec2Error> {
        let subnet = self.require_subnet(&request.subnet)?;
        let cidr = request.cidr.trunc();
        let v6 = subnet.v6_cidr().map(IpNet::V6);
        let mut blocks = std::iter::once(IpNet::V4(subnet.cidr)).chain(v6);
        if !blocks.any(|block| block.contains(&cidr)) {
            return Err(invalid(format!(
                "Reservation CIDR {cidr} is not within the CIDR blocks of subnet {}",
                subnet.id
            )));
        }
        let longest = match cidr {
            IpNet::V4(_) => 28,
            IpNet::V6(_) => 80,
        };
        if request.kind == ReservationKind::Prefix && cidr.prefix_len() > longest {
            return Err(invalid(format!(
                "Reservation CIDR {cidr} holds no prefix of length {longest}"
            )));
        }
        let overlaps = |each: &&CidrReservation| {
            each.subnet == request.subnet
                && (each.cidr.contains(&cidr) || cidr.contains(&each.cidr))
        };
        if self.reservations.values().any(|each| overlaps(&each)) {
            return Err(invalid(format!(
                "Reservation CIDR {cidr} has overlap with existing reserved CIDR block"
            )));
        }
        let id = SubnetCidrReservationId::from_serial(self.rng.next());
        if let IpNet::V4(block) = cidr
            && let Some(pool) = self.pools.get_mut(&request.subnet)
        {
            pool.keep(block, request.kind);
        }
        let reservation = CidrReservation {
            id: id.clone(),
            subnet: request.subnet.clone(),
            cidr,
            kind: request.kind,
            description: request.description,
            tags: request.tags,
        };
        self.reservations.insert(id.clone(), reservation);
        self.changes.push(Change::SubnetChanged(request.subnet));
        Ok(id)
    }

    /// DeleteSubnetCidrReservation: what it was. Addresses of the part that are in use stay so.
    ///
    /// # Errors
    /// `InvalidSubnetCidrReservationID.NotFound`.
    pub fn unreserve(&mut self, id: &SubnetCidrReservationId) -> Result<CidrReservation, Ec2Error> {
        let gone = self.reservations.remove(id).ok_or_else(|| {
            let text = format!("The subnet CIDR reservation ID '{id}' does not exist");
            Ec2Error::new(ErrorCode::InvalidSubnetCidrReservationIdNotFound, text)
        })?;
        if let IpNet::V4(block) = gone.cidr
            && let Some(pool) = self.pools.get_mut(&gone.subnet)
        {
            pool.unkeep(block);
        }
        self.changes
            .push(Change::SubnetChanged(gone.subnet.clone()));
        Ok(gone)
    }
}

fn invalid(text: String) -> Ec2Error {
    Ec2Error::new(ErrorCode::InvalidParameterValue, text)
}
