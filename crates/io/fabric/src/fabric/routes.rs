//! Subnets and route tables.

use std::collections::HashMap;

use ipnet::IpNet;
use underlay_fabric_abi as abi;
use underlay_types::{RouteTableId, SubnetId};

use crate::{Fabric, FabricError, Route, RouteTarget, Subnet};

/// The routes of a table as the programs know them.
pub(super) type Table = HashMap<IpNet, abi::Route>;

impl Fabric {
    /// Sets a subnet; its ports follow.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_subnet(&mut self, id: &SubnetId, subnet: Subnet) -> Result<(), FabricError> {
        if self.subnets.get(id) == Some(&subnet) {
            return Ok(());
        }
        let before = self.subnets.insert(id.clone(), subnet);
        let published = self.republish_subnet(id);
        if let (Err(_), Some(before)) = (&published, before) {
            // Asked for again, it is not taken for done.
            self.subnets.insert(id.clone(), before);
        }
        published
    }

    /// Forgets a subnet that has no ports.
    pub fn remove_subnet(&mut self, id: &SubnetId) {
        self.subnets.remove(id);
    }

    /// Sets all routes of a table. The longest prefix decides; a packet without a route is
    /// dropped.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_routes(&mut self, id: &RouteTableId, routes: &[Route]) -> Result<(), FabricError> {
        let wanted: Table = routes
            .iter()
            .map(|route| (route.destination.trunc(), self.encode(route)))
            .collect();
        let number = self.tables.of(id);
        // Kept step by step: what is known is true also when the kernel refuses in between.
        let known = self.routes.entry(id.clone()).or_default();
        for (destination, route) in &wanted {
            if known.get(destination) != Some(route) {
                self.maps.routes.set(number, *destination, Some(*route))?;
                known.insert(*destination, *route);
            }
        }
        let is_stale = |destination: &&IpNet| !wanted.contains_key(destination);
        let stale: Vec<_> = known.keys().filter(is_stale).copied().collect();
        for destination in stale {
            self.maps.routes.set(number, destination, None)?;
            known.remove(&destination);
        }
        Ok(())
    }

    /// Forgets a route table.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_routes(&mut self, id: &RouteTableId) -> Result<(), FabricError> {
        self.set_routes(id, &[])?;
        self.routes.remove(id);
        Ok(())
    }

    fn encode(&mut self, route: &Route) -> abi::Route {
        let (kind, eni) = match &route.target {
            RouteTarget::Blackhole => (abi::ROUTE_BLACKHOLE, 0),
            RouteTarget::EgressOnly => (abi::ROUTE_EGRESS_ONLY, 0),
            RouteTarget::Eni(eni) => (abi::ROUTE_ENI, self.enis.of(eni)),
            RouteTarget::Internet => (abi::ROUTE_INTERNET, 0),
            RouteTarget::Local => (abi::ROUTE_LOCAL, 0),
            RouteTarget::Nat(eni) => (abi::ROUTE_NAT, self.enis.of(eni)),
            RouteTarget::Peering(vpc) => (abi::ROUTE_PEERING, self.vpcs.of(vpc)),
        };
        let mtu = u32::from(route.mtu.min(abi::MTU));
        abi::Route { kind, eni, mtu }
    }
}
