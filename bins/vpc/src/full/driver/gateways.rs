//! Gateways: what leads out of the VPCs, and back in.

use std::{collections::BTreeMap, net::Ipv4Addr};

use underlay_fabric::{BlockOwner, FabricError};
use underlay_types::{NatGatewayId, VpcId};
use underlay_vpc_model::Model;

use super::{DriveError, Driver, fabric};
use crate::full::translate;

impl Driver {
    /// An internet gateway came or went: the public addresses of its VPC lead there, or nowhere.
    pub(super) fn follow_internet(&mut self, model: &Model) -> Result<(), DriveError> {
        let public: Vec<_> = model
            .public_addresses()
            .map(|(public, ..)| public)
            .collect();
        public
            .into_iter()
            .try_for_each(|public| self.follow_public_address(model, public))?;
        self.follow_public_blocks(model)
    }

    pub(super) fn follow_public_address(
        &mut self,
        model: &Model,
        public: Ipv4Addr,
    ) -> Result<(), DriveError> {
        let held = model.holder_of_public(public);
        let held = held.filter(|(eni, _)| model.internet_gateway_of(&eni.vpc).is_some());
        let private = held.map(|(eni, private)| (&eni.vpc, private));
        let set = self.fabric.set_public_address(public, private);
        set.map_err(fabric("set who has", &public))
    }

    pub(super) fn follow_public_blocks(&mut self, model: &Model) -> Result<(), DriveError> {
        let asked_only = |vpc: &VpcId| {
            let mut only = model.egress_only_gateways();
            let internet = model.internet_gateway_of(vpc).is_some();
            (internet || only.any(|gateway| gateway.vpc == *vpc)).then_some(!internet)
        };
        let mut blocks = BTreeMap::new();
        for vpc in model.vpcs() {
            let Some(asked_only) = asked_only(&vpc.id) else {
                continue;
            };
            let owner = BlockOwner {
                vpc: vpc.id.clone(),
                asked_only,
            };
            blocks.extend(vpc.v6_cidrs.iter().map(|block| (block.cidr, owner.clone())));
        }
        let set = self.fabric.set_public_blocks(&blocks);
        set.map_err(fabric("set whose are", &"the IPv6 blocks"))
    }

    pub(super) fn follow_nat_gateway(
        &mut self,
        model: &Model,
        id: &NatGatewayId,
    ) -> Result<(), DriveError> {
        let gateway = model.nat_gateway(id);
        // Without an interface it never had one, or that is deleted, which is told apart.
        let Some((gateway, eni)) = gateway.and_then(|gateway| Some((gateway, gateway.eni()?)))
        else {
            return Ok(());
        };
        let Some(eni) = model.eni(eni) else {
            return Ok(());
        };
        if !gateway.is_available() {
            return self.remove_ports(std::slice::from_ref(&eni.id));
        }
        self.see(model, eni);
        let port = translate::port(model, eni);
        match self.fabric.add_nat_gateway(port) {
            Err(FabricError::AlreadyPort(_)) => self.update_port(model, &eni.id),
            other => other.map_err(fabric("translate at", &eni.id)),
        }
    }
}
